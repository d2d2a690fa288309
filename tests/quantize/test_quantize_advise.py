"""Advice for devices and models that differ in what fits, and in what the device computes."""

from __future__ import annotations

import json

import pytest

from selfhost.app.quantize.advise import advise_on
from selfhost.hardware import spec
from selfhost.quantize.advise import Kind


def advice(model: str, on: str):
    return advise_on(model, spec.parse(on))


ANSWERS = {
    ("qwen2.5-72b", "8xA800-80G"): ("ready", "bf16"),
    ("qwen2.5-72b", "8xH20"): ("ready", "bf16"),
    ("qwen2.5-72b", "8x910B3"): ("ready", "bf16"),
    ("qwen2.5-72b", "1xRTX4090"): None,
    ("deepseek-v3", "8xA800-80G"): ("ready", "awq-int4"),
    ("deepseek-v3", "8xH20"): ("ready", "awq-int4"),
    ("deepseek-v3", "8x910B3"): None,
    ("deepseek-v3", "2x8x910B3"): ("ready", "w8a8"),
    ("deepseek-v3", "1xRTX4090"): None,
    # 32 B in 16 bits are more than two of these hold; in 8 bits they are not.
    ("qwen2.5-coder-32b", "2xA100-40G"): ("ready", "gptq-int8"),
    ("qwq-32b", "2xA100-40G"): ("make", "w8a8"),
    ("glm-4-32b-0414", "1xL40S"): ("make", "fp8"),
}


@pytest.mark.parametrize(("model", "on"), ANSWERS, ids=str)
def test_what_is_advised(model, on):
    best = advice(model, on).best
    assert (best and (best.kind.value, best.name)) == ANSWERS[model, on]


def test_where_nothing_fits_the_fewest_devices_are_told():
    found = advice("qwen2.5-72b", "1xRTX4090").larger
    assert found is not None
    assert (found[0].text, found[1].name) == ("4xRTX4090-24G", "awq-int4")
    found = advice("deepseek-v3", "8x910B3").larger
    assert (found[0].text, found[1].name) == ("2x8x910B3-64G", "w8a8")


def ways(model: str, on: str) -> dict:
    return {(way.kind.value, way.name): way for way in advice(model, on).ways}


def test_fp8_is_made_of_16_bits_and_not_of_fp8():
    found = ways("deepseek-v3", "8xH20")
    assert found["make", "fp8"].against == "the model is published in FP8 already"
    assert found["make", "bf16"].against is None
    assert found["make", "w8a8"].commands == (
        "selfhost quantize deepseek-v3 --scheme bf16",
        "selfhost quantize deepseek-v3 --scheme w8a8 --from bf16",
    )


def test_what_has_no_fp8_arithmetic_gets_int8_first():
    on_a800 = [way.name for way in advice("qwq-32b", "2xA800-80G").ways if way.kind is Kind.MADE and way.fits]
    on_h20 = [way.name for way in advice("qwq-32b", "2xH20").ways if way.kind is Kind.MADE and way.fits]
    assert on_a800.index("w8a8") < on_a800.index("fp8")
    assert on_h20.index("fp8") < on_h20.index("w8a8")
    assert on_a800.index("w4a16-awq") < on_a800.index("nf4")


def test_a_smaller_group_lets_more_devices_share():
    """Qwen2.5-72B: 29,568 inputs are 231 groups of 128, which 8 devices cannot share, nor 4."""
    way = ways("qwen2.5-72b", "4xA800-80G")["make", "w4a16-awq"]
    assert way.group_size == 32
    assert way.plan.layout.tensor_parallel_size == 4
    assert way.commands == ("selfhost quantize qwen2.5-72b --scheme w4a16-awq --group-size 32",)


def test_the_arithmetic_adds_up():
    """Qwen2.5-72B to fp8: 145.4 GB read and 75.2 GB written at 1 GB/s; two files of 5 GB and 1 GiB of memory."""
    cost = ways("qwen2.5-72b", "8xH20")["make", "fp8"].cost
    assert cost is not None
    assert [term.name for term in cost.seconds] == ["moving"]
    assert cost.seconds[0].value == pytest.approx((145_412_518_888 + cost.needs.output_bytes) / 1e9)
    assert cost.needs.memory_bytes == 2 * 5 * 10**9 + (1 << 30)
    calibrated = ways("qwen2.5-72b", "8xH20")["make", "w8a8"].cost
    terms = {term.name: term.value for term in calibrated.needs.memory_terms}
    assert terms["model"] == 145_412_518_888
    text = 34 * 2048  # of the 512 samples that are asked for: the text that ships has no more
    assert terms["activations"] == 2 * text * 8192 * 2
    passes = next(term.value for term in calibrated.seconds if term.name == "passes")
    assert passes == pytest.approx(5 * 2 * 72_706_203_648 * text / (0.3 * 148e12))


