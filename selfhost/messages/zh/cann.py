"""Messages about what an engine for Ascend needs of CANN, NNAL and the driver to start."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "cann.no_toolkit": Text(
        "没有 CANN：找不到其 toolkit 的 `set_env.sh`",
        "已查找：{looked}",
        "安装 Ascend-cann-toolkit 和该芯片的算子包，或使用 vllm-ascend 的镜像；"
        "若装在别处，请指明：`export ASCEND_HOME_PATH=DIRECTORY`",
    ),
    "cann.no_nnal": Text(
        "没有 NNAL：找不到 ATB 的 `set_env.sh`",
        "已查找：{looked}",
        "安装与 CANN 版本相同的 Ascend-cann-nnal，或使用 vllm-ascend 的镜像；"
        "若装在别处，请指明：`export ATB_HOME_PATH=DIRECTORY`",
    ),
    "cann.not_readable": Text(
        "uid {uid} 无法读取 `{script}`",
        hint="以安装 CANN 的用户或其组内用户的身份运行，或为所有用户重新安装：`--install-for-all`",
    ),
    "cann.no_bash": Text("没有 `bash`，而 CANN 的脚本是为它写的", "脚本：`{script}`", "安装 bash"),
    "cann.hangs": Text(
        "设置 CANN 变量的脚本没有结束",
        "{seconds} s 内没有结束：{scripts}",
        "在 shell 中运行它们，看它们在等待什么",
    ),
    "cann.script_fails": Text(
        "设置 CANN 变量的脚本失败",
        "{scripts}：退出状态 {status}；最后的输出：{detail}",
        "在 shell 中运行它们；容器中空的 `/etc/ascend_install.info` 会使 CANN 9 的脚本退出：挂载主机上的该文件",
    ),
    "cann.not_set": Text(
        "`{script}` 没有把 `{variable}` 设为存在的目录",
        "它的值为 {value}",
        "安装不完整，或文件被移动过：请重新安装",
    ),
    "cann.no_driver_library": Text(
        "没有 Ascend 驱动的 `{library}`",
        "不在下列任何位置：{path}",
        "安装驱动；在容器中，挂载主机的 `/usr/local/Ascend/driver/lib64`",
    ),
    "cann.no_library": Text(
        "没有 CANN 的 `{library}`",
        "不在下列任何位置：{path}",
        "toolkit 不完整：重新安装，或使用 vllm-ascend 的镜像",
    ),
    "cann.no_nnal_library": Text(
        "没有 NNAL 的 `{library}`",
        "不在下列任何位置：{path}",
        "重新安装与 CANN 版本相同的 Ascend-cann-nnal，或使用 vllm-ascend 的镜像",
    ),
}
