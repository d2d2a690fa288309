"""What doctor's rules look at. Whatever could not be told is None, and no rule speaks of it."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.engines.specs import EngineSpec
    from selfhost.findings import Finding
    from selfhost.hardware.hccn import HccnDevice
    from selfhost.hardware.types import HardwareSnapshot
    from selfhost.messages import Message

UNLIMITED = (1 << 63) - 1
"""Of a limit that is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """A process that holds memory of an accelerator."""

    pid: int
    name: str
    used_bytes: int | None
    server: str | None = None
    """The server of selfhost that it belongs to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """What NVML tells about one GPU besides what `detect` asks."""

    index: int
    bus_id: str = ""
    """`00000000:3B:00.0`."""
    persistence: bool | None = None
    ecc: bool | None = None
    ecc_uncorrected: int | None = None
    """Since the driver was loaded."""
    ecc_uncorrected_ever: int | None = None
    remap_pending: bool = False
    remap_failed: bool = False
    retirement_pending: bool = False
    slowed_by: int = 0
    """NVML's bits of reasons why clocks are lowered."""
    pcie_width: int | None = None
    pcie_width_highest: int | None = None
    compute_mode: int | None = None
    fabric_state: int | None = None
    """NVML: 0 none, 1 not started, 2 in progress, 3 completed."""
    fabric_status: int = 0
    """NVML's error of the registration; 0: none."""
    links_down: tuple[int, ...] = ()
    """NVLinks that are there and not active."""
    processes: tuple[Process, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Peers:
    """Two GPUs that cannot reach each other's memory."""

    one: int
    other: int
    status: int
    """NVML's nvmlGpuP2PStatus_t, not 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Library:
    """A library of the driver, with the version in its file name."""

    path: str
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerToolkit:
    """How containers get the GPUs."""

    runtime: str
    """`docker`, `podman`: the first that is here."""
    toolkit: bool
    """Whether `nvidia-ctk` is here."""
    devices: int | None = None
    """What `nvidia-ctk cdi list` names; None: not asked, or no answer."""
    stale: tuple[Library, ...] = ()
    """Libraries of the driver that CDI files name, in other versions than the driver's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CudaFacts:
    """The NVIDIA side of a machine."""

    gpus: tuple[Gpu, ...] = ()
    kernel_driver: str | None = None
    """Version of the loaded kernel module."""
    libraries: tuple[Library, ...] = ()
    """`libcuda.so.*` that the dynamic loader can find."""
    compat: str | None = None
    """A folder of CUDA's compatibility library on `LD_LIBRARY_PATH`, or the loader's default for it."""
    peers: tuple[Peers, ...] = ()
    """Pairs without peer access; the first few."""
    switches: int = 0
    """NVSwitches on the PCI bus."""
    fabric_manager: bool | None = None
    """Whether its process runs; None: cannot be told from in here."""
    missing_nodes: tuple[str, ...] = ()
    """Device files without which CUDA does not start."""
    containers: ContainerToolkit | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A device file."""

    path: str
    exists: bool
    usable: bool
    """Whether this user may read and write it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AscendFacts:
    """The Ascend side of a machine."""

    driver_files: bool = True
    """Whether the driver's version.info is there."""
    nodes: tuple[Node, ...] = ()
    """/dev/davinci_manager, devmm_svm, hisi_hdc."""
    davinci: tuple[Node, ...] = ()
    """/dev/davinci0 and the following."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions by name, of the Python that has the engine; empty: none found."""
    python: str = ""
    built_for: str | None = None
    """Chip family that vllm-ascend was compiled for: `A2`, `A3`, `310P`, `950`."""
    absent_preloads: tuple[str, ...] = ()
    """Files that `LD_PRELOAD` names and that are not there."""
    hccn_conf: bool | None = None
    """Whether /etc/hccn.conf is there; None: not a machine that has one."""
    network: tuple[HccnDevice, ...] = ()
    """The network ports of the NPUs, for a report that is compared with those of other nodes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostFacts:
    """The machine around the accelerators."""

    in_container: bool = False
    open_files: int | None = None
    """Hard limit of this user."""
    locked_bytes: int | None = None
    """Soft limit of locked memory."""
    shm_bytes: int | None = None
    """Size of /dev/shm; None: it is not there."""
    shm_free_bytes: int | None = None
    rdma: bool = False
    """Whether there are RDMA devices."""
    oom_kills: int | None = None
    """How often the kernel ended a process of this control group for want of memory."""
    kernel_log: str | None = None
    """Lines about devices and memory; None: this user may not read it."""
    has_name: bool = True
    """Whether this user has an entry in the user database."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Variables that engines look at."""
    numa_balancing: bool | None = None
    now: str = ""
    """ISO 8601, UTC."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """An engine environment of the home."""

    spec: EngineSpec
    path: str
    complete: bool
    current: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """The model that is meant to run here."""

    name: str
    bytes: int
    """All of its weights."""
    stored: bool
    read_bytes_per_s: float | None = None
    """Measured from the disk; None: nothing to measure with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Everything doctor asked."""

    snapshot: HardwareSnapshot
    host: HostFacts
    cuda: CudaFacts | None = None
    """None: nothing of NVIDIA is here."""
    ascend: AscendFacts | None = None
    servers: Mapping[int, str] = field(default_factory=dict)
    """Process -> the server of selfhost that it belongs to."""
    engines: tuple[Engine, ...] = ()
    weights: Weights | None = None
    judged: tuple[Finding, ...] = ()
    """What other judges found: compatibility of versions, the network of NPUs."""
    not_told: tuple[Message, ...] = ()
    """What could not be asked, and why."""
