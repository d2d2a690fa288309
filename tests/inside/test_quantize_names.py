"""Which modules the quantizer leaves alone, and what it writes into the config: what the engine, and we, read there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from selfhost.quant.formats import Activations, Format
from selfhost.quant.read import quantization_from_config

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "selfhost" / "inside"))

import selfhost_quantize_config as config
import selfhost_quantize_names as names
from selfhost_quantize_events import Refused

LAYER = "model.layers.3"
LEFT = [
    "lm_head",
    f"{LAYER}.mlp.gate",
    f"{LAYER}.mlp.gate.wg",
    f"{LAYER}.block_sparse_moe.gate",
    f"{LAYER}.mlp.shared_expert_gate",
    f"{LAYER}.eh_proj",
    f"{LAYER}.shared_head.head",
    f"{LAYER}.self_attn.indexer.wk",
    f"{LAYER}.linear_attn.in_proj_ba",
    "model.visual.blocks.0.attn.qkv",
    "vision_tower.encoder.layers.0.self_attn.q_proj",
    "multi_modal_projector.linear_1",
]
TABLES = ["model.embed_tokens", "transformer.wte", "model.language_model.embed_tokens", "word_embeddings"]
TAKEN = [
    f"{LAYER}.self_attn.q_proj",
    f"{LAYER}.self_attn.kv_a_proj_with_mqa",
    f"{LAYER}.self_attn.kv_b_proj",
    f"{LAYER}.mlp.gate_proj",
    f"{LAYER}.mlp.gate_up_proj",
    f"{LAYER}.mlp.experts.17.gate_proj",
    f"{LAYER}.mlp.shared_experts.down_proj",
    f"{LAYER}.linear_attn.in_proj_qkvz",
]


def test_what_stays_plain():
    choice = names.choose([*LEFT, *TABLES, *TAKEN], names.entries_of(["llama"], ()))
    assert choice.quantized == set(TAKEN)
    assert choice.entries[:2] == ("lm_head", "gate")
    assert "audio_tower" not in choice.entries, "what the model has not is not listed"


def test_the_users_entries():
    more = ("re:.*layers[.]3[.]mlp[.]gate_up", "model.layers.4", "o_proj")
    modules = [*TAKEN, "model.layers.4.mlp.up_proj", "model.layers.41.mlp.up_proj", f"{LAYER}.self_attn.o_proj"]
    choice = names.choose(modules, names.entries_of([], more))
    left = {f"{LAYER}.mlp.gate_up_proj", "model.layers.4.mlp.up_proj", f"{LAYER}.self_attn.o_proj"}
    assert set(modules) - choice.quantized == left
    assert choice.entries == ("lm_head", *more)
    assert choice.by_pattern == (f"{LAYER}.mlp.gate_up_proj",)


def test_a_list_that_splits_what_the_engine_merges():
    modules = [f"{LAYER}.self_attn.{name}_proj" for name in "qkv"]
    with pytest.raises(Refused) as refused:
        names.choose(modules, ["k_proj"])
    assert refused.value.id == "quantize.merged_differ"
    assert refused.value.params == {"plain": modules[1], "quantized": modules[0]}


@pytest.mark.parametrize(
    ("module", "merged"),
    [
        ("q_proj", True),
        ("v_proj", False),
        ("up_proj", True),
        ("w3", True),
        ("kv_a_proj_with_mqa", False),
        ("o_proj", False),
    ],
)
def test_which_rows_must_end_with_a_block(module, merged):
    assert names.is_merged(f"{LAYER}.x.{module}") is merged


@pytest.mark.parametrize(
    ("scheme", "group", "method", "found", "activations"),
    [
        ("fp8", None, "compressed-tensors", Format.FP8_CHANNEL, Activations.DYNAMIC),
        ("fp8-block", None, "compressed-tensors", Format.FP8_BLOCK, Activations.DYNAMIC),
        ("w8a16", None, "compressed-tensors", Format.INT_GROUP, Activations.PLAIN),
        ("w8a16", 64, "compressed-tensors", Format.INT_GROUP, Activations.PLAIN),
        ("int8", None, "bitsandbytes", Format.INT8_BNB, Activations.PLAIN),
        ("nf4", None, "bitsandbytes", Format.NF4, Activations.PLAIN),
    ],
)
def test_plans_read_what_the_quantizer_writes(scheme, group, method, found, activations):
    entries = names.choose([*LEFT, *TAKEN], names.entries_of([], ())).entries
    section = config.new_section(scheme, entries, group, "bfloat16")
    quantization = quantization_from_config(config.with_section({"model_type": "llama"}, section))
    assert (quantization.method, quantization.format, quantization.activations) == (method, found, activations)
    assert quantization.group_size == group
    assert quantization.block == ((128, 128) if scheme == "fp8-block" else None)
    assert [module for module in (*LEFT, *TAKEN) if quantization.left_out(module)] == LEFT


def test_a_config_without_its_quantization():
    before = {"model_type": "x", "quantization_config": {"quant_method": "fp8"}, "hidden_size": 8}
    nested = {"text_config": {"model_type": "y", "quantization_config": {"quant_method": "fp8", "a": 1}}}
    assert config.section(nested) == {"quant_method": "fp8", "a": 1}
    assert config.with_section({**before, **nested}, None) == {
        "model_type": "x",
        "hidden_size": 8,
        "text_config": {"model_type": "y"},
    }
    assert config.model_types({**before, **nested}) == ["x", "y"]
    assert config.new_section("bf16", (), None, "bfloat16") is None
