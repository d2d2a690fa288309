"""Messages of the command line itself."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "cli.label_error": Text("错误："),
    "cli.label_hint": Text("提示："),
    "cli.label_warning": Text("警告："),
    "cli.unexpected": Text(
        "意外故障：{kind}：{detail}",
        hint="这是 selfhost 的缺陷；请用 `SELFHOST_TRACEBACK=1` 再次运行，并报告其输出",
    ),
    "cli.unknown_language": Text(
        "`SELFHOST_LANG` 指定了这里没有的语言：`{value}`",
        "可用：{known}",
        "`export SELFHOST_LANG=en`；不设置时由区域设置决定：`LC_ALL`、`LC_MESSAGES`、`LANG`",
    ),
    "cli.interrupted": Text("已中断"),
    "cli.terminated": Text("已终止"),
    "cli.not_writable": Text(
        "无法写入 `{path}`",
        "{detail}",
        "让用户 {user} 可以写入，或把 `SELFHOST_HOME` 设为可写的目录",
    ),
    "cli.no_home": Text(
        "`{path}` 没有主目录",
        "没有这个用户；或者 `HOME` 没有设置，且该 uid 没有 passwd 条目",
        "指定一个目录：`export SELFHOST_HOME=/path`；路径中不要用 `~`",
    ),
    "cli.no_space": Text(
        "写入 `{path}` 时空间不足",
        "{detail}",
        "腾出一些空间，或把 `SELFHOST_HOME` 设到更大的文件系统",
    ),
}
