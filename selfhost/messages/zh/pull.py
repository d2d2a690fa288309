"""Messages of `pull`: which model, on what terms, from where, how far."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "pull.directory": Text(
        "`{path}` 是目录，不是可下载的模型",
        "MODEL 应为配方名，或形如 `Qwen/Qwen2.5-7B-Instruct` 的仓库 ID",
        "直接部署：`selfhost serve {path}`；或从中取文件：`selfhost pull MODEL --source {path}`",
    ),
    "pull.no_hub_id": Text(
        "`{name}` 既不是配方，也不是仓库 ID",
        "仓库 ID 的形式为 `organisation/name`",
        "`selfhost recipe ls` 列出配方",
    ),
    "pull.other_variant": Text(
        "`{name}` 是 `{recipe}` 的变体 {named}，不是 {variant}",
        "一个仓库就是一个检查点",
        "去掉 `--variant`，或指定配方：`selfhost pull {recipe} --variant {variant}`",
    ),
    "pull.no_variants": Text(
        "`--variant {variant}` 不能用于 `{name}`",
        "没有配方包含该仓库：它是单个检查点",
        "请指定该变体的仓库，或配方：`selfhost recipe ls`",
    ),
    "pull.licence": Text("许可证 {id}：{conditions} {url}"),
    "pull.licence_question": Text("接受 {id} 的条款吗？"),
    "pull.licence_not_accepted": Text(
        "尚未接受 `{name}` 的条款",
        "{id}：{conditions}\n{url}",
        "请阅读；如接受：`--accept-license {id}`（在本机记住）",
    ),
    "pull.wrong_licence": Text(
        "`--accept-license {given}` 指定的是另一许可证",
        "`{name}` 的许可证为 {id}",
        "如接受其条款：`--accept-license {id}`",
    ),
    "pull.no_terms": Text(
        "`--accept-license {given}` 不能用于 `{name}`",
        "没有配方包含该仓库：其条款在此未知，请见其页面",
        "去掉 `--accept-license`",
    ),
    "pull.promised_absent": Text(
        "{place} 没有 `{name}`",
        "该文件由配方指定",
        "换一个来源：`--source huggingface`、`--source modelscope` 或某个目录",
    ),
    "pull.promised_differs": Text(
        "{place} 上的 `{name}` 不是配方指定的文件",
        "应为 {wanted}，实际为 {found}",
        "用 `--source` 换一个来源；若模型已更新，配方也须更新",
    ),
    "pull.no_space": Text(
        "空间不足，无法存放 `{name}`",
        "`{path}` 还需写入 {needed}，空闲 {free}",
        "用 `selfhost ls` 和 `selfhost gc` 查看可清理的内容；或把 `SELFHOST_HOME` 设到更大的文件系统",
    ),
    "pull.other_revision": Text(
        "存储库中是 `{name}` 的另一版本",
        "要求 {now}，现有 {have}；{detail}",
        "要换成所要求的版本：同一命令加 `--update`",
    ),
    "pull.empty_revision": Text(
        "`--revision` 为空",
        "应为 `{name}` 的提交、分支或标签",
        "不指定则用配方指定的版本或主分支",
    ),
    "pull.other_model": Text(
        "存储库中名为 `{name}` 的是另一个模型",
        "`{path}` 来自仓库 `{id}`",
        "要用本模型替换：`selfhost pull` 加 `--update`；要两者都保留，请给配方换个名称",
    ),
    "pull.offline": Text(
        "本机没有 `{name}`，且不允许联网",
        "已在 `{path}` 中查找",
        "不加 `--offline` 运行一次 `selfhost pull`，或从目录取文件：`--source DIR`",
    ),
    "pull.made_here": Text(
        "`{name}` 是在某台机器上生成的，模型仓库中没有",
        "由 `{of}` 生成；其文件不在存储库中",
        "重新生成：`selfhost quantize {recipe} --scheme SCHEME`\n或取自离线包，或取自有它的镜像站："
        "`--source http://HOST:PORT`",
    ),
    "pull.no_source": Text(
        "不知道 `{name}` 的来源",
        "其配方没有写明",
        "请指明文件位置：`--source DIRECTORY`、`--source https://MIRROR`，或在配方中添加来源",
    ),
    "pull.no_revision": Text(
        "{place} 没有版本 `{revision}`",
        "那里只有该模型的一个状态，其版本：{found}",
        "去掉 `--revision`，或从模型仓库获取：`--source huggingface`、`--source modelscope`",
    ),
    "pull.unknown": Text("未知"),
    "pull.no_pieces": Text(
        "无法单独取回 `{name}` 的部分内容",
        "它来自 {kind} 类来源",
        "重新获取：`selfhost rm` 后 `selfhost pull`；或指明有其文件的位置：`--source DIRECTORY`",
    ),
    "pull.file_too_short": Text(
        "{place} 中的 `{path}` 太短",
        "所需字节超出文件末尾",
        "换一个来源：`--source`",
    ),
    # Progress
    "pull.from": Text("来自 {place}"),
    "pull.announced": Text(
        "{name}：{count} 个文件，{total}；还需下载 {to_come}，空闲 {free}；版本 {revision}，存入 {path}",
    ),
    "pull.code": Text("{name} 附带代码，引擎仅在 `--trust-remote-code` 时运行；请先阅读：{files}"),
    "pull.code_elsewhere": Text("{name} 的配置引用了未随附的代码：{others}"),
    "pull.copied": Text("该文件系统不支持链接：{path} 中是存储库内容的副本"),
    "pull.unchanged": Text("{name} 与来源一致"),
    "pull.not_compared": Text("{name} 已在存储库中；未与来源比对：{reason}"),
    "pull.moved": Text("{name} 已有更新：存储库保留 {have}，来源为 {now}；{detail}。要更新：`--update`"),
    "pull.recipe_moved": Text("{name}：存储库保留 {have}，配方指定 {now}。要更新：`selfhost pull` 加 `--update`"),
    "pull.changed": Text("有变化：{files}"),
    "pull.same_files": Text("本机保留的文件没有变化"),
    "pull.files_done": Text("{done}/{count} 个文件"),
    "pull.bytes_done": Text("{have}/{total}（{percent} %）"),
    "pull.time_left": Text("剩余 {time}"),
}
