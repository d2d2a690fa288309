"""What `selfhost doctor` finds about NVIDIA GPUs."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "doctor_cuda.library_differs": Text(
        "CUDA 的库属于驱动 {found}，而已加载的驱动是 {loaded}",
        "{path}；CUDA 报错 803，NVML 报错 `Driver/library version mismatch`",
        "驱动更新之后：重启；在容器中：重新创建容器，让 toolkit 挂载新的库",
    ),
    "doctor_cuda.second_library": Text(
        "正确的库旁边有另一个驱动的库：{path}",
        "它属于 {found}，而已加载的是 {loaded}",
        "移除旧驱动的软件包",
    ),
    "doctor_cuda.compat": Text(
        "最先找到的是 CUDA 的兼容库，而 {names} 不能使用它",
        "{path}；它只用于数据中心 GPU，CUDA 报错 804",
        "从 `LD_LIBRARY_PATH` 和 /etc/ld.so.conf.d 中去掉它，改为更新驱动",
    ),
    "doctor_cuda.missing_nodes": Text(
        "缺少设备文件：{paths}",
        "没有它们 CUDA 无法启动，尽管 `nvidia-smi` 有响应",
        "在主机上：`sudo nvidia-modprobe -c 0 -u`；在容器中：启动时加 `--gpus all`",
    ),
    "doctor_cuda.fabric": Text(
        "GPU {index} 没有与其他 GPU 连通：{state}",
        "NVSwitch 后面的 GPU 由 fabric manager 连通；在此之前 CUDA 报错 802",
        "在主机上，使用与驱动相同的版本：`sudo systemctl restart nvidia-fabricmanager`",
    ),
    "doctor_cuda.no_fabric_manager": Text(
        "有 {count} 个 NVSwitch，但 fabric manager 没有运行",
        "它负责连通 GPU；在此之前 CUDA 报错 802",
        "安装与驱动相同的版本：`sudo systemctl enable --now nvidia-fabricmanager`",
    ),
    "doctor_cuda.no_peers": Text(
        "GPU 之间无法直接访问彼此的显存",
        "{pairs}\n它们交换的数据经过主机内存，更慢",
        "查看连接方式：`nvidia-smi topo -m`；在某些主板上关闭 IOMMU 和 ACS 会有帮助",
    ),
    "doctor_cuda.mig_mixture": Text(
        "GPU {cut} 被切分为 MIG 实例，GPU {whole} 没有",
        "一个进程只能看到一个实例，或完整的 GPU；两者都可见时 CUDA 选用实例",
        "用 `CUDA_VISIBLE_DEVICES` 选择，或取消切分：`sudo nvidia-smi -mig 0 -i N`",
    ),
    "doctor_cuda.no_toolkit": Text(
        "有 {runtime}，但没有 NVIDIA 的 container toolkit",
        "容器得不到 GPU",
        "安装软件包 `nvidia-container-toolkit`，然后 `sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`",
    ),
    "doctor_cuda.stale_cdi": Text(
        "容器会得到驱动 {found} 的库，而已加载的是 {loaded}",
        "{path} 写于驱动更新之前",
        "重新生成：`sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`",
    ),
    "doctor_cuda.no_cdi": Text(
        "`nvidia-ctk cdi list` 没有列出 GPU",
        "{runtime} 通过 CDI 名称 `nvidia.com/gpu=all` 找到 GPU",
        "`sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`",
    ),
    "doctor_cuda.no_engine": Text(
        "有 GPU，但没有安装适用的引擎",
        hint="`selfhost engine install cuda`，或使用引擎的镜像",
    ),
    "doctor_cuda.ecc": Text(
        "GPU {index}：自驱动加载以来有 {count} 个无法纠正的显存错误",
        hint="结束其上运行的程序并复位：`sudo nvidia-smi -r -i {index}`；若再次出现，请更换",
    ),
    "doctor_cuda.ecc_ever": Text(
        "GPU {index}：有 {count} 个无法纠正的显存错误，都在驱动加载之前",
        hint="持续观察：`nvidia-smi -q -d ECC,ROW_REMAPPER -i {index}`",
    ),
    "doctor_cuda.ecc_off": Text(
        "GPU {index}：显存纠错（ECC）已关闭",
        "出错的位不会被发现",
        "`sudo nvidia-smi -e 1 -i {index}`，然后重启",
    ),
    "doctor_cuda.remap_pending": Text(
        "GPU {index}：有显存等待替换为备用显存",
        "替换在复位时进行",
        "结束其上运行的程序：`sudo nvidia-smi -r -i {index}`，或重启",
    ),
    "doctor_cuda.remap_failed": Text(
        "GPU {index}：损坏的显存无法替换，没有备用显存了",
        hint="请更换该卡：`nvidia-smi -q -d ROW_REMAPPER -i {index}` 是依据",
    ),
    "doctor_cuda.slowed": Text(
        "GPU {index} 被降速，原因：{reasons}",
        hint="查看温度和功率：`nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER -i {index}`；然后检查风道、线缆和电源",
    ),
    "doctor_cuda.pcie_width": Text(
        "GPU {index} 的总线通道为 {found}，最多可为 {wanted}",
        "加载权重和 GPU 之间的传输会变慢",
        "换一个插槽或转接卡，并用 `sudo lspci -vv` 查看（LnkCap、LnkSta）",
    ),
    "doctor_cuda.links_down": Text(
        "GPU {index}：NVLink 断开：{links}",
        hint="`nvidia-smi nvlink -s -i {index}`；可能是桥接器松动，或内核日志中有 Xid 74",
    ),
    "doctor_cuda.persistence": Text(
        "GPU {indices} 未开启持久模式",
        "无人使用时驱动会卸载：下次启动要多花几秒，设置会丢失",
        "`sudo systemctl enable --now nvidia-persistenced`，或用 `sudo nvidia-smi -pm 1`，到下次启动为止",
    ),
    "doctor_cuda.prohibited": Text(
        "GPU {index} 处于计算模式 `Prohibited`",
        "CUDA 不能使用它",
        "`sudo nvidia-smi -c 0 -i {index}`",
    ),
    "doctor_cuda.exclusive": Text(
        "GPU {index} 处于计算模式 `Exclusive_Process`",
        "同一时间只能有一个进程：第二个服务会失败",
        "若要多个服务共用：`sudo nvidia-smi -c 0 -i {index}`",
    ),
    "doctor_cuda.sxid": Text(
        "NVSwitch {bus}：严重错误 {number}，{count} 次",
        "{line}",
        "重启；若再次出现，请更换",
    ),
    "doctor_cuda.xid_hardware": Text(
        "{bus} 处的 GPU：Xid {number}，开机以来 {count} 次",
        "{line}",
        "该卡、其显存、链路或供电有故障：复位或重启，若再次出现，请更换",
    ),
    "doctor_cuda.xid_application": Text(
        "{bus} 处的 GPU：Xid {number}，开机以来 {count} 次",
        "{line}",
        "有程序在其上出错或被结束；查看当时运行的程序的日志：`selfhost doctor --log FILE`",
    ),
    "doctor_cuda.xid": Text(
        "{bus} 处的 GPU：Xid {number}，开机以来 {count} 次",
        "{line}",
        "请查询该编号的含义",
    ),
}
