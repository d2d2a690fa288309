"""What each scheme loses on a real small model, and what the engine answers with it: the table that decides.

    SELFHOST_TEST_QUANTIZE_PYTHON=... SELFHOST_TEST_ENGINE_PYTHON=... \\
        python -m tests.bench.bench_quantize_loss [DIR] [SCHEME...]

SmolLM2-135M (hidden size 576: groups of 64) is pulled, quantized by `selfhost quantize` with each scheme, compared with
its source, and asked by the real CPU engine. DIR keeps it all, so that a second run goes on [a temporary folder]. With
SAMPLES=N in the environment, N blocks of text calibrate [16]. FP8 is not run by that engine: its answer is an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = "smollm2-135m"
SCHEMES = ("w8a8", "w4a16-gptq", "w4a16-awq", "int8", "nf4", "w8a16", "fp8", "fp8-block")
QUESTION = "Complete the sentence: The capital of France is"
ASK = """
import os, sys
if __name__ == "__main__":
    from vllm import LLM, SamplingParams
    engine = LLM(model=sys.argv[1], enforce_eager=True, max_model_len=512, max_num_seqs=1, dtype="bfloat16")
    found = engine.chat([{"role": "user", "content": sys.argv[2]}], SamplingParams(temperature=0, max_tokens=24))
    print("ANSWER", repr(found[0].outputs[0].text), flush=True)
"""
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}


def selfhost(home: Path, *words: str) -> str:
    env = {**os.environ, "SELFHOST_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "selfhost", *words], env=env, check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(f"selfhost {' '.join(words)}: exit code {done.returncode}")
    return done.stdout


def answer(home: Path, directory: Path) -> str:
    script = home / "ask.py"
    script.write_text(ASK)
    command = [os.environ["SELFHOST_TEST_ENGINE_PYTHON"], script, directory, QUESTION]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **QUIET})
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    said = next((line.removeprefix("ANSWER ") for line in lines if line.startswith("ANSWER ")), None)
    return said or f"(exit code {done.returncode}: {lines[-1][-120:] if lines else 'nothing'})"


def make(home: Path, scheme: str) -> tuple[Path, float]:
    """The variant's directory, and the seconds that it took."""
    began = time.monotonic()
    words = ["quantize", MODEL, "--scheme", scheme, "--device", "cpu", "--json"]
    words += ["--engine-python", os.environ["SELFHOST_TEST_QUANTIZE_PYTHON"]]
    words += ["--samples", os.environ.get("SAMPLES", "16")] if scheme.startswith(("w4a16", "w8a8")) else []
    made = json.loads(selfhost(home, *words))
    return Path(made["path"]), time.monotonic() - began


def main(home: Path, schemes: tuple[str, ...]) -> None:
    selfhost(home, "pull", MODEL, "--engine-python", os.environ["SELFHOST_TEST_ENGINE_PYTHON"])
    columns = ("scheme", "MiB", "seconds", "KL", "same first", "perplexity", "worst layer", "answer")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    source = home / "models" / MODEL / "bf16"
    print(f"| bf16 | {_mib(source)} | | | | | | {answer(home, source)} |", flush=True)
    for scheme in schemes:
        directory, seconds = make(home, scheme)
        lost = json.loads((directory / "selfhost-loss.json").read_text())
        (worst, *_) = lost["worst_layers"]
        before, after = lost["perplexity_source"], lost["perplexity_variant"]
        print(
            f"| {scheme} | {_mib(directory)} | {seconds:.0f} | {lost['mean_kl']:.4f} ± {lost['mean_kl_error']:.4f} "
            f"| {100 * lost['top1_agreement']:.1f} % | {before:.2f} -> {after:.2f} "
            f"| {worst['layer']} ({100 * worst['error']:.1f} %) | {answer(home, directory)} |",
            flush=True,
        )


def _mib(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.safetensors")) >> 20


if __name__ == "__main__":
    given = sys.argv[1:]
    folder = Path(given.pop(0)).resolve() if given and given[0] not in SCHEMES else None
    with tempfile.TemporaryDirectory() as temporary:
        main(folder or Path(temporary), tuple(given) or SCHEMES)
