"""Messages of the mirror: some are told to its clients, in one line."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "mirror.front": Text("selfhost mirror：按 ID 提供模型，并为 pip 提供 wheel 包"),
    "mirror.no_path": Text("该镜像站没有此名称的内容"),
    "mirror.no_model": Text(
        "该镜像站没有模型 `{name}`；请在其运行的机器上用 `selfhost pull` 或 `selfhost bundle import` 引入",
    ),
    "mirror.no_revision": Text("该镜像站没有 `{name}` 的版本 `{revision}`；现有：{known}"),
    "mirror.no_file": Text("该镜像站没有 `{name}` 的 `{path}`"),
    "mirror.damaged": Text("镜像站上的 `{path}` 已损坏；请在那里运行 `selfhost verify {name}`"),
    "mirror.bad_request": Text("镜像站无法理解该请求"),
    "mirror.not_acceptable": Text("索引提供以下类型：{types}"),
    "mirror.read_only": Text("镜像站是只读的"),
    "mirror.key_wanted": Text(
        "该镜像站需要 API 密钥：用 `Authorization: Bearer KEY`（`HF_TOKEN=KEY`），"
        "或作为 `http://user:KEY@host` 中的密码"
    ),
    "mirror.busy": Text("同时连接过多"),
    "mirror.exposed": Text(
        "拒绝在没有 API 密钥时监听 `{host}`",
        "其他机器可访问该地址，而密钥不存在：任何人都能取走模型",
        "生成密钥：`selfhost key new NAME`\n或在可以公开时加 `--no-key`\n或只对本机开放：`--host 127.0.0.1`",
    ),
    "mirror.cannot_listen": Text(
        "无法监听 `{host}` 端口 {port}",
        "{detail}",
        "换一个：`selfhost mirror serve --host {host} --port 0` 会取空闲端口并显示",
    ),
    "mirror.no_wheelhouse": Text(
        "没有存放 wheel 包的目录：`{path}`",
        "应为含 `*.whl` 的目录",
        "在联网的地方准备：`pip download -d {path} ...`",
    ),
    "mirror.ready": Text("服务地址 {url}；模型：{count} 个；按 Ctrl-C 停止"),
    "mirror.use_hub": Text("模型：HF_ENDPOINT={url}，或 `selfhost pull MODEL --source {url}`"),
    "mirror.use_pip": Text("wheel 包：`pip install --index-url {url}/simple/ --trusted-host {host} NAME`"),
    "mirror.use_key": Text("需要密钥：HF_TOKEN=KEY，pip 用 http://user:KEY@... 这样的地址"),
    "mirror.stopping": Text("正在停止：等待 {count} 个传输完成，最多 {grace_s:.0f} s"),
}
