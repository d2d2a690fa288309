"""Gated delta nets: which layers they are, what a request keeps in them, and what the engine refuses."""

from __future__ import annotations

import json

import pytest

from selfhost.errors import NoError, UsageError
from selfhost.models.checkpoint import checkpoint_bytes
from selfhost.models.layouts import layout_problems
from selfhost.models.linear_attention import GatedDeltaNet
from selfhost.models.tensors import rank_weights
from selfhost.units import GIB
from tests.models.public_models import DATA, arch, config

NEXT = "Qwen/Qwen3-Next-80B-A3B-Instruct"
DENSE = "Qwen/Qwen3.5-27B"
WEIGHTS = DATA / "oracle" / "weights"
CASES = {
    case["name"]: case
    for family in ("qwen3_next", "qwen3_5")
    for case in json.loads((WEIGHTS / f"{family}.cases.json").read_text())
}
STATES = {
    name: result["states"]
    for family in ("qwen3_next", "qwen3_5")
    for name, result in json.loads((WEIGHTS / f"{family}.results.json").read_text())["results"].items()
    if "states" in result
}


def delta(name: str, **changes: object) -> GatedDeltaNet:
    return next(mixer for mixer in arch(name, **changes).mixers if isinstance(mixer, GatedDeltaNet))


def text(name: str, **changes: object) -> dict:
    """Changes to the nested config of a vision model."""
    nested = {**config(name)["text_config"], **changes}
    return {"text_config": {key: value for key, value in nested.items() if value is not None}}


@pytest.mark.parametrize("name", STATES)
def test_states_are_those_that_the_engine_makes_its_cache_of(name):
    case = CASES[name]
    states = delta(case["model"]).state_shapes(case.get("tp", 1), 2, speculative_tokens=int("mtp" in case))
    assert [list(state) for state in states] == STATES[name]


def test_states_grow_with_speculative_tokens_only_in_the_convolution():
    convolution, recurrent = delta(DENSE).state_shapes(1, 2)
    assert (convolution, recurrent) == ((30_720, 2), (786_432, 4))
    assert delta(DENSE).state_shapes(1, 2, speculative_tokens=2) == ((51_200, 2), recurrent)
    assert delta(DENSE).state_shapes(8, 2) == ((3_840, 2), (98_304, 4))


def test_the_dtype_of_the_recurrent_state_is_the_configs_or_the_models():
    assert delta(NEXT).state_shapes(1, 2)[1].itemsize == 2
    assert delta(DENSE).state_shapes(1, 2)[1].itemsize == 4
    assert delta(DENSE, **text(DENSE, mamba_ssm_dtype="auto")).state_shapes(1, 2)[1].itemsize == 2
    assert delta(DENSE, **text(DENSE, mamba_ssm_dtype=None)).state_shapes(1, 2)[1].itemsize == 2


def test_layers_go_by_their_types_else_by_an_interval():
    listed, counted = arch(DENSE), arch(DENSE, **text(DENSE, layer_types=None))
    assert listed.layers == counted.layers == (0, 0, 0, 1) * 16
    assert arch(NEXT).layers == (0, 0, 0, 1) * 12
    third = arch(NEXT, full_attention_interval=3)
    assert third.layers == (0, 0, 1) * 16


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"layer_types": ["linear_attention"] * 3},
            "`layer_types` is '3 entries'; expected 48 entries, each linear_attention or full_attention",
        ),
        (
            {"layer_types": ["mamba"] * 48},
            "`layer_types` is '48 entries'; expected 48 entries, each linear_attention or full_attention",
        ),
        ({"linear_num_value_heads": 24}, "`linear_num_value_heads` is 24; expected a multiple of the 16 key heads"),
        ({"linear_conv_kernel_dim": None}, "`linear_conv_kernel_dim` is missing"),
        ({"attn_output_gate": "yes"}, "`attn_output_gate` is 'yes'; expected true or false"),
    ],
)
def test_what_cannot_be_is_told(changes, why):
    with pytest.raises(UsageError) as raised:
        arch(NEXT, **changes)
    assert raised.value.message.why == why


def test_an_unknown_dtype_of_states_is_told():
    with pytest.raises(UsageError) as raised:
        arch(DENSE, **text(DENSE, mamba_ssm_dtype="int7"))
    assert raised.value.message.why == "`mamba_ssm_dtype` is 'int7'; expected float32 or float16 or bfloat16 or auto"


def test_weights_are_what_two_h200_logged():
    # `Model loading took 74.2812 GiB` of a public log of 2025-10: the same to 0.3 MiB.
    assert rank_weights(arch(NEXT), tp=2).bytes / GIB == pytest.approx(74.2812, abs=0.0003)


def test_key_heads_of_the_linear_attention_are_divided_too():
    # 32 attention heads and 64 value heads go on 32 ranks; 16 key heads do not.
    said = [problem.what for problem in layout_problems(arch("Qwen/Qwen3.5-397B-A17B"), tp=32)]
    assert "16 key heads of the linear attention cannot be divided by tensor parallel size 32" in said
    assert layout_problems(arch("Qwen/Qwen3.5-397B-A17B"), tp=16) == []


def gates(name: str, tp: int, **changes: object) -> tuple[int, ...]:
    groups = rank_weights(arch(name, **changes), tp=tp).groups
    return next(group.shape for group in groups if group.name == "linear_attn.in_proj_ba.weight")


def test_gptq_and_awq_leave_the_gates_whole_on_every_rank():
    assert gates(DENSE, 4) == (24, 5120)
    assert gates(f"{DENSE}-FP8", 4) == (24, 5120)
    assert gates(f"{DENSE}-GPTQ-Int4", 4) == (96, 5120)
    awq = {"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": ["in_proj_a", "in_proj_b"]}
    assert gates(DENSE, 4, quantization_config=awq) == (96, 5120)
    awq["modules_to_not_convert"] = ["in_proj_ba"]
    assert gates(NEXT, 4, quantization_config=awq) == (16, 2048)


def test_gates_are_small_and_stay_out_of_gptq_even_if_no_rule_says_so():
    gptq = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}
    model = arch(DENSE, quantization_config=gptq)
    names = {group.name for group in rank_weights(model).groups}
    assert {"linear_attn.in_proj_qkvz.qweight", "linear_attn.in_proj_ba.weight"} <= names
    assert "visual.merger.linear_fc1.weight" in names


def test_multi_token_layers_share_embedding_and_head_with_the_model():
    def without(name: str, key: str) -> int:
        changes = text(name, mtp_num_hidden_layers=0) if "text_config" in key else {key: 0}
        return checkpoint_bytes(arch(name)) - checkpoint_bytes(arch(name, **changes))

    assert without(DENSE, "text_config") == 849_398_784
    assert without(f"{DENSE}-GPTQ-Int4", "text_config") == 849_398_784  # `-:.*mtp.*`: not quantized
    # The config of Qwen3-Next does not speak of the layer that its checkpoint has.
    assert without(NEXT, "num_nextn_predict_layers") == 3_300_942_848


def test_half_a_projection_cannot_be_left_out():
    awq = {"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": ["in_proj_a"]}
    with pytest.raises(NoError) as raised:
        arch(DENSE, quantization_config=awq)
    assert raised.value.message.what == (
        "the checkpoint quantizes some of the matrices in `language_model.model.layers.0.linear_attn.in_proj_ba` and "
        "not the others"
    )
