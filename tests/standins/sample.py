"""What the stand-ins' own tests have as models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = bytes(range(256)) * 4000
"""1_024_000 bytes."""
SHARD, SMALL, DEEP, EMPTY = "model.safetensors", "config.json", "sub/deep/notes.txt", "empty.txt"
CONFIG = json.dumps({"model_type": "tiny"}).encode()
FILES = {SHARD: WEIGHTS, SMALL: CONFIG, DEEP: b"notes\n", EMPTY: b""}


def write(directory: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def content(directory: Path) -> dict[str, bytes]:
    """The files under a directory; not those of the clients' own, which begin with a dot."""
    paths = [path for path in directory.rglob("*") if path.is_file()]
    found = {path.relative_to(directory): path.read_bytes() for path in paths}
    return {path.as_posix(): data for path, data in found.items() if not any(part[0] == "." for part in path.parts)}
