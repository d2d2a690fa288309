"""A model in DeepSeek's FP8, made into bfloat16 in the quantize environment, answers in the real CPU engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_models import ANSWER, make_tiny_model

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
SELFHOST = [sys.executable, "-m", "selfhost"]


@pytest.mark.usefixtures("engine_home")
def test_fp8_is_made_into_bfloat16_and_served(engine_python, quantize_python, tmp_path):
    source, target, job = (
        make_tiny_model(engine_python, "deepseek_v3", tmp_path / "fp8"),
        tmp_path / "bf16",
        tmp_path / "job.json",
    )
    subprocess.run([quantize_python, ROOT / "tests" / "inside" / "quantize_there.py", "into-fp8", source], check=True)
    job.write_text(json.dumps({"schema_version": 1, "scheme": "bf16", "source": str(source), "target": str(target)}))
    script = ROOT / "selfhost" / "inside" / "selfhost_quantize_stream.py"
    done = subprocess.run([quantize_python, script, job], capture_output=True, text=True, check=True)
    last = json.loads(done.stdout.splitlines()[-1])
    # The file of the source that holds nothing but scales has no counterpart.
    assert [file["path"] for file in last["files"] if file["path"].endswith(".safetensors")] == [
        "model-00001-of-00002.safetensors"
    ]

    subprocess.run(
        [*SELFHOST, "serve", target, "--detach", "--port", "0", "--max-model-len", "512"], check=True, timeout=300
    )
    try:
        asked = [*SELFHOST, "chat", "bf16", "你好, who are you?"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=120)
    finally:
        subprocess.run([*SELFHOST, "stop", "bf16"], check=True, timeout=120)
    assert answer.stdout.strip() == ANSWER
