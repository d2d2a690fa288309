"""`bundle create`."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "pack.source_damaged": Text(
        "`{path}` 已损坏，不写入介质",
        "其 sha256 应为 {sha256}",
        "修复它（模型：`selfhost verify MODEL --repair`；镜像：`skopeo copy`，或在获取该文件的地方删除它），"
        "再重新制作离线包",
    ),
    "pack.odd_source": Text(
        "`{path}` 不是普通文件，不写入介质",
        hint="修复它，再重新制作离线包：`selfhost verify MODEL --repair`",
    ),
    "pack.unreadable": Text(
        "无法读取或写入 `{path}`",
        "{detail}",
        "检查磁盘（`dmesg`）；再运行同一命令：已写入的部分会保留",
    ),
    "pack.bad_medium": Text(
        "从介质读回的内容与写入的不同：`{path}`",
        hint="换一个介质；或重新运行同一命令：只重写该文件",
    ),
    "pack.file_too_large": Text(
        "文件系统不支持这样大的文件：`{path}`",
        hint="把介质格式化为 exFAT、ext4 或 XFS，或提高限制（`ulimit -f unlimited`）",
    ),
    "pack.no_link": Text(
        "不能按要求链接 `{source}`：{mode}",
        "这些文件系统之间不支持：`{path}`",
        "自动选择开销最小的方式：`--link auto`",
    ),
    "pack.in_the_way": Text("`{path}` 占用了卷的位置", hint="给离线包换个名称：`--label NAME`"),
    "pack.exists": Text(
        "`{path}` 已存在",
        "它已完成，或是其他内容；其中没有任何改动",
        "给离线包换个名称：`--label NAME`",
    ),
    "pack.in_store": Text(
        "`{path}` 在存储库中",
        "selfhost 自己的内容位于 `{folder}`",
        "请指定介质上的目录：`--to DIR`",
    ),
    "pack.busy": Text("另一进程正在制作 `{path}`", hint="等待它，或给离线包换个名称：`--label NAME`"),
    "pack.no_space": Text(
        "`{path}` 太小",
        "需写入 {need}，空闲 {have}",
        "增加介质（再加一个 `--to`），或用存储库所在文件系统上的目录，那里链接不占空间",
    ),
    "pack.nothing": Text(
        "没有可放入离线包的内容",
        hint="请指定：`--model NAME`、`--engine cpu`、`--image oci:DIR:NAME`",
    ),
    "pack.no_image": Text("`--platform` 用于容器镜像，但没有指定镜像", hint="请指定：`--image oci:DIR:NAME`"),
    "pack.not_pulled": Text(
        "尚不在存储库中：{names}",
        "已存储：{known}",
        "先获取，再重新制作离线包：\n{commands}",
    ),
    "pack.several": Text(
        "存有 `{name}` 的多个变体",
        "{variants}",
        "请指定一个：`--model {name} --variant {first}`，或分别写作 `--model {name}/VARIANT`",
    ),
    "pack.variant_of_many": Text("`--variant` 只能与一个 `--model` 同用", hint="有多个模型时：`--model NAME/VARIANT`"),
    "pack.bad_label": Text(
        "`{label}` 不能作为离线包的名称",
        "应为不超过 100 个字母、数字、`.`、`_`、`-`",
        "例如 `--label qwen-2026-11`",
    ),
    "pack.bad_size": Text("`{size}` 不是有效的卷大小", hint="例如 `--volume-size 931G`"),
    "pack.bad_json_file": Text(
        "`{path}` 不是 `{option}` 所需的文件",
        "{detail}",
        "在另一台机器上生成：`{command}`",
    ),
    "pack.no_engine": Text("`--wheelhouse` 没有说明用于哪个引擎", hint="请指定：`--engine cuda` 或 `--engine cpu`"),
    "pack.missing_wheels": Text(
        "`{path}` 中缺少引擎 `{engine}` 的部分 wheel 包",
        "缺少：{names}",
        "补全后重新制作离线包",
    ),
    "pack.filling": Text("正在下载 `{path}` 中尚缺的 `{engine}` wheel 包：需要几分钟"),
    "pack.passphrase": Text("`{path}` 的口令："),
    "pack.writing": Text("离线包：{phase} {done}/{total}（{percent} %）"),
    "pack.made": Text("第 {number} 卷，共 {count} 卷：{files} 份内容，{size}；磁盘新增：{extra}"),
    "pack.would_make": Text("第 {number} 卷，共 {count} 卷：{files} 份内容，{size}"),
    "pack.unsigned": Text("离线包未签名：导入者无法得知制作者；用 `--sign-key KEY` 签名"),
    "pack.read_back": Text("写入后已读回：{size}，全部正确"),
}
