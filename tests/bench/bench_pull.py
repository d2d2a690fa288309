"""Downloading against the hub's own client, from the same local server, in turns: GiB in FILES files of random bytes.

    python -m tests.bench.bench_pull --gib 8 --files 20 --rounds 3 [--limit-mb-s 200] [--pull]

Ours verifies each file against its sha256 and syncs it to the disk. `hf download` does neither: its result is hashed
afterwards (in one thread, as `sha256sum` does), and the time is told with and without that. Which comes first
alternates. With `--pull` ours is `selfhost pull`, otherwise `move_all`; both are child processes, whose start counts.
Targets: 1.0 of `hf download` and hashing; 0.95 of `hf download` alone where the server limits (`--limit-mb-s 200`);
200 MiB of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selfhost.weights.move.pool import move_all
from selfhost.weights.move.types import MoveOptions, Transfer
from selfhost.weights.remote import Address

MODEL = "bench/model"
TARGET_HASHED, TARGET_ALONE, TARGET_MIB = 1.0, 0.95, 200
LIST = "bench-files.json"


class Silent:
    """A `Progress` that says nothing; notes would be a sign that the bench measures retries."""

    def started(self, path, size, have):
        pass

    def moved(self, path, n_bytes):
        pass

    lost = moved

    def note(self, path, text):
        print(path, text, file=sys.stderr)

    def done(self, path):
        pass


def make(root: Path, gib: float, files: int) -> None:
    """The model, once: random bytes, and beside it what a listing tells of them."""
    model = root / MODEL
    size = int(gib * (1 << 30)) // files
    if (root / LIST).exists() and json.loads((root / LIST).read_text())["sizes"] == [size] * files:
        return
    shutil.rmtree(model, ignore_errors=True)
    model.mkdir(parents=True)
    digests = {}
    for name, text in (("config.json", '{"model_type": "llama"}'), ("tokenizer.json", "{}")):
        (model / name).write_text(text)
        digests[name] = hashlib.sha256(text.encode()).hexdigest()
    for number in range(files):
        name, digest = f"model-{number + 1:05}-of-{files:05}.safetensors", hashlib.sha256()
        with (model / name).open("wb") as stream:
            head = safetensors_head(f"tensor.{number}", size)
            digest.update(head)
            stream.write(head)
            for begin in range(len(head), size, 1 << 24):
                data = os.urandom(min(1 << 24, size - begin))
                digest.update(data)
                stream.write(data)
        digests[name] = digest.hexdigest()
    (root / LIST).write_text(json.dumps({"sizes": [size] * files, "digests": digests}))


def safetensors_head(name: str, size: int) -> bytes:
    """Of a file of so many bytes with one tensor in it: `pull` refuses files that are none."""
    begin = 128
    text = json.dumps({name: {"dtype": "U8", "shape": [size - begin], "data_offsets": [0, size - begin]}}).encode()
    return (begin - 8).to_bytes(8, "little") + text.ljust(begin - 8)


def move(root: Path, url: str, folder: Path) -> None:
    """What the child of `ours` does."""
    digests = json.loads((root / LIST).read_text())["digests"]
    transfers = [
        Transfer(
            path=name,
            part=folder / f"{digest}.part",
            size=(root / MODEL / name).stat().st_size,
            sha256=digest,
            git_sha1=None,
            address=lambda name=name: Address(url=f"{url}/{MODEL}/resolve/main/{name}", headers={}),
            present=lambda: False,
        )
        for name, digest in digests.items()
    ]
    move_all(transfers, MoveOptions(), Silent(), lambda transfer, _: transfer.part.rename(folder / transfer.path))


def timed(command: list[str], **settings: str) -> dict[str, float]:
    """Seconds a command takes, of all its processors together, and the most memory it held."""
    # What earlier runs wrote must not slow this one down.
    os.sync()
    began = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return {"seconds": seconds, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mib": usage.ru_maxrss / 1024}


def ours(root: Path, url: str, folder: Path, *, pull: bool) -> dict[str, float]:
    """One run of ours: seconds, and what the child says of itself."""
    if pull:
        command = [sys.executable, "-m", "selfhost", "pull", MODEL, "--quiet"]
        return timed(command, HF_ENDPOINT=url, SELFHOST_HOME=str(folder))
    child = [sys.executable, "-m", "tests.bench.bench_pull", "--root", str(root), "--child", str(folder)]
    return timed([*child, "--server-url", url])


def theirs(url: str, folder: Path) -> dict[str, float]:
    """One run of `hf download`: seconds of it, and of hashing what it made."""
    command = [str(Path(sys.executable).with_name("hf")), "download", MODEL, "--local-dir", str(folder / "model")]
    settings = {"HF_ENDPOINT": url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    settings |= {"HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    run = timed(command, **settings)
    began = time.perf_counter()
    for path in sorted(path for path in (folder / "model").iterdir() if path.is_file()):
        with path.open("rb") as stream:
            hashlib.file_digest(stream, "sha256")
    return {**run, "hashing_s": time.perf_counter() - began}


@contextlib.contextmanager
def serving(root: Path, limit_mb_s: float | None):
    """A hub of our own in another process."""
    command = [sys.executable, "-m", "tests.standins.hub", "--root", str(root), "--port", "0"]
    if limit_mb_s:
        command += ["--limit-mb-s", str(limit_mb_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def compare(root: Path, url: str, work: Path, rounds: int, *, pull: bool) -> None:
    """All rounds, and the medians."""
    total_gb = sum(path.stat().st_size for path in (root / MODEL).iterdir()) / 1e9
    mine: list[dict[str, float]] = []
    other: list[dict[str, float]] = []
    for number in range(rounds):
        for first in (True, False) if number % 2 == 0 else (False, True):
            with tempfile.TemporaryDirectory(dir=work) as folder:
                if first:
                    mine.append(ours(root, url, Path(folder), pull=pull))
                    print(f"round {number + 1}: ours", {key: round(value, 2) for key, value in mine[-1].items()})
                else:
                    other.append(theirs(url, Path(folder)))
                    print(f"round {number + 1}: hf  ", {key: round(value, 2) for key, value in other[-1].items()})
    median = statistics.median
    ours_s, hf_s = median(run["seconds"] for run in mine), median(run["seconds"] for run in other)
    hashed_s = median(run["seconds"] + run["hashing_s"] for run in other)
    print(f"ours           {ours_s:7.2f} s  {total_gb / ours_s:6.3f} GB/s, verified and synced")
    print(f"hf download    {hf_s:7.2f} s  {total_gb / hf_s:6.3f} GB/s, ours {hf_s / ours_s:.2f} of it")
    print(f"hf and hashing {hashed_s:7.2f} s  {total_gb / hashed_s:6.3f} GB/s, ours {hashed_s / ours_s:.2f} of it")
    print(f"peak memory    {max(run['peak_mib'] for run in mine):7.1f} MiB (target {TARGET_MIB})")
    print(f"targets: {TARGET_HASHED} of hf and hashing; {TARGET_ALONE} of hf alone where the server limits")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=8)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit-mb-s", type=float)
    parser.add_argument("--server-url", help="a hub that serves --root already")
    parser.add_argument("--root", type=Path, help="where the model lies or is made; kept")
    parser.add_argument("--work", type=Path, help="where downloads go, and are removed")
    parser.add_argument("--pull", action="store_true")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        move(given.root, given.server_url, given.child)
        return
    with contextlib.ExitStack() as stack:
        root = given.root or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make(root, given.gib, given.files)
        url = given.server_url or stack.enter_context(serving(root, given.limit_mb_s))
        compare(root, url, given.work or root, given.rounds, pull=given.pull)


if __name__ == "__main__":
    main()
