"""Files of a checkpoint beside its weights: headers read, others copied, all digested. Needs nothing but Python."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from selfhost_calibrate_job import INTEGRITY, fail

Shapes = dict[str, tuple[int, ...]]

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".index.json", ".onnx")
_WRITTEN = ("config.json", "recipe.yaml", ".gitattributes")
_HEADER_BYTES = 100_000_000  # the format's own limit


def config_of(source: Path) -> dict[str, Any]:
    """config.json of a checkpoint."""
    try:
        config: dict[str, Any] = json.loads((source / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fail("calibrate.source_unreadable", INTEGRITY, path=str(source / "config.json"), detail=str(error)[:200])
    return config


def shapes_of(source: Path) -> Shapes:
    """Name and shape of each tensor, from the headers alone.

    Format: https://github.com/huggingface/safetensors#format.
    """
    found: Shapes = {}
    for path in sorted(source.glob("*.safetensors")):
        try:
            with path.open("rb") as stream:
                size = int.from_bytes(stream.read(8), "little")
                header = json.loads(stream.read(size)) if size <= _HEADER_BYTES else None
        except (OSError, ValueError) as error:
            fail("calibrate.source_unreadable", INTEGRITY, path=str(path), detail=str(error)[:200])
        if not isinstance(header, dict):
            fail("calibrate.source_unreadable", INTEGRITY, path=str(path), detail="the header is no JSON object")
        found |= {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    if not found:
        fail("calibrate.source_unreadable", INTEGRITY, path=str(source), detail="no *.safetensors in it")
    return found


def copy_others(source: Path, target: Path) -> None:
    """Tokenizer, templates and whatever else belongs to the model, byte by byte; no weights, no reports of selfhost.

    A library that saves a tokenizer writes it anew, and other versions then split text in another way.
    """
    for path in sorted(source.iterdir()):
        skipped = path.name in _WRITTEN or path.name.endswith(_WEIGHTS) or path.name.startswith(("selfhost-", "."))
        if path.is_file() and not skipped:
            shutil.copyfile(path, target / path.name)


def digests(directory: Path) -> list[dict[str, object]]:
    """Path, size and sha256 of every file below a directory, by name."""
    found: list[dict[str, object]] = []
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            relative = path.relative_to(directory).as_posix()
            found.append({"path": relative, "size": path.stat().st_size, "sha256": digest})
    return found
