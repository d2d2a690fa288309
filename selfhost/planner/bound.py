"""What can be said of a model whose architecture is not known: bounds from the bytes of its weights, never a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from selfhost.errors import NoError
from selfhost.messages import text
from selfhost.planner.settings import GPU_MEMORY_UTILIZATION
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from selfhost.hardware.types import Hardware


class Bound(NamedTuple):
    """Bytes of weights on one device."""

    low: int
    """Spread evenly over all devices, as nothing of it is needed twice."""
    high: int
    """All of it on each."""


def weight_bound(total_bytes: int, devices: int) -> Bound:
    """Of weights of `total_bytes` on `devices`. Check: 160 GB on 8 -> 20 GB and 160 GB."""
    return Bound(low=-(-total_bytes // devices), high=total_bytes)


def unknown_architecture(architecture: str, total_bytes: int, hardware: Hardware, *, engine_has_it: bool) -> NoError:
    """The answer for a directory with such a model: what its files allow to say, and that it is no more than that.

    Layers that only speculative decoding loads, and what an engine repacks, are not known here: both bounds are about.
    """
    bound = weight_bound(total_bytes, max(1, hardware.device_count))
    usable = int(hardware.visible_memory_bytes * GPU_MEMORY_UTILIZATION)
    values = {
        "architecture": architecture,
        "hardware": hardware.text,
        "low": format_bytes(bound.low),
        "high": format_bytes(bound.high),
        "usable": format_bytes(usable),
        "engine": text("plan.bound_engine_has" if engine_has_it else "plan.bound_engine_has_not"),
    }
    return NoError("plan.bound_too_large" if bound.low > usable else "plan.bound", **values)
