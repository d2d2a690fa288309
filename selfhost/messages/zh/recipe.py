"""Messages about recipes. The ids used for one key of a recipe are phrases, put after the key's path."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "recipe.invalid": Text(
        "配方 `{path}` 无效：有 {count} 处需更正",
        "{problems}",
        "更正上述键；有效的例子见 `selfhost recipe show smollm2-135m --json`",
    ),
    "recipe.newer_schema": Text(
        "配方 `{path}` 的格式比当前 selfhost 支持的新",
        "schema_version：实际为 {found}，最高支持 {known}",
        "升级 selfhost，或使用当前版本附带的配方",
    ),
    "recipe.nothing_to_extend": Text(
        "配方 `{path}` 扩展的内置配方在当前 selfhost 中不存在",
        "extends = true 用于给内置配方 `{name}` 添加变体，但没有该配方",
        "升级 selfhost，或删除该文件：`rm {path}`",
    ),
    "recipe.not_toml": Text(
        "配方 `{path}` 不是有效的 TOML",
        "{detail}",
        "更正该行；数字不加引号，字符串要加",
    ),
    "recipe.not_readable": Text(
        "无法读取配方 `{path}`",
        "{detail}",
        "设为可读：`chmod a+r {path}`",
    ),
    "recipe.no_path": Text(
        "`--recipe-path {path}` 既不是目录，也不是 .toml 文件",
        hint="请指定存放配方的目录（`NAME.toml` 或 `FAMILY/NAME.toml`），或单个这样的文件",
    ),
    "recipe.no_family": Text(
        "没有属于系列 `{family}` 的配方",
        "系列：{known}",
        "请指定其中之一，或系列所在的目录：`qwen`",
    ),
    "recipe.no_engine": Text(
        "不能按引擎 `{engine}` 筛选配方",
        "已知：{known}",
        "请指定其中之一；其他加速卡请用 `selfhost recipe ls --fits-here --on HW`",
    ),
    "recipe.no_file": Text("没有文件 `{path}`", hint="请指定配方（`selfhost recipe ls`）或 .toml 文件"),
    "recipe.unknown": Text(
        "没有名为 `{name}` 的配方",
        "已知 {count} 个配方，没有名称相近的",
        "`selfhost recipe ls` 列出配方；目录请写作 `./{name}`",
    ),
    "recipe.unknown_near": Text(
        "没有名为 `{name}` 的配方",
        "{count} 个配方中最接近的：{nearest}",
        "是否指 `{suggestion}`？`selfhost recipe ls` 列出全部；目录请写作 `./{name}`",
    ),
    "recipe.unknown_variant": Text(
        "配方 `{recipe}` 没有变体 `{variant}`",
        "变体：{names}",
        "试试 `--variant {suggestion}`；详情见 `selfhost recipe show {recipe}`",
    ),
    "recipe.not_served": Text("{variants}（不支持）"),
    "recipe.active": Text("{total}，激活 {active}"),
    "recipe.none_matches": Text("没有符合条件的配方；`selfhost recipe ls` 列出全部"),
    "recipe.skipped": Text("已略过 `{path}`：{problem}；详情见 `selfhost recipe show {name}`"),
    # Phrases after `path.of.key: `
    "recipe.missing_key": Text("缺失，应为 {wanted}"),
    "recipe.unknown_key": Text("未知的键；此处可用：{known}"),
    "recipe.unknown_key_near": Text("未知的键，是否指 {known}？"),
    "recipe.type": Text("类型为 {found}，应为 {wanted}"),
    "recipe.empty": Text("为空"),
    "recipe.not_positive": Text("{value}，应为大于 0 的数"),
    "recipe.negative": Text("{value}，应不小于 0"),
    "recipe.form": Text("`{value}` 不符合格式 {pattern}"),
    "recipe.choice": Text("`{value}` 不在可选值 {known} 之中"),
    "recipe.choice_near": Text("未知的值 `{value}`，是否指 `{known}`？"),
    "recipe.too_large": Text("{value}，超出 TOML 整数的范围"),
    "recipe.not_finite": Text("{value}，应为有限的数"),
    "recipe.too_deep": Text("表的嵌套超过 {limit} 层"),
    "recipe.not_json": Text("{found}，config.json 无法表示"),
    "recipe.nested": Text("表或列表嵌套过深，无法读取"),
    "recipe.duplicate": Text("`{value}` 重复出现"),
    "recipe.outside": Text("`{value}` 指向来源之外"),
    "recipe.name_differs": Text("`{found}`，但文件名为 `{wanted}.toml`"),
    "recipe.unserved": Text("这里没有引擎能运行 `{name}`", "{reasons}", "{instead}"),
}
