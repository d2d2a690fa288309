"""What the tests of `weights.move` share: one file on its way from a server, and rules that bend answers."""

from __future__ import annotations

import hashlib
import random
import threading
from dataclasses import dataclass, field

import pytest

from selfhost.weights.digest import Digest
from selfhost.weights.move.pool import move_all
from selfhost.weights.move.types import MoveOptions, Transfer
from selfhost.weights.remote import Address

MIB = 1 << 20
CONTENT = random.Random(1).randbytes(3 * MIB + 17)
PATH = "/org/model/weights.safetensors"
OPTIONS = MoveOptions(
    connections=4, stall_s=0.4, connect_s=2, attempts=4, range_bytes=MIB, backoff_s=0.01, backoff_max_s=0.02
)


@dataclass
class Told:
    """A `Progress` that remembers."""

    n_moved: int = 0
    n_lost: int = 0
    have: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    on_moved: object = None
    lock: object = field(default_factory=threading.Lock)

    def started(self, path, size, have):
        self.have[path] = have

    def moved(self, path, n_bytes):
        with self.lock:
            self.n_moved += n_bytes
        if self.on_moved:
            self.on_moved(self.n_moved)

    def lost(self, path, n_bytes):
        self.n_lost += n_bytes

    def note(self, path, text):
        self.notes.append(text)

    def done(self, path):
        self.ended.append(path)


class Bench:
    """One file, moved from a server into a folder."""

    def __init__(self, folder, content=CONTENT, path=PATH):
        self.folder, self.content, self.path = folder, content, path
        self.part = folder / "key.part"
        self.final = folder / "final"
        self.told = Told()
        self.results = []
        self.addresses = []

    def transfer(self, server, **changes):
        def address():
            self.addresses.append(1)
            return Address(url=server.url + self.path, headers={"Authorization": "Bearer hf_secret"})

        values = {
            "path": "weights.safetensors",
            "part": self.part,
            "size": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "git_sha1": None,
            "address": address,
            "present": self.final.exists,
        }
        return Transfer(**(values | changes))

    def take(self, transfer, moved):
        if moved is not None:
            transfer.part.rename(self.final)
        self.results.append(moved)

    def run(self, server, options=OPTIONS, **changes):
        move_all([self.transfer(server, **changes)], options, self.told, self.take)
        self.check()

    def check(self):
        assert self.final.read_bytes() == self.content
        if self.results[-1]:
            digest = Digest()
            digest.update(self.content)
            moved = self.results[-1]
            assert (moved.sha256, moved.marks, moved.size) == (digest.hexdigest(), digest.marks, len(self.content))
        assert sorted(path.name for path in self.folder.iterdir() if path.name != "selfhost-home") == ["final"]
        assert self.told.ended


def once(change, when=lambda _request: True):
    """A rule that bends the first answer it fits."""
    left = [1]

    def rule(request, answer):
        if left[0] and when(request):
            left[0] -= 1
            change(request, answer)

    return rule


def set_(**values):
    def change(_request, answer):
        for name, value in values.items():
            setattr(answer, name, value)

    return change


def headers(**values):
    return lambda _request, answer: answer.headers.update({k.replace("_", "-"): v for k, v in values.items()})


def interrupted(bench, server, at=2 * MIB, **changes):
    """Run until so many bytes have come, then fail in the main thread's stead."""

    def stop(n_moved):
        if n_moved >= at:
            raise KeyboardInterrupt

    bench.told.on_moved = stop
    with pytest.raises(KeyboardInterrupt):
        bench.run(server, MoveOptions(connections=1, range_bytes=MIB), **changes)
    bench.told = Told()
