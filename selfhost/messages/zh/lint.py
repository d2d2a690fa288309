"""Findings about recipes: what is valid as a file, but wrong, doubtful or not reproducible."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "lint.unpinned": Text(
        "变体 `{variant}` 来自 {kind} `{id}`，未固定提交",
        "版本：{found}；下载的内容随时可能变化",
        '把 `revision = "..."` 设为 40 位的提交哈希',
    ),
    "lint.hardware": Text(
        "未知的硬件 `{found}`",
        "最接近的：{nearest}",
        "写法与 `--on` 之后相同：`8xH20`；详情见 `selfhost plan {recipe} --on {found}`",
    ),
    "lint.engine_unknown": Text(
        "未知的引擎 `{found}`",
        "已知：{known}",
        "请使用其中之一",
    ),
    "lint.scheme_unknown": Text(
        "变体 `{variant}` 的方案 `{found}` 未知",
        "已知：{known}",
        "使用文件实际的方案，或去掉该变体，直到 selfhost 能规划它",
    ),
    "lint.scheme": Text(
        "变体 `{variant}` 标为 {scheme}，但其配置并非如此",
        "应为：{wanted}；实际为：{found}",
        "更正 `scheme`，或按仓库 config.json 中的内容更正 `quantization_config`",
    ),
    "lint.config": Text(
        "变体 `{variant}`：{problem}",
        "{detail}",
        "把 `config` 与模型仓库中的 config.json 比对",
    ),
    "lint.architecture": Text(
        "{engine} {version} 的注册表中没有架构 {found}",
        "其中最接近的：{nearest}",
        "更正 `architectures`，或去掉该配方，直到引擎支持",
    ),
    "lint.parser": Text(
        "{engine} {version} 没有名为 `{found}` 的 {what}",
        "最接近的：{nearest}",
        "使用它已有的，或去掉该键",
    ),
    "lint.setting": Text(
        "`{flag}` 是规划的设置，不是配方的选项",
        "写在此处，`selfhost plan` 的数字不会计入它",
        "从 `engine_args` 中删除；上下文请用 `max_model_len`",
    ),
    "lint.config_key": Text(
        "规划不读取键 `{key}`：是否指 `{nearest}`？",
        "`config` 中没有人读取的键不起作用",
        "按模型 `config.json` 中的写法",
    ),
    "lint.context": Text(
        "变体 `{variant}` 的服务上下文为 {found:,} token，但模型的上限为 {longest:,}",
        "`{key}`：实际为 {found}，无 rope scaling 时最大 {longest}",
        "调小它，或有意扩展：`config` 中的 `rope_scaling`，或 `engine_args` 中的 `--hf-overrides`",
    ),
    "lint.long_context": Text(
        "较长的上下文 {found:,} token 与其 rope scaling 的范围不符",
        "应大于 {context:,}，不超过 {longest:,}（factor x original_max_position_embeddings）",
        "更正 `long_context` 下的 `context`、`factor` 或 `original_max_position_embeddings`",
    ),
    "lint.bytes": Text(
        "变体 `{variant}` 的 `{key}` 与按其架构计算的值相差 {percent:+.1f} %",
        "实际为 {found:,}，计算值 {computed:,}：按 {scheme} 计的嵌入、输出头、各层和缩放因子",
        "与仓库中的文件大小比对；若后者正确，则配置有误",
    ),
    "lint.bytes_order": Text(
        "变体 `{variant}` 加载的比磁盘上的多",
        "bytes_loaded {loaded:,}，bytes_on_disk {disk:,}",
        "更正其中之一",
    ),
    "lint.parameters": Text(
        "`parameters` 与按架构计算的值相差 {percent:+.1f} %",
        "实际为 {found:,}，计算值 {computed:,}，不含多 token 预测层",
        "与模型卡片比对；`72B` 这样的名称是约数",
    ),
    "lint.licence_reference": Text(
        "许可证 `{id}` 没有给出正文的地址",
        "url：{found}",
        "把 `licence.url` 设为正文的 https 地址",
    ),
    "lint.no_facts": Text(
        "该配方的事实没有给出任何来源",
        hint="对事实的每个出处添加含 `fact` 和 `url` 的 `[[source]]`",
    ),
    "lint.fact_source": Text(
        "事实的来源不是地址",
        "事实：{fact}；url：{found}",
        "给出其出处的 https 地址",
    ),
    "lint.hub_id_twice": Text(
        "仓库 ID `{id}` 也在配方 `{other}` 中",
        "`selfhost serve {id}` 可能指其中任何一个",
        "只保留在其中一个，作为变体",
    ),
    "lint.folder": Text(
        "配方位于目录 `{folder}`，它既不是其系列，也不是其名称的开头",
        "系列：{family}；名称：{name}",
        "把文件移到其系列的目录，或更正 `family`",
    ),
    "lint.claim_variant": Text(
        "有声明针对变体 `{found}`，但配方中没有该变体",
        "已知：{known}",
        "更正 `variant`，或添加该变体",
    ),
    "lint.claim_engine": Text(
        "有声明针对 {hardware} 上的 {found}，但该硬件由 {engine} 驱动",
        hint="更正 `engine` 或 `hardware`",
    ),
    "lint.claim_refused": Text(
        "声明称变体 `{variant}` 可在 {hardware} 上运行，但 `selfhost plan` 在那里拒绝它",
        "{reason}",
        "更正声明，或设 `refused = true` 并在 `note` 中写明原因",
    ),
    "lint.claim_lacks": Text(
        "声明称变体 `{variant}` 可在 {hardware} 上运行，但那里每个设备还缺 {missing} GiB",
        "{reason}",
        "更正声明，或写明：`lacks_gib = {missing}`",
    ),
    "lint.claim_figure": Text(
        "变体 `{variant}` 在 {hardware} 上：`lacks_gib` 与规划器的计算不符",
        "实际为 {found}，计算值 {missing}",
        "设为 `lacks_gib = {missing}`",
    ),
    "lint.claim_fits": Text(
        "声明称变体 `{variant}` 在 {hardware} 上放不下，但实际放得下",
        hint="从声明中删除 `lacks_gib` 和 `refused`",
    ),
    "lint.no_claim": Text(
        "变体 `{variant}` 用于昇腾，但没有说明在哪种硬件上运行过",
        hint="添加 `[[claim]]`，写明硬件、选项和发布者的地址",
    ),
    "lint.check_in_question": Text(
        "检查期望回答含 `{expect}`，而问题中已有它",
        "只会重复问题的模型也能通过",
        "改问答案不在问题中的内容",
    ),
    "lint.sampling": Text(
        "{name} {found:g} 超出范围",
        "应为：{wanted}",
        "使用模型卡片中的值，或去掉以使用引擎的默认值",
    ),
    # The command's own lines.
    "lint.hint": Text("提示：{hint}"),
    "lint.line": Text("{path}: {severity}: {where}: {what}"),
    "lint.clean": Text("{count} 个配方，无需更正"),
    "lint.count": Text("{count} 个配方：{errors} 个错误，{warnings} 个警告"),
    "lint.not_lacking": Text(
        "配方称 {engine} 没有该模型，但 {engine} {version} 有 {found}",
        "不带 `hardware` 的 `unsupported` 记录指的是引擎本身",
        "删除该记录，或用 `hardware` 写明在何处见过失败",
    ),
    "lint.no_instead": Text(
        "配方称 {engine} 没有该模型，却没有说明用什么可以运行",
        "询问者会得知为何无法运行，却不知道还有什么办法",
        "在 `instead` 中写出一个：支持它的版本或分支，或者能完成同样工作的另一个配方",
    ),
    "lint.licence_unknown": Text(
        "`{name}` 的许可条款未知",
        "取用它的人不会得知任何条款",
        "按模型卡，把 `licence.id` 设为 SPDX 标识，或设为 `LicenseRef-NAME` 并写上 `conditions`",
    ),
}
