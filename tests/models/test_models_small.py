"""Models made small: what is kept, what is given up and told, for every recipe and for shapes of their own."""

from __future__ import annotations

import json

import pytest

from selfhost.errors import NoError
from selfhost.home import find_home
from selfhost.models import small, stand_in
from selfhost.models.arch import ModelArch
from selfhost.models.small import Room, shrink
from selfhost.recipe import load
from selfhost.recipe.unserved import unserved
from selfhost.units import GIB
from tests.models.public_models import DATA
from tests.tiny_models import config_of

KEPT = ("hidden_size", "num_attention_heads", "intermediate_size")
NOT_MADE_SMALL = "kimi-k3"
"""What describes its layers one by one."""


def recipes():
    """Of models that are served and can be made small."""
    found = load.find_recipes(find_home())
    return [
        (name, path)
        for name, path in sorted(found.items())
        if name != NOT_MADE_SMALL and not unserved(load.read_recipe(path))
    ]


def config_of_recipe(name, variant=None):
    recipe = load.load_recipe(name, find_home())
    return recipe.config_of(recipe.variant(variant))


def told(made):
    return {one.name: (one.before, one.after) for one in made.reductions}


def test_deepseek_v3_is_made_small_enough_for_a_trial():
    made = shrink(config_of_recipe("deepseek-v3"), Room(most_bytes=4 * GIB, plain=True))
    assert told(made) == {
        "quantization": ("fp8", "none"),
        "first_k_dense_replace": (3, 1),
        "num_hidden_layers": (61, 2),
        "vocab_size": (129280, 8192),
        "n_routed_experts": (256, 16),
    }
    assert small.weight_bytes(made.arch) < 4 * GIB
    assert made.arch.quantization is None


def test_on_large_devices_all_experts_stay_and_their_format_too():
    made = shrink(config_of_recipe("deepseek-v3", "fp8"), Room(most_bytes=8 * 8 * GIB, stages=2))
    assert "n_routed_experts" not in told(made)
    assert made.arch.quantization.method == "fp8"


@pytest.mark.parametrize(("name", "path"), recipes())
def test_every_recipe_keeps_its_widths_and_each_kind_of_layer(name, path):
    recipe = load.read_recipe(path)
    for variant in recipe.variants:
        config = recipe.config_of(variant)
        whole = ModelArch.from_config(config)
        made = shrink(config, Room(most_bytes=4 * GIB))
        for key in KEPT:
            assert getattr(made.arch, key) == getattr(whole, key), (name, variant.name, key)
        assert len(made.arch.kinds) == len(whole.kinds)
        assert made.arch.num_hidden_layers <= 5
        if whole.experts:
            assert made.arch.experts.num_experts_per_tok == whole.experts.num_experts_per_tok
            assert made.arch.experts.num_experts >= small.LEAST_EXPERTS


def test_code_of_the_repository_is_not_needed_for_what_the_engine_runs_as_llama():
    config = config_of_recipe("internlm3-8b-instruct")
    made = shrink(config, Room(most_bytes=4 * GIB))
    assert (made.config["architectures"], made.config["model_type"]) == (["LlamaForCausalLM"], "llama")
    assert made.arch.kinds == ModelArch.from_config(config).kinds


def test_what_describes_its_layers_one_by_one_is_not_made_small():
    with pytest.raises(NoError) as refused:
        shrink(config_of_recipe(NOT_MADE_SMALL), Room(most_bytes=4 * GIB))
    assert refused.value.message.id == "smoke.unsupported"


@pytest.mark.parametrize("ranks", [1, 2, 4, 8, 16])
def test_whole_experts_can_be_dealt_to_every_rank(ranks):
    made = shrink(config_of_recipe("glm-4.5"), Room(most_bytes=1, expert_ranks=ranks))
    assert made.arch.experts.num_experts % ranks == 0
    assert made.arch.experts.num_experts >= small.LEAST_EXPERTS


@pytest.mark.parametrize("stages", [1, 2, 5])
def test_each_stage_has_a_layer(stages):
    made = shrink(config_of_recipe("qwen2.5-7b"), Room(most_bytes=GIB, stages=stages))
    assert made.arch.num_hidden_layers == max(2, stages)


def test_lists_of_layers_are_cut_with_them():
    config = {
        **config_of_recipe("qwen3-30b-a3b"),
        "num_hidden_layers": 6,
        "layer_types": ["full_attention"] * 6,
        "mlp_only_layers": [0, 5],
        "further": [0, 1, 2, 3, 4, 5, 99],
        "short": [1, 2],
    }
    made = shrink({**config, "num_nextn_predict_layers": 1}, Room(most_bytes=GIB, drafts=True)).config
    assert made["num_hidden_layers"] == 2
    assert made["layer_types"] == ["full_attention"] * 2
    assert made["mlp_only_layers"] == [0]
    assert made["further"] == [0, 1, 99]
    assert made["short"] == [1, 2]
    assert made["num_nextn_predict_layers"] == 1


def test_a_small_model_stays_as_it_is_but_for_its_tokenizer():
    config = config_of("qwen2")
    made = shrink(config, Room(most_bytes=GIB))
    assert made.reductions == ()
    assert {key for key in config if made.config[key] != config[key]} == set()
    assert made.config["eos_token_id"] == stand_in.TOKEN_IDS["eos_token_id"]


def test_code_of_the_model_is_not_asked_for():
    config = {**config_of("deepseek_v3"), "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"}}
    assert "auto_map" not in shrink(config, Room(most_bytes=GIB)).config


def test_what_sees_images_is_left_out_and_told():
    made = shrink(config_of_recipe("kimi-k2.5"), Room(most_bytes=4 * GIB))
    assert told(made)["architecture"] == ("KimiK25ForConditionalGeneration", "DeepseekV3ForCausalLM")
    assert made.arch.tower is None
    assert "vision_config" not in made.config


def test_text_of_qwen3_5_keeps_positions_in_three_coordinates():
    config = json.loads((DATA / "configs" / "qwen_hybrid.json").read_text())["Qwen/Qwen3.5-0.8B"]["config"]
    made = shrink(config, Room(most_bytes=GIB))
    assert told(made)["architecture"] == ("Qwen3_5ForConditionalGeneration", "Qwen3_5ForCausalLM")
    assert made.arch.tower is None
    assert made.config["rope_parameters"] == config["text_config"]["rope_parameters"]


def test_a_class_whose_backbone_is_not_known_is_refused():
    config = {**config_of("qwen2"), "architectures": ["KimiK3ForConditionalGeneration"]}
    with pytest.raises(NoError) as caught:
        shrink(config, Room(most_bytes=GIB))
    assert caught.value.message.id == "smoke.unsupported"


def test_the_tokenizer_reads_every_byte_and_has_a_word_for_every_number():
    words = stand_in.vocabulary(1000)
    assert sorted(words.values()) == list(range(1000))
    assert words["A"] == 68
    assert words["<|im_end|>"] == stand_in.TOKEN_IDS["eos_token_id"]
    assert len(stand_in.vocabulary(small.VOCAB_SIZE)) == small.VOCAB_SIZE
    file = stand_in.tokenizer_files(1000, 64)["tokenizer.json"]
    assert all(file["model"]["vocab"][one["content"]] == one["id"] for one in file["added_tokens"])
