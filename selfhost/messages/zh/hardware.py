"""Messages of detection, of the catalogue and of `--on`. Notes are shown as `what; hint` on one line."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "hardware.spec_malformed": Text(
        "无法理解硬件 `{spec}`",
        "格式为 [[NODESx]COUNTx]DEVICE[@GIB]：数字从 1 开始，每设备的显存以引擎看到的为准",
        "例如 `--on 8xH20`、`--on 2x8x910B3`、`--on RTX4090@23.5`、`--on cpu@16`",
    ),
    "hardware.device_unknown": Text(
        "未知的设备 `{device}`",
        "目录中最接近的：{nearest}",
        "对于没有列出的 CUDA 设备，请给出引擎能看到的 GiB 数：`--on {spec}@80`",
    ),
    "hardware.device_ambiguous": Text(
        "`{device}` 对应多种设备",
        "可能是：{candidates}",
        "用 `--on` 给出其中之一",
    ),
    "hardware.cpu_needs_memory": Text(
        "`{spec}` 没有说明主机有多少内存",
        hint="以 GiB 给出：`--on cpu@16`",
    ),
    "hardware.cpu_is_one": Text(
        "`{spec}`：CPU 指整台主机，只写一次",
        "引擎的各个 rank 是其上的进程，共用其内存",
        "`--on cpu@16 --tensor-parallel-size 2` 会规划两个",
    ),
    "hardware.unsupported_910_gen1": Text("第一代昇腾 910：vllm-ascend 从 910B1 到 910B4（A2）开始支持"),
    "hardware.unsupported_310": Text("昇腾 310：vllm-ascend 从 310P 开始支持"),
    "hardware.unsupported_310b": Text("昇腾 310B 开发者套件：vllm-ascend 不支持"),
    "hardware.unsupported_mlu": Text("寒武纪：selfhost 所用的引擎都没有它的后端"),
    "hardware.unsupported_mtt": Text("摩尔线程：selfhost 不使用它的 vLLM 插件"),
    "hardware.nvidia_mismatch": Text(
        "已加载的 NVIDIA 内核驱动与其库的版本不同",
        hint="重启，或重新加载内核模块（`sudo rmmod nvidia_uvm nvidia && sudo modprobe nvidia`）；在容器中，重启该容器",
    ),
    "hardware.nvidia_not_loaded": Text(
        "NVIDIA 内核驱动没有加载",
        hint="`sudo modprobe nvidia`；失败时 `sudo dmesg | grep -i nvrm` 会说明原因（更换内核后需要重新安装驱动）",
    ),
    "hardware.nvidia_no_library": Text(
        "有 NVIDIA GPU 或驱动，但没有它的库 `libnvidia-ml.so.1`",
        hint="安装 NVIDIA 驱动；在容器中，把 GPU 交给它（`docker run --gpus all`）",
    ),
    "hardware.nvidia_no_driver": Text(
        "PCI 总线上有 NVIDIA GPU，但没有安装 NVIDIA 驱动",
        hint="安装 NVIDIA 驱动；在容器中，把 GPU 交给它（`docker run --gpus all`）",
    ),
    "hardware.nvidia_permission": Text(
        "当前用户无权使用 NVIDIA 驱动",
        hint="给予对 /dev/nvidia* 的读写权限（`ls -l /dev/nvidia*`）",
    ),
    "hardware.nvidia_lost": Text(
        "一块 NVIDIA GPU 不再响应（从总线上丢失）",
        hint="`sudo dmesg | grep -i xid` 会说明原因；重启以恢复",
    ),
    "hardware.nvidia_no_devices": Text(
        "NVIDIA 驱动找不到 GPU",
        hint="`sudo dmesg | grep -i nvrm` 会说明原因；在容器中，把 GPU 交给它（`docker run --gpus all`）",
    ),
    "hardware.nvidia_unknown_error": Text(
        "NVIDIA 驱动返回 `Unknown Error`",
        hint="在容器中，重启该容器：主机收回了它的设备（systemd 重新加载时会这样）；"
        "在主机上，`sudo dmesg | grep -i xid` 有更多信息",
    ),
    "hardware.nvidia_failed": Text(
        "无法读取 NVIDIA 驱动：{detail}",
        hint="运行 `nvidia-smi` 并查看其输出",
    ),
    "hardware.nvidia_hangs": Text(
        "NVIDIA 驱动在 {seconds} s 内没有响应",
        hint="`sudo dmesg | grep -i -e xid -e nvrm` 有更多信息；驱动卡住时需要重启",
    ),
    "hardware.nvidia_crashed": Text(
        "NVIDIA 库崩溃（信号 {signal}）",
        hint="运行 `nvidia-smi`；若它也崩溃，请重新安装驱动",
    ),
    "hardware.gpu_unreadable": Text("它没有响应：{detail}"),
    "hardware.mig_without_slices": Text("MIG 已启用，但没有创建实例（`nvidia-smi mig -lgip` 列出可用的配置）"),
    "hardware.capability_too_low": Text("计算能力 {found}：引擎需要 {wanted} 或更高"),
    "hardware.npu_unhealthy": Text(
        "NPU {index}（{name}）报告健康状态 `{health}`",
        hint="`npu-smi info -t health -i {index}` 会说明原因",
    ),
    "hardware.npu_faulty": Text(
        "NPU {index}（{name}）报告健康状态 `{health}`，故障 {codes}",
        hint="`npu-smi info -t health -i {index}` 给出故障名称；可恢复的故障在复位或重启后消失",
    ),
    "hardware.npu_held": Text(
        "Ascend 驱动拒绝（{code}，内部错误）：在容器中，说明另一个容器占用了 NPU，或当前用户无权使用",
        hint="停止另一个容器，或以 /dev/davinci* 的所有者身份运行（`ls -ln /dev/davinci*`）；root 需要 "
        "CAP_DAC_OVERRIDE；对 A3 卡，两个 die 都要映射",
    ),
    "hardware.npu_occupied": Text(
        "另一个容器或进程占用了 NPU（{code}）",
        hint="停止它；在主机上执行 `npu-smi set -t device-share -i CARD -c CHIP -d 1` 之后，多个容器可以共用一个 NPU",
    ),
    "hardware.npu_not_permitted": Text(
        "当前用户无权查询 Ascend 驱动（{code}）",
        hint="以 /dev/davinci* 的所有者身份运行（`ls -ln /dev/davinci*`），或把当前用户加入其组",
    ),
    "hardware.npu_no_answer": Text(
        "Ascend 驱动无法连接 NPU（{code}，超时或消息丢失）",
        hint="`dmesg | grep -i -e devdrv -e davinci` 有更多信息；复位 NPU（`npu-smi set -t reset -i CARD -c CHIP`）"
        "或重启，并比较驱动与固件",
    ),
    "hardware.npu_not_there": Text(
        "Ascend 驱动找不到这个 NPU（{code}）",
        hint="比较 `ls /dev/davinci*` 与 `npu-smi info -l`；在容器中，映射这些设备以及 "
        "/dev/davinci_manager、/dev/devmm_svm、/dev/hisi_hdc",
    ),
    "hardware.npu_not_ready": Text(
        "NPU 没有就绪（{code}）：正在复位，或刚刚复位",
        hint="一分钟后再试；若仍然如此，请重启",
    ),
    "hardware.npu_not_in_container": Text(
        "Ascend 驱动在容器中不提供该信息（{code}）",
        hint="在主机上运行 `selfhost detect --json`",
    ),
    "hardware.npu_upgrading": Text(
        "NPU 的固件正在升级（{code}）",
        hint="等待完成，然后重启",
    ),
    "hardware.npu_not_queried": Text(
        "Ascend 驱动不支持该查询（{code}）",
        hint="npu-smi 与驱动的版本可能不同：`npu-smi -v`、`cat /usr/local/Ascend/driver/version.info`",
    ),
    "hardware.npu_dcmi_failed": Text(
        "Ascend 驱动拒绝（{code}）",
        hint="`ls -ln /dev/davinci*` 和驱动的日志（`dmesg`）有更多信息",
    ),
    "hardware.npu_none": Text(
        "npu-smi 找不到 NPU",
        hint="在容器中，映射 /dev/davinci0 及后续设备、/dev/davinci_manager、/dev/devmm_svm、/dev/hisi_hdc",
    ),
    "hardware.npu_no_library": Text(
        "npu-smi 找不到它的库：{detail}",
        hint="在容器中，挂载主机的 /usr/local/Ascend/driver/lib64 和 /usr/local/dcmi；在主机上，重新安装驱动",
    ),
    "hardware.npu_not_run": Text(
        "npu-smi 无法运行：{detail}",
        hint="`ls -l $(command -v npu-smi)`；它必须适合本机的处理器，并且可执行",
    ),
    "hardware.npu_failed": Text("无法读取 npu-smi：{detail}", hint="运行 `npu-smi info` 并查看其输出"),
    "hardware.npu_hangs": Text(
        "npu-smi 在 {seconds} s 内没有响应",
        hint="对每个 NPU 运行 `npu-smi info -t health -i 0`；卡住的需要复位或重启",
    ),
    "hardware.npu_part_hangs": Text(
        "`npu-smi info {question}` 没有及时响应：它所提供的信息未知，之后也不再查询",
        hint="对每个 NPU 运行 `npu-smi info -t health -i 0`；卡住的需要复位或重启",
    ),
    "hardware.npu_no_tool": Text(
        "有昇腾 NPU，但没有 npu-smi",
        hint="安装 Ascend 驱动；在容器中，挂载主机的 /usr/local/bin/npu-smi 和 /usr/local/Ascend/driver/lib64",
    ),
    "hardware.npu_on_bus": Text(
        "PCI 总线上有 {count} 个昇腾 NPU（{families}），但这里没有驱动",
        hint="安装 Ascend 驱动；在容器中，映射 /dev/davinci* 并挂载主机的驱动",
    ),
    "hardware.npu_not_loaded": Text(
        "PCI 总线上有 {count} 个昇腾 NPU，驱动也已安装，但没有生成设备",
        hint="安装后请重启；`dmesg | grep -i devdrv` 会说明其模块没有加载的原因；在容器中，映射 /dev/davinci*",
    ),
    "hardware.npu_driver_differs": Text(
        "运行中的 Ascend 驱动是 {running}，它的文件属于 {files}",
        hint="更新驱动后请重启；在容器中，挂载主机上的驱动文件",
    ),
    "hardware.npu_firmware": Text(
        "固件 {firmware} 与驱动 {driver} 不相配，后者需要 {wanted}",
        hint="安装同一版本的一对：先驱动，后固件，然后重启",
    ),
    "hardware.npu_by_torch": Text(
        "NPU 的信息来自 torch_npu（{python}）：没有健康状态、进程和驱动版本",
    ),
    "hardware.npu_torch_failed": Text(
        "torch_npu（{python}）也没有提供 NPU 的信息：{detail}",
        hint="先 `source` CANN toolkit 的 set_env.sh",
    ),
    "hardware.npu_torch_silent": Text("没有及时响应"),
    "hardware.npu_unread": Text("其种类和显存未知：{detail}"),
    "hardware.npu_unknown": Text("`{name}` 不是 selfhost 认识的昇腾设备"),
    "hardware.npu_no_memory": Text("没有提供显存大小"),
    "hardware.npu_half_installed": Text(
        "Ascend 驱动没有安装完成",
        hint="重新安装：`cat /etc/ascend_install.info` 中必须有 Driver_Install_Status=complete",
    ),
    "hardware.npu_cut": Text(
        "npu-smi 的输出被截断或损坏：有 {count} 行没有读出，读出了 {read} 个设备",
        hint="与 `npu-smi info` 比较",
    ),
    "hardware.npu_incompatible": Text(
        "驱动 {driver} 与固件 {firmware} 不相配：npu-smi 报告 `{said}`",
        hint="安装同一版本的一对，先装驱动，然后重启",
    ),
    "hardware.npu_no_node": Text(
        "npu-smi 列出的 NPU 在这里没有设备节点：{nodes}",
        hint="在容器中，映射它们；没有节点的设备引擎无法打开",
    ),
    "hardware.npu_not_listed": Text(
        "有些设备节点 npu-smi 没有列出（列出了 {read} 个 NPU）：{nodes}",
        hint="`npu-smi info -l` 和 `dmesg` 可以看出是否丢失了卡",
    ),
    "hardware.npu_mixed": Text(
        "有不同种类的 NPU：{kinds}",
        hint="一个引擎只使用同一种：用 ASCEND_RT_VISIBLE_DEVICES 给出，或用 `--on` 为其中一种做规划",
    ),
    "hardware.npu_half_card": Text(
        "A3 卡只有一个 die 在这里：卡 {cards}",
        hint="交出整张卡：每张卡的两个 /dev/davinciN",
    ),
    "hardware.hidden_unknown": Text(
        "{variable} 设为 `{value}`：留下哪些 NPU 未知，因为 npu-smi 没有提供它们的逻辑编号",
        hint="参见 `npu-smi info -m`；`unset {variable}` 则全部使用",
    ),
    "hardware.hidden": Text(
        "{variable} 设为 `{value}`：从这里启动的引擎在 {found} 个中能看到 {kept} 个",
        hint="`unset {variable}` 则全部使用",
    ),
    "hardware.busy": Text(
        "加速卡 {index}（{name}）正在使用：{total} 中已占用 {used}{by}",
        hint="停止使用它的程序，或降低 `--gpu-memory-utilization`",
    ),
    "hardware.visible_assumed": Text(
        "引擎在 `{name}` 上能看到多少显存未知：假定为 {visible}",
        hint="若知道准确的值，请给出，例如 `--on DEVICE@GIB`",
    ),
}
