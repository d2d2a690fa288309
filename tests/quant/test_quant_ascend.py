"""Types of weights made for Ascend: by pattern, from a description, and the bytes kept and stored of each."""

from __future__ import annotations

import pytest

from selfhost.errors import UsageError
from selfhost.hardware import catalog
from selfhost.quant import ascend
from selfhost.quant.schemes import Format, quantization_from_config, runs_on

V3 = (("*.kv_b_proj", "FLOAT"), ("*.self_attn.*", "W8A8"), ("*.mlp.*", "W8A8_DYNAMIC"))
ALL = {kind: (("*", kind),) for kind in ascend.BITS}


def section(types: dict[str, str], **more) -> dict:
    return {"quantization_config": {"quant_method": "ascend", "types": types, **more}}


def kept(kind: str, rows: int, columns: int, module: str = "model.layers.0.mlp.up_proj", group_size: int | None = None):
    return ascend.linear_tensors(ALL[kind], module, rows, columns, group_size)


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        ("model.layers.3.self_attn.kv_b_proj", "FLOAT"),
        ("model.layers.3.self_attn.o_proj", "W8A8"),
        ("model.layers.3.mlp.experts.7.up_proj", "W8A8_DYNAMIC"),
        ("model.layers.*.mlp.experts.*.up_proj", "W8A8_DYNAMIC"),
        ("lm_head", "FLOAT"),
    ],
)
def test_the_first_pattern_that_matches_decides(module, kind):
    assert ascend.type_of(V3, module) == kind


def test_a_whole_name_comes_before_patterns():
    types = (("*.mlp.*", "W8A8_DYNAMIC"), ("model.layers.0.mlp.down_proj", "FLOAT"))
    assert ascend.type_of(types, "model.layers.0.mlp.down_proj") == "FLOAT"


def test_what_is_read_from_a_config():
    found = quantization_from_config(section(dict(V3)))
    assert found is not None
    assert (found.method, found.format, found.bits) == ("ascend", Format.INT8_CHANNEL, 8)
    assert not found.left_out("model.layers.3.self_attn.o_proj")
    assert found.left_out("model.layers.3.self_attn.kv_b_proj")
    assert not found.names_layers
    four = quantization_from_config(section({"*.experts.*": "W4A8_DYNAMIC", "*.mlp.*": "W8A8_DYNAMIC"}, group_size=256))
    assert four is not None
    assert (four.format, four.bits, four.group_size) == (Format.INT_GROUP, 4, 256)


@pytest.mark.parametrize(
    ("types", "words"),
    [({"*": "W4A4_FLATQUANT"}, "W4A4_FLATQUANT"), ({"*": "FLOAT"}, "leaves everything"), (None, "types")],
)
def test_what_is_not_understood_is_refused_with_its_name(types, words):
    config = section(types) if types else {"quantization_config": {"quant_method": "ascend"}}
    with pytest.raises(UsageError) as caught:
        quantization_from_config(config)
    assert words in caught.value.message.why


def test_bytes_kept_of_a_static_layer():
    """DeepSeek-V3 o_proj at TP4: 12 bytes per output, and 6 per input with 3 for the scale and offset themselves."""
    found = ascend.linear_tensors(V3, "model.layers.*.self_attn.o_proj", 7168, 4096, None)
    assert found.pop("weight") == 29_360_128
    outputs = {"weight_scale", "weight_offset", "quant_bias", "deq_scale"}
    assert sum(size for name, size in found.items() if name in outputs) == 86_016
    assert sum(size for name, size in found.items() if name not in outputs) == 24_579


@pytest.mark.parametrize(
    ("kind", "module", "per_output"),
    [
        ("W8A8_DYNAMIC", "model.layers.*.mlp.up_proj", 2 + 2 + 4),
        ("W8A8_DYNAMIC", "model.layers.*.mlp.experts.*.up_proj", 2 + 2 + 4),
        ("W8A8_DYNAMIC", "model.layers.*.mlp.experts.*.down_proj", 2 + 2),
        ("W8A16", "model.layers.*.mlp.up_proj", 2 + 2),
    ],
)
def test_bytes_kept_per_output_beside_int8_weights(kind, module, per_output):
    assert sum(kept(kind, 1024, 512, module).values()) == 1024 * 512 + 1024 * per_output


