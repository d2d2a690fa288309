"""Known devices: one row each, with its source. A new card is a new row in `nvidia.py`, `huawei.py` or `others.py`.

Two ways in: `lookup` for what a user types after `--on`, `match` for what a vendor's tool reports.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from selfhost.hardware.catalog.huawei import HUAWEI
from selfhost.hardware.catalog.nvidia import NVIDIA
from selfhost.hardware.catalog.others import CPU, OTHERS

if TYPE_CHECKING:
    from selfhost.hardware.types import Device

__all__ = ["CPU", "DEVICES", "ambiguous", "lookup", "match", "nearest", "visible_memory"]

DEVICES: tuple[Device, ...] = (*NVIDIA, *HUAWEI, *OTHERS)

_VENDOR_WORDS = ("nvidia", "tesla", "geforce", "huawei", "ascend", "cambricon", "moorethreads")
_IGNORED = {ord(c): None for c in " \t-_"}
_SAME_MEMORY = 0.05
"""A reported total this near a row's is that row's board; ECC and driver versions move it by less."""
_VISIBLE_FRACTION = {"nvidia": 0.99, "huawei": 0.95}
"""Of the reported total, for a device without a row; about the least seen among data-centre rows of the vendor."""


def _key(text: str) -> str:
    """Case, spaces, dashes and the B of `80GB` do not matter."""
    key = text.lower().translate(_IGNORED)
    return key[:-1] if key.endswith("gb") and key[-3:-2].isdigit() else key


def _bare(key: str) -> str:
    for word in _VENDOR_WORDS:
        key = key.removeprefix(word)
    return key


def _names(device: Device) -> set[str]:
    """Keys of what a vendor's tool, old or new, may call the device."""
    keys = {_key(name) for name in (device.name, *device.aliases)}
    return keys | {_bare(_key(device.name))} if device.vendor == "nvidia" else keys


@cache
def _reported() -> tuple[tuple[Device, frozenset[str]], ...]:
    """Each device with what a vendor's tool may call it."""
    return tuple((device, frozenset(_names(device))) for device in DEVICES)


@cache
def _index() -> dict[str, Device]:
    """Ids win over aliases, aliases over names; a name that begins other ids (`910B`) says too little to count."""
    ids = {_key(device.id): device for device in DEVICES}
    index = dict(ids)
    for device in DEVICES:
        for alias in device.aliases:
            index.setdefault(_key(alias), device)
    for device in DEVICES:
        for name in _names(device):
            if not any(key.startswith(name) for key, other in ids.items() if other is not device):
                index.setdefault(name, device)
    return index


def lookup(text: str) -> Device | None:
    """The device with this id, alias or vendor's name; case, spaces and dashes do not matter. None when unknown.

    >>> [lookup(t).id for t in ("h20", "NVIDIA A100-SXM4-40GB", "Ascend910B3", "rtx 4090")]
    ['H20-96G', 'A100-40G', '910B3-64G', 'RTX4090-24G']
    """
    index, key = _index(), _key(text)
    return index.get(key) or index.get(_bare(key))


def ambiguous(text: str) -> list[str]:
    """Ids of all devices whose id, alias or name begins with `text`, in the order of the catalogue.

    >>> ambiguous("910B")
    ['910B1-64G', '910B2-64G', '910B2C-64G', '910B3-64G', '910B4-32G', '910B4-1-64G', '910-gen1-32G']
    """
    key = _bare(_key(text))
    return [d.id for d in DEVICES if key and any(k.startswith(key) for k in (_key(d.id), *map(_bare, _names(d))))]


def nearest(text: str, count: int = 3) -> list[str]:
    """Ids of the devices whose names look most like `text`; for messages."""
    import difflib

    key = _bare(_key(text))
    found = difflib.get_close_matches(key, _index(), n=4 * count, cutoff=0.3)
    return list(dict.fromkeys(_index()[name].id for name in found))[:count]


def _family_stem(device: Device) -> str:
    return device.id.rpartition("-")[0]


def match(name: str, reported_bytes: int | None) -> Device | None:
    """The row for a name and total as a vendor's tool reports them; None for a name that has no row.

    Boards of one chip share a name or differ in its tail (H20 with 96 and 141 GB), so the memory decides among the rows
    of the chip. A row whose memory differs is still returned when the name is right: the chip is the same, and
    `visible_memory` then goes by the reported total.
    """
    keys = {_key(name), _bare(_key(name))}
    named = [device for device, names in _reported() if keys & names]
    if not named or reported_bytes is None:
        return named[0] if named else None
    if not any(_is_board(d, reported_bytes) for d in named):
        stems = {_family_stem(d) for d in named}
        named += [d for d in DEVICES if _family_stem(d) in stems and _is_board(d, reported_bytes)]
    return min(named, key=lambda d: abs((d.memory_bytes or 0) - reported_bytes))


def _is_board(device: Device, reported_bytes: int) -> bool:
    total = device.memory_bytes
    return total is not None and abs(total - reported_bytes) <= _SAME_MEMORY * total


def visible_memory(device: Device | None, vendor: str, reported_bytes: int | None) -> tuple[int | None, bool]:
    """(bytes the engine will see, whether that is assumed): the row's when the board is, else a part of the total.

    Neither NVML nor npu-smi tells what cudaMemGetInfo and its like will report, which is what engines go by.
    """
    if device is not None and (reported_bytes is None or _is_board(device, reported_bytes)):
        known = device.visible_memory_bytes
        return (known if reported_bytes is None or known is None else min(known, reported_bytes)), False
    if reported_bytes is None:
        return None, True
    return int(reported_bytes * _VISIBLE_FRACTION.get(vendor, 0.95)), True
