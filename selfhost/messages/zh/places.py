"""Messages about where models can be had: what places say, what serving needs of it, being offline."""

from __future__ import annotations

from selfhost.messages import Text

_TRY = (
    "检查网络，有代理时检查 `HTTPS_PROXY`；或从别处获取模型：\n`HF_ENDPOINT=https://MIRROR`（模型仓库的镜像站）、"
    "`--source modelscope`、`--source http://HOST/PATH`、`--source DIRECTORY`"
)

MESSAGES: dict[str, Text] = {
    # Offline
    "places.bad_offline": Text(
        "`{variable}={value}` 既不是“是”也不是“否”",
        "开启：1、true、yes；关闭：0、false、no 或留空",
        "设置 `{variable}=1`，或取消设置",
    ),
    "places.offline": Text(
        "处于离线状态，而 `{host}` 在另一台机器上",
        "离线：`SELFHOST_OFFLINE` 或 `--offline`；只允许连接本机",
        "指定有它的目录（`--source DIRECTORY`、`--image oci:DIR`）；或不用 `--offline` 和 `SELFHOST_OFFLINE` 运行",
    ),
    "places.hub_offline": Text(
        "`{variable}` 禁止访问 {label}",
        "环境中设置了 `{variable}`",
        "取消设置 `{variable}`，或指定有该模型的目录：`--source DIRECTORY`",
    ),
    "places.is_offline": Text("离线"),
    # Reaching
    "places.unreachable": Text(
        "无法访问 {label}",
        "{url}：{reason}",
        _TRY,
    ),
    "places.untrusted": Text(
        "无法安全地访问 {label}",
        "{url}：{reason}",
        "若这里的代理或镜像站使用自己的证书，请指定其签发者：`SSL_CERT_FILE=/path/to/ca.pem`；否则检查本机时钟",
    ),
    "places.none_reachable": Text(
        "有该模型的来源都无法访问",
        "{reasons}",
        _TRY,
    ),
    "places.bad_answer": Text(
        "{label} 未能响应对 `{name}` 的请求",
        "{url}：HTTP {status}",
        "稍后重试，或换一个来源：`--source modelscope`、`--source http://HOST/PATH`、`--source DIRECTORY`",
    ),
    "places.not_json": Text(
        "{label} 没有给出 `{name}` 的文件列表",
        "{url} 的响应是别的内容：登录页面，或并非模型仓库的服务",
        "在浏览器中打开该地址；检查 `HTTPS_PROXY` 和所设的接口地址",
    ),
    "places.bad_endpoint": Text(
        "`{value}` 不是服务地址",
        "`{variable}`：应为 http://HOST 或 https://HOST，可带端口或路径",
        "请写全，例如 `https://huggingface.co`",
    ),
    "places.bad_certificates": Text(
        "无法读取 `{path}` 中的证书",
        "`{variable}`：{detail}",
        "请指定 PEM 格式的文件，或取消设置 `{variable}`",
    ),
    # Reasons, within the lines above
    "places.refused": Text("连接被拒绝"),
    "places.unknown_name": Text("无法解析其主机名（DNS）"),
    "places.timed_out": Text("响应超时"),
    "places.cut": Text("连接中断"),
    "places.bad_certificate": Text("证书不受信任：{detail}"),
    "places.status": Text("HTTP {status}"),
    # Models at hubs
    "places.bad_id": Text(
        "`{name}` 不是模型 ID",
        "应为 ORGANISATION/NAME：字母、数字、`-`、`_` 和 `.`",
        "请从模型页面复制",
    ),
    "places.unknown_model": Text(
        "{label} 没有模型 `{name}`，或该模型是私有的",
        "查询地址：{url}",
        "检查名称；私有模型请设置令牌：Hugging Face 用 `HF_TOKEN`，ModelScope 用 `MODELSCOPE_API_TOKEN`",
    ),
    "places.unknown_revision": Text(
        "{label} 上的 `{name}` 没有版本 `{revision}`",
        "版本可以是分支、标签或提交",
        "不指定版本，或从模型页面复制",
    ),
    "places.gated": Text(
        "`{name}` 只提供给已接受其许可证的用户",
        "{label} 这样答复当前请求：没有令牌，或令牌的账号尚未接受许可证",
        "在 {url} 接受，再把 `HF_TOKEN` 设为同一账号的令牌",
    ),
    "places.token_wanted": Text(
        "{label} 要求提供 `{name}` 的令牌",
        "HTTP {status}，请求未带令牌",
        "设置令牌：`{variable}=...`",
    ),
    "places.token_refused": Text(
        "{label} 拒绝了 `{name}` 的令牌",
        "HTTP {status}：令牌已过期、被吊销，或无权读取该模型",
        "新建令牌并设置：`{variable}=...`；若模型公开，可取消设置 `{variable}`",
    ),
    "places.token_unread": Text(
        "无法取得 Hugging Face 的令牌",
        "{detail}",
        "设置令牌：`HF_TOKEN=...`，或不用令牌：`HF_HUB_DISABLE_IMPLICIT_TOKEN=1`",
    ),
    "places.other_commit": Text(
        "{label} 给出的 `{name}` 版本不是所要求的",
        "应为 {wanted}，实际为 {found}",
        "它不是模型仓库的忠实副本：用 `--source` 换一个来源，或换一个 `HF_ENDPOINT`",
    ),
    "places.empty_listing": Text(
        "{label} 没有列出 `{name}` 的任何文件",
        "仓库为空，或该服务不是模型仓库的完整副本",
        "查看模型页面；换一个来源：`--source modelscope`、`--source DIRECTORY`",
    ),
    "places.bad_listing": Text(
        "{label} 列出的内容不可能成立",
        "{detail}",
        "不要使用该来源；请报告",
    ),
    "places.too_many": Text(
        "{label} 没有列出 `{name}` 的全部文件",
        "目录 `{folder}` 中文件过多：其余会被悄悄遗漏",
        "换一个来源：`--source huggingface`、`--source DIRECTORY`",
    ),
    # Mirrors and directories
    "places.no_list": Text(
        "{label} 没有文件列表",
        "那里应有以下之一，或 `selfhost-model.json`：\n{looked}",
        "在镜像站上该模型的目录中生成：`find . -type f ! -name SHA256SUMS -print0 | xargs -0 sha256sum > SHA256SUMS`"
        "\n若它是带 API 的模型仓库镜像站：用 `HF_ENDPOINT=http://HOST`，不加 `--source`",
    ),
    "places.bad_list": Text(
        "`{path}` 不是文件列表",
        "{detail}",
        "重新生成：在模型目录中执行 `sha256sum * > SHA256SUMS`",
    ),
    "places.mirror_refuses": Text(
        "{label} 需要密码才能访问",
        "HTTP {status}",
        "在地址中写明用户名和密码：`--source http://USER:PASSWORD@HOST/PATH`；或检查它是否提供该路径",
    ),
    "places.no_directory": Text(
        "没有目录 `{path}`",
        "应为含 config.json 和 safetensors 的目录",
        "检查路径",
    ),
    "places.which_snapshot": Text(
        "`{path}` 中有 {count} 个快照",
        "`refs/main` 没有指向其中任何一个",
        "请指定一个：`{example}`",
    ),
    "places.no_file": Text(
        "没有文件 `{path}`",
        "{detail}",
        "检查目录：`ls -lL`",
    ),
    "places.leads_out": Text(
        "`{path}` 指向其目录之外",
        "它是指向 {target} 的链接",
        "把文件本身放到那里：`cp --remove-destination {target} {path}`",
    ),
    "places.no_plain_file": Text(
        "`{path}` 不是普通文件",
        "它是设备、管道或套接字",
        "请删除",
    ),
    # What serving needs
    "places.unsafe_path": Text(
        "`{name}` 中有文件名不能安全写入",
        "{path}：为绝对路径，含 `..`、反斜杠或控制字符，或过长",
        "不要使用该来源；请报告",
    ),
    "places.listed_twice": Text(
        "`{path}` 列出了两次，内容不同",
        "位于 `{name}` 的文件中",
        "不要使用该来源；请报告",
    ),
    "places.absent": Text(
        "该来源缺少 `{name}` 所需的 {count} 个文件",
        "缺少：{names}",
        "换一个来源，例如 `--source modelscope`；若是镜像站，请重新复制整个模型",
    ),
    "places.changed": Text(
        "`{path}` 不是 {label} 所列的文件",
        "{what}：应为 {wanted}，实际为 {found}",
        "重新运行同一命令；若仍如此，换一个来源，例如 `--source modelscope`",
    ),
    "places.not_given": Text(
        "{label} 没有提供 `{path}`",
        "{url}：HTTP {status}",
        "重新运行同一命令；若仍如此，换一个来源，例如 `--source modelscope`",
    ),
    "places.bad_index": Text(
        "`{name}` 的权重索引不可用",
        "{detail}",
        "换一个来源，例如 `--source modelscope`，或换一个版本",
    ),
    "places.no_config": Text(
        "`{name}` 中没有 config.json",
        "实际有：{found}",
        "请指定 Transformers 格式的模型：含 config.json 和 safetensors",
    ),
    "places.adapter": Text(
        "`{name}` 是适配器，不是模型",
        "实际有：{found}",
        "请指定它所基于的模型：见其 adapter_config.json 中的 `base_model_name_or_path`",
    ),
    "places.no_weights": Text(
        "`{name}` 中没有权重",
        "config.json 旁应有 *.safetensors，实际有 {found}",
        "请指定 Transformers 格式的模型：含 config.json 和 safetensors",
    ),
    # Choosing
    "places.unknown_source": Text(
        "`{value}` 不是来源",
        "可选：{choices}",
        "尚未建立的目录请写成路径：`./DIRECTORY`",
    ),
    "places.no_wheel": Text(
        "`{name}` 没有 wheel 包形式",
        "其来源：{kinds}",
        "去掉 `--source`",
    ),
    "places.not_opened": Text(
        "`{kind}` 类来源没有文件列表",
        "huggingface、modelscope、mirror 和 directory 有",
        "请指定其中之一：`--source huggingface`",
    ),
}
