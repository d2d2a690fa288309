"""Time of `selfhost plan DIR --on 8xH20 --json` against a Typer app of two commands that prints one line.

    python -m tests.bench.bench_plan_startup

Whole processes, alternating, seven of each; prints both medians and their ratio. The aim is at most 1.6.
"""

from __future__ import annotations

import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 7
AIM = 1.6

TYPER_APP = """
import typer

app = typer.Typer()


@app.command()
def hello():
    print("one line")


@app.command()
def other():
    print("another line")


app()
"""

CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 152064,
}


def seconds(argv: list[str]) -> float:
    """Wall time of one process, which must succeed and print something."""
    start = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(argv, capture_output=True, check=False, env=environment)
    taken = time.perf_counter() - start
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout
    return taken


def main() -> None:
    """Print the two medians and their ratio; exit 1 above the aim."""
    compileall.compile_dir(Path(__file__).parents[2] / "selfhost", quiet=2)  # as any install does
    with tempfile.TemporaryDirectory() as folder:
        app, model = Path(folder) / "app.py", Path(folder) / "model"
        app.write_text(TYPER_APP)
        model.mkdir()
        (model / "config.json").write_text(json.dumps(CONFIG))
        plain = [sys.executable, str(app), "hello"]
        plan = [sys.executable, "-m", "selfhost", "plan", str(model), "--on", "8xH20", "--json"]
        seconds(plain)
        seconds(plan)  # once, so that neither pays for writing byte code
        pairs = [(seconds(plain), seconds(plan)) for _ in range(RUNS)]
    base, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"typer app {base * 1000:.0f} ms, selfhost plan {ours * 1000:.0f} ms, ratio {ours / base:.2f} (aim {AIM})")
    sys.exit(ours / base > AIM)


if __name__ == "__main__":
    main()
