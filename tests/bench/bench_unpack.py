"""Speed of `bundle verify` and `bundle import` beside loops with hashlib over the same files, in turn.

    python -m tests.bench.bench_unpack [GIB] [DIR]

A bundle of 2 GiB (or as given) in eight contents. `verify` is held against hashing the files, with as many threads;
`import` by copy against a loop that copies and hashes, with as many threads, and syncs each file. Aims: 0.9 and 0.85 of
their speed, by the medians; memory of this process at most 200 MiB. The files are read once before the first round.
"""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.app import bundle_verify
from selfhost.bundle import devices, layout, pack, read, unpack
from selfhost.bundle.modelpack import build_index
from selfhost.bundle.write import Content, LinkMode
from selfhost.units import GIB, MIB
from selfhost.weights.blobs import Blobs

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = 8
ROUNDS = 3
AIMS = {"verify": 0.9, "import": 0.85}
MEMORY_MIB = 200


def make(folder: Path, size: int) -> Path:
    """A volume whose contents each repeat a block of their own."""
    contents = []
    for number in range(FILES):
        block, digest, path = os.urandom(MIB), hashlib.sha256(), folder / f"{number}"
        with path.open("wb") as stream:
            for _ in range(size // FILES // MIB):
                stream.write(block)
                digest.update(block)
        contents.append(Content(sha256=digest.hexdigest(), size=path.stat().st_size, source=path))
    volume = pack.VolumePlan(path=folder / layout.volume_name("bench", 1, 1), contents=tuple(contents))
    plan = pack.BundlePlan(
        label="bench",
        serial=1,
        tool="bench",
        models=(),
        base=(),
        have=(),
        index=build_index(()),
        volumes=(volume,),
        link=LinkMode.HARD,
    )
    pack.create(plan, pack.Finishing(read_back=False))
    return volume.path


def plain(path: Path, target: Path | None = None) -> str:
    """As one would write it for one purpose."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(MIB))
    with path.open("rb", buffering=0) as stream:
        if target is None:
            while count := stream.readinto(buffer):
                digest.update(buffer[:count])
            return digest.hexdigest()
        with target.open("wb", buffering=0) as writing:
            while count := stream.readinto(buffer):
                digest.update(buffer[:count])
                writing.write(buffer[:count])
            os.fsync(writing.fileno())
    return digest.hexdigest()


def nothing(*_: object) -> None:
    """Nobody watches."""


def compared(name: str, size: int, folder: Path, actions: dict[str, Callable[[Path | None], None]]) -> float:
    """The ratio of the rates of our way and the plain one, in turn; printed."""
    taken: dict[str, list[float]] = {who: [] for who in actions}
    for _ in range(ROUNDS):
        for who, action in actions.items():
            target = folder / "target" if name == "import" else None
            if target:
                target.mkdir()
            began = time.perf_counter()
            action(target)
            taken[who].append(time.perf_counter() - began)
            if target:
                shutil.rmtree(target)
    rates = {who: size / statistics.median(times) / GIB for who, times in taken.items()}
    ratio = rates[name] / rates["hashlib"]
    print("  ".join(f"{who} {rate:.2f} GiB/s" for who, rate in rates.items()), f" ratio {ratio:.2f} (aim {AIMS[name]})")
    return ratio


def main(size: int, folder: Path) -> None:
    """Print rates and ratios; exit 1 when an aim is missed."""
    volume = make(folder, size)
    bundle = read.open_bundle([volume], lambda *_: "")
    workers = devices.readers(volume.stat().st_dev)
    paths = sorted((volume / layout.BLOBS).iterdir())

    def by_hashlib(target: Path | None) -> None:
        with ThreadPoolExecutor(workers) as pool:
            targets = [target / path.name if target else None for path in paths]
            assert list(pool.map(plain, paths, targets)) == [path.name for path in paths]

    def by_us(target: Path | None) -> None:
        if target is None:
            assert bundle_verify.verify(bundle, nothing, full=True).problem is None
            return
        blobs = Blobs(target / "blobs")
        with blobs.in_use():
            unpack.bring(bundle, blobs, nothing, (), unpack.Copying(clone=False))

    ratios = {name: compared(name, size, folder, {"hashlib": by_hashlib, name: by_us}) for name in AIMS}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{size / GIB:.1f} GiB, {workers} threads, median of {ROUNDS}; memory at most {memory:.0f} MiB")
    if memory > MEMORY_MIB or any(ratios[name] < aim for name, aim in AIMS.items()):
        sys.exit("an aim is missed")


if __name__ == "__main__":
    gib = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as made:
        main(int(gib * GIB), Path(made))
