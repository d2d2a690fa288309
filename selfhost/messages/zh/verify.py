"""Messages about verifying and repairing files."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "verify.suspects": Text("{name}：校验之后被写过，重新读取：{files}"),
    "verify.not_there": Text(
        "本机没有 `{name}`",
        "已存储：{known}",
        "列出已存储的内容：`selfhost ls`；或指定目录：`selfhost verify ./DIRECTORY`",
    ),
    "verify.several_variants": Text(
        "存有 `{name}` 的多个变体",
        "已存储：{variants}",
        "请指定一个：`selfhost verify {name} --variant {first}`",
    ),
    "verify.nothing_to_compare": Text(
        "没有可供校验 `{path}` 的依据",
        "名称、大小和文件头都正常，但 `{lock}` 和 `{sums}` 都不存在，无从比对内容",
        "把发布者的摘要按 `sha256sum` 的格式写入 `{path}/{sums}`",
    ),
    "verify.bad_sums": Text(
        "`{path}` 不是摘要列表",
        "{detail}",
        "按 `sha256sum` 的格式书写：摘要、两个空格、文件名",
    ),
    "verify.damaged": Text(
        "`{name}` 损坏的文件：{count} 个",
        "{files}",
        "{hint}",
    ),
    "verify.missing": Text(
        "`{name}` 缺失的文件：{count} 个",
        "{files}",
        "{hint}",
    ),
    "verify.file_digest": Text("`{path}`：内容错误，首处在 {begin}-{end}，共 {size:,} 字节"),
    "verify.file_size": Text("`{path}`：{found:,} 字节，应为 {size:,}"),
    "verify.file_missing": Text("`{path}`：缺失"),
    "verify.file_extra": Text("`{path}` 不属于该模型的文件"),
    "verify.structure_lacks": Text("每个文件都与记录一致，但是：{what}"),
    "verify.whole": Text("`{name}` 完整：{count} 个文件，{size}"),
    "verify.goes_on": Text("上次对 `{name}` 的校验被中断：已确认无误的文件不再重读"),
    "verify.no_lock_to_repair": Text(
        "无法修复 `{path}`",
        "其中没有记录文件来源的 `{lock}`",
        "请重新下载损坏的文件",
    ),
    "verify.other_piece": Text(
        "来源中 `{path}` 的内容不同",
        "字节 {begin}-{end} 的末尾标记应为 {wanted}，取回的为 {found}；损坏的文件保持原样",
        "使用最初下载的版本，或重新下载模型",
    ),
    "verify.other_source": Text(
        "来源中 `{path}` 的内容不同",
        "sha256 应为：{wanted}\nsha256 实际：{found}\n损坏的文件保持原样",
        "使用最初下载的版本，或重新下载模型",
    ),
    "verify.short_source": Text(
        "来源没有给出 `{path}` 的全部内容",
        "应为 {wanted:,} 字节，收到 {found:,}",
        "重新运行同一命令",
    ),
    "verify.no_space": Text(
        "空间不足，无法修复 `{path}`",
        "副本需要 `{where}` 中有 {needed}，空闲 {free}",
        "释放空间：`selfhost gc`",
    ),
    "verify.repaired": Text("`{path}` 已恢复正确：{how}"),
    "verify.from_store": Text("取自存储库"),
    "verify.from_source": Text("取回 {size}"),
    "verify.progress": Text("{phase}：{done}/{total}，{rate}/s，剩余 {left}"),
}
