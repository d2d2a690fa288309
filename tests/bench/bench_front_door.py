"""Tokens per second through the front door against the bare engine: 16 streams, the same run.

Run as `python -m tests.bench.bench_front_door [ROUNDS]`; SELFHOST_TEST_ENGINE_PYTHON names the CPU engine's Python.
One engine is started, on a model so small that the HTTP side is most of the work (a larger one would hide what the door
costs). In turns, 16 streams of TOKENS tokens go past the front door, through it (`front_door_switch`), and past it once
more; which comes first changes. Prints the medians, and the median of the ratios of each round; target: at least 0.97.
Rounds, because on a machine with other work the speed of an engine wanders tenfold from minute to minute; the second
way past the door says what this bench makes of no difference at all. What the processes of the engine take of the cores
for the same tokens wanders less.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from selfhost.app.engine_env import INSIDE
from selfhost.serve import keys
from tests.tiny_models import make_tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterable

STREAMS = 16
TOKENS = 200
WARM_UP = 5
DEADLINE_S = 300
TARGET = 0.97


async def stream(port: int, target: str, key: str) -> int:
    """Events of one streamed completion, one per token."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = {"model": "tiny", "prompt": "你好", "max_tokens": TOKENS, "ignore_eos": True, "stream": True}
    content = json.dumps(body).encode()
    head = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:500]
    return answer.count(b"data: {")


class Speed(NamedTuple):
    """Of STREAMS streams at once."""

    tokens_per_s: float
    cpu_s: float
    """Of all processes of the engine."""


def cpu_seconds(group: int) -> float:
    """What the processes of a group have had of the cores. Source: proc_pid_stat(5), fields 5, 14 and 15."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def batch(port: int, target: str, key: str, group: int) -> Speed:
    """All streams at once."""
    before = cpu_seconds(group)
    started = time.perf_counter()
    events = await asyncio.gather(*(stream(port, target, key) for _ in range(STREAMS)))
    taken = time.perf_counter() - started
    # The engine may join a few tokens into one event when it is faster than the stream.
    assert min(events) > TOKENS // 4, events
    return Speed(STREAMS * TOKENS / taken, cpu_seconds(group) - before)


def wait_until_healthy(process: subprocess.Popen[bytes], port: int) -> None:
    """Poll `/health`, which needs no key."""
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        assert process.poll() is None, "the engine ended"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    msg = f"not healthy within {DEADLINE_S} s"
    raise TimeoutError(msg)


def start(python: Path, model: Path, gate: Path, port: int) -> tuple[subprocess.Popen[bytes], str]:
    """An engine with both ways to it, and the key for the front door."""
    key = keys.write_gate(
        gate, require_key=True, keys_file=gate.with_name("keys.json"), access_log=gate.with_name("access.log")
    )
    folders = f"{INSIDE}{os.pathsep}{Path(__file__).resolve().parent}"
    environment = {**os.environ, "SELFHOST_GATE": str(gate), "PYTHONPATH": folders, "VLLM_CPU_KVCACHE_SPACE": "1"}
    # One thread: several wait for each other at every layer, and whoever else uses a core slows them all.
    environment |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_OMP_THREADS_BIND": "0"}
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--enforce-eager"]
    command += ["--max-model-len", "512", "--middleware", "front_door_switch.Switch"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True), key


def middle(values: Iterable[float]) -> tuple[float, str]:
    """The median, and the middle half in words."""
    low, median, high = statistics.quantiles(values, n=4)
    return median, f"middle half {low:.3f} to {high:.3f}"


def report(measured: dict[str, list[Speed]]) -> None:
    """Print medians of each way, and of its ratios to the bare one."""
    for side, speeds in measured.items():
        tokens = statistics.median(speed.tokens_per_s for speed in speeds)
        cpu = statistics.median(speed.cpu_s for speed in speeds)
        print(
            f"{side}: median {tokens:.0f} tokens/s, {cpu:.3f} s of the cores for {STREAMS} streams of {TOKENS} tokens"
        )
    for side in ("gated", "control"):
        rounds = list(zip(measured["bare"], measured[side], strict=True))
        ratio, spread = middle(other.tokens_per_s / bare.tokens_per_s for bare, other in rounds)
        print(f"tokens/s, {side} / bare: median {ratio:.3f}, {spread}")
        ratio, spread = middle(bare.cpu_s / other.cpu_s for bare, other in rounds)
        print(f"time of the cores, bare / {side}: median {ratio:.3f}, {spread}")
    print(f"target: gated at least {TARGET}; control is the bare way once more")


def main() -> None:
    """Measure in rounds, print medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    python = Path(os.environ["SELFHOST_TEST_ENGINE_PYTHON"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    measured: dict[str, list[Speed]] = {"bare": [], "gated": [], "control": []}
    orders = list(itertools.permutations(measured))
    with tempfile.TemporaryDirectory() as folder:
        model = make_tiny_model(python, "qwen2", Path(folder) / "qwen2")
        process, key = start(python, model, Path(folder) / "gate.json", port)
        past = ("/v1/completions?bare", "none")
        ways = {"bare": past, "gated": ("/v1/completions", key), "control": past}
        try:
            wait_until_healthy(process, port)
            for number in range(-WARM_UP, rounds):
                for side in orders[number % len(orders)]:
                    speed = asyncio.run(batch(port, *ways[side], process.pid))
                    if number >= 0:
                        measured[side].append(speed)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
    report(measured)


if __name__ == "__main__":
    main()
