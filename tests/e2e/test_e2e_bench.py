"""`selfhost bench` with the real CPU engine and its load generator: figures, a promise that holds, a broken one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_e2e_serve_directory import processes_of, selfhost
from tests.tiny_models import make_tiny_model

pytestmark = pytest.mark.e2e

SETTINGS = ("--max-model-len", "512", "--max-num-seqs", "16")
SMALL_CACHE = """#!/bin/sh
case " $* " in *" serve "*) set -- "$@" --num-gpu-blocks-override 41 ;; esac
exec {python} "$@"
"""
"""A plan gives a CPU engine room for all its requests; this one gets less than that."""
ROUNDS = ("--concurrency", "1,3", "--num-prompts", "6", "--input-len", "100", "--output-len", "20")


@pytest.mark.usefixtures("long_run")
def test_figures_and_the_promise(engine_home, engine_python, tmp_path):
    model = tmp_path / "tiny"
    make_tiny_model(engine_python, "qwen2", model)
    python = tmp_path / "python"
    python.write_text(SMALL_CACHE.format(python=engine_python))
    python.chmod(0o755)
    selfhost("serve", str(model), "--detach", "--port", "0", "--engine-python", str(python), *SETTINGS)
    try:
        said = json.loads(selfhost("bench", "tiny", *ROUNDS, "--json").stdout)
        assert [(level["concurrency"], level["requests"]) for level in said["levels"]] == [(1, 6), (3, 6)]
        for level in said["levels"]:
            # By the server's own usage: prompts have the very length in its tokens, and answers go to their end.
            assert (level["input_tokens"], level["output_tokens"], level["error_rate"]) == (600, 120, 0)
            first, whole = level["time_to_first_token"], level["end_to_end"]
            assert 0 < first["median_s"] <= first["p99_s"] <= whole["p99_s"] < level["duration_s"]
            assert level["peak"]["preemptions"] == 0
        # 41 blocks of 128 tokens, of which the engine keeps one: ten requests of four blocks.
        assert said["promise"] == {"concurrency": 10, "max_model_len": 512, "source": "measured"}
        assert json.loads(Path(said["path"]).read_text()) == said

        held = json.loads(selfhost("bench", "tiny", "--promise", "--json").stdout)
        assert held["verdict"] == {"holds": "yes", "reasons": []}
        (level,) = held["levels"]
        assert level["input_tokens"] + level["output_tokens"] == 20 * 512
        assert level["peak"]["running"] == 10
        assert level["peak"]["kv_cache_fraction"] > 0.9

        # Had the engine counted more room than there is, requests would lose their places: that is noticed.
        boot = engine_home / "servers" / "tiny" / "boot.json"
        measured = json.loads(boot.read_text())
        measured["measured"]["max_concurrency"] = 16.5
        boot.write_text(json.dumps(measured))
        broken = selfhost("bench", "tiny", "--promise", "--json", check=False)
        assert broken.returncode == 3
        assert "preemptions: the KV cache was full" in broken.stderr
        said = json.loads(broken.stdout)
        assert (said["verdict"]["holds"], said["promise"]["concurrency"]) == ("no", 16)
        assert said["levels"][0]["peak"]["preemptions"] > 0
        assert said["levels"][0]["completed"] == 32
    finally:
        selfhost("stop", "tiny")
    assert processes_of(engine_home) == []
