"""Reading, verifying and importing bundles."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "unpack.no_directory": Text("`{path}` 不是目录", hint="请指定卷的目录，或挂载其驱动器"),
    "unpack.no_volume": Text(
        "`{path}` 中没有离线包的卷",
        "卷中应有 `{sums}`",
        "请指定卷的目录：`selfhost bundle verify DIR`",
    ),
    "unpack.file_absent": Text(
        "缺少 `{path}`",
        "离线包列出了它，或必须有它",
        "在制作离线包的地方重新复制该卷",
    ),
    "unpack.not_readable": Text(
        "当前用户无法读取 `{path}`",
        "{detail}",
        "授予其权限，或以有权限的用户运行",
    ),
    "unpack.unreadable": Text(
        "无法读取 `{path}`",
        "介质报告：{detail}",
        "检查线缆和驱动器；再到制作离线包的地方重新复制该卷",
    ),
    "unpack.odd_file": Text(
        "`{path}` 不是普通文件",
        "实际为：{kind}",
        "离线包中只有文件和目录：查明之前不要使用该介质",
    ),
    "unpack.too_large": Text(
        "`{path}` 大得不合理",
        "最多读取 {limit:,} 字节",
        "请询问离线包的制作者",
    ),
    "unpack.too_deep": Text(
        "目录 `{path}` 的层次超出卷的限制",
        "最多 {limit} 层",
        "请询问离线包的制作者",
    ),
    "unpack.too_many_files": Text("`{path}` 中的文件数超出卷的限制", "最多 {limit:,} 个"),
    "unpack.other_size": Text(
        "`{path}` 的大小与记录不同",
        "应为：{wanted:,} 字节\n实际：{found:,} 字节",
        "在制作离线包的地方重新复制该卷",
    ),
    "unpack.other_bytes": Text(
        "`{path}` 已损坏或被改动",
        "sha256 应为：{wanted}\nsha256 实际：{found}",
        "在制作离线包的地方重新复制该卷；检查其他问题：`selfhost bundle verify DIR`",
    ),
    "unpack.not_listed": Text(
        "`{path}` 没有列在 `{sums}` 中",
        "未列出的内容不受信任",
        "请询问离线包的制作者",
    ),
    "unpack.bad_sums": Text(
        "`{path}` 不是卷的文件列表",
        "{detail}",
        "请重新复制该卷",
    ),
    "unpack.lists_differ": Text(
        "`{path}` 的 `{sums}` 和 `{info}` 列出的文件不同",
        "首个不同的：`{file}`",
        "在制作离线包的地方重新复制该卷",
    ),
    "unpack.two_of_one": Text(
        "两个不同的目录都标为该离线包的第 {number} 卷",
        "{one}\n{other}",
        "请指定能通过校验的那个：`selfhost bundle verify {one}`",
    ),
    "unpack.foreign": Text(
        "这些卷不属于同一离线包",
        "{one}：{label}\n{other}：{found}",
        "请一次只指定一个离线包的卷",
    ),
    "unpack.not_same": Text(
        "这些卷描述的不是同一离线包",
        "`{info}` 或签名者不同：\n{one}\n{other}",
        "查明之前不要使用：其中之一在离线包制作之后被改动",
    ),
    "unpack.other_type": Text("`{path}` 的索引与 `{name}` 的清单相互矛盾", hint="请询问离线包的制作者"),
    "unpack.content_unknown": Text(
        "`{name}` 中有离线包 `{path}` 没有的文件",
        "{file}",
        "请询问离线包的制作者",
    ),
    "unpack.content_absent": Text(
        "`{label}` 有一份内容位于不在此处的卷上",
        "sha256：{sha256}",
        "请一并指定该卷",
    ),
    "unpack.no_manifest": Text("离线包 `{label}` 中没有 {name}（{variant}）的文件列表", hint="请询问离线包的制作者"),
    "unpack.bad_lock": Text(
        "离线包中 {name}（{variant}）的锁文件与其文件不符",
        "{detail}",
        "请询问离线包的制作者",
    ),
    "unpack.extra": Text(
        "`{path}` 中有离线包未列出的文件：{count} 个",
        "{names}",
        "它们无人担保：请删除，或改用该卷的其他副本",
    ),
    "unpack.no_space": Text(
        "空间不足，无法导入 `{label}`",
        "需要 {needed}，`{path}` 空闲 {free}",
        "释放空间：`selfhost gc`、`selfhost rm MODEL`；或换一个磁盘：`SELFHOST_HOME=DIR`",
    ),
    "unpack.volumes_absent": Text(
        "还需要 `{label}` 的其他卷：{size}",
        "{volumes}",
        "按任意顺序导入：`selfhost bundle import DIR`；已导入的会保留",
    ),
    "unpack.base_absent": Text(
        "`{label}` 所依赖的内容不在此处：{count} 份",
        "它供已有以下离线包者使用：{base}\n{names}",
        "先导入那些，或为本机制作离线包：`selfhost bundle inventory > have.json`，"
        "再 `selfhost bundle create --have have.json`",
    ),
    "unpack.other_model": Text(
        "名为 {name}（{variant}）的已是另一个模型",
        "存储的来自：{found}\n离线包中的来自：{wanted}",
        "先删除它：`selfhost rm {name} --variant {variant}`",
    ),
    "unpack.damaged": Text(
        "`{label}` 中损坏的文件：{count} 个",
        "{files}",
        "为损坏的部分制作一个小离线包：`selfhost bundle repair-list {volumes} > repair.json`，"
        "再到制作离线包的地方 `selfhost bundle create --have repair.json`；在本离线包之后导入",
    ),
    "unpack.missing": Text(
        "`{label}` 缺失的文件：{count} 个",
        "{files}",
        "重新复制该卷，或请对方补发：`selfhost bundle repair-list {volumes} > repair.json`，"
        "再到制作离线包的地方 `selfhost bundle create --have repair.json`；在本离线包之后导入",
    ),
    "unpack.absent": Text(
        "`{label}` 有卷不在此处：{size}",
        "{volumes}\n此处的内容是正确的",
        "一并指定：`selfhost bundle verify DIR DIR`；或逐个检查驱动器：`--partial`",
    ),
    "unpack.file_ok": Text("第 {volume} 卷：`{path}`：正确"),
    "unpack.file_missing": Text("第 {volume} 卷：`{path}`：缺失"),
    "unpack.file_size": Text("第 {volume} 卷：`{path}`：大小与记录不同"),
    "unpack.file_digest": Text("第 {volume} 卷：`{path}`：内容错误"),
    "unpack.file_digest_at": Text("第 {volume} 卷：`{path}`：内容错误，首处在 {begin}-{end}"),
    "unpack.file_unreadable": Text("第 {volume} 卷：`{path}`：介质无法读出"),
    "unpack.file_extra": Text("第 {volume} 卷：`{path}`：未列出，无人担保"),
    "unpack.file_odd": Text("第 {volume} 卷：`{path}`：不是普通文件：{detail}"),
    "unpack.progress": Text("{phase}：{done}/{total}"),
    "unpack.unsigned": Text("`{path}` 未签名：无法得知制作者"),
    "unpack.signed": Text("签名者：{signer}"),
    "unpack.whole": Text("{label}：完整，{count} 个文件，{size}"),
    "unpack.whole_fast": Text("{label}：名称和大小正确，{count} 个文件，{size}；未读取内容"),
    "unpack.absent_volume": Text("不在此处：{label}，{size}"),
    "unpack.imported": Text("{name}（{variant}）：`{path}`"),
    "unpack.already": Text("{name}（{variant}）已存在：`{path}`"),
    "unpack.wheelhouse": Text("wheel 包：`{path}`；安装引擎：`selfhost engine install ENGINE --wheelhouse {path}`"),
    "unpack.accepted": Text("{id} 的条款已在制作离线包时接受，{at}：{url}"),
    "unpack.recipe_kept": Text("保留自有的配方 `{path}`；离线包中有同名的另一配方"),
    "unpack.copied": Text("已复制：{copied}，原已存在：{there}"),
    "unpack.other_machine": Text(
        "`{label}` 所针对的机器具备本机没有的条件",
        "{problems}",
        "为本机制作一个：`selfhost detect --json > target.json`，再 `selfhost bundle create --for target.json`；"
        "若仍要导入以供他人获取：`--allow-mismatch`",
    ),
    "unpack.mismatch_allowed": Text("因 `--allow-mismatch` 仍然导入：{problems}"),
    "unpack.bad_profile": Text(
        "离线包 `{label}` 对目标机器的描述无法读取",
        "{detail}",
        "使用离线包中附带的 selfhost，或询问制作者",
    ),
    "unpack.signed_model": Text(
        "{name} 有自己的签名；不用 selfhost 检查："
        "`model_signing verify key {path} --signature {path}/model.sig --public_key KEY.pem`"
    ),
    "unpack.staged": Text(
        "未完成的导入：{count} 个；没有删除任何东西",
        "{listed}",
        "继续：`selfhost bundle import DIR`；或放弃：`selfhost bundle gc --forget {first}`",
    ),
    "unpack.not_staged": Text(
        "没有等待中的同名导入：{name}",
        "等待中：{listed}",
        "去掉 `--forget`：`selfhost bundle gc`",
    ),
    "unpack.nothing_so_called": Text(
        "没有该名称的 wheel 包或镜像：{name}",
        "现有：{listed}",
        "模型用 `selfhost rm MODEL` 删除",
    ),
    "unpack.forgotten": Text("已放弃：{line}"),
    "unpack.would_forget": Text("将放弃：{line}"),
    "unpack.accepting": Text("{name}（{variant}）：启动并提问：{prompt}"),
    "unpack.accepts": Text("{name}（{variant}）的回答符合预期：{answer}"),
    "unpack.not_accepted": Text(
        "回答不符合预期的模型：{count} 个",
        "{listed}",
        "已导入的会保留；检查其服务：`selfhost serve MODEL --offline`，再 `selfhost chat`",
    ),
    "unpack.bad_recipe": Text(
        "离线包中的配方 `{path}` 不可用",
        "{detail}",
        "请询问离线包的制作者",
    ),
    "unpack.repair_nothing": Text("`{label}` 没有需要修复的内容"),
}
