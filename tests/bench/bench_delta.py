"""What a second bundle carries when the receiver has the first: after an engine upgrade, after one changed shard.

    python -m tests.bench.bench_delta [MIB] [WHEELHOUSE]

A model of 512 MiB (or as given) in 16 shards goes over with the wheels of an engine, from a folder that has them, or
150 made-up ones. Then one wheel, the largest, is another one; then one shard is. Prints bytes on the medium and their
part of the full bundle. Each second bundle is imported, and the model and the wheels are whole after it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from selfhost.app import bundle_gate, bundle_import, bundle_known
from selfhost.bundle import layout, read
from selfhost.bundle.info import parse_info
from selfhost.bundle.write import LinkMode
from selfhost.engines import wheels
from selfhost.engines.wheel_file import describe
from selfhost.home import Home
from selfhost.units import MIB
from selfhost.weights import store
from tests.bundle.pack_support import make
from tests.bundle.unpack_support import Talk
from tests.tiny_wheels import make_wheel
from tests.weights.storage_support import put, sha, tiny_files

SHARDS = 16
WHEELS = 150


class Carried(NamedTuple):
    """A bundle on a medium."""

    volume: Path
    size: int
    """Bytes of all its files."""
    payload: frozenset[str]
    """sha256 of contents that come from files: not of what is made for a bundle."""


class Site:
    """A sender and a receiver."""

    def __init__(self, folder: Path, content: dict[str, bytes], wheelhouse: Path) -> None:
        self.folder, self.content, self.wheelhouse = folder, content, wheelhouse
        self.sender, self.receiver = Home(folder / "sender"), Home(folder / "receiver")
        put(self.sender.root, content)

    def bundle(self, label: str, have: Path | None = None) -> Carried:
        """Made of what the sender has now."""
        find = wheels.find
        # pip and its lock are not what is measured: all wheels of the folder are taken.
        wheels.find = lambda _spec, found, _machine=None: tuple(describe(path) for path in sorted(found.glob("*.whl")))
        try:
            asked = {"engine": "cpu", "wheelhouse": self.wheelhouse, "link": LinkMode.COPY, "have": have}
            packed = make(self.sender.root, self.folder / "media", label=label, **asked)
        finally:
            wheels.find = find
        volume = packed.volumes[0].path
        info = parse_info((volume / layout.INFO_NAME).read_bytes())
        files = {sha(data) for data in self.content.values()}
        files |= {describe(path).sha256 for path in self.wheelhouse.glob("*.whl")}
        size = sum(path.stat().st_size for path in volume.rglob("*") if path.is_file())
        return Carried(volume, size, frozenset(info.blobs.keys() & files))

    def bring(self, carried: Carried) -> None:
        """Import it; raises when something is lacking then."""
        gate = bundle_gate.Gate(self.receiver, bundle_gate.GateOptions(), lambda _line: None)
        bundle_import.run(read.open_bundle([carried.volume], gate.trusted), gate, self.receiver, Talk())
        directory = self.receiver.models / "tiny" / "bf16"
        assert {file.sha256 for file in store.read_lock(directory).files} == {sha(one) for one in self.content.values()}

    def inventory(self) -> Path:
        """What `bundle inventory` says at the receiver."""
        path = self.folder / "inventory.json"
        path.write_text(json.dumps(bundle_known.inventory(self.receiver)))
        return path

    def upgrade(self) -> str:
        """Another wheel in place of the largest one; its sha256."""
        path = max(self.wheelhouse.glob("*.whl"), key=lambda one: one.stat().st_size)
        other = path.with_suffix(".new")
        shutil.copyfile(path, other)
        with zipfile.ZipFile(other, "a") as archive:
            archive.writestr("upgraded.txt", "another version")
        other.replace(path)
        return describe(path).sha256

    def change_shard(self, name: str) -> str:
        """Other bytes in one shard, as a new revision has; its sha256."""
        self.content = {**self.content, name: self.content[name][:-4] + b"else"}
        shutil.rmtree(self.sender.models)
        put(self.sender.root, self.content)
        return sha(self.content[name])


def made_up(folder: Path, count: int, size: int) -> Path:
    """Wheels of a few sizes."""
    folder.mkdir()
    for number in range(count):
        body = f"x = {os.urandom(size // (1 + number)).hex()!r}\n"
        make_wheel(folder, f"pkg{number}", "1.0", body)
    return folder


def shards(count: int, size: int) -> dict[str, bytes]:
    """A model of as many files, and the small ones beside."""
    names = [f"part-{n:05}.bin" for n in range(count)]
    return {**tiny_files(), **{name: os.urandom(size // count) for name in names}}


def main(size: int, given: Path | None) -> None:
    """Print bytes and ratios."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if given:
            wheelhouse = folder / "wheels"
            shutil.copytree(given, wheelhouse, ignore=lambda _f, names: [n for n in names if not n.endswith(".whl")])
        else:
            wheelhouse = made_up(folder / "wheels", WHEELS, 8 * MIB)
        site = Site(folder, shards(SHARDS, size), wheelhouse)
        full = site.bundle("full")
        site.bring(full)
        carried = {"full": full}
        site.upgrade()
        carried["engine upgrade"] = site.bundle("engine", site.inventory())
        site.bring(carried["engine upgrade"])
        site.change_shard("part-00007.bin")
        carried["one shard"] = site.bundle("shard", site.inventory())
        site.bring(carried["one shard"])
        for name, one in carried.items():
            share = one.size / full.size
            print(f"{name}: {one.size:,} bytes, {len(one.payload)} contents, {share:.2%} of the full bundle")


if __name__ == "__main__":
    main(int(float(sys.argv[1] if len(sys.argv) > 1 else 512) * MIB), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
