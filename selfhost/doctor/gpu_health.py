"""What `nvml_health.py` printed, as records: JSON in, GPUs and pairs out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost.doctor.facts import Gpu, Peers, Process

if TYPE_CHECKING:
    from collections.abc import Callable

_KEPT_PEERS = 64


class Health(NamedTuple):
    """What NVML told."""

    gpus: tuple[Gpu, ...] = ()
    peers: tuple[Peers, ...] = ()
    problem: str = ""
    """Why nothing was told; empty: it was."""


def parse(output: str, name_of: Callable[[int], str], server_of: Callable[[int], str | None]) -> Health:
    """The health of the GPUs; `name_of` tells the name of a process, `server_of` the server that it belongs to."""
    line = next((line for line in reversed(output.splitlines()) if line.startswith("{")), "")
    try:
        said = json.loads(line)
        if error := said.get("error"):
            return Health(problem=str(error))
        gpus = tuple(_gpu(one, name_of, server_of) for one in said["devices"] if "error" not in one)
        peers = tuple(Peers(one=int(a), other=int(b), status=int(s)) for a, b, s in said["peers"][:_KEPT_PEERS])
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        first = next((text.strip() for text in output.splitlines() if text.strip()), "no output")
        return Health(problem=first[:160])
    return Health(gpus, peers)


def _gpu(one: dict[str, Any], name_of: Callable[[int], str], server_of: Callable[[int], str | None]) -> Gpu:
    _, _, pending, failed = one["remapped"] or (0, 0, 0, 0)
    state, status = one["fabric"] or (None, 0)
    processes = tuple(
        Process(pid=int(pid), name=name_of(int(pid)), used_bytes=_int(used), server=server_of(int(pid)))
        for pid, used in one["processes"]
    )
    return Gpu(
        index=int(one["index"]),
        bus_id=str(one["bus_id"]),
        persistence=_bool(one["persistence"]),
        ecc=_bool(one["ecc"]),
        ecc_uncorrected=_int(one["ecc_uncorrected"]),
        ecc_uncorrected_ever=_int(one["ecc_uncorrected_ever"]),
        remap_pending=bool(pending),
        remap_failed=bool(failed),
        retirement_pending=bool(one["retirement_pending"]),
        slowed_by=int(one["slowed_by"] or 0),
        pcie_width=_int(one["pcie_width"]),
        pcie_width_highest=_int(one["pcie_width_highest"]),
        compute_mode=_int(one["compute_mode"]),
        fabric_state=_int(state),
        fabric_status=int(status),
        links_down=tuple(map(int, one["links_down"])),
        processes=processes,
    )


def _int(value: Any) -> int | None:
    return None if value is None else int(value)


def _bool(value: Any) -> bool | None:
    return None if value is None else bool(value)