def test_bytes_kept_of_four_bits():
    expert = "model.layers.*.mlp.experts.*.up_proj"
    assert sum(kept("W4A8_DYNAMIC", 1024, 512, expert).values()) == 1024 * 256 + 1024 * (4 + 8 + 4)
    assert sum(kept("W4A16", 1024, 512, expert, group_size=32).values()) == 1024 * 256 + 1024 * 16 * 4
    assert sum(kept("W4A8_DYNAMIC", 1024, 512, group_size=256).values()) == 1024 * 256 + 1024 * (4 + 6 + 2 * 6)


def test_int8_is_padded_to_fractals_and_floats_are_not():
    assert kept("W8A16", 1000, 10)["weight"] == 1024 * 16
    assert ascend.linear_tensors((), "x", 1000, 10, None) == {"weight": 20_000}


def test_bytes_in_the_checkpoint():
    assert ascend.stored_bytes(ALL["W8A8"], "x", 1024, 512, None) == 524_288 + 8_192
    assert ascend.stored_bytes(ALL["W4A8_DYNAMIC"], "x", 1024, 512, 256) == 262_144 + 2 * 8_192
    assert ascend.stored_bytes((), "x", 1024, 512, None) == 2 * 524_288


def test_a_description_becomes_patterns():
    """As msModelSlim writes it for DeepSeek-V3, cut to two layers of two experts."""
    description: dict[str, object] = {
        "model_quant_type": "W8A8_DYNAMIC",
        "version": "1.0.0",
        "group_size": 0,
        "model.embed_tokens.weight": "FLOAT",
        "lm_head.weight": "FLOAT",
        "model.norm.weight": "FLOAT",
        "model.norm.bias": "W8A8",
    }
    for layer in (0, 1):
        at = f"model.layers.{layer}"
        description |= {f"{at}.self_attn.kv_b_proj.weight": "FLOAT", f"{at}.input_layernorm.weight": "W8A8"}
        description |= {
            f"{at}.self_attn.o_proj.{tensor}": "W8A8" for tensor in ("weight", "quant_bias", "deq_scale", "input_scale")
        }
        description |= {f"{at}.mlp.gate.weight": "FLOAT"}
        description |= {f"{at}.mlp.experts.{expert}.up_proj.weight": "W8A8_DYNAMIC" for expert in (0, 1)}
    description["model.layers.1.self_attn.o_proj.weight"] = "FLOAT"
    found = ascend.condensed(description)
    assert found == {
        "quant_method": "ascend",
        "group_size": 0,
        "types": {
            "model.layers.1.self_attn.o_proj": "FLOAT",
            "model.embed_tokens": "FLOAT",
            "lm_head": "FLOAT",
            "model.layers.*.self_attn.kv_b_proj": "FLOAT",
            "model.layers.*.self_attn.o_proj": "W8A8",
            "model.layers.*.mlp.gate": "FLOAT",
            "model.layers.*.mlp.experts.*.up_proj": "W8A8_DYNAMIC",
        },
    }
    types = ascend.read_types(found)
    assert ascend.type_of(types, "model.layers.0.self_attn.o_proj") == "W8A8"
    assert ascend.type_of(types, "model.layers.1.self_attn.o_proj") == "FLOAT"
    assert ascend.type_of(types, "model.layers.*.mlp.experts.*.up_proj") == "W8A8_DYNAMIC"
    quantization = quantization_from_config({"quantization_config": found})
    assert quantization is not None
    assert quantization.names_layers


@pytest.mark.parametrize("on", ["H20-96G", "L20-48G", "cpu"])
def test_nothing_but_ascend_runs_them(on):
    device = next(device for device in catalog.DEVICES if device.id == on)
    runs, why = runs_on(quantization_from_config(section(dict(V3))), device)
    assert not runs
    assert why is not None
    assert why.what == f"weights made by msModelSlim run on Ascend only, not on {device.name}"
