"""Time from nothing to the first answer: `selfhost serve -d` + `selfhost chat` against the bare engine and one request.

Run as `python -m tests.bench.bench_time_to_answer [ROUNDS]`; SELFHOST_TEST_ENGINE_PYTHON names the CPU engine's
Python. Both sides start the same tiny model with the same engine flags, in turns; prints medians and their difference.
The bare side polls as fast as selfhost does not have to: every 50 ms.
"""

from __future__ import annotations

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

from tests.tiny_models import make_tiny_model

KIND = "qwen2"
FLAGS = ["--max-model-len", "512"]
QUESTION = "你好"
DEADLINE_S = 300


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def post(url: str, body: dict[str, object]) -> dict[str, object]:
    """One JSON request."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def bare(argv: list[str], env: dict[str, str]) -> float:
    """Seconds from starting the engine itself to the end of its first answer."""
    port = free_port()
    argv = [*argv]
    argv[argv.index("--port") + 1] = str(port)
    started = time.monotonic()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(argv, env=env, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        while time.monotonic() - started < DEADLINE_S:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        model = argv[argv.index("--served-model-name") + 1]
        message = {"role": "user", "content": QUESTION}
        post(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            {"model": model, "messages": [message], "max_tokens": 16, "temperature": 0},
        )
        return time.monotonic() - started
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def through_selfhost(directory: Path) -> float:
    """Seconds from `selfhost serve -d` to the end of the first answer of `selfhost chat`."""
    command = [sys.executable, "-m", "selfhost"]
    started = time.monotonic()
    try:
        serve = [*command, "serve", str(directory), "--detach", "--port", "0", "--name", "bench", *FLAGS]
        subprocess.run(serve, check=True, capture_output=True)
        subprocess.run([*command, "chat", "bench", QUESTION], check=True, capture_output=True)
        return time.monotonic() - started
    finally:
        subprocess.run([*command, "stop", "bench"], check=False, capture_output=True)


def bare_command(directory: Path, engine_python: Path) -> tuple[list[str], dict[str, str]]:
    """The plan's own engine line, without selfhost's front door."""
    plan = [sys.executable, "-m", "selfhost", "plan", str(directory), *FLAGS, "--json"]
    planned = json.loads(subprocess.run(plan, check=True, capture_output=True).stdout)
    module = "vllm.entrypoints.openai.api_server"
    argv = [str(engine_python), "-m", module, "--model", *planned["argv"][2:]]
    return argv, {**os.environ, **planned["env"]}


def main() -> None:
    """Run in turns, print medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    engine_python = Path(os.environ["SELFHOST_TEST_ENGINE_PYTHON"])
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / KIND
        make_tiny_model(engine_python, KIND, directory)
        argv, env = bare_command(directory, engine_python)
        times: dict[str, list[float]] = {"bare": [], "selfhost": []}
        for number in range(rounds):
            times["bare"].append(bare(argv, env))
            times["selfhost"].append(through_selfhost(directory))
            print(f"round {number + 1}: " + ", ".join(f"{k} {v[-1]:.1f} s" for k, v in times.items()), flush=True)
    medians = {side: statistics.median(values) for side, values in times.items()}
    print(f"median: bare {medians['bare']:.2f} s, selfhost {medians['selfhost']:.2f} s")
    print(f"difference: {medians['selfhost'] - medians['bare']:+.2f} s (target: at most +2 s)")


if __name__ == "__main__":
    main()
