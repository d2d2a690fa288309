"""Findings about NVIDIA GPUs: the driver's parts, its device files, and how GPUs reach each other.

Their health: `rules_gpu`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.doctor.rules_host import error, note, several_devices, warning
from selfhost.engines.needs import check_driver
from selfhost.errors import MissingError
from selfhost.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.doctor.facts import Facts
    from selfhost.findings import Finding

_CONSUMER = ("GeForce", "RTX 20", "RTX 30", "RTX 40", "RTX 50", "TITAN")
"""No data centre GPUs: CUDA's compatibility library does not run on them. Source: NVIDIA, CUDA Compatibility."""
_P2P_STATUS = {
    1: "the chipset does not do it",
    2: "the GPU does not do it",
    3: "the topology of the bus does not do it",
    4: "switched off by a setting of the driver",
    5: "not supported",
    6: "unknown",
}
_FABRIC_DONE = 3
_SHOWN = 4


def driver(facts: Facts) -> Iterator[Finding]:
    """A driver older than what an installed engine's CUDA needs."""
    version = facts.snapshot.host.nvidia_driver or (facts.cuda and facts.cuda.kernel_driver)
    if not version:
        return
    for spec in {engine.spec.name: engine.spec for engine in facts.engines if engine.complete}.values():
        try:
            check_driver(spec, version)
        except MissingError as failed:
            yield error("driver", failed.message)


def libraries(facts: Facts) -> Iterator[Finding]:
    """Libraries of another driver than the one that is loaded: an update without a reboot, or a mount into a container.

    CUDA says 803, NVML says `Driver/library version mismatch`.
    """
    cuda = facts.cuda
    if cuda is None or cuda.kernel_driver is None or not cuda.libraries:
        return
    if any(library.version == cuda.kernel_driver for library in cuda.libraries):
        others = [library for library in cuda.libraries if library.version != cuda.kernel_driver]
        for library in others:
            values = {"path": library.path, "found": library.version, "loaded": cuda.kernel_driver}
            yield note("driver", Message("doctor_cuda.second_library", values))
        return
    first = cuda.libraries[0]
    values = {"path": first.path, "found": first.version, "loaded": cuda.kernel_driver}
    yield error("driver", Message("doctor_cuda.library_differs", values))


def compatibility(facts: Facts) -> Iterator[Finding]:
    """CUDA's compatibility library on GPUs that it is not for: error 804."""
    if facts.cuda is None or facts.cuda.compat is None:
        return
    names = sorted({
        a.name for a in facts.snapshot.accelerators if a.vendor == "nvidia" and any(c in a.name for c in _CONSUMER)
    })  # fmt: skip
    if names:
        values = {"path": facts.cuda.compat, "names": ", ".join(names)}
        yield error("driver", Message("doctor_cuda.compat", values))


def nodes(facts: Facts) -> Iterator[Finding]:
    """Device files without which CUDA does not start, although NVML answers."""
    if facts.cuda and facts.cuda.missing_nodes and _gpus(facts):
        paths = " ".join(facts.cuda.missing_nodes)
        yield error("devices", Message("doctor_cuda.missing_nodes", {"paths": paths}))


def fabric(facts: Facts) -> Iterator[Finding]:
    """GPUs behind NVSwitches that are not connected: the fabric manager (error 802)."""
    cuda = facts.cuda
    if cuda is None:
        return
    for gpu in cuda.gpus:
        if gpu.fabric_state not in (None, 0, _FABRIC_DONE) or (gpu.fabric_state and gpu.fabric_status):
            state = {1: "not started", 2: "in progress"}.get(gpu.fabric_state, f"failed, status {gpu.fabric_status}")
            yield error(f"GPU {gpu.index}", Message("doctor_cuda.fabric", {"index": gpu.index, "state": state}))
    known = any(gpu.fabric_state == _FABRIC_DONE for gpu in cuda.gpus)
    if cuda.switches and cuda.fabric_manager is False and not known:
        yield error("NVSwitch", Message("doctor_cuda.no_fabric_manager", {"count": cuda.switches}))


def peers(facts: Facts) -> Iterator[Finding]:
    """GPUs that cannot reach each other's memory: slower, not wrong."""
    cuda = facts.cuda
    if cuda is None or not cuda.peers or not several_devices(facts):
        return
    shown = cuda.peers[:_SHOWN]
    pairs = "\n".join(f"GPU {p.one} and {p.other}: {_P2P_STATUS.get(p.status, p.status)}" for p in shown)
    more = f"\nand {len(cuda.peers) - _SHOWN} more pairs" if len(cuda.peers) > _SHOWN else ""
    yield warning("GPUs", Message("doctor_cuda.no_peers", {"pairs": pairs + more}))


def slices(facts: Facts) -> Iterator[Finding]:
    """MIG on some GPUs and not on others: no engine takes both."""
    found = [a for a in facts.snapshot.accelerators if a.vendor == "nvidia" and not a.hidden and a.memory_bytes]
    cut = sorted({a.index for a in found if a.mig})
    whole = sorted({a.index for a in found} - set(cut))
    if cut and whole:
        values = {"cut": ", ".join(map(str, cut)), "whole": ", ".join(map(str, whole))}
        yield warning("MIG", Message("doctor_cuda.mig_mixture", values))


def containers(facts: Facts) -> Iterator[Finding]:
    """What containers need to get GPUs, where there is something that runs containers."""
    here = facts.cuda.containers if facts.cuda else None
    if here is None or not _gpus(facts):
        return
    if not here.toolkit:
        yield warning("containers", Message("doctor_cuda.no_toolkit", {"runtime": here.runtime}))
        return
    for library in here.stale:
        loaded = (facts.cuda and facts.cuda.kernel_driver) or "?"
        values = {"path": library.path, "found": library.version, "loaded": loaded}
        yield error("containers", Message("doctor_cuda.stale_cdi", values))
    if here.devices == 0:
        kind = warning if here.runtime == "podman" else note
        yield kind("containers", Message("doctor_cuda.no_cdi", {"runtime": here.runtime}))


def no_engine(facts: Facts) -> Iterator[Finding]:
    """GPUs, and no engine for them."""
    if _gpus(facts) and not any(e.spec.cuda and e.spec.serves and e.complete for e in facts.engines):
        yield note("engines", Message("doctor_cuda.no_engine"))


def _gpus(facts: Facts) -> bool:
    return any(a.vendor == "nvidia" and a.supported for a in facts.snapshot.accelerators)


RULES = (driver, libraries, compatibility, nodes, fabric, peers, slices, containers, no_engine)
