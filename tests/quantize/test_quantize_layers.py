"""What is left as it is, and what groups divide."""

from __future__ import annotations

import pytest

from selfhost.home import find_home
from selfhost.models.arch import ModelArch
from selfhost.models.headers import Tensor
from selfhost.models.parts import Linear
from selfhost.quant.read import quantization_from_config
from selfhost.quantize import layers, needs, schemes
from selfhost.recipe.load import load_recipe


def arch_of(name: str) -> ModelArch:
    recipe = load_recipe(name, find_home())
    return ModelArch.from_config(recipe.config)


@pytest.mark.parametrize(
    ("name", "size"), [("smollm2-135m", 64), ("qwen2.5-0.5b", 128), ("qwen2.5-72b", 128), ("deepseek-v3", 128)]
)
def test_the_largest_group_that_divides_every_layer(name, size):
    assert layers.group_size(arch_of(name)) == size


def test_layers_that_are_not_divided_are_named_with_their_inputs():
    found = layers.undivided(arch_of("smollm2-135m"), 128)
    assert ("self_attn.q_proj", 576) in found
    assert all(one.inputs == 576 for one in found)
    assert ("mlp.down_proj", 1536) not in found


def test_routers_stay_and_so_does_what_joins_predicted_layers():
    found = layers.ignored(arch_of("deepseek-v3"))
    assert found[:2] == ("lm_head", r"re:.*\.mlp\.gate$")
    assert any("eh_proj" in entry for entry in found)
    assert layers.ignored(arch_of("qwen2.5-7b")) == ("lm_head",)


@pytest.mark.parametrize("scheme", schemes.SCHEMES, ids=lambda one: one.name)
def test_planning_reads_what_a_scheme_makes(scheme):
    section = schemes.quantization_config(scheme, ("lm_head",), 64 if scheme.grouped else None)
    if section is None:
        assert scheme.name == "bf16"
        return
    found = quantization_from_config({"quantization_config": section})
    assert (found.format, found.bits) == (scheme.format, scheme.bits)
    assert found.group_size == (64 if scheme.grouped else None)


def test_the_router_is_not_counted_as_quantized():
    config = load_recipe("qwen3-30b-a3b", find_home()).config
    source = needs.Source(config, 1)
    arch = source.of(schemes.find("fp8"))
    assert [sorted(kind.plain) for kind in arch.kinds] == [["mlp.gate"]]


def test_streaming_takes_two_files_whatever_the_model():
    config = dict(load_recipe("qwen2.5-72b", find_home()).config)
    small = needs.needs(needs.Source(config, 10**9, 10**9), schemes.find("fp8"), loss=False)
    large = needs.needs(needs.Source(config, 10**12, 10**9), schemes.find("fp8"), loss=False)
    assert small.memory_bytes == large.memory_bytes == 2 * 10**9 + (1 << 30)


def test_comparing_takes_a_layer_which_may_be_more_than_two_files():
    """DeepSeek-V3: 256 experts of 3 matrices of 7168 x 2048, in 16 bits since 32 would be more than 6 GiB."""
    config = {k: v for k, v in load_recipe("deepseek-v3", find_home()).config.items() if k != "quantization_config"}
    source = needs.Source(config, 10**12, 10**9)
    experts = 256 * 3 * 7168 * 2048 * 2
    found = needs.needs(source, schemes.find("nf4"))
    assert [term.name for term in found.memory_terms] == ["comparing", "base"]
    assert experts < found.memory_terms[0].value < experts + 2.5e9
    assert needs.needs(source, schemes.find("nf4"), loss=False).memory_bytes == 2 * 10**9 + (1 << 30)
    assert needs.needs(source, schemes.find("bf16")).memory_bytes == 2 * 10**9 + (1 << 30)


@pytest.mark.parametrize(
    ("scheme", "samples", "made", "compared"),
    [
        ("w8a8", 16, 975_368_192, 1_546_715_136),
        ("w4a16-gptq", 16, 1_026_428_928, 1_470_689_280),
        ("w4a16-awq", 16, 1_203_994_624, 1_499_840_512),
    ],
)
def test_what_is_promised_is_not_less_than_what_was_measured(scheme, samples, made, compared):
    """SmolLM2-135M on a CPU. Files that are mapped, source and result, count in the measure and give way at need."""
    config = dict(load_recipe("smollm2-135m", find_home()).config)
    source = needs.Source(config, 269_030_016, 269_060_552)
    found = needs.needs(source, schemes.find(scheme), samples=samples, tokens=needs.TOKENS_ON_CPU)
    assert found.memory_bytes >= made
    assert found.memory_bytes + 269_060_552 >= compared


def whole(arch: ModelArch) -> dict[str, Tensor]:
    """Headers of a checkpoint that is as its config says."""
    parts = [
        (number, part, tail)
        for number, index in enumerate(arch.layers)
        for part in arch.kinds[index].parts(arch.hidden_size)
        if isinstance(part, Linear)
        for tail in part.checkpoint_names
    ]
    return {f"model.layers.{n}.{tail}.weight": Tensor("BF16", (8, part.inputs)) for n, part, tail in parts}


@pytest.mark.parametrize("name", ["smollm2-135m", "deepseek-v3", "qwen3-30b-a3b"])
def test_weights_that_are_not_those_of_the_config_are_named(name):
    arch = arch_of(name)
    tensors = whole(arch)
    assert layers.unlike(arch, tensors) == []
    assert layers.unlike(arch, {"tensor.1": Tensor("BF16", (3, 3))}) == []
    last = f"model.layers.{len(arch.layers) - 1}.self_attn.o_proj.weight"
    wrong = {**tensors, last: Tensor("BF16", (8, 100))}
    assert layers.unlike(arch, wrong) == [
        f"{last.removeprefix('model.').removesuffix('.weight')}: 100 inputs, {tensors[last].shape[1]} by config.json"
    ]
    del wrong[last]
    assert layers.unlike(arch, wrong) == [f"{last.removeprefix('model.').removesuffix('.weight')}: missing"]
    assert layers.unlike(arch, {f"visual.{key}": value for key, value in wrong.items()}) == []
