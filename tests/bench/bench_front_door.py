"""Tokens per second through the front door against the bare engine: 16 streams, the same run.

Run as `python -m tests.bench.bench_front_door [PAIRS]`; SELFHOST_TEST_ENGINE_PYTHON names the CPU engine's Python.
One engine is started, on a model so small that the HTTP side is most of the work (a larger one would hide what the door
costs). In turns, 16 streams of TOKENS tokens go past the front door and through it (`front_door_switch`); which of the
two comes first alternates. Prints the medians, and the median of the ratios of the pairs; target: at least 0.97.
Pairs, because on a machine with other work the speed of an engine wanders tenfold from minute to minute.
"""

from __future__ import annotations

import asyncio
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

from selfhost.app.engine_env import INSIDE
from selfhost.serve import keys
from tests.tiny_models import make_tiny_model

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


async def batch(port: int, target: str, key: str) -> float:
    """Tokens per second of STREAMS streams at once."""
    started = time.perf_counter()
    events = await asyncio.gather(*(stream(port, target, key) for _ in range(STREAMS)))
    taken = time.perf_counter() - started
    # The engine may join a few tokens into one event when it is faster than the stream.
    assert min(events) > TOKENS // 4, events
    return STREAMS * TOKENS / taken


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


def main() -> None:
    """Measure in pairs, print medians."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    python = Path(os.environ["SELFHOST_TEST_ENGINE_PYTHON"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    measured: dict[str, list[float]] = {"bare": [], "gated": []}
    with tempfile.TemporaryDirectory() as folder:
        model = make_tiny_model(python, "qwen2", Path(folder) / "qwen2")
        process, key = start(python, model, Path(folder) / "gate.json", port)
        ways = {"bare": ("/v1/completions?bare", "none"), "gated": ("/v1/completions", key)}
        try:
            wait_until_healthy(process, port)
            for number in range(-WARM_UP, pairs):
                for side in ("bare", "gated") if number % 2 == 0 else ("gated", "bare"):
                    speed = asyncio.run(batch(port, *ways[side]))
                    if number >= 0:
                        measured[side].append(speed)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
    for side, speeds in measured.items():
        low, middle, high = statistics.quantiles(speeds, n=4)
        print(f"{side}: median {middle:.0f} tokens/s, middle half {low:.0f} to {high:.0f}, {STREAMS} streams")
    ratios = [gated / bare for bare, gated in zip(measured["bare"], measured["gated"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"ratio gated / bare: median {middle:.3f}, middle half {low:.3f} to {high:.3f} (target: at least {TARGET})")


if __name__ == "__main__":
    main()
