"""Bytes per second that a mirror gives on this machine, over loopback: `python tests/bench/bench_mirror.py`.

A file of 2 GiB in the page cache, read by curl into nothing, once alone and four at a time.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from selfhost.app import mirror
from selfhost.home import Home
from tests.weights.storage_support import put

SIZE = 2 << 30
ROUNDS = 3


def main() -> None:
    curl = shutil.which("curl") or sys.exit("curl is missing: install the Debian package curl")
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), {"model.bin": bytes(SIZE)})
        request = mirror.MirrorRequest(host="127.0.0.1", port=0)
        server, _ = mirror.listen(Home(Path(folder)), request, lambda _line: None)
        with server:
            argv = [curl, "-sS", "--noproxy", "*", "-o", "/dev/null", f"{server.url}/org/tiny/model.bin"]
            for at_once in (1, 4):
                best = 0.0
                for _ in range(ROUNDS):
                    begun = time.monotonic()
                    for process in [subprocess.Popen(argv) for _ in range(at_once)]:
                        assert process.wait() == 0
                    best = max(best, at_once * SIZE / (time.monotonic() - begun))
                print(f"{at_once} at a time: {best / 1e9:.2f} GB/s")


if __name__ == "__main__":
    main()
