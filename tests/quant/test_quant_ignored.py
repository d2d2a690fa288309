"""Names of modules that are not quantized, matched as each method of the engine matches them."""

from __future__ import annotations

import pytest

from selfhost.errors import NoError
from selfhost.quant.ignored import left_out, renamed
from selfhost.quant.schemes import quantization_from_config

QKV = "model.layers.3.self_attn.qkv_proj"
SHARDS = tuple(f"model.layers.3.self_attn.{x}_proj" for x in "qkv")
EXPERTS = "model.layers.3.mlp.experts"
FIRST = tuple(f"{EXPERTS}.0.{x}_proj" for x in ("gate", "up"))


@pytest.mark.parametrize(
    ("method", "ignored", "module", "shards", "left"),
    [
        ("fp8", (QKV,), QKV, SHARDS, True),
        ("fp8", SHARDS, QKV, SHARDS, True),
        ("fp8", ("self_attn.qkv_proj", "qkv_proj", "model.layers.3"), QKV, SHARDS, False),
        ("fp8", ("visual",), "visual.blocks.0.attn.qkv", (), False),
        ("fp8", ("visual.blocks.0.attn.qkv",), "visual.blocks.0.attn.qkv", (), True),
        ("fp8", (f"{EXPERTS}.7.down_proj",), EXPERTS, FIRST, True),
        ("fp8", ("model.layers.3.mlp.gate",), EXPERTS, FIRST, False),
        ("awq", ("visual",), "visual.blocks.0.attn.qkv", (), True),
        ("awq", ("model.layers.3.",), QKV, SHARDS, True),
        ("awq", ("model.layers.3",), "model.layers.30.mlp.down_proj", (), True),
        ("awq", ("model.layers.3.",), "model.layers.30.mlp.down_proj", (), False),
        ("awq", ("q_proj", "k_proj", "v_proj"), QKV, SHARDS, True),
        # The router's name is part of the other's: the engine then leaves that out too.
        ("awq", ("mlp.gate",), "model.layers.3.mlp.gate_up_proj", (), True),
        ("awq", ("mlp.experts",), EXPERTS, FIRST, True),
        ("awq", ("layers.3.mlp",), EXPERTS, FIRST, True),
        ("awq", ("layers.4.mlp",), EXPERTS, FIRST, False),
        ("compressed-tensors", ("re:.*self_attn.*",), QKV, SHARDS, True),
        ("compressed-tensors", ("re:self_attn.*",), QKV, SHARDS, False),
        ("compressed-tensors", ("re:.*[qkv]_proj$",), QKV, SHARDS, True),
        ("compressed-tensors", SHARDS, QKV, SHARDS, True),
        ("compressed-tensors", ("self_attn.qkv_proj",), QKV, SHARDS, False),
        ("compressed-tensors", ("re:.*experts.*",), EXPERTS, FIRST, True),
        ("compressed-tensors", FIRST[:1], EXPERTS, FIRST, False),
        ("gptq", ("re:.*attn.*",), QKV, SHARDS, True),
        ("gptq", ("re:.*[.][qkv]_proj",), QKV, SHARDS, True),
        ("gptq", ("re:.*shared_expert.*",), EXPERTS, FIRST, False),
        ("gptq", ("re:.*experts.*",), EXPERTS, FIRST, True),
        ("another", ("qkv_proj",), QKV, SHARDS, True),
        ("another", ("self_attn.qkv_proj",), QKV, SHARDS, True),
        ("another", ("*.self_attn.*",), QKV, SHARDS, True),
        ("another", ("lm_head",), QKV, SHARDS, False),
        ("another", ("mlp",), EXPERTS, FIRST, True),
        ("bitsandbytes", ("self_attn",), QKV, SHARDS, True),
        ("bitsandbytes", ("model.layers.3",), QKV, SHARDS, True),
        ("bitsandbytes", ("self_attn.qkv_proj",), QKV, SHARDS, False),
        ("bitsandbytes", ("q_proj", "k_proj", "v_proj"), QKV, SHARDS, True),
        ("modelopt", ("model.layers.3*",), QKV, SHARDS, True),
        ("modelopt", ("self_attn",), QKV, SHARDS, True),
        ("modelopt", ("*.mlp.*",), QKV, SHARDS, False),
    ],
)
def test_each_method_reads_its_list_in_its_way(method, ignored, module, shards, left):
    assert left_out(method, ignored)(module, shards) is left


@pytest.mark.parametrize(
    ("method", "ignored"),
    [
        ("fp8", SHARDS[:2]),
        ("awq", ("q_proj",)),
        ("compressed-tensors", ("re:.*q_proj$",)),
        ("gptq", ("re:.*q_proj$",)),
    ],
)
def test_what_the_engine_merges_is_left_out_as_a_whole(method, ignored):
    with pytest.raises(NoError) as raised:
        left_out(method, ignored)(QKV, SHARDS)
    assert raised.value.message.id == "arch.shards_differ"
    assert QKV in raised.value.message.what


def test_names_of_checkpoints_become_those_of_the_engine():
    renames = (("model.language_model.", "language_model.model."), ("model.visual.", "visual."), ("model.", "old."))
    names = ["model.language_model.layers.0.mlp", "model.visual.merger", "model.visual", "lm_head", "re:model.visual.*"]
    assert renamed(names, renames) == (
        "language_model.model.layers.0.mlp",
        "visual.merger",
        "old.visual",
        "lm_head",
        "re:model.visual.*",
    )


def gptq(**section: object):
    common = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    return quantization_from_config({"quantization_config": {**common, **section}})


def test_rules_of_gptq_exclude_or_give_another_format():
    rules = {"lm_head": {}, "-:.*attn.*": {}, "+:.*mlp.*": {"bits": 4}}
    assert gptq(dynamic=rules).ignored == ("re:.*attn.*",)
    mixed = gptq(dynamic={"-:.*attn.*": {}, "+:.*mlp.*": {"bits": 8}, "-:.*down_proj": {}})
    assert mixed.of("model.layers.0.self_attn.o_proj") is None
    assert mixed.of("model.layers.0.mlp.down_proj").bits == 8, "the first rule that matches counts"
    assert mixed.of("model.layers.0.mixer.out_proj") is mixed


def test_fp8_checkpoints_may_call_their_list_either_way():
    section = {"quant_method": "fp8", "ignored_layers": ["a"], "modules_to_not_convert": ["b"]}
    assert quantization_from_config({"quantization_config": section}).ignored == ("a",)


def test_gptq_and_awq_without_a_list_go_by_the_files():
    awq = {"quant_method": "awq", "bits": 4, "group_size": 128}
    listed = {**awq, "modules_to_not_convert": ["visual"]}
    read = [quantization_from_config({"quantization_config": section}) for section in (awq, listed)]
    assert [gptq().files_decide, *(quantization.files_decide for quantization in read)] == [True, True, False]
