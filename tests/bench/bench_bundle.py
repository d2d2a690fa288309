"""`bundle create` with hard links: space that a bundle takes on the disk of the store, and how fast it is made.

    python -m tests.bench.bench_bundle [GIB]

A model of 2 GiB (or as given) in eight files is put into a store and packed beside it, once with hard links and once
as a copy. Prints bytes taken (what the file system says, before and after) and seconds. The aim with hard links is at
most 1 % of the model.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from selfhost.bundle.write import LinkMode
from tests.bundle.pack_support import make
from tests.weights.storage_support import put

AIM_FRACTION = 0.01
FILES = 8


def taken(folder: Path) -> int:
    """Bytes of the blocks of every file and folder, each inode once."""
    seen = {}
    for path in (folder, *folder.rglob("*")):
        info = path.lstat()
        seen[info.st_ino] = info.st_blocks * 512
    return sum(seen.values())


def main() -> None:
    """Print one line for each way; exit 1 when the aim is missed."""
    size = round(float(sys.argv[1] if len(sys.argv) > 1 else 2) * (1 << 30))
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        home = Path(folder, "home")
        put(home, {f"model-{n:05}.safetensors": os.urandom(size // FILES) for n in range(FILES)})
        extra = {}
        for link in (LinkMode.HARD, LinkMode.COPY):
            before, begun = taken(Path(folder)), time.perf_counter()
            make(home, Path(folder), link=link, label=link.value)
            seconds, extra[link] = time.perf_counter() - begun, taken(Path(folder)) - before
            rate = size / seconds / 1e9
            print(
                f"{link.value}: {extra[link]:,} bytes more ({extra[link] / size:.4%}), {seconds:.1f} s, {rate:.2f} GB/s"
            )
        print(f"model: {size:,} bytes")
    sys.exit(extra[LinkMode.HARD] > AIM_FRACTION * size)


if __name__ == "__main__":
    main()
