"""What is left as it is, and what groups divide."""

from __future__ import annotations

import pytest

from selfhost.home import find_home
from selfhost.models.arch import ModelArch
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
    small = needs.needs(needs.Source(config, 10**9, 10**9), schemes.find("fp8"))
    large = needs.needs(needs.Source(config, 10**12, 10**9), schemes.find("fp8"))
    assert small.memory_bytes == large.memory_bytes == 2 * 10**9 + (1 << 30)
