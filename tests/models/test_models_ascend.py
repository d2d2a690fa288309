"""Weights per rank under vllm-ascend: against its own classes tensor by tensor, and against public logs."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from selfhost.hardware.types import Platform
from selfhost.models import ascend
from selfhost.models.kv_plan import CacheLaunch, plan_caches
from selfhost.models.tensors import RankWeights, TensorGroup
from selfhost.quant import ascend as modelslim
from selfhost.units import GIB
from tests.models.public_models import DATA, arch

ON_NPU = CacheLaunch(Platform.ASCEND)

FOLDER = DATA / "oracle" / "ascend"
CASES = [case for file in sorted(FOLDER.glob("*.cases.json")) for case in json.loads(file.read_text())]
RESULTS = {
    name: result
    for file in sorted(FOLDER.glob("*.results.json"))
    for name, result in json.loads(file.read_text())["results"].items()
}
W8A8 = {
    "quant_method": "ascend",
    "types": {"*.kv_b_proj": "FLOAT", "*.self_attn.*": "W8A8", "*.mlp.*": "W8A8_DYNAMIC"},
}

NOT_COUNTED = [
    # Two bytes each.
    r"[.]impl[.](ctkv_scale|q_nope_scale) ",
    # Grows with the batch: planner/ascend_terms.py counts it.
    r"[.]topk_indices_buffer ",
]
NOT_IN_THE_ORACLE = "mlp.experts.expert_map"
"""On the CPU there, since the meta device cannot be read back; 4 bytes per expert and layer."""


def sizes(case: dict) -> dict:
    return {name: case[name] for name in ("tp", "pp", "dp", "ep", "pp_rank") if name in case}


def of(name: str, quantization: dict | None = None):
    return ascend.arch_on_ascend(arch(name, quantization_config=quantization))


def ours(case: dict) -> Counter[int]:
    found: Counter[int] = Counter()
    for group in ascend.rank_weights(of(case["model"], case["quantization_config"]), **sizes(case)).groups:
        if group.name != NOT_IN_THE_ORACLE:
            found[group.bytes_each] += group.count
    return found


def theirs(case: dict) -> Counter[int]:
    result = RESULTS[case["name"]]
    assert result["bytes"] == sum(size for _, size in result["groups"].values())
    found: Counter[int] = Counter()
    for name, (count, size) in result["groups"].items():
        if not any(re.search(pattern, name) for pattern in NOT_COUNTED):
            found[size // count] += count
    return found


def test_every_case_was_built():
    assert [name for name, result in RESULTS.items() if "error" in result] == []
    assert {case["name"] for case in CASES} == set(RESULTS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_every_tensor_of_a_rank_is_one_of_vllm_ascends_own(case, monkeypatch):
    # The cast to the NZ format, which pads, is pretended in the oracle.
    monkeypatch.setattr(modelslim, "_FRACTAL", (1, 1))
    assert ours(case) == theirs(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_the_oracle_does_not_see_is_small(case):
    counted = ascend.rank_weights(of(case["model"], case["quantization_config"]), **sizes(case)).bytes
    assert counted == pytest.approx(sum(size * count for size, count in theirs(case).items()), rel=1e-4, abs=0)


def test_a_narrow_matrix_is_padded_to_whole_fractals():
    """GLM-4.5-Air's dense layer at TP8 is 1368 wide, 85.5 fractals: 8 * 4096 bytes more going down, twice that up."""
    plain = {"quant_method": "ascend", "types": {"*.self_attn.*": "W8A8", "*.mlp.*": "W8A8_DYNAMIC"}}
    groups = {g.name: g for g in ascend.rank_weights(of("zai-org/GLM-4.5-Air", plain), tp=8).groups}
    assert groups["mlp.down_proj.weight"].bytes_each - 1368 * 4096 == 8 * 4096
    assert groups["mlp.gate_up_proj.weight"].bytes_each - 2736 * 4096 == 16 * 4096


def test_the_worked_numbers():
    assert ascend.rank_weights(of("Qwen/Qwen3-0.6B")).bytes == 1_223_557_904
    layout = {"tp": 4, "dp": 4, "ep": True}
    assert ascend.rank_weights(of("deepseek-ai/DeepSeek-V3", W8A8), **layout).bytes == 47_615_315_025


