"""Whether the published wheels of vllm-ascend suit a machine; where not, its image does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.engines import compat_data as data
from selfhost.engines.compat_types import Item, State
from selfhost.messages import text

if TYPE_CHECKING:
    from selfhost.engines.needs import Machine

_SOURCE = "names of the wheels of vllm-ascend 0.23.0, and their _build_info.py"


def items(family: str | None, machine: Machine) -> tuple[Item, ...]:
    """Wanted and found: the chip family, the Python, the C library, the kind of machine."""
    pythons = ", ".join(_dotted(python) for python in data.WHEEL_PYTHONS)
    glibc = machine.glibc
    right_python = machine.implementation == "cpython" and machine.python in data.WHEEL_PYTHONS
    return (
        _item("wheel_chip", data.WHEEL_FAMILY, family, fits=None if family is None else family == data.WHEEL_FAMILY),
        _item(
            "wheel_python",
            f"CPython {pythons}",
            f"{machine.implementation} {_dotted(machine.python)}",
            fits=right_python,
        ),
        _item(
            "wheel_glibc",
            f"glibc {_dotted(data.WHEEL_GLIBC)}",
            f"glibc {_dotted(glibc)}" if glibc else text("compat.absent"),
            fits=glibc is not None and glibc >= data.WHEEL_GLIBC,
        ),
        _item(
            "wheel_machine",
            " / ".join(data.WHEEL_MACHINES),
            machine.machine,
            fits=machine.machine in data.WHEEL_MACHINES,
        ),
    )


def _item(key: str, wanted: str, found: str | None, *, fits: bool | None) -> Item:
    state = State.UNKNOWN if fits is None else State.OK if fits else State.WRONG
    return Item(key=key, wanted=wanted, found=found or text("compat.not_told"), state=state, source=_SOURCE)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
