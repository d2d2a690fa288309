"""Stores with small models in them, and sources that count what is asked of them."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from selfhost.weights import store
from selfhost.weights.blobs import Blobs
from selfhost.weights.digest import PIECE_BYTES
from selfhost.weights.lock import LOCK_NAME, LockedFile, ModelLock, Origin
from tests.tiny_models import safetensors_bytes

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = Origin(kind="huggingface", id="org/tiny", revision="0123456789abcdef0123456789abcdef01234567")
CONFIG = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 8}


def big(seed: int = 0, size: int = 2 * PIECE_BYTES + 12345) -> bytes:
    """Bytes of three pieces; no two blocks are the same."""
    return hashlib.shake_128(seed.to_bytes(4, "little")).digest(size)


def tiny_files(weights: bytes | None = None) -> dict[str, bytes]:
    """A directory that `check` finds whole."""
    data = weights if weights is not None else b"\1" * 32
    tensors = {"model.norm.weight": ("U8", (len(data),), data)}
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors": safetensors_bytes(tensors),
    }


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(home: Path, content: dict[str, bytes], name: str = "tiny", variant: str = "bf16") -> Path:
    """A model in the store under `home`, as a download leaves it."""
    blobs, directory = Blobs(home / "blobs"), store.model_directory(home / "models", name, variant)
    scratch = home / f"scratch-{name}-{variant}"
    scratch.parent.mkdir(parents=True, exist_ok=True)
    locked = []
    with blobs.in_use():
        for path, data in content.items():
            scratch.write_bytes(data)
            digest, size = blobs.copy_in(scratch)
            locked.append(LockedFile(path=path, size=size, sha256=digest))
        scratch.unlink(missing_ok=True)
        lock = ModelLock(recipe=name, variant=variant, source=ORIGIN, files=tuple(locked))
        with store.hold(directory, lambda: None):
            store.publish(directory, lock, blobs)
    return directory


def put_old(home: Path, content: dict[str, bytes], name: str = "old", variant: str = "bf16") -> Path:
    """A model as an older selfhost left it: files of its own, no contents beside."""
    directory = store.model_directory(home / "models", name, variant)
    locked = []
    for path, data in content.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
        locked.append(LockedFile(path=path, size=len(data), sha256=sha(data)))
    lock = ModelLock(recipe=name, variant=variant, source=ORIGIN, files=tuple(locked))
    (directory / LOCK_NAME).write_text(json.dumps(lock.as_dict()))
    return directory


def flip(path: Path, *offsets: int) -> None:
    """Damage bytes in place, as a disk does: the time of the last change stays."""
    info = path.stat()
    with path.open("r+b") as stream:
        for offset in offsets:
            stream.seek(offset)
            byte = stream.read(1)
            stream.seek(offset)
            stream.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


class Source:
    """A source that has these files, and writes down what it was asked for."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content
        self.asked: list[tuple[str, int, int]] = []

    def __call__(self, path: str, begin: int, end: int):
        self.asked.append((path, begin, end))
        data = self.content[path][begin:end]
        yield data[:1000]
        yield data[1000:]