def test_the_allocator_adds_32_bytes_and_rounds_to_512():
    def added(size: int) -> int:
        group = TensorGroup(name="x", count=3, shape=(size,), bytes_each=size)
        return ascend.rounding_bytes(RankWeights(groups=(group,)))

    assert [added(size) for size in (512, 480, 481, 1)] == [3 * 512, 3 * 32, 3 * 543, 3 * 511]


@pytest.mark.parametrize(
    ("name", "layout", "logged_gib", "digit"),
    [
        # docs.vllm.ai/projects/ascend quick start, 910B: "Loading model weights took 1.1397 GB"
        ("Qwen/Qwen3-0.6B", {}, 1.1397, 0.00005),
        # vllm-project/vllm-ascend#9372, 910B4: 27.5376
        ("Qwen/Qwen3-14B", {}, 27.5376, 0.0001),
    ],
)
def test_weights_are_what_logs_say_was_loaded(name, layout, logged_gib, digit):
    weights = ascend.rank_weights(of(name), **layout)
    assert (weights.bytes + ascend.rounding_bytes(weights)) / GIB == pytest.approx(logged_gib, abs=digit)


def test_deepseek_v3_in_w8a8_over_sixteen_is_what_a_log_says_but_for_wider_routers():
    """vllm-project/vllm-ascend#2191, v0.9.1rc2, DP4 TP4 EP: 44.1591. Since then routers are kept in float32."""
    weights = ascend.rank_weights(of("deepseek-ai/DeepSeek-V3", W8A8), tp=4, dp=4, ep=True)
    routers = sum(group.count * group.bytes_each for group in weights.groups if group.name == "mlp.gate.weight")
    assert routers == 58 * 256 * 7168 * 4
    total = weights.bytes + ascend.rounding_bytes(weights)
    assert total / GIB == pytest.approx(44.1591, rel=0.005)
    assert (total - routers // 2) / GIB == pytest.approx(44.1591, rel=0.0005)


@pytest.mark.parametrize("ep", [True, False])
def test_qwen3_235b_in_w8a8_stays_below_what_npu_smi_shows_for_its_process(ep):
    """vllm-project/vllm-ascend#5648, TP8: 29,275 MB for each process, CANN's runtime and HCCL included."""
    dynamic = {"quant_method": "ascend", "types": {"*.self_attn.*": "W8A8", "*.mlp.*": "W8A8_DYNAMIC"}}
    weights = ascend.rank_weights(of("Qwen/Qwen3-235B-A22B", dynamic), tp=8, ep=ep)
    loaded = weights.bytes + ascend.rounding_bytes(weights)
    assert 0.93 < loaded / (29_275 << 20) < 1


@pytest.mark.parametrize(
    ("name", "tp", "available", "tokens"),
    [
        # vllm-project/vllm-ascend#5876: Qwen3-235B at TP16 logs 25,084,186,112 bytes for 521,088 tokens.
        ("Qwen/Qwen3-235B-A22B", 16, 25_084_186_112, 521_088),
        # Quick start: 54.98 GiB for 514,688 tokens.
        ("Qwen/Qwen3-0.6B", 1, 54.98 * GIB, 514_688),
        # Qwen3-Embedding-0.6B, of the same shape, on a 910C with vllm-ascend 0.20.2rc1: a public deployment note.
        ("Qwen/Qwen3-0.6B", 1, 23.15 * GIB, 216_704),
        ("Qwen/Qwen3-0.6B", 1, 53.79 * GIB, 503_552),
        ("Qwen/Qwen3-0.6B", 1, 53.76 * GIB, 503_296),
    ],
)
def test_tokens_that_logs_give_for_what_was_left(name, tp, available, tokens):
    (per_block,) = plan_caches(of(name), ON_NPU._replace(tensor_parallel_size=tp)).groups.bytes_per_block
    blocks = int(available // per_block)
    # Logs round to hundredths of a GiB: so many blocks lie within one.
    unsure = 0 if isinstance(available, int) else int(0.005 * GIB / per_block) + 1
    assert abs(blocks - tokens / 128) <= unsure


def test_sparse_attention_keeps_its_indexers_keys_in_16_bits():
    v32 = of("deepseek-ai/DeepSeek-V3.2-Exp")
    assert plan_caches(v32, ON_NPU).groups.bytes_per_block == (85_888 * 128,)
    two = plan_caches(v32, ON_NPU._replace(tensor_parallel_size=8, pipeline_parallel_size=2))
    assert two.groups.bytes_per_block == (31 * 704 * 2 * 128, 30 * 704 * 2 * 128)


def test_integer_weights_of_compressed_tensors_are_kept_like_those_of_modelslim():
    """Everything W8A8 by one scale per output, as neuralmagic's checkpoints declare it."""
    section = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True},
                "input_activations": {"num_bits": 8, "type": "int", "strategy": "token", "dynamic": True},
            }
        },
        "ignore": ["lm_head"],
    }
    same = {"quant_method": "ascend", "types": {"*": "W8A8_DYNAMIC"}}
    given = ascend.rank_weights(of("Qwen/Qwen3-14B", section), tp=2)
    assert given == ascend.rank_weights(of("Qwen/Qwen3-14B", same), tp=2)
    assert of("Qwen/Qwen3-14B") == arch("Qwen/Qwen3-14B", quantization_config=None)


