"""Machines that are well; tests change one thing."""

from __future__ import annotations

from dataclasses import replace

from selfhost.doctor.facts import UNLIMITED, AscendFacts, CudaFacts, Engine, Facts, Gpu, HostFacts, Library, Node
from selfhost.engines.specs import CUDA
from selfhost.hardware.types import Accelerator, Disk, HardwareSnapshot, Host
from selfhost.units import GIB, MIB

DRIVER = "580.95.05"


def accelerator(index: int = 0, **more) -> Accelerator:
    given = {
        "vendor": "nvidia",
        "name": "NVIDIA H20",
        "index": index,
        "memory_bytes": 97871 * MIB,
        "visible_memory_bytes": 95 * GIB,
        "used_bytes": 5 * MIB,
        "supported": True,
        "device_id": "H20-96G",
        "compute_capability": (9, 0),
    }
    return Accelerator(**{**given, **more})


def npu(index: int = 0, **more) -> Accelerator:
    given = {"vendor": "huawei", "name": "910B3", "memory_bytes": 65536 * MIB, "visible_memory_bytes": 60 * GIB}
    given |= {"used_bytes": 3400 * MIB, "device_id": "910B3", "compute_capability": None}
    return accelerator(index, **{**given, **more})


def host(**more) -> Host:
    given = {
        "hostname": "node1",
        "os": "Debian",
        "kernel": "6.1",
        "glibc": "2.36",
        "architecture": "x86_64",
        "python": "3.11.7",
        "cpu_name": None,
        "cpu_count": 64,
        "memory_bytes": 512 * GIB,
        "available_memory_bytes": 500 * GIB,
        "nvidia_driver": DRIVER,
        "cuda_ceiling": "13.0",
        "disks": (Disk(path="/srv", file_system="xfs", total_bytes=9000 * GIB, free_bytes=4000 * GIB),),
    }
    return Host(**{**given, **more})


def snapshot(*accelerators: Accelerator, messages=(), **more) -> HardwareSnapshot:
    return HardwareSnapshot(
        captured_at="2026-11-22T00:00:00Z", accelerators=accelerators, host=host(**more), messages=tuple(messages)
    )


WELL = HostFacts(
    open_files=1_048_576,
    locked_bytes=UNLIMITED,
    shm_bytes=16 * GIB,
    shm_free_bytes=16 * GIB,
    kernel_log="",
    oom_kills=0,
    now="2026-11-22T00:00:00Z",
    environ={
        "ASCEND_HOME_PATH": "/usr/local/Ascend/ascend-toolkit/latest",
        "ATB_HOME_PATH": "/usr/local/Ascend/nnal/atb/latest/atb/cxx_abi_1",
        "LD_LIBRARY_PATH": "/usr/local/Ascend/driver/lib64/common:/usr/local/Ascend/driver/lib64/driver",
    },
)


def gpu(index: int = 0, **more) -> Gpu:
    given = {"persistence": True, "ecc": True, "ecc_uncorrected": 0, "ecc_uncorrected_ever": 0, "compute_mode": 0}
    given |= {"pcie_width": 16, "pcie_width_highest": 16, "fabric_state": 3}
    return Gpu(index=index, **{**given, **more})


LIBRARY = Library(path=f"/usr/lib/x86_64-linux-gnu/libcuda.so.{DRIVER}", version=DRIVER)
ENGINE = Engine(spec=CUDA, path="/e/cuda", complete=True, current=True)


def cuda(count: int = 2, **more) -> Facts:
    """A machine with GPUs; `more` are its CudaFacts."""
    given = {"gpus": tuple(gpu(i) for i in range(count)), "kernel_driver": DRIVER, "libraries": (LIBRARY,)}
    return Facts(
        snapshot=snapshot(*(accelerator(i) for i in range(count))),
        host=WELL,
        cuda=CudaFacts(**{**given, **more}),
        engines=(ENGINE,),
    )


def node(path: str, **more) -> Node:
    return Node(**{"path": path, "exists": True, "usable": True, **more})


def ascend(count: int = 2, **more) -> Facts:
    """A machine with NPUs; `more` are its AscendFacts."""
    given = {
        "nodes": tuple(node(f"/dev/{name}") for name in ("davinci_manager", "devmm_svm", "hisi_hdc")),
        "davinci": tuple(node(f"/dev/davinci{i}") for i in range(count)),
        "packages": {"vllm": "0.23.0", "vllm-ascend": "0.23.0", "triton-ascend": "3.2.2"},
        "python": "/usr/bin/python3",
        "scripts": ("/opt/cann/set_env.sh", "/opt/nnal/atb/set_env.sh"),
        "hccn_conf": True,
    }
    found = snapshot(
        *(npu(i) for i in range(count)), nvidia_driver=None, ascend_driver="25.5.1", cann="9.1.0", soc_family="A2"
    )
    return Facts(snapshot=found, host=WELL, ascend=AscendFacts(**{**given, **more}))


def with_host(facts: Facts, **more) -> Facts:
    return replace(facts, host=replace(facts.host, **more))


def with_environ(facts: Facts, **more: str) -> Facts:
    return with_host(facts, environ={**facts.host.environ, **more})


def with_machine(facts: Facts, **more) -> Facts:
    """Other fields of the host that `detect` tells."""
    return replace(facts, snapshot=replace(facts.snapshot, host=replace(facts.snapshot.host, **more)))


def with_accelerators(facts: Facts, *accelerators: Accelerator) -> Facts:
    return replace(facts, snapshot=replace(facts.snapshot, accelerators=accelerators))
