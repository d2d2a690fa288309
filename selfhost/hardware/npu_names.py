"""Which device of the catalogue a name is, as npu-smi and torch_npu print it, and why it is none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware import catalog
from selfhost.messages import text
from selfhost.units import MIB

if TYPE_CHECKING:
    from selfhost.hardware.types import Device

_A3 = re.compile(r"Ascend910(?:_93\d\d)?")
_RENAMED: tuple[tuple[re.Pattern[str], dict[int, str], str], ...] = (
    # Drivers with changed names. Patterns: Ascend/mind-cluster component/ascend-common/api (default_name_v2.go).
    (re.compile(r"A2G\d\w*"), {32768: "910B4"}, "910B4-1"),
    (re.compile(r"I2\d\w*"), {}, "310P3"),
    (re.compile(r"310P[157]"), {}, "310P3"),
)
"""Pattern -> by nominal MiB, else: the slowest device of the family; the memory then chooses its board."""
_310B = re.compile(r"310B\d?", re.IGNORECASE)
_310 = re.compile(r"310", re.IGNORECASE)
_SAME_MIB = 1024


class Named(NamedTuple):
    """What a name stands for."""

    shown: str
    """Without the vendor's word, `910C` for a die of A3."""
    device: Device | None
    reason: str
    """Why no engine drives it; empty when one does."""


def resolve(name: str, total_mib: int | None, ddr_mib: int | None = None) -> Named:
    """The device of a name and of the memory that npu-smi reports beside it.

    ddr_mib: total of DDR beside HBM. A plain `910B` with DDR is of the first generation, which began with that name.
    """
    bare = name.removeprefix("Ascend").strip() or name
    if _A3.fullmatch(name):
        return _supported("910C", catalog.match("Ascend910", _bytes(total_mib)))
    for pattern, by_memory, otherwise in _RENAMED:
        if pattern.fullmatch(bare):
            near = (other for mib, other in by_memory.items() if total_mib and abs(mib - total_mib) < _SAME_MIB)
            return _supported(bare, catalog.match(next(near, otherwise), _bytes(total_mib)))
    if _310B.fullmatch(bare):
        return Named(bare, catalog.match("310B4", _bytes(total_mib)), text("hardware.unsupported_310b"))
    if _310.fullmatch(bare):
        return Named(bare, None, text("hardware.unsupported_310"))
    if bare == "910B" and ddr_mib == 0:
        return Named(bare, None, text("hardware.npu_unknown", name=name))
    return _supported(bare, catalog.match(name, _bytes(total_mib)) or catalog.match(bare, _bytes(total_mib)), name)


def _supported(shown: str, device: Device | None, name: str = "") -> Named:
    return Named(shown, device, device.reason if device else text("hardware.npu_unknown", name=name or shown))


def _bytes(mib: int | None) -> int | None:
    return None if mib is None else mib * MIB
