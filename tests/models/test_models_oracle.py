"""Weights per rank against the engine's own model classes: every tensor has the size of one of theirs, and theirs of
one of ours, but for what is listed here."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from selfhost.models.tensors import rank_weights
from tests.models.public_models import DATA, arch, tower_mode

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = DATA / "oracle" / "weights"
CASES = [case for file in sorted(WEIGHTS.glob("*.cases.json")) for case in json.loads(file.read_text())]
BUILT = [case for case in CASES if not case.get("refused")]
RESULTS = {
    name: result
    for file in sorted(WEIGHTS.glob("*.results.json"))
    for name, result in json.loads(file.read_text())["results"].items()
}

NOT_AFTER_LOADING = [
    # Deleted once their values are in the four floats each attention layer always has (quantization/kv_cache.py).
    r"[.]attn[.]([qkv]|prob)_(scale|zero_point) ",
    # Marlin does without the zero points of symmetric GPTQ (kernels/linear/mixed_precision/marlin.py); experts keep
    # theirs.
    r"^(?!.*(?<!shared_)experts).*GPTQ.*[.]qzeros ",
    # Made for GPTQ experts that have biases, dropped when the checkpoint has none (quantization/auto_gptq.py).
    r"GPTQ.*routed_experts[.]w(13|2)_bias ",
]
ONLY_AFTER_LOADING = ("self_attn.W_UK_W_UV", "hc_attn_fn_broadcast", "self_attn.q_scale_inv", "self_attn.k_scale_inv")
NOT_COUNTED = [
    # The shape of a packed weight, 16 bytes each; up to 180 KB in Kimi-K2-Thinking.
    r"weight_shape ",
]
LIVE = [
    "deepseek-ai/DeepSeek-V3 tp4 dp2 ep",
    "deepseek-ai/DeepSeek-V3 tp8 pp2 pp_rank1 mtp",
    "deepseek-ai/DeepSeek-V4-Flash tp4 dp2 ep",
    "deepseek-ai/DeepSeek-V4-Flash tp4 pp2 pp_rank1",
    "baidu/ERNIE-4.5-21B-A3B-PT tp2 dp2 ep",
    "zai-org/GLM-4-32B-0414 tp2",
    "zai-org/GLM-4.5-Air-FP8 tp4",
    "zai-org/GLM-4.5V tp8 data",
    "zai-org/GLM-5-FP8 tp8 mtp",
    "zai-org/GLM-5.2-FP8 tp4 pp2 pp_rank1 mtp",
    "tencent/Hunyuan-7B-Instruct tp2",
    "tencent/Hunyuan-A13B-Instruct tp2 dp2 ep",
    "internlm/internlm3-8b-instruct tp4",
    "moonshotai/Kimi-K2-Thinking tp8 pp2 pp_rank0",
    "moonshotai/Kimi-K2.5 tp8",
    "moonshotai/Kimi-K3 tp8",
    "deepseek-ai/DeepSeek-V2-Lite-Chat tp2",
    "meta-llama/Llama-3.3-70B-Instruct FP8 tp4",
    "MiniMaxAI/MiniMax-M2 tp8 ep",
    "Qwen/Qwen2.5-72B-Instruct-AWQ tp2",
    "Qwen/Qwen2.5-VL-7B-Instruct tp2",
    "Qwen/Qwen2.5-Omni-3B tp2",
    "Qwen/Qwen3-235B-A22B-FP8 tp8",
    "Qwen/Qwen3-Next-80B-A3B-Instruct-FP8 tp2 pp2 pp_rank1",
    "Qwen/Qwen3-Next-80B-A3B-Instruct-FP8 tp4 dp2 ep mtp",
    "Qwen/Qwen3.5-27B AWQ mixed tp2",
    "Qwen/Qwen3.5-0.8B pp2 pp_rank1 mtp",
    "HuggingFaceTB/SmolLM2-135M-Instruct pp2 pp_rank1",
    "01-ai/Yi-1.5-9B-Chat tp4",
]
"""Built again when an engine is there, in half a minute: of every family some, of many formats and layouts."""


def sizes(case: dict) -> dict:
    return {name: case[name] for name in ("tp", "pp", "dp", "ep", "pp_rank") if name in case}


def ours(case: dict) -> Counter[int]:
    """Sizes of our tensors and how many have each, without what only exists after loading."""
    changes = {**case.get("changes", {}), **{key: case[key] for key in ("quantization_config",) if key in case}}
    found: Counter[int] = Counter()
    model = replace(arch(case["model"], **changes), drafting=case.get("mtp", False))
    for group in rank_weights(model, **sizes(case), tower=tower_mode(case)).groups:
        if group.name not in ONLY_AFTER_LOADING:
            found[group.bytes_each] += group.count
    return found


def theirs(case: dict) -> Counter[int]:
    """Sizes of the engine's tensors, without what is gone after loading."""
    patterns = [re.compile(pattern) for pattern in (*NOT_AFTER_LOADING, *NOT_COUNTED)]
    result = RESULTS[case["name"]]
    assert result["bytes"] == sum(size for _, size in result["groups"].values())
    found: Counter[int] = Counter()
    for name, (count, size) in result["groups"].items():
        if size and not any(pattern.search(f"{case['name']} {name}") for pattern in patterns):
            found[size // count] += count
    return found


def total(tensors: Counter[int]) -> int:
    return sum(size * count for size, count in tensors.items())


def test_every_case_was_built_or_refused_as_foreseen():
    assert {name: "error" in result for name, result in RESULTS.items()} == {
        case["name"]: case.get("refused", False) for case in CASES
    }


@pytest.mark.parametrize("case", BUILT, ids=lambda case: case["name"])
def test_every_tensor_of_a_rank_is_one_of_the_engines_own_module_tree(case):
    assert ours(case) == theirs(case)


@pytest.mark.parametrize("case", BUILT, ids=lambda case: case["name"])
def test_what_is_left_out_is_small(case):
    assert total(theirs(case)) == pytest.approx(RESULTS[case["name"]]["bytes"], rel=0.009)
    assert "GPTQ" in case["name"] or total(theirs(case)) == pytest.approx(RESULTS[case["name"]]["bytes"], rel=1e-5)


def test_of_every_family_something_is_built_again():
    for file in WEIGHTS.glob("*.cases.json"):
        assert {case["name"] for case in json.loads(file.read_text())} & set(LIVE), file.name


@pytest.mark.e2e
def test_the_kept_results_are_what_the_engine_says_today(engine_python):
    options = [word for name in LIVE for word in ("--case", name)]
    command = [str(engine_python), str(ROOT / "tests/oracle/meta_weights.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["results"] == {name: RESULTS[name] for name in LIVE}
