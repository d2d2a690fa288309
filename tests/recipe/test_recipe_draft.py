"""A recipe that is begun from a config says the same model as the config, and nothing that was not read."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from selfhost.app.lint import pinned_engine
from selfhost.app.recipe_new import builtin_recipes
from selfhost.findings import Severity
from selfhost.models.arch import ModelArch
from selfhost.models.checkpoint import checkpoint_bytes
from selfhost.recipe import draft
from selfhost.recipe.draft_licence import Told
from selfhost.recipe.draft_text import as_toml
from selfhost.recipe.lint import lint
from selfhost.recipe.lint_scheme import scheme_of
from selfhost.recipe.read import recipe_from_dict
from selfhost.recipe.schema import Recipe, Source, SourceKind
from tests.models.public_models import DEEPSEEK_V3, MODELS, arch, config

RECIPES = builtin_recipes()
VARIANTS = [
    pytest.param(recipe, variant, id=f"{recipe.name}-{variant.name}")
    for recipe in RECIPES
    for variant in recipe.variants
    if draft.arch_of(recipe.config_of(variant)) is not None
]
"""All that selfhost can plan."""
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MIT = Told(id="MIT", url="https://opensource.org/license/mit")
QUARTER_GB = 250_000_000


def seen(name: str, model_config: dict, weight_bytes: int | None = None, **changes) -> draft.Seen:
    """A repository `org/NAME` at the hub."""
    size = checkpoint_bytes(ModelArch.from_config(model_config)) if weight_bytes is None else weight_bytes
    page = f"https://huggingface.co/org/{name}"
    told = draft.Seen(
        repository=name,
        config=model_config,
        weight_bytes=size,
        sources=(Source(kind=SourceKind.HUGGINGFACE, id=f"org/{name}", revision=COMMIT),),
        licence=MIT,
        hub_id=f"org/{name}",
        urls={"": page, "config.json": f"{page}/blob/{COMMIT}/config.json"},
    )
    return replace(told, **changes)


def begin(model: draft.Seen, asked: draft.Asked = draft.Asked()) -> draft.Draft:  # noqa: B008
    return draft.draft(model, asked, RECIPES, pinned_engine().architectures)


def read_back(begun: draft.Draft) -> Recipe:
    return recipe_from_dict(tomllib.loads(as_toml(begun, "org/x").text), Path(f"{begun.name}.toml"))


@pytest.mark.parametrize(("recipe", "variant"), VARIANTS)
def test_what_is_begun_from_a_recipe_is_that_model(recipe, variant):
    """Every built-in recipe and variant: the same architecture, scheme and counts, and no error of the linter."""
    model_config = recipe.config_of(variant)
    found = ModelArch.from_config(model_config)
    name = (recipe.hub_id or recipe.name).rpartition("/")[2]
    begun = read_back(begin(seen(name, model_config, variant.bytes_on_disk)))
    (made,) = begun.variants
    assert ModelArch.from_config(begun.config_of(made)) == found
    assert made.scheme == variant.scheme
    assert begun.family == recipe.family
    assert begun.context == found.max_position_embeddings
    assert begun.active_parameters == recipe.active_parameters
    if variant is recipe.variants[0] and recipe.parameters:
        assert begun.parameters == recipe.parameters
    if variant.bytes_on_disk and variant.bytes_loaded:
        assert abs(made.bytes_loaded - variant.bytes_loaded) < QUARTER_GB
    assert [one for one in lint(begun, pinned_engine()) if one.severity is Severity.ERROR] == []


@pytest.mark.parametrize("name", MODELS)
def test_what_is_begun_from_a_config_of_the_hub_is_that_model(name):
    """Whole config.json files, of which most keys are left out: planning misses none of them."""
    found = ModelArch.from_config(MODELS[name]["config"])
    repository = name.rpartition("/")[2]
    begun = begin(seen(repository, MODELS[name]["config"]))
    recipe = read_back(begun)
    assert ModelArch.from_config(recipe.config_of(recipe.variants[0])) == found
    assert begun.config.keys() <= {*draft.KEYS, *draft.BESIDE}


@pytest.mark.parametrize(("recipe", "variant"), VARIANTS)
def test_parsers_that_relatives_have_are_what_the_recipe_has(recipe, variant):
    """They are only suggested; where all relatives agree, the recipe itself is one of them."""
    name = (recipe.hub_id or recipe.name).rpartition("/")[2]
    begun = begin(seen(name, recipe.config_of(variant), 1))
    assert {key: getattr(recipe.serving, key) for key in begun.parsers} == begun.parsers
    assert read_back(begun).serving.tool_call_parser is None
    assert read_back(begun).serving.reasoning_parser is None


def test_a_parser_of_relatives_stands_as_a_comment():
    recipe = next(one for one in RECIPES if one.name == "qwen2.5-7b")
    written = as_toml(begin(seen("Qwen2.5-9B-Instruct", dict(recipe.config))), "org/x")
    assert '# tool_call_parser = "hermes"\n' in written.text
    (todo,) = [one for one in written.todos if one.startswith("serving.tool_call_parser: ")]
    assert todo.startswith("serving.tool_call_parser: as in qwen2.5-0.5b, qwen2.5-1.5b, qwen2.5-14b, ...; ")


def test_every_todo_stands_in_the_file():
    written = as_toml(begin(seen("x", config(DEEPSEEK_V3), generation={})), "org/x")
    lines = " ".join(line.removeprefix("# ") for line in written.text.splitlines())
    assert len(written.todos) == written.text.count("# TODO ") > 0
    assert all(f"TODO {todo}" in lines for todo in written.todos)


# Bytes


@pytest.mark.parametrize(
    ("name", "drop"),
    [("deepseek-ai/DeepSeek-V3", True), ("zai-org/GLM-4.5-Air", True), ("Qwen/Qwen2.5-7B-Instruct", False)],
)
def test_layers_of_multi_token_prediction_are_not_loaded(name, drop):
    found = arch(name)
    whole, plain = checkpoint_bytes(found), checkpoint_bytes(replace(found, num_nextn_predict_layers=0, draft=None))
    assert (plain < whole) == drop
    assert draft.loaded_bytes(whole, found) == plain
    assert draft.loaded_bytes(plain, found) == plain, "who quantized it left them out"


def test_a_copy_of_a_tied_head_is_not_loaded():
    found = arch("Qwen/Qwen2.5-0.5B-Instruct")
    head = found.vocab_size * found.hidden_size * 2
    assert draft.loaded_bytes(checkpoint_bytes(found) + head, found) == checkpoint_bytes(found)


def test_files_that_the_config_does_not_lead_to_have_no_loaded_bytes():
    found = arch("Qwen/Qwen2.5-7B-Instruct")
    assert draft.loaded_bytes(checkpoint_bytes(found) * 2, found) is None
    written = as_toml(begin(seen("x", config("Qwen/Qwen2.5-7B-Instruct"), 2 * checkpoint_bytes(found))), "org/x")
    assert "\n# bytes_loaded = " in written.text
    assert any(todo.startswith("variant.bytes_loaded: ") for todo in written.todos)


# Names


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("Qwen2.5-7B-Instruct", "qwen2.5-7b"),
        ("Qwen3-235B-A22B-Instruct-2507", "qwen3-235b-a22b-instruct-2507"),
        ("DeepSeek-V3", "deepseek-v3"),
        ("模型", "model"),
        ("..hidden", "hidden"),
    ],
)
def test_names(repository, name):
    assert draft.name_of(repository) == name


@pytest.mark.parametrize(
    ("repository", "of", "family"),
    [
        ("Qwen2.5-Math-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct", "Qwen2.5"),
        ("Qwen2.5-Coder-3B", "Qwen/Qwen2.5-7B-Instruct", "Qwen2.5-Coder"),
        ("GLM-4.7-Flash", "zai-org/GLM-4.5-Air", "GLM-4.5"),
        ("MiniMax-M2.9", "MiniMaxAI/MiniMax-M2", "MiniMax-M2"),
        ("Baichuan2-7B-Chat", "Qwen/Qwen2.5-7B-Instruct", "Baichuan2"),
        ("Yi-1.5-34B-Chat", "meta-llama/Llama-3.1-8B-Instruct", "Yi-1.5"),
        ("7B", "Qwen/Qwen2.5-7B-Instruct", "7B"),
    ],
    ids=["by family", "longest family", "by recipe", "by class and maker", "new", "new with a number", "only a size"],
)
def test_families(repository, of, family):
    assert begin(seen(repository, config(of))).family == family


def test_what_the_user_says_is_taken():
    asked = draft.Asked(name="mine", family="Mine", title="My model")
    begun = begin(seen("Qwen2.5-9B-Instruct", config("Qwen/Qwen2.5-7B-Instruct")), asked)
    assert (begun.name, begun.family, begun.title) == ("mine", "Mine", "My model")
    assert not any(todo.startswith("family: ") for todo in as_toml(begun, "org/x").todos)


# Configs that are odd


def test_a_config_that_is_not_understood_is_kept_and_the_linter_says_so():
    odd = {"architectures": ["NobodyForCausalLM"], "hidden_size": 8, "max_position_embeddings": 77, "odd": [1, None]}
    odd |= {"torch_dtype": "bfloat16", "nothing": None, "auto_map": {"AutoModel": "m.C"}, "many": float("inf")}
    begun = begin(seen("odd-1b", odd, 5))
    assert begun.config == {
        "architectures": ["NobodyForCausalLM"],
        "hidden_size": 8,
        "max_position_embeddings": 77,
        "odd": [1],
        "torch_dtype": "bfloat16",
    }
    recipe = read_back(begun)
    assert (recipe.context, recipe.parameters, recipe.variants[0].scheme) == (77, None, "bf16")
    assert any("--trust-remote-code" in note for note in recipe.notes)
    problems = {finding.message.id for finding in lint(recipe, pinned_engine())}
    assert {"lint.config", "lint.architecture"} <= problems


def test_code_of_a_class_that_the_engine_has_is_no_matter():
    begun = begin(seen("x", config(DEEPSEEK_V3, auto_map={"AutoModel": "m.C"})))
    assert begun.notes == ()
    assert "auto_map" not in begun.config


def test_a_tokenizer_of_code_is_noted():
    (note,) = begin(seen("x", config(DEEPSEEK_V3), tokenizer_is_code=True)).notes
    assert note.startswith("Its tokenizer is Python code")


def test_a_key_that_planning_reads_and_the_list_lacks_keeps_the_whole_config(monkeypatch):
    """The list of keys is not trusted: what comes out is held against what went in."""
    monkeypatch.setattr(draft, "KEYS", draft.KEYS - {"num_key_value_heads"})
    whole = config("Qwen/Qwen2.5-7B-Instruct")
    assert draft.kept_config(whole, ModelArch.from_config(whole)) == {
        key: value for key, value in whole.items() if key != "transformers_version"
    }


def test_text_from_a_repository_cannot_end_a_comment_or_a_string():
    evil = 'x"\n[licence]\nid = "MIT'
    contradiction = f"`{evil}` is odd"
    model = seen("x", config(DEEPSEEK_V3, odd=evil, model_type=evil), contradictions=(contradiction,))
    recipe = read_back(begin(replace(model, config={**model.config, "architectures": ["Nobody"], "lone": "\ud800"})))
    assert recipe.config["model_type"] == evil
    assert recipe.config["lone"] == "?"
    assert recipe.licence.url == MIT.url


@pytest.mark.parametrize("changed", [{"torch_dtype": "\ud800"}, {"quantization_config": {"quant_method": "\ud800"}}])
def test_a_lone_surrogate_of_a_config_is_written_as_text(changed):
    begun = begin(seen("Foo-7B", {"architectures": ["FooForCausalLM"], **changed}, weight_bytes=14_000_000_000))

    written = as_toml(begun, "org/Foo-7B").text

    assert tomllib.loads(written.encode().decode())["variant"][0]["scheme"] == "?"


def test_sampling_is_what_the_file_says():
    said = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05, "do_sample": True}
    assert draft.sampling_of(said) == {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05}
    odd = {"temperature": True, "top_p": "0.8", "top_k": 0, "min_p": -1, "repetition_penalty": float("nan")}
    assert draft.sampling_of(odd) == {}
    recipe = read_back(begin(seen("x", config(DEEPSEEK_V3), generation=said)))
    assert recipe.serving.sampling.as_dict() == draft.sampling_of(said)


# Schemes


@pytest.mark.parametrize(
    ("section", "scheme"),
    [
        (None, "bf16"),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, "fp8"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq-int4"),
        ({"quant_method": "gptq", "bits": 8, "group_size": 128}, "gptq-int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "nf4"),
        ({"quant_method": "ascend", "types": {"*.mlp.*": "W8A8_DYNAMIC"}}, "w8a8"),
        ({"quant_method": "ascend", "types": {"*.mlp.*": "W4A8_DYNAMIC"}}, "w4a8"),
        ({"quant_method": "ascend", "types": {"*.mlp.*": "W4A16"}}, "w4a16"),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "pack-quantized",
                "config_groups": {
                    "group_0": {
                        "targets": ["Linear"],
                        "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128},
                    }
                },
            },
            "w4a16",
        ),
    ],
)
def test_the_scheme_is_what_the_config_says(section, scheme):
    found = arch("Qwen/Qwen2.5-7B-Instruct", quantization_config=section)
    assert scheme_of(found) == scheme
