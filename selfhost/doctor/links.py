"""Where to read on about a finding, by the id of its message; one address each."""

from __future__ import annotations

_ISSUE = "https://github.com/vllm-project/vllm-ascend/issues/"
_FAQ = "https://docs.vllm.ai/projects/ascend/en/latest/faqs.html"
_INSTALL = "https://docs.vllm.ai/projects/ascend/en/latest/installation.html"
_NODES = "https://docs.vllm.ai/projects/ascend/en/latest/tutorials/features/pd_disaggregation_mooncake_multi_node.html"
_FAULTS = "https://gitcode.com/Ascend/mind-cluster/tree/master/component/ascend-faultdiag"
_TROUBLE = "https://docs.vllm.ai/en/latest/usage/troubleshooting.html"
_COMPAT = "https://docs.nvidia.com/deploy/cuda-compatibility/"
_TOOLKIT = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/"
_XID = "https://docs.nvidia.com/deploy/xid-errors/"
_ECC = "https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/"
_FABRIC = "https://docs.nvidia.com/datacenter/tesla/fabric-manager-user-guide/"
_PERSISTENCE = "https://docs.nvidia.com/deploy/driver-persistence/"
_SMI = "https://docs.nvidia.com/deploy/nvidia-smi/"
_MIG = "https://docs.nvidia.com/datacenter/tesla/mig-user-guide/"
_NCCL = "https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/troubleshooting.html"
_KERNEL = "https://docs.kernel.org/admin-guide/"

