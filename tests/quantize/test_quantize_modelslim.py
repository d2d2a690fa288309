"""msModelSlim: its commands, and what is looked at in what it wrote."""

from __future__ import annotations

import json

import pytest

from selfhost.quantize import modelslim
from tests.tiny_models import config_of, safetensors_bytes

LAYERS = 2


def described() -> dict[str, str]:
    """As it writes a model of two layers with two experts each: attention measured, experts by token."""
    found: dict[str, str] = {"model_quant_type": "W8A8_DYNAMIC", "version": "1.0.0"}
    found |= {"model.embed_tokens.weight": "FLOAT", "lm_head.weight": "FLOAT", "model.norm.weight": "FLOAT"}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        found[f"{at}.input_layernorm.weight"] = "FLOAT"
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors = ("weight", "input_scale", "input_offset", "deq_scale", "quant_bias")
            found |= {f"{at}.self_attn.{part}.{tensor}": "W8A8" for tensor in tensors}
        found[f"{at}.mlp.gate.weight"] = "FLOAT"
        for expert in range(2):
            for part in ("gate_proj", "up_proj", "down_proj"):
                module = f"{at}.mlp.experts.{expert}.{part}"
                found |= {f"{module}.{one}": "W8A8_DYNAMIC" for one in ("weight", "weight_scale", "weight_offset")}
    return found


def tensors(description: dict[str, str]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Files that go with it."""
    found = {}
    for name, kind in description.items():
        if "." not in name or kind == "1.0.0":
            continue
        integers = name.endswith(".weight") and kind != "FLOAT"
        found[name] = ("I8", (4, 4), b"\1" * 16) if integers else ("F32", (2,), b"\0" * 8)
    return found


def write(folder, description, stored, config):
    folder.mkdir()
    (folder / "quant_model_description.json").write_text(json.dumps(description))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "quant_model_weights-00001-of-00001.safetensors").write_bytes(safetensors_bytes(stored))
    return folder


@pytest.fixture
def parts():
    description = described()
    return description, tensors(description), dict(config_of("qwen3_moe"))


def test_a_sound_result_is_said_to_be_so(selfhost, tmp_path, parts):
    folder = write(tmp_path / "made", *parts)
    code, out, err = selfhost("quantize", folder, "--check")
    assert (code, err) == (0, "")
    assert out == f"{folder}: whole, 27 matrices: W8A8_DYNAMIC 12, W8A8 8, FLOAT 7\n"
    told = json.loads(selfhost("quantize", folder, "--check", "--json")[1])
    assert (told["sound"], told["findings"]) == (True, [])


def drop_file_tensor(d, t, _c):
    t.pop("model.layers.1.self_attn.o_proj.weight")


def drop_description(d, _t, _c):
    d.pop("model.layers.1.mlp.experts.1.up_proj.weight")


def other_type(d, _t, _c):
    d["lm_head.weight"] = "W8A8S"


def drop_scale(d, t, _c):
    for one in (d, t):
        one.pop("model.layers.0.self_attn.o_proj.deq_scale")


def plain_weight(_d, t, _c):
    t["model.layers.0.self_attn.o_proj.weight"] = ("BF16", (4, 4), b"\0" * 32)


def half_quantized(d, t, _c):
    name = "model.layers.0.self_attn.k_proj.weight"
    d[name], t[name] = "FLOAT", ("BF16", (4, 4), b"\0" * 32)


def odd_expert(d, t, _c):
    for one in ("weight", "weight_scale", "weight_offset"):
        d[f"model.layers.0.mlp.experts.1.down_proj.{one}"] = "W4A8_DYNAMIC"


def fp8_section(_d, _t, c):
    c["quantization_config"] = {"quant_method": "fp8"}


def odd_architecture(_d, _t, c):
    c["architectures"] = "DeepseekV3Fusion"


FAULTS = {
    drop_file_tensor: ("modelslim.absent", "model.layers.1.self_attn.o_proj.weight"),
    drop_description: ("modelslim.undescribed", "experts.1.up_proj.weight"),
    other_type: ("modelslim.unknown_type", "W8A8S"),
    drop_scale: ("modelslim.no_scale", "model.layers.0.self_attn.o_proj.deq_scale"),
    plain_weight: ("modelslim.dtype", "o_proj.weight (W8A8, BF16)"),
    half_quantized: ("modelslim.differ", "q_proj, k_proj, v_proj: FLOAT, W8A8"),
    odd_expert: ("modelslim.differ", "experts.*.down_proj (W4A8_DYNAMIC, W8A8_DYNAMIC)"),
    fp8_section: ("modelslim.other_method", "the engine would read int8 as fp8"),
    odd_architecture: ("modelslim.architectures", "DeepseekV3Fusion"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_is_told_with_the_names(selfhost, tmp_path, parts, fault):
    fault(*parts)
    folder = write(tmp_path / "made", *parts)
    code, out, _ = selfhost("quantize", folder, "--check", "--json")
    wanted, words = FAULTS[fault]
    found = {one["id"]: one for one in json.loads(out)["findings"]}
    assert code == 5
    assert list(found) == [wanted]
    assert words in found[wanted]["what"] + found[wanted]["why"]


def test_a_directory_of_something_else_is_refused(selfhost, tmp_path):
    (tmp_path / "x").mkdir()
    code, _, err = selfhost("quantize", tmp_path / "x", "--check")
    assert code == 2
    assert "has no `quant_model_description.json`" in err


def test_deepseek_is_made_by_its_script_from_fp8_as_it_is():
    steps = modelslim.steps("DeepSeek-V3", "w8a8", source="/a", target="/b", devices=8, fp8=True)
    assert steps.takes_fp8
    assert steps.transformers == "4.48.2"
    assert "export ASCEND_RT_VISIBLE_DEVICES=0,1,2,3,4,5,6,7" in steps.commands
    assert steps.commands[-1].endswith(
        "python3 quant_deepseek_w8a8.py --model_path /a --save_path /b --from_fp8 --trust_remote_code True"
    )


def test_others_are_made_by_its_command_under_its_own_names():
    steps = modelslim.steps("Qwen3-235B-A22B", "w8a8", source="/a", target="/b", devices=2, fp8=False)
    assert steps.commands[-1] == (
        "msmodelslim quant --model_path /a --save_path /b --device npu:0,1 "
        "--model_type Qwen3-235B --quant_type w8a8 --trust_remote_code True"
    )


@pytest.mark.parametrize(("name", "kind"), [("SmolLM2-135M", "w8a8"), ("DeepSeek-V3", "w4a8"), ("Qwen3-32B", "w4a8")])
def test_what_it_has_no_description_of_gets_no_command(name, kind):
    assert modelslim.steps(name, kind, source="/a", target="/b", devices=8, fp8=False) is None