def test_norms_have_biases_only_where_outliers_were_moved():
    def names(section: dict) -> set[str]:
        return {group.name for group in ascend.rank_weights(of("Qwen/Qwen3-14B", section)).groups}

    dynamic = {"quant_method": "ascend", "types": {"*": "W8A8_DYNAMIC"}}
    static = {"quant_method": "ascend", "types": {"*.self_attn.*": "W8A8", "*.mlp.*": "W8A8_DYNAMIC"}}
    assert "input_layernorm.bias" in names(static)
    assert not [name for name in names(dynamic) if name.endswith("norm.bias")]


def test_a_description_counts_like_the_patterns_it_was_made_by():
    """All 58 * 256 * 3 experts by name, the layer of multi-token prediction among them, as a checkpoint lists them."""
    attention = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
    matrices = ("gate_proj", "up_proj", "down_proj")
    described = {"model.embed_tokens.weight": "FLOAT", "lm_head.weight": "FLOAT"}
    types = tuple(W8A8["types"].items())
    for layer in range(62):
        at = f"model.layers.{layer}"
        names = [f"{at}.self_attn.{name}" for name in attention]
        if layer < 3:
            names += [f"{at}.mlp.{name}" for name in matrices]
        else:
            names += [f"{at}.mlp.experts.{number}.{name}" for number in range(256) for name in matrices]
            names += [f"{at}.mlp.shared_experts.{name}" for name in matrices]
            described[f"{at}.mlp.gate.weight"] = "FLOAT"
        described |= {f"{name}.weight": "FLOAT" if layer == 61 else modelslim.type_of(types, name) for name in names}
    layout = {"tp": 4, "dp": 4, "ep": True}
    counted = ascend.rank_weights(of("deepseek-ai/DeepSeek-V3", modelslim.condensed(described)), **layout)
    assert counted.bytes == ascend.rank_weights(of("deepseek-ai/DeepSeek-V3", W8A8), **layout).bytes


def test_a_description_of_minimax_speaks_in_the_names_of_its_checkpoint():
    """minimax_m2 in vllm-ascend 0.23.0 quantization/modelslim_config.py `get_quant_method`: `mlp` is looked up as
    `block_sparse_moe`, whose matrices are w1, w2 and w3."""
    experts = "model.layers.{}.block_sparse_moe.experts.{}.{}.weight"
    names = [experts.format(layer, 0, matrix) for layer in (0, 1) for matrix in ("w1", "w2", "w3")]
    description = modelslim.condensed(dict.fromkeys(names, "W8A8_DYNAMIC"))
    floating = ascend.rank_weights(of("MiniMaxAI/MiniMax-M2.7"), tp=8, ep=True).bytes
    quantized = ascend.rank_weights(of("MiniMaxAI/MiniMax-M2.7", description), tp=8, ep=True).bytes
    matrices = 62 * 256 // 8 * 3 * 1536 * 3072
    assert floating - quantized == pytest.approx(matrices, rel=0.005)