def test_awq_takes_longest_and_most():
    """Measured for SmolLM2-135M with 16 samples: w8a8 91 s, GPTQ 62 s, AWQ 131 s; 0.98, 1.03 and 1.20 GB."""
    found = ways("qwen2.5-72b", "8xH20")
    cost = {name: found["make", name].cost for name in ("w8a8", "w4a16-gptq", "w4a16-awq")}
    time = {name: next(t.value for t in one.seconds if t.name == "passes") for name, one in cost.items()}
    memory = {
        name: next(t.value for t in one.needs.memory_terms if t.name == "activations") for name, one in cost.items()
    }
    assert time["w4a16-gptq"] < time["w8a8"] < time["w4a16-awq"]
    # 21 scales, each through attention and the rest (878 million weights) and the down-projection (242) once more.
    layer, down = 2 * (8192 * 8192 + 8192 * 1024) + 3 * 8192 * 29568, 8192 * 29568
    assert time["w4a16-awq"] / time["w4a16-gptq"] == pytest.approx((2 + 21 * (1 + down / layer)) / 3)
    text = 34 * 2048
    assert memory["w4a16-awq"] - memory["w4a16-gptq"] == text * (4 * 8192 + 29568) * 2


def test_a_copy_in_16_bits_is_counted():
    cost = ways("deepseek-v3", "8xA800-80G")["make", "w4a16-awq"].cost
    assert cost.first_bytes > 1.3e12
    assert [term.name for term in cost.seconds] == ["copying", "moving", "passes"]
    assert cost.needs.memory_bytes > 1.3e12


def test_ascend_is_told_the_command_of_its_own_tool():
    found = ways("qwen2.5-72b", "8x910B3")
    made = found["modelslim", "w8a8"]
    assert made.fits
    assert "--model_type Qwen2.5-72B-Instruct --quant_type w8a8" in made.commands[-1]
    assert found["make", "w8a8"].against == "on Ascend weights are made by msModelSlim, see below"
    assert not found["make", "fp8"].plan.fits


@pytest.mark.parametrize("on", ["8xA800-80G", "8x910B3", "1xRTX4090"])
def test_people_read_the_answer_first_and_why_the_others_are_out(selfhost, on):
    code, out, _ = selfhost("quantize", "deepseek-v3", "--advise", "--on", on)
    told = json.loads(selfhost("quantize", "deepseek-v3", "--advise", "--on", on, "--json")[1])
    assert code == (0 if told["best"] else 3)
    first = out.splitlines()[0]
    assert first.startswith(f"deepseek-v3 on {told['hardware']['on']}: ")
    assert told["best"] is None or told["best"]["name"] in first
    for way in told["ways"]:
        assert f"{way['kind']} {way['name']}" in out
        if not way["fits"]:
            assert way["against"] in out
    assert "Arithmetic (derived, not measured" in out
    if on == "8x910B3":
        assert "quant_deepseek_w8a8.py --model_path $SOURCE --save_path $TARGET --from_fp8" in out


def test_what_is_published_in_whole_numbers_is_not_quantized_again():
    found = ways("kimi-k2.5", "8xA800-80G")
    assert (
        found["make", "fp8"].against
        == "the model is published quantized, and not in FP8: what it lost does not come back"
    )


def test_a_device_that_no_engine_drives_gets_its_reason(selfhost):
    code, out, _ = selfhost("quantize", "smollm2-135m", "--advise", "--on", "8xMLU370")
    assert code == 3
    assert "nothing fits" in out.splitlines()[0]
    assert "of them" not in out.splitlines()[1]


def test_a_directory_is_advised_too(selfhost, model):
    out = json.loads(selfhost("quantize", str(model), "--advise", "--on", "A800", "--json")[1])
    assert out["best"]["kind"] == "ready"
    made = next(way for way in out["ways"] if way["name"] == "fp8")
    assert made["commands"] == [f"selfhost quantize {model} --scheme fp8 --output DIR"]


def test_advice_makes_nothing(selfhost):
    code, _, err = selfhost("quantize", "qwen2.5-7b", "--advise", "--scheme", "fp8")
    assert code == 2
    assert "`--advise` makes no files, `--scheme` is about those that are made" in err
