"""Formats: what checkpoints declare, bytes, and who runs them."""

from __future__ import annotations

import pytest

from selfhost.hardware.types import Device, Platform
from selfhost.quant.schemes import Format, Quantization, quantization_from_config, runs_on

FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
GPTQ = {"quant_method": "gptq", "bits": 8, "group_size": 128, "sym": True}
CHANNEL = {
    "quant_method": "compressed-tensors",
    "config_groups": {
        "group_0": {
            "weights": {"num_bits": 8, "type": "float", "strategy": "channel"},
            "input_activations": {"num_bits": 8, "type": "float", "dynamic": True},
        }
    },
    "ignore": ["lm_head", "re:.*mlp[.]gate$"],
}
W8A8 = {
    "quant_method": "compressed-tensors",
    "config_groups": {
        "group_0": {
            "weights": {"num_bits": 8, "type": "int", "strategy": "channel"},
            "input_activations": {"num_bits": 8, "type": "int", "dynamic": True},
        }
    },
}

BITSANDBYTES_INT8 = {"quant_method": "bitsandbytes", "load_in_8bit": True}


def read(section: dict):
    return quantization_from_config({"quantization_config": section})


@pytest.mark.parametrize(
    ("section", "expected", "tensors"),
    [
        (FP8, Format.FP8_BLOCK, {"weight": 14_680_064, "weight_scale": 3_584}),
        (AWQ, Format.INT_GROUP, {"qweight": 7_340_032, "scales": 229_376, "qzeros": 57_344}),
        (GPTQ, Format.INT_GROUP, {"qweight": 14_680_064, "scales": 229_376}),
        (CHANNEL, Format.FP8_CHANNEL, {"weight": 14_680_064, "weight_scale": 28_672}),
        (W8A8, Format.INT8_CHANNEL, {"weight": 14_680_064, "weight_scale": 28_672}),
        ({"quant_method": "fp8"}, Format.FP8_TENSOR, {"weight": 14_680_064, "weight_scale": 4}),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True},
            Format.NF4,
            {"weight": 7_340_032, "absmax": 917_504},
        ),
    ],
    ids=["fp8 block", "awq", "gptq int8", "fp8 channel", "w8a8", "fp8 tensor", "nf4"],
)
def test_formats_and_bytes_of_a_linear_layer(section, expected, tensors):
    quantization = read(section)
    assert quantization.format is expected
    assert quantization.linear_tensors(7168, 2048) == tensors


def test_ignored_modules_stay_unquantized():
    quantization = read(CHANNEL)
    assert quantization.left_out("lm_head")
    assert quantization.left_out("model.layers.3.mlp.gate")
    assert not quantization.left_out("model.layers.3.mlp.gate_proj")


def device(capability: tuple[int, int] | None, platform: Platform = Platform.CUDA) -> Device:
    return Device(id="x", name="a device", vendor="v", platform=platform, compute_capability=capability)


@pytest.mark.parametrize(
    ("section", "on", "runs"),
    [
        (FP8, device((9, 0)), True),
        (FP8, device((8, 0)), True),
        (FP8, device((7, 5)), True),
        (FP8, device((7, 0)), False),
        (W8A8, device((7, 5)), True),
        (W8A8, device((9, 0)), True),
        (W8A8, device((10, 0)), False),
        (W8A8, device((12, 0)), False),
        (BITSANDBYTES_INT8, device((12, 0)), True),
        (FP8, device(None), True),
        (AWQ, device((7, 5)), True),
        (AWQ, device((7, 0)), False),
        (FP8, device(None, Platform.CPU), False),
        (AWQ, device(None, Platform.CPU), True),
        (W8A8, device(None, Platform.ASCEND), True),
        (FP8, device(None, Platform.ASCEND), False),
        (GPTQ, device(None, Platform.ASCEND), False),
    ],
)
def test_who_runs_a_format(section, on, runs):
    can, reason = runs_on(read(section), on)
    assert can is runs
    assert (reason is None) is runs


def test_the_reason_gives_wanted_and_found():
    _, reason = runs_on(read(FP8), device((7, 0)))
    assert reason.what == "weights in fp8-block do not run on a device: compute capability 7.0, needed: 7.5"


def test_int8_has_no_kernels_on_blackwell():
    _, reason = runs_on(read(W8A8), device((12, 0)))
    assert reason.what == (
        "weights in w8a8-int8 do not run on a device: compute capability 12.0, INT8 kernels end below 10.0"
    )


def test_experts_in_gptq_keep_their_zero_points():
    quantization = read(GPTQ)
    assert quantization.linear_tensors(7168, 2048, expert=True)["qzeros"] == 16 * 7168
    assert "qzeros" not in quantization.linear_tensors(7168, 2048)


@pytest.mark.parametrize(
    ("section", "stored"),
    [
        (FP8, 14_680_064 + 3_584),
        (CHANNEL, 14_680_064 + 2 * 7168),  # bfloat16 there, float32 in the engine
        (GPTQ, 14_680_064 + 229_376 + 16 * 7168 + 4 * 2048),  # zero points and group indices
        (AWQ, 7_340_032 + 229_376 + 57_344),
    ],
    ids=["fp8 block", "fp8 channel", "gptq int8", "awq"],
)
def test_bytes_in_the_checkpoint(section, stored):
    assert read(section).stored_bytes(7168, 2048, 2) == stored


def test_no_quantization_runs_everywhere():
    assert runs_on(None, device((7, 0))) == (True, None)
    assert quantization_from_config({}) is None


def test_nf4_is_smaller_in_files_than_in_memory():
    """Half a byte each, and per 64 of them a float32; in files a byte, and a float32 per 256 of these."""
    nf4 = Quantization(method="bitsandbytes", format=Format.NF4, bits=4)
    assert nf4.stored_bytes(1024, 512, 2) == 262_144 + 8_192 + 4 * 32
    assert sum(nf4.linear_tensors(1024, 512).values()) == 262_144 + 4 * 8_192
