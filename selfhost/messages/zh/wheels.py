"""Messages about wheelhouses and selfhost's own wheel."""

from __future__ import annotations

from selfhost.messages import Text

_AGAIN = "重新安装：`python3 -m pip install --force-reinstall {name}`\n"
_GIVE = "或把当前 selfhost 的 wheel 包放入 `--wheelhouse DIR` 指定的目录"

MESSAGES: dict[str, Text] = {
    "wheels.not_installed": Text(
        "selfhost 从未安装的文件运行，无法生成其 wheel 包",
        "应有已安装的软件包 `{name}`\n实际：{found}",
        "在源代码处安装：`python3 -m pip install .`\n" + _GIVE,
    ),
    "wheels.not_rebuilt": Text(
        "无法由已安装的软件包 `{name}` 生成 wheel 包",
        "{detail}",
        _AGAIN + _GIVE,
    ),
    "wheels.changed": Text(
        "已安装的软件包 `{name}` 在安装后被改动：{path}",
        "{detail}",
        _AGAIN + _GIVE,
    ),
    "wheels.not_built": Text(
        "无法从 `{source}` 构建 selfhost 的 wheel 包",
        "{line}",
        "在 selfhost 的环境中：`python3 -m pip install hatchling`\n" + _GIVE,
    ),
    "wheels.not_own": Text(
        "`{path}` 不是 selfhost 的 wheel 包",
        "应为 `{name}` 的 wheel 包",
        "在源代码处构建：`python3 -m build --wheel`",
    ),
    "wheels.not_a_wheel": Text(
        "`{path}` 不是 wheel 包",
        "{detail}",
        "删除它或重新获取：`rm {path}`",
    ),
    "wheels.offline": Text(
        "离线状态：`{name}` 的 wheel 包需要下载",
        "设置了 `SELFHOST_OFFLINE`，且未指定 wheel 包目录",
        "请指定有它们的目录：`--wheelhouse DIR`",
    ),
    "wheels.none_there": Text(
        "引擎 `{name}` 有软件包没有适用于目标机器的 wheel 包：{count} 个",
        "目标机器：{machine}，Python {python}，glibc {glibc}\n{listed}",
        "一个索引缺少的，另一个可能有：`pip config list`\n或在目标机器上换一个 Python："
        "`python3.11 -m selfhost detect --json > target.json`",
    ),
    "wheels.own_conflict": Text(
        "selfhost 所需的软件包在目标机器上互不兼容",
        "{listed}",
        "在此更新 selfhost，它会带来所需的软件包：`python3 -m pip install --upgrade selfhost-llm`",
    ),
    "wheels.own_incomplete": Text(
        "无法获取 selfhost 所需的软件包：{wheel}",
        "{line}",
        "使用的是 pip 自身的设置：`pip config list`\n完全没有软件包索引时："
        "`selfhost bundle create ... --wheelhouse DIR`",
    ),
}
