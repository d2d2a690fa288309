"""Messages about the machine behind a gap: `bundle create --for target.json`."""

from __future__ import annotations

from selfhost.messages import Text

_DETECT = "在目标机器上生成：`selfhost detect --json > target.json`"

MESSAGES: dict[str, Text] = {
    "target.newer": Text(
        "`{path}` 由更新版本的 selfhost 生成",
        "格式：{found}，此处支持：{known}",
        "两边使用同一版本的 selfhost：`python3 -m pip install --upgrade selfhost-llm`",
    ),
    "target.not_a_profile": Text(
        "`{path}` 不是 `detect --json` 的输出",
        "{detail}",
        _DETECT,
    ),
    "target.cannot_run": Text(
        "离线包无法在 `{path}` 所描述的机器上运行",
        "{problems}",
        "修改离线包的内容或目标机器，再重新描述它：`selfhost detect --json > target.json`",
    ),
    "target.old_python": Text(
        "目标机器的 Python 版本过旧：{found}",
        "selfhost 需要 CPython 3.11 或更新版本",
        "在目标机器上安装更新的 Python，或用已有的新版本运行 detect：`python3.11 -m selfhost detect --json`",
    ),
    "target.wheels": Text(
        "离线包中无法在目标机器上安装的 wheel 包：{count} 个",
        "目标机器：{there}\n{listed}",
        "让 wheel 包按目标机器选择并下载：去掉 `--wheelhouse`",
    ),
    "target.soc_family": Text(
        "离线包用于另一系列的昇腾设备",
        "需要：{wanted}\n目标机器：{found}",
        "选择适用于该系列的变体：`selfhost recipe ls`",
    ),
    "target.fewer_devices": Text(
        "{name} 这样的设备太少",
        "需要 {wanted} 个，可充当的有 {found} 个（目标机器：{listed}）",
        "在其所针对的机器上导入",
    ),
    "target.differs": Text(
        "{what} 与离线包所针对的不同",
        "应为 {wanted}，实际为 {found}",
        "在其所针对的机器上导入，或把本机调整到同样状态",
    ),
    "target.model": Text(
        "{name} 无法在目标机器的设备上运行：{devices}",
        "{listed}",
        "选择可运行的变体：`selfhost recipe show MODEL`、`selfhost plan MODEL --on DEVICE`",
    ),
    "target.no_accelerator": Text(
        "目标机器上没有设备可运行引擎 `{engine}`",
        "目标机器：{listed}",
        "改打包其他引擎：`--engine cpu`",
    ),
    "target.idle_accelerators": Text(
        "引擎 `{engine}` 不会使用目标机器的加速卡",
        "目标机器：{count} x {found}",
        "打包适用于它们的引擎：NVIDIA GPU 用 `--engine cuda`",
    ),
    "target.unread_driver": Text(
        "无法识别目标机器的 NVIDIA 驱动版本：{found}",
        hint="查看目标机器上 `nvidia-smi` 的输出，然后" + _DETECT,
    ),
    "target.disk_unknown": Text(
        "不知道目标机器的磁盘情况",
        "需要：{needed}",
        _DETECT,
    ),
    "target.no_links": Text(
        "目标机器的文件系统不支持链接：{file_system}",
        "{path}",
        "在目标机器上把 `SELFHOST_HOME` 设为 ext4 或 xfs 上的目录，然后" + _DETECT,
    ),
    "target.no_space": Text(
        "目标机器的空间不足",
        "需要：{needed}\n空闲：{free}，位于 {path}",
        "在目标机器上释放空间，或把 `SELFHOST_HOME` 设到更大的文件系统，然后" + _DETECT,
    ),
}
