"""Speed of `verify` beside plain hashlib: the same files, the same number of threads, in turn; the medians' ratio.

    python -m tests.bench.bench_verify [GIB] [DIR]

Aim: at least 0.9. The files are read once before the first round: what is measured is hashing, not the disk.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from selfhost.units import GIB, MIB
from selfhost.weights.digest import Digest
from selfhost.weights.verify import Reading, Status, Wanted, verify_files

FILES = 8
ROUNDS = 5
AIM = 0.9


def make(folder: Path, size: int) -> list[Wanted]:
    """Files of the same size; each repeats a block of its own."""
    wanted = []
    for number in range(FILES):
        block, digest, name = os.urandom(MIB), hashlib.sha256(), f"{number}.safetensors"
        with (folder / name).open("wb") as stream:
            for _ in range(size // FILES // MIB):
                stream.write(block)
                digest.update(block)
        wanted.append(Wanted(path=name, sha256=digest.hexdigest(), size=size // FILES // MIB * MIB))
    return wanted


def plain(path: Path) -> str:
    """As one would write it for one purpose."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(MIB))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def marks_of(path: Path) -> bytes:
    """As a download leaves them."""
    digest = Digest()
    with path.open("rb") as stream:
        while data := stream.read(MIB):
            digest.update(data)
    return digest.marks


def main(size: int, folder: Path) -> None:
    wanted = make(folder, size)
    workers = len(os.sched_getaffinity(0))
    marks = {file.sha256: marks_of(folder / file.path) for file in wanted}
    reading = Reading(workers=workers, progress=lambda _done, _total: None, marks=lambda sha256: marks[sha256])

    def by_hashlib() -> None:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(plain, [folder / file.path for file in wanted]))
        assert found == [file.sha256 for file in wanted]

    def by_verify() -> None:
        assert all(one.status is Status.OK for one in verify_files(folder, wanted, reading))

    taken: dict[str, list[float]] = {"hashlib": [], "verify": []}
    for _ in range(ROUNDS):
        for name, action in (("hashlib", by_hashlib), ("verify", by_verify)):
            began = time.perf_counter()
            action()
            taken[name].append(time.perf_counter() - began)
    rates = {name: size / statistics.median(times) / GIB for name, times in taken.items()}
    ratio = rates["verify"] / rates["hashlib"]
    print(f"{size / GIB:.1f} GiB, {workers} threads, median of {ROUNDS}")
    print("  ".join(f"{name} {rate:.2f} GiB/s" for name, rate in rates.items()), f" ratio {ratio:.2f}")
    if ratio < AIM:
        sys.exit(f"aim missed: {AIM}")


if __name__ == "__main__":
    gib = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as made:
        main(int(gib * GIB), Path(made))
