"""What the names of the files of a checkpoint say."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
CONSOLIDATED = "consolidated"
"""Weights in the layout of their vendor begin so."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5")
_NOT_WEIGHTS = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth")
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors", re.ASCII)
_ABSENT_SHARDS = 100_000
_SHOWN = 5


def shown(names: Iterable[str]) -> str:
    """`a, b, c, d, e and 3 more`; `nothing` for none."""
    listed = sorted(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more if listed else "nothing"


def pickles(paths: Iterable[str]) -> list[str]:
    """Those that hold weights as pickles or in other formats that are not opened here."""
    return [path for path in paths if path.endswith(_PICKLES) and path.rpartition("/")[2] not in _NOT_WEIGHTS]


def siblings(paths: Iterable[str]) -> set[str]:
    """All files that the names `model-00001-of-00003.safetensors` ask for, without an index.

    Names come from servers: however many sets of 99,999 they begin, no more than some 100,000 are added to them.
    """
    found = (_SHARD.fullmatch(path) for path in paths)
    sets = Counter((match[1], match[3]) for match in found if match)
    spare = 1 + _ABSENT_SHARDS // max(1, len(sets))
    return {
        f"{stem}-{n:05}-of-{count}.safetensors"
        for (stem, count), there in sets.items()
        for n in range(1, min(int(count), there + spare) + 1)
    }
