"""Memory and time of the streaming quantizer on a synthetic checkpoint, beside llm-compressor and a plain copy.

    SELFHOST_TEST_QUANTIZE_PYTHON=... python -m tests.bench.bench_quantize [GIB] [SHARD_GIB] [DIR]

24 GiB in files of 4 GiB (or as given), to FP8 by channel. Once it is killed after a file and resumed: the result has to
be that of a run that was left alone. Then, in turn and from a cold cache: ours; llm-compressor's `model_free_ptq` with
the same scheme; and a loop that reads all bytes, writes as many as the result has, and syncs them. Aims: a peak of at
most two files and 1 GiB, and 1.1 of llm-compressor's time. Needs twice the size on the disk.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selfhost.units import GIB, MIB

INSIDE = Path(__file__).resolve().parents[2] / "selfhost" / "inside"
HIDDEN, WIDTH = 4096, 11008
ROWS = {"q_proj": HIDDEN, "k_proj": 1024, "v_proj": 1024, "o_proj": HIDDEN, "gate_proj": WIDTH, "up_proj": WIDTH}
TIME_AIM = 1.1
THEIRS = """
import sys
from llmcompressor.entrypoints.model_free import model_free_ptq
model_free_ptq(sys.argv[1], sys.argv[2], scheme="FP8_DYNAMIC", ignore=["lm_head"], max_workers=1, device="cpu")
"""


def make(folder: Path, size: int, shard: int) -> None:
    """bf16 weights between 2^-9 and 2^-7; each file is one block of them over and over."""
    folder.mkdir()
    layer = 2 * HIDDEN * sum(ROWS.values())
    count, layers = max(1, size // shard), max(1, shard // layer)
    block = bytearray(os.urandom(64 * MIB))
    block[1::2] = block[1::2].translate(bytes((high & 0x80) | 0x3B + (high & 1) for high in range(256)))
    weight_map = {}
    for number in range(1, count + 1):
        file = f"model-{number:05}-of-{count:05}.safetensors"
        names = {
            f"model.layers.{number * layers + n}.{name}.weight": rows
            for n in range(layers)
            for name, rows in ROWS.items()
        }
        header, end = {}, 0
        for name, rows in names.items():
            header[name] = {"dtype": "BF16", "shape": [rows, HIDDEN], "data_offsets": [end, end + 2 * rows * HIDDEN]}
            end += 2 * rows * HIDDEN
        text = json.dumps(header).encode()
        weight_map |= dict.fromkeys(names, file)
        with (folder / file).open("wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            for at in range(0, end, len(block)):
                stream.write(memoryview(block)[: end - at])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "dtype": "bfloat16"}))


def cold(folder: Path) -> None:
    """Forget the files of a folder."""
    os.sync()
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def ours(python: str, source: Path, target: Path, *, kill: bool = False) -> tuple[dict, int]:
    """The last event, and the peak of the process in bytes as the system counts it."""
    job = target.with_suffix(".json")
    job.write_text(json.dumps({"schema_version": 1, "scheme": "fp8", "source": str(source), "target": str(target)}))
    command = [python, str(INSIDE / "selfhost_quantize_stream.py"), str(job)]
    event: dict = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            event = json.loads(line)
            if kill and event["event"] == "file":
                process.kill()
                break
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    return event, used.ru_maxrss * 1024


def theirs(python: str, source: Path, target: Path) -> int:
    with subprocess.Popen([python, "-c", THEIRS, source, target], stdout=2) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = status
    assert status == 0, "model_free_ptq failed"
    return used.ru_maxrss * 1024


def plain(source: Path, target: Path) -> None:
    target.mkdir()
    buffer = memoryview(bytearray(8 * MIB))
    for path in source.glob("*.safetensors"):
        with path.open("rb", buffering=0) as reading, (target / path.name).open("wb", buffering=0) as writing:
            while count := reading.readinto(buffer):
                writing.write(buffer[: count // 2])
            os.fsync(writing.fileno())


def timed(source: Path, target: Path, action) -> float:
    shutil.rmtree(target, ignore_errors=True)
    cold(source)
    began = time.perf_counter()
    action()
    taken = time.perf_counter() - began
    shutil.rmtree(target)
    return taken


def digests(event: dict) -> dict[str, str]:
    assert event["event"] == "done", event
    return {file["path"]: file["sha256"] for file in event["files"]}


def main(size: int, shard: int, folder: Path) -> None:
    """Print figures; exit 1 when an aim is missed."""
    python = os.environ["SELFHOST_TEST_QUANTIZE_PYTHON"]
    source, target = folder / "source", folder / "target"
    make(source, size, shard)
    files = [path.stat().st_size for path in source.glob("*.safetensors")]
    limit = 2 * max(files) + GIB
    _, first = ours(python, source, target, kill=True)
    resumed, second = ours(python, source, target)
    shutil.rmtree(target)
    alone, third = ours(python, source, target)
    assert digests(resumed) == digests(alone), "a resumed run made other files"
    peak = max(first, second, third)
    print(
        f"{sum(files) / GIB:.1f} GiB in {len(files)} files; killed, resumed with {resumed['kept']} kept: the same files"
    )
    print(f"peak {peak / MIB:.0f} MiB (aim {limit / MIB:.0f})")
    taken = timed(source, target, lambda: ours(python, source, target))
    peaks: list[int] = []
    other = timed(source, target, lambda: peaks.append(theirs(python, source, target)))
    copied = timed(source, target, lambda: plain(source, target))
    print(f"ours {taken:.1f} s; model_free_ptq {other:.1f} s, {peaks[0] / MIB:.0f} MiB; plain copy {copied:.1f} s")
    print(f"ratio {taken / other:.2f} (aim {TIME_AIM}), {taken / copied:.2f} of reading and writing")
    if peak > limit or taken > TIME_AIM * other:
        sys.exit("an aim is missed")


if __name__ == "__main__":
    sizes = [int(float(word) * GIB) for word in sys.argv[1:3]]
    with tempfile.TemporaryDirectory(dir=sys.argv[3] if len(sys.argv) > 3 else None) as made:
        main(*sizes, *(24 * GIB, 4 * GIB)[len(sizes) :], Path(made))
