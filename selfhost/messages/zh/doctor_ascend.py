"""What `selfhost doctor` finds about Ascend NPUs."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "doctor_ascend.no_driver_files": Text(
        "/usr/local/Ascend/driver/version.info 不存在",
        "CANN 从中读取驱动版本",
        "在主机上安装驱动；在容器中，挂载该文件和 /usr/local/Ascend/driver/lib64",
    ),
    "doctor_ascend.no_node": Text(
        "设备文件 {path} 不存在",
        hint="在主机上：驱动是否已加载？`npu-smi info`；在容器中：`--device {path}`",
    ),
    "doctor_ascend.shut_nodes": Text(
        "当前用户无权使用 {paths}",
        "它们属于 HwHiAiUser，uid 和 gid 一般为 1000，权限 0660",
        "以该用户身份或在其组中运行（`--group-add 1000`）；以 root 运行时保留能力 CAP_DAC_OVERRIDE",
    ),
    "doctor_ascend.no_davinci": Text(
        "npu-smi 报告有 {told} 个设备，但 /dev/davinci0 不存在",
        hint="在容器中：为每个设备加 `--device /dev/davinci0`，以及都需要的三个：davinci_manager、devmm_svm、hisi_hdc",
    ),
    "doctor_ascend.no_cann": Text(
        "找不到 CANN",
        "已查找：`ASCEND_TOOLKIT_HOME`、`ASCEND_HOME_PATH`、/usr/local/Ascend/cann、/usr/local/Ascend/ascend-toolkit",
        "使用适合该系列的 vllm-ascend 镜像，或安装 CANN 工具包、其 `ops` 软件包和 NNAL",
    ),
    "doctor_ascend.no_set_env": Text(
        "当前 shell 缺少 CANN 的变量：{names}",
        "`selfhost serve` 会从 CANN 和 NNAL 自带的脚本读取；手工启动的引擎不会",
        "手工启动时：`{source}`",
    ),
    "doctor_ascend.no_library_path": Text(
        "驱动的库不在 `LD_LIBRARY_PATH` 中",
        "`selfhost serve` 会加上；手工启动的引擎找不到它们",
        "手工启动时：加上 /usr/local/Ascend/driver/lib64/common 和 /usr/local/Ascend/driver/lib64/driver",
    ),
    "doctor_ascend.bad_buffer": Text(
        "`HCCL_BUFFSIZE` 不是有效的大小：`{value}`",
        "应为大于 0 的兆字节数；未设置时为 200",
        "`export HCCL_BUFFSIZE=200`",
    ),
    "doctor_ascend.two_allocators": Text(
        "`PYTORCH_NPU_ALLOC_CONF` 和 `PYTORCH_ALLOC_CONF` 同时被设置",
        "用于 torch 2.10 的 torch_npu 会拒绝这种设置",
        "`unset PYTORCH_ALLOC_CONF`",
    ),
    "doctor_ascend.blocking": Text(
        "`ASCEND_LAUNCH_BLOCKING` 为 1",
        "在此设置下无法捕获图",
        "`unset ASCEND_LAUNCH_BLOCKING`，或用 `--enforce-eager` 启动服务",
    ),
    "doctor_ascend.no_preload": Text(
        "`LD_PRELOAD` 指定的文件不存在：{path}",
        "每个程序都会提示，并在没有它的情况下运行",
        "安装 jemalloc，或从 `LD_PRELOAD` 中去掉它",
    ),
    "doctor_ascend.numa_balancing": Text(
        "内核会在 NUMA 节点之间迁移内存",
        "厂商的指南建议推理时关闭此功能",
        "`sudo sysctl kernel.numa_balancing=0`",
    ),
    "doctor_ascend.no_hccn_conf": Text(
        "/etc/hccn.conf 不存在",
        "其中是 NPU 自有网络的地址；单节点不需要",
        "多节点时：用 `hccn_tool` 设置，并把该文件挂载到容器中",
    ),
}
