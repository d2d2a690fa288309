"""Devices of the catalogue, accelerators that were found, hosts, and the hardware a plan is for."""

from __future__ import annotations

from dataclasses import asdict, field
from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.records import dataclass
from selfhost.units import GIB

if TYPE_CHECKING:
    from selfhost.messages import Message


class Platform(StrEnum):
    """What kind of engine drives a device."""

    CUDA = "cuda"
    ASCEND = "ascend"
    CPU = "cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """One kind of accelerator, as the catalogue knows it. Facts that are not known are None, never guessed."""

    id: str
    """As in `--on`: `H20-96G`, `910B3`, `cpu`."""
    name: str
    """The vendor's full name, as its tools print it."""
    vendor: str
    """`nvidia`, `huawei`, `cambricon`, ...; `cpu` for a host without accelerator."""
    platform: Platform | None
    """Which engine platform drives it; None when no engine here does."""
    aliases: tuple[str, ...] = ()
    family: str = ""
    """Architecture or chip family: `Hopper`, `Ascend 910B (A2)`."""
    memory_bytes: int | None = None
    """As the vendor's tool reports it (NVML, npu-smi); tells boards of one name apart."""
    visible_memory_bytes: int | None = None
    """Memory the engine sees per device (cudaMemGetInfo total, not the label); None for `cpu` and for devices
    that are not in the catalogue."""
    visible_memory_low_bytes: int | None = None
    """The lowest figure seen for this device in public logs; equal to the above when only one is known."""
    compute_capability: tuple[int, int] | None = None
    """CUDA compute capability (major, minor)."""
    native_fp8: bool = False
    native_fp4: bool = False
    memory_bandwidth_bytes_per_s: int | None = None
    bf16_flops: int | None = None
    """Dense, per second."""
    fp8_flops: int | None = None
    devices_per_node: int = 8
    """What one machine of the usual kind holds; more of them are several nodes."""
    interconnect: str = ""
    """How devices of one node reach each other: `NVLink4 SXM`, `PCIe 4.0 x16`."""
    supported: bool = True
    reason: str = ""
    """Why it is not supported."""
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """What a plan is for: `nodes` equal machines with `devices_per_node` equal devices."""

    device: Device
    nodes: int = 1
    devices_per_node: int = 1
    visible_memory_bytes: int
    """Per device, what the engine can see."""
    assumed: bool = True
    """True for `--on`, False for what was detected here."""
    free_memory_bytes: tuple[int, ...] = ()
    """What other processes leave of each device that was found, in the order of `device_indices`; empty: not known."""
    device_indices: tuple[int, ...] = ()
    """Of devices that were found, as the vendor's tool counts them; empty when only supposed, and for MIG slices."""
    physical_ids: tuple[int, ...] = ()
    """Of Ascend devices that were found, in the same order: N of /dev/davinciN; empty when one is not known."""
    logical_ids: tuple[int, ...] = ()
    """The same: what ASCEND_RT_VISIBLE_DEVICES counts."""
    slice_uuids: tuple[str, ...] = ()
    """Of MIG slices that were found, in the same order: what CUDA_VISIBLE_DEVICES calls them; an engine takes one."""
    held_by: tuple[str, ...] = ()
    """Servers of selfhost on each device, in the same order: `a`, `a, b`, empty; none at all when nothing is held."""
    cpus: tuple[int, ...] = ()
    """Of a CPU: what the threads of an engine are bound to; empty leaves it to the engine."""
    named: bool = False
    """Whether the devices were named one by one (`--devices`): then all of them are meant to be used."""
    notes: tuple[str, ...] = ()
    """What detection could not tell, of hardware that was found: a tool that hung, a driver that does not match."""
    host: Host | None = None
    """The machine that it was found in."""

    @property
    def device_count(self) -> int:
        """All devices of all nodes."""
        return self.nodes * self.devices_per_node

    @property
    def device_names(self) -> tuple[str, ...]:
        """What `--devices` calls each device that was found: its index, a slice by its uuid; empty for a CPU."""
        return self.slice_uuids or tuple(map(str, self.device_indices))

    @property
    def text(self) -> str:
        """As one would write it after `--on`; with `@GIB` when the memory is not the catalogue's."""
        count = f"{self.nodes}x{self.devices_per_node}x" if self.nodes > 1 else f"{self.devices_per_node}x"
        return ("" if self.device_count == 1 else count) + self.device_text

    @property
    def device_text(self) -> str:
        """The same for one device."""
        known = self.visible_memory_bytes == self.device.visible_memory_bytes
        return self.device.id + ("" if known else f"@{self.visible_memory_bytes / GIB:.6g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceProcess:
    """A process that holds memory of an accelerator."""

    pid: int
    """As the host counts."""
    name: str | None
    memory_bytes: int | None
    container_pid: int | None = None
    context_only: bool = False
    """A small context beside its work on another device: every rank of an engine leaves one on NPU 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Npu:
    """The three ways an Ascend device is counted, which differ in containers and between families, and its state."""

    card_id: int | None = None
    """`NPU` of npu-smi, what its `-i` takes. Two dies of A3 share one; on 310P they have gaps."""
    chip_id: int | None = None
    """On its card: what `-c` of npu-smi takes."""
    physical_id: int | None = None
    """N of /dev/davinciN; what containers are given (ASCEND_VISIBLE_DEVICES), and what hccn_tool takes."""
    logical_id: int | None = None
    """What an engine and ASCEND_RT_VISIBLE_DEVICES count; from 0 within a container."""
    soc_version: str | None = None
    """`ascend910_9392`, in lower case, where the tool tells it."""
    health: str | None = None
    """`OK`, `Warning`, `Alarm`, `Critical`, `UNKNOWN`, or what else the tool wrote."""
    fault_codes: tuple[str, ...] = ()
    """Hexadecimal, of a device that is not well; asked of the first few."""
    utilization_percent: int | None = None
    """Of the AI cores (950: of the NPU)."""
    bus_id: str | None = None
    """`0000:c1:00.0`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Accelerator:
    """One accelerator found on this machine."""

    vendor: str
    """`nvidia` or `huawei`."""
    name: str
    index: int
    """NVIDIA: as nvidia-smi counts. Ascend: the physical id, else what the tool numbers devices by."""
    memory_bytes: int | None
    """As the vendor's tool reports it."""
    visible_memory_bytes: int | None
    """What the engine will see (the catalogue's figure when the tool cannot tell)."""
    used_bytes: int | None
    supported: bool
    reason: str = ""
    device_id: str | None = None
    """Id in the catalogue; None when it is not listed there."""
    uuid: str | None = None
    compute_capability: tuple[int, int] | None = None
    mig: bool = False
    """A slice of a GPU; `index` is then the GPU's, and the uuid tells slices apart."""
    visible_memory_assumed: bool = False
    """Whether `visible_memory_bytes` is a fraction of the reported total, the device or its size not being listed."""
    hidden: bool = False
    """Left out by CUDA_VISIBLE_DEVICES or ASCEND_RT_VISIBLE_DEVICES: an engine started from here would not see it."""
    npu: Npu | None = None
    """Of Ascend devices."""
    processes: tuple[DeviceProcess, ...] = ()
    """As far as the tool tells; not asked of NVIDIA's."""

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "vendor": self.vendor,
            "name": self.name,
            "index": self.index,
            "memory_bytes": self.memory_bytes,
            "visible_memory_bytes": self.visible_memory_bytes,
            "used_bytes": self.used_bytes,
            "supported": self.supported,
            "reason": self.reason,
            "device_id": self.device_id,
            "uuid": self.uuid,
            "compute_capability": self.compute_capability and list(self.compute_capability),
            "mig": self.mig,
            "visible_memory_assumed": self.visible_memory_assumed,
            "hidden": self.hidden,
            "npu": asdict(self.npu) if self.npu else None,
            "processes": [asdict(process) for process in self.processes],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """A file system that matters: where selfhost keeps models and engines."""

    path: str
    file_system: str | None
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """The machine itself; what a bundle's target profile needs."""

    hostname: str
    os: str
    kernel: str
    glibc: str | None
    architecture: str
    python: str
    cpu_name: str | None
    cpu_count: int
    """Usable by this process: affinity and cgroup quota."""
    cpu_flags: tuple[str, ...] = ()
    """Of those that matter to the CPU engine: avx2, avx512f, avx512_bf16, amx_bf16, ..."""
    numa_nodes: int = 1
    memory_bytes: int
    """Total, or the cgroup's limit when that is lower."""
    available_memory_bytes: int
    cgroup_memory_limit_bytes: int | None = None
    nvidia_driver: str | None = None
    cuda_ceiling: str | None = None
    """Highest CUDA version the driver runs."""
    ascend_driver: str | None = None
    ascend_firmware: str | None = None
    ascend_firmware_wanted: str | None = None
    """Which firmware the driver goes with, by its own word: `7.0.0 to 8.9.9`."""
    ascend_firmware_fits: bool | None = None
    """Whether driver and firmware go together, as npu-smi says (`Compatibility`)."""
    ascend_install_status: str | None = None
    """`complete` in /etc/ascend_install.info; None where drivers before 24 or a container do not tell."""
    ascend_links: tuple[str, ...] = ()
    """Kinds of links between the NPUs: `HCCS`, `HCCS_SW`, `SIO`, `UB`, `SYS`, ..."""
    cann: str | None = None
    soc_family: str | None = None
    """Of the Ascend devices: `A2`, `A3`, `310P`, `950`; what the engine's image is chosen by."""
    container_engines: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class HardwareSnapshot:
    """Everything `detect` found, once."""

    captured_at: str
    """ISO 8601, UTC."""
    accelerators: tuple[Accelerator, ...]
    host: Host
    notes: tuple[str, ...] = field(default=())
    """What could not be told, and why: a tool that hung, a driver that does not match its library."""
    messages: tuple[Message, ...] = field(default=())
    """The same, to be told apart by their ids."""
    schema_version: int = 1
