"""vLLM itself, unchanged, takes a model from a mirror and generates."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from selfhost.app import mirror
from selfhost.home import Home
from tests.tiny_models import make_tiny_model
from tests.weights.storage_support import ORIGIN, put

pytestmark = pytest.mark.e2e

GENERATE = """
import json, sys
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    model = LLM(model=sys.argv[1], revision=sys.argv[2] or None, max_model_len=256, enforce_eager=True)
    answer = model.generate(["who are you?"], SamplingParams(max_tokens=8, temperature=0))
    print("ANSWER" + json.dumps(list(answer[0].outputs[0].token_ids)))
"""


def generate(python, model, revision, env, folder):
    script = folder / "generate.py"
    script.write_text(GENERATE)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SELFHOST_"))}
    clean |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "NO_PROXY": "*", "HOME": str(folder), **env}
    argv = [str(python), str(script), str(model), revision]
    done = subprocess.run(argv, cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=400)
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert lines, done.stdout[-3000:] + done.stderr[-6000:]
    return json.loads(lines[0].removeprefix("ANSWER"))


def test_vllm_loads_a_model_from_a_mirror(engine_python, home, tmp_path):
    directory = make_tiny_model(engine_python, "qwen2", tmp_path / "model") or tmp_path / "model"
    put(home, {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()})
    lines: list[str] = []
    server, _ = mirror.listen(Home(home), mirror.MirrorRequest(host="127.0.0.1", port=0), lines.append)
    with server:
        env = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf")}
        answer = generate(engine_python, "org/tiny", ORIGIN.revision, env, tmp_path)
    assert answer == generate(engine_python, directory, "", {"HF_HUB_OFFLINE": "1"}, tmp_path)
    assert any("model.safetensors HTTP/1.1 200" in line for line in lines)