LINKS: dict[str, str] = {
    # Machines
    "doctor.open_files": "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html",
    "doctor.locked_memory": _NCCL,
    "doctor.no_shm": _NCCL,
    "doctor.small_shm": _NCCL,
    "doctor.full_shm": _NCCL,
    "doctor.small_cgroup": _KERNEL + "cgroup-v2.html",
    "doctor.oom_kills": _KERNEL + "cgroup-v2.html",
    "doctor.killed": _KERNEL + "sysctl/vm.html",
    "doctor.nameless": _ISSUE + "9490",
    "doctor_cuda.library_differs": _COMPAT,
    "doctor_cuda.second_library": _COMPAT,
    "doctor_cuda.compat": _COMPAT,
    "engine.old_driver": _COMPAT,
    "doctor_cuda.missing_nodes": _TOOLKIT,
    "doctor_cuda.fabric": _FABRIC,
    "doctor_cuda.no_fabric_manager": _FABRIC,
    "doctor_cuda.no_peers": _NCCL,
    "doctor_cuda.mig_mixture": _MIG,
    "doctor_cuda.no_toolkit": _TOOLKIT + "install-guide.html",
    "doctor_cuda.stale_cdi": _TOOLKIT + "cdi-support.html",
    "doctor_cuda.no_cdi": _TOOLKIT + "cdi-support.html",
    "doctor_cuda.ecc": _ECC,
    "doctor_cuda.ecc_ever": _ECC,
    "doctor_cuda.ecc_off": _ECC,
    "doctor_cuda.remap_pending": _ECC,
    "doctor_cuda.remap_failed": _ECC,
    "doctor_cuda.slowed": _SMI,
    "doctor_cuda.pcie_width": _SMI,
    "doctor_cuda.links_down": _XID,
    "doctor_cuda.persistence": _PERSISTENCE,
    "doctor_cuda.prohibited": _SMI,
    "doctor_cuda.exclusive": _SMI,
    "doctor_cuda.sxid": _FABRIC,
    "doctor_cuda.xid_hardware": _XID,
    "doctor_cuda.xid_application": _XID,
    "doctor_cuda.xid": _XID,
    "doctor_ascend.no_driver_files": _INSTALL,
    "doctor_ascend.old_driver": "https://github.com/vllm-project/vllm-ascend/pull/10555",
    "doctor_ascend.no_node": _INSTALL,
    "doctor_ascend.shut_nodes": _ISSUE + "9490",
    "doctor_ascend.no_davinci": _INSTALL,
    "doctor_ascend.no_cann": _INSTALL,
    "doctor_ascend.no_set_env": _FAQ,
    "doctor_ascend.no_library_path": _ISSUE + "1440",
    "doctor_ascend.bad_buffer": _FAULTS,
    "doctor_ascend.two_allocators": _FAQ,
    "doctor_ascend.blocking": _FAQ,
    "doctor_ascend.no_preload": _FAQ,
    "doctor_ascend.other_family": _ISSUE + "11160",
    "doctor_ascend.two_tritons": "https://github.com/vllm-project/vllm-ascend/pull/7497",
    "doctor_ascend.no_vllm": _INSTALL,
    "doctor_ascend.numa_balancing": _KERNEL + "sysctl/kernel.html",
    "doctor_ascend.no_hccn_conf": _NODES,
    "hccn.link_down": _NODES,
    "hccn.health": _NODES,
    "hccn.no_address": _NODES,
    "hccn.tls_differs": _ISSUE + "9447",
    "hardware.npu_held": _ISSUE + "2698",
    "hardware.npu_occupied": _ISSUE + "2698",
    "hardware.npu_not_permitted": _ISSUE + "9490",
    "hardware.npu_half_card": _INSTALL,
    "hardware.npu_half_installed": _INSTALL,
    "hardware.npu_firmware": _INSTALL,
    "hardware.npu_no_node": _ISSUE + "6942",
    "hardware.nvidia_mismatch": _COMPAT,
    # Logs
    "diagnose_ascend.library": _FAQ,
    "diagnose_ascend.held": _ISSUE + "2698",
    "diagnose_ascend.no_devices": _ISSUE + "14628",
    "diagnose_ascend.family": _ISSUE + "11160",
    "diagnose_ascend.first_generation": _ISSUE + "3010",
    "diagnose_ascend.pair": _ISSUE + "9305",
    "diagnose_ascend.triton": "https://github.com/vllm-project/vllm-ascend/pull/7497",
    "diagnose_ascend.invalid_version": _FAQ,
    "diagnose_ascend.symbol": _ISSUE + "750",
    "diagnose_ascend.not_quantized": _FAULTS,
    "diagnose_ascend.no_flag": _ISSUE + "902",
    "diagnose_ascend.not_compressed": _FAULTS,
    "diagnose_ascend.scheme": _FAULTS,
    "diagnose_ascend.mla_heads": _FAQ,
    "diagnose_ascend.float16": _ISSUE + "14274",
    "diagnose_ascend.eplb": _FAULTS,
    "diagnose_ascend.data_parallel": _FAULTS,
    "diagnose_ascend.streams": _ISSUE + "9691",
    "diagnose_ascend.memory": _ISSUE + "1987",
    "diagnose_ascend.buffer": _ISSUE + "2674",
    "diagnose_ascend.bad_buffer": _FAULTS,
    "diagnose_ascend.tls": _ISSUE + "9447",
    "diagnose_ascend.interface": _FAULTS,
    "diagnose_ascend.hccl_port": _ISSUE + "1955",
    "diagnose_ascend.rank_table": _FAULTS,
    "diagnose_ascend.connect_timeout": _ISSUE + "5461",
    "diagnose_ascend.notify_timeout": _FAULTS,
    "diagnose_ascend.link": _ISSUE + "3162",
    "diagnose_ascend.hccl_init": _ISSUE + "2712",
    "diagnose_ascend.device_error": _ISSUE + "5468",
    "diagnose_ascend.mooncake": _ISSUE + "6949",
    "diagnose_ascend.image": _FAQ,
    "diagnose_ascend.dispatch": _ISSUE + "4051",
    "diagnose_ascend.halved": _ISSUE + "14274",
    "diagnose.stuck": _ISSUE + "5876",
    "diagnose.no_platform": _ISSUE + "3403",
    "diagnose.quantization": "https://docs.vllm.ai/en/latest/features/quantization/",
    "diagnose.out_of_memory": "https://docs.vllm.ai/en/latest/configuration/conserving_memory.html",
    "diagnose.no_kv_memory": "https://docs.vllm.ai/en/latest/configuration/conserving_memory.html",
    "diagnose.kv_too_small": "https://docs.vllm.ai/en/latest/configuration/conserving_memory.html",
    "diagnose.cuda_libraries": _COMPAT,
    "diagnose.cuda_compat": _COMPAT,
    "diagnose.cuda_driver_old": _COMPAT,
    "diagnose.cuda_fabric": _FABRIC,
    "diagnose.gpu_broken": _XID,
    "diagnose.gpu_crashed": _XID,
    "diagnose.peer_access": _NCCL,
    "diagnose.shared_memory": _NCCL,
    "diagnose.collective": _NCCL,
    "diagnose.device": _TROUBLE,
}


def link(message_id: str) -> str | None:
    """An address to read on; None when there is none to name."""
    return LINKS.get(message_id)
