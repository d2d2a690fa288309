"""Tokens per second through the front door against the bare engine: 16 streams, the same run.

Run as `python -m tests.bench.bench_front_door [ROUNDS]`; SELFHOST_TEST_ENGINE_PYTHON names the CPU engine's Python.
Each round starts both servers in turn (which one first alternates), on the same tiny model with the same flags, and
streams BATCHES times 16 answers of TOKENS tokens. Prints the medians and their ratio; target: at least 0.97.
The model is so small that the HTTP side is most of the work: a larger model would hide what the door costs.
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

from selfhost.inside import selfhost_launch
from selfhost.serve import keys
from tests.tiny_models import make_tiny_model

STREAMS = 16
TOKENS = 200
BATCHES = 6
DEADLINE_S = 300
TARGET = 0.97


async def stream(port: int, key: str) -> int:
    """Events of one streamed completion, one per token."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = {"model": "tiny", "prompt": "你好", "max_tokens": TOKENS, "ignore_eos": True, "stream": True}
    content = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:500]
    return answer.count(b"data: {")


async def batch(port: int, key: str) -> float:
    """Tokens per second of STREAMS streams at once."""
    started = time.perf_counter()
    events = await asyncio.gather(*(stream(port, key) for _ in range(STREAMS)))
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


def measure(python: Path, model: Path, gate: Path | None) -> list[float]:
    """Tokens per second of each batch on a fresh server; the first batch warms up and is left out."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    command = [str(python), selfhost_launch.__file__, "serve", str(model), "--served-model-name", "tiny"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--max-model-len", "512"]
    key = "none"
    if gate:
        key = keys.write_gate(gate, require_key=True, keys_file=gate.with_name("keys.json"))
        environment["SELFHOST_GATE"] = str(gate)
        command += ["--middleware", "selfhost_gate.Gate"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        wait_until_healthy(process, port)
        return [asyncio.run(batch(port, key)) for _ in range(BATCHES + 1)][1:]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def main() -> None:
    """Alternate, print medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    python = Path(os.environ["SELFHOST_TEST_ENGINE_PYTHON"])
    with tempfile.TemporaryDirectory() as folder:
        model = make_tiny_model(python, "qwen2", Path(folder) / "qwen2")
        gates = {"bare": None, "gated": Path(folder) / "gate.json"}
        measured: dict[str, list[float]] = {"bare": [], "gated": []}
        for number in range(rounds):
            for side in ("bare", "gated") if number % 2 == 0 else ("gated", "bare"):
                found = measure(python, model, gates[side])
                measured[side] += found
                print(f"round {number + 1} {side}: {' '.join(f'{each:.0f}' for each in found)} tokens/s", flush=True)
    medians = {side: statistics.median(values) for side, values in measured.items()}
    print(f"median: bare {medians['bare']:.0f}, gated {medians['gated']:.0f} tokens/s ({STREAMS} streams)")
    print(f"ratio: {medians['gated'] / medians['bare']:.3f} (target: at least {TARGET})")


if __name__ == "__main__":
    main()
