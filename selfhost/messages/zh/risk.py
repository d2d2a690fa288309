"""Messages about what a model carries beside numbers."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "risk.pickle": Text(
        "{name} 中有打开时可执行代码的文件：{count} 个",
        "{files}",
        "改用 safetensors 文件；selfhost 从不让引擎打开这些文件",
    ),
    "risk.program": Text(
        "{name} 中有程序或脚本：{count} 个",
        "{files}",
        "模型不需要它们：请查看，或不收入该模型",
    ),
    "risk.archive": Text(
        "{name} 中有未检查内容的压缩包：{count} 个",
        "{files}",
        "请人工检查；引擎不需要它们",
    ),
    "risk.code_named": Text(
        "{name} 引用了引擎会运行的自带代码：{count} 个",
        "{files}",
        "请审查这些文件；引擎仅在 `--trust-remote-code` 时运行它们",
    ),
    "risk.code_unnamed": Text(
        "{name} 中有配置未引用的源文件：{count} 个",
        "{files}",
        "它们不会被运行",
    ),
    "risk.code_absent": Text(
        "{name} 引用的代码不在其文件中：{files}",
        hint="获取完整的模型：`selfhost pull MODEL --update`",
    ),
    "risk.code_elsewhere": Text(
        "{name} 引用了其他仓库的代码：{repositories}",
        "在封闭站点无法获取",
        "选择自带代码的模型，或架构由引擎自身支持的模型",
    ),
    "risk.no_licence": Text("{name} 没有附带许可证正文", hint="其条款以配方所列为准：`selfhost recipe show MODEL`"),
    "risk.structure": Text(
        "{name} 不完整",
        "{problems}",
        "在联网的地方修复：`selfhost verify MODEL --repair`",
    ),
}
