"""The question about an Ascend stack and its answer: what was found; wanted and found per item; one thing to change."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.columns import table
from selfhost.findings import Finding, Severity
from selfhost.messages import Message, text
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

_LABELS = {
    "chip": "compat.chip",
    "driver_complete": "compat.driver_complete",
    "driver": "compat.driver",
    "firmware": "compat.firmware",
    "vllm_ascend": "compat.vllm_ascend",
    "build": "compat.build",
    "python": "compat.python",
    "cann": "compat.cann",
    "nnal": "compat.nnal",
    "vllm": "compat.vllm",
    "torch": "compat.torch",
    "torch_npu": "compat.torch_npu",
    "triton": "compat.triton",
    "weights": "compat.weights",
    "wheel_chip": "compat.chip",
    "wheel_python": "compat.python",
    "wheel_glibc": "compat.glibc",
    "wheel_machine": "compat.machine",
}


class State(StrEnum):
    """What is known of one item."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a machine and an engine environment have; None is what could not be told."""

    family: str | None = None
    """Chip family as in the catalogue: `A2`, `A3`, `310P`, `950`; another one is unsupported."""
    chip: str = ""
    """The chip's own name."""
    driver: str | None = None
    driver_complete: bool | None = None
    """Whether the driver's installer says that it finished."""
    firmware: str | None = None
    firmware_fits: bool | None = None
    """What npu-smi says of driver and firmware together (`Compatibility`)."""
    cann: str | None = None
    nnal: str | None = None
    cann_looked_for: bool = False
    """Whether the places of CANN and NNAL were looked at: then None is absent."""
    machine: str = ""
    """As `uname -m` says."""
    python: str | None = None
    """Version of the environment's Python."""
    executable: str = "python3"
    """That Python, for commands."""
    packages: Mapping[str, str] | None = None
    """Versions by name in the engine's environment; None: there is none, or it was not looked at."""
    build: str | None = None
    """`__device_type__` that vllm-ascend was built for."""
    weights: str | None = None
    """Method of quantization; empty when weights are not quantized."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One row: what is wanted, what was found."""

    key: str
    wanted: str
    found: str
    state: State
    source: str
    fix: Message | None = None
    """What to do when it is wrong."""
    note: str = ""

    @property
    def label(self) -> str:
        """The item's name for people."""
        return text(_LABELS[self.key])

    def as_dict(self) -> dict[str, str]:
        """For `--json`."""
        shown = {"item": self.key, "wanted": self.wanted, "found": self.found, "state": self.state.value}
        return {**shown, "source": self.source, "note": self.note}


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """All items, from the chip up."""

    release: str
    """The release of vllm-ascend that they are judged for; empty when it is not known."""
    items: tuple[Item, ...]

    @property
    def wrong(self) -> tuple[Item, ...]:
        """Those that do not match."""
        return tuple(item for item in self.items if item.state is State.WRONG)

    @property
    def unknown(self) -> tuple[Item, ...]:
        """Those that could not be told."""
        return tuple(item for item in self.items if item.state is State.UNKNOWN)

    @property
    def remedy(self) -> str:
        """The one thing to change first; empty when nothing is wrong. What rests on it is judged anew after it."""
        first = next((item.fix for item in self.wrong if item.fix), None)
        return first.what if first else ""

    def findings(self) -> tuple[Finding, ...]:
        """For a doctor: what is wrong as errors, in the order of repair; what is only worth knowing as warnings."""
        found = [Finding(severity=Severity.ERROR, where=item.key, message=_message(item)) for item in self.wrong]
        noted = (item for item in self.items if item.note)
        values = [{"item": item.label, "found": item.found, "note": item.note} for item in noted]
        found += [
            Finding(severity=Severity.WARNING, where="stack", message=Message("compat.remark", value))
            for value in values
        ]
        return tuple(found)

    def rows(self) -> list[str]:
        """A table for people."""
        head = (text("compat.column_item"), text("compat.column_wanted"), text("compat.column_found"), "")
        rows = [head, *((one.label, one.wanted, one.found, one.state.value) for one in self.items)]
        return table(rows)

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {"release": self.release, "items": [item.as_dict() for item in self.items], "remedy": self.remedy}


def _message(item: Item) -> Message:
    values = {"item": item.label, "wanted": item.wanted, "found": item.found, "source": item.source}
    return Message("compat.finding", {**values, "fix": item.fix.what if item.fix else ""})
