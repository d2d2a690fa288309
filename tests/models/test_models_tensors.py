"""Weights per rank against the engine's own model classes, and what must hold for every model."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfhost.models.arch import ModelArch
from selfhost.models.layouts import layout_problems
from selfhost.models.tensors import checkpoint_bytes, parameter_count, rank_weights, stage_layers
from selfhost.units import GIB, MIB

ROOT = Path(__file__).resolve().parents[2]
ORACLE = json.loads((ROOT / "tests/data/oracle/weights-vllm-0.32.0.json").read_text())["results"]
BUILT = [case for case in ORACLE if "bytes" in case]

# The engine drops the zero points of symmetric GPTQ after loading (layers/quantization/auto_gptq.py); the classes on
# the meta device still hold them: for each linear layer inputs/group * outputs / 2 bytes.
DROPPED_AFTER_LOADING = {"Qwen2.5-72B GPTQ tp2": 13_107_200 + 10_485_760 + 76_021_760 + 38_010_880}

LIVE = [
    "Qwen/Qwen2.5-0.5B-Instruct bf16 ",
    "Qwen/Qwen2.5-7B-Instruct bf16 tp2 pp2 pp_rank1",
    "SmolLM2-135M bf16 pp2 1",
    "zai-org/GLM-4-32B-0414 bf16 tp2",
    "zai-org/GLM-4.5-Air bf16 tp2",
    "Qwen/Qwen3-30B-A3B bf16 tp2 pp2 pp_rank1",
    "deepseek-ai/DeepSeek-V2-Lite-Chat bf16 ",
    "deepseek-ai/DeepSeek-V3 bf16 tp8 pp2 pp_rank0",
    "Qwen2.5-72B AWQ tp2",
]


def ours(case: dict) -> int:
    sizes = {name: case[name] for name in ("tp", "pp", "dp", "ep", "pp_rank") if name in case}
    return rank_weights(ModelArch.from_config(case["config"]), **sizes).bytes


def config_of(start: str) -> dict:
    return next(case["config"] for case in ORACLE if case["name"].startswith(start))


@pytest.mark.parametrize("case", BUILT, ids=lambda case: case["name"].strip())
def test_bytes_per_rank_equal_the_engines_own_module_tree(case):
    assert ours(case) + DROPPED_AFTER_LOADING.get(case["name"], 0) == case["bytes"]


@pytest.mark.e2e
def test_the_kept_oracle_results_are_what_the_engine_says_today(engine_python):
    cases = [case for case in BUILT if case["name"] in LIVE]
    assert len(cases) == len(LIVE)
    given_cases = [{k: v for k, v in case.items() if k not in ("bytes", "groups")} for case in cases]
    command = [str(engine_python), str(ROOT / "tests/oracle/meta_weights.py")]
    done = subprocess.run(command, input=json.dumps(given_cases), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = {case["name"]: case.get("bytes") for case in json.loads(done.stdout)["results"]}
    assert said == {case["name"]: case["bytes"] for case in cases}


FP8_BLOCK = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}


def test_deepseek_v3_fp8_has_the_published_size_per_rank():
    arch = ModelArch.from_config({**config_of("deepseek-ai/DeepSeek-V3 bf16 tp8"), "quantization_config": FP8_BLOCK})
    weights = rank_weights(arch, tp=8)
    latent = sum(group.total_bytes for group in weights.groups if group.name == "self_attn.W_UK_W_UV")
    assert latent == 61 * 16 * 256 * 512 * 2  # layers x heads per rank x (128 + 128) x 512 x bf16
    assert (weights.bytes - latent) / GIB == pytest.approx(79.312, abs=0.001)
    assert rank_weights(arch, tp=8, ep=True).bytes / GIB == pytest.approx(79.551, abs=0.002)
    stages = [rank_weights(arch, tp=8, pp=2, pp_rank=rank).bytes / GIB for rank in (0, 1)]
    assert stages == pytest.approx([38.431 + 31 / 256, 40.901 + 30 / 256], abs=0.002)


def test_rounding_of_large_tensors_is_the_allocators():
    arch = ModelArch.from_config(config_of("Qwen/Qwen2.5-72B-Instruct bf16 tp4"))
    # gate_up 231 MiB -> 232, down 115.5 MiB -> 116, 80 layers each; the rest is even or small.
    assert rank_weights(arch, tp=4).rounding_bytes == 120 * MIB


def test_bytes_on_disk_hold_the_layers_of_multi_token_prediction():
    arch = ModelArch.from_config({**config_of("deepseek-ai/DeepSeek-V3 bf16 tp8"), "quantization_config": FP8_BLOCK})
    # 688_574_... bytes: the sum of the safetensors of deepseek-ai/DeepSeek-V3 at 1d044fd, headers aside.
    assert checkpoint_bytes(arch) == pytest.approx(688.57e9, rel=1e-4)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", 494_032_768),
        ("SmolLM2-135M", 134_515_008),
        ("zai-org/glm-4-9b-chat-hf", 9_399_951_360),
        ("zai-org/GLM-4.5-Air", 106_852_245_504),
        ("Qwen/Qwen3-30B-A3B", 30_532_122_624),
        ("deepseek-ai/DeepSeek-V3", 671_026_404_352),
        ("deepseek-ai/DeepSeek-V2-Lite-Chat", 15_706_484_224),
    ],
)
def test_parameter_counts_are_the_published_ones(model, parameters):
    assert parameter_count(ModelArch.from_config(config_of(model))) == parameters


def test_layers_are_spread_over_stages_as_the_engine_does():
    assert [len(stage_layers(61, 2, rank)) for rank in (0, 1)] == [31, 30]
    assert [len(stage_layers(62, 4, rank)) for rank in range(4)] == [15, 16, 16, 15]
    assert [layer for rank in range(3) for layer in stage_layers(10, 3, rank)] == list(range(10))


ARCHS = {case["name"].split()[0]: ModelArch.from_config(case["config"]) for case in BUILT}


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.sampled_from(sorted(ARCHS)), st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4]))
def test_more_ranks_never_hold_more_each(name, tp, pp):
    arch = ARCHS[name]
    if layout_problems(arch, tp=2 * tp, pp=pp) or layout_problems(arch, tp=tp, pp=pp):
        return
    for rank in range(pp):
        narrow = rank_weights(arch, tp=2 * tp, pp=pp, pp_rank=rank).bytes
        assert narrow <= rank_weights(arch, tp=tp, pp=pp, pp_rank=rank).bytes


@pytest.mark.parametrize("name", sorted(ARCHS))
def test_stages_hold_the_whole_model_and_what_is_known_to_be_doubled(name):
    arch = ARCHS[name]
    whole = rank_weights(arch).bytes
    together = sum(rank_weights(arch, pp=2, pp_rank=rank).bytes for rank in (0, 1))
    rotary = next(group.total_bytes for group in rank_weights(arch).groups if group.name == "rotary_emb")
    embedding = next(group.total_bytes for group in rank_weights(arch).groups if group.name == "embed_tokens")
    doubled = rotary
    if arch.tie_word_embeddings:
        doubled += embedding
    if arch.family.embeddings_on_all_stages:
        doubled += 2 * embedding
    assert together - whole == doubled
