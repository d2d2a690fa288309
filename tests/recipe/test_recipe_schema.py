"""Recipes: every mistake is named with the path of its key, all at once."""

from __future__ import annotations

import copy
import datetime as dt
from pathlib import PurePath

import pytest

from selfhost.errors import UsageError
from selfhost.recipe.read import recipe_from_dict
from selfhost.recipe.schema import SourceKind, SupportState

GOOD = {
    "schema_version": 1,
    "name": "tiny",
    "title": "Tiny",
    "family": "Tiny",
    "summary": "for tests",
    "context": 4096,
    "licence": {"id": "MIT", "url": "https://example.org/mit", "conditions": ["be kind"]},
    "config": {"model_type": "llama", "hidden_size": 256},
    "variant": [
        {"name": "bf16", "scheme": "bf16"},
        {
            "name": "fp8",
            "scheme": "fp8",
            "bytes_on_disk": 1000,
            "quantization_config": {"quant_method": "fp8"},
            "source": [{"kind": "huggingface", "id": "a/b", "revision": "0" * 40}],
        },
    ],
    "serving": {"tool_call_parser": "hermes", "sampling": {"temperature": 1, "top_k": 20}, "engine_args": ["--x", "y"]},
    "check": {"prompt": "?", "expect": "!"},
    "support": [
        {
            "state": "unsupported",
            "engine": "vllm",
            "versions": "0.32.0",
            "where": "H20",
            "date": dt.date(2026, 11, 22),
        }
    ],
    "source": [{"fact": "config", "url": "https://example.org"}],
}


def changed(**changes) -> dict:
    return {key: value for key, value in {**copy.deepcopy(GOOD), **changes}.items() if value is not None}


def problems(data, path="recipes/tiny/tiny.toml") -> list[str]:
    with pytest.raises(UsageError) as caught:
        recipe_from_dict(data, PurePath(path))
    assert caught.value.message.id == "recipe.invalid"
    return caught.value.message.why.splitlines()


def test_a_good_recipe_is_read_whole():
    recipe = recipe_from_dict(GOOD, PurePath("tiny.toml"))
    assert (recipe.name, recipe.context, recipe.licence.conditions) == ("tiny", 4096, ("be kind",))
    assert recipe.serving.sampling.as_dict() == {"temperature": 1, "top_k": 20}
    assert recipe.serving.engine_args == ("--x", "y")
    assert recipe.support[0].state is SupportState.UNSUPPORTED
    assert recipe.support[0].date == "2026-11-22"
    (source,) = recipe.variants[1].sources
    assert (source.kind, source.id, source.revision) == (SourceKind.HUGGINGFACE, "a/b", "0" * 40)
    assert recipe.check is not None
    assert recipe.check.expect == "!"


def test_the_first_variant_is_the_default_and_others_go_by_name():
    recipe = recipe_from_dict(GOOD, PurePath("tiny.toml"))
    assert recipe.variant(None).name == "bf16"
    assert recipe.config_of(recipe.variant("bf16")) == {"model_type": "llama", "hidden_size": 256}
    assert recipe.config_of(recipe.variant("fp8"))["quantization_config"] == {"quant_method": "fp8"}
    with pytest.raises(UsageError) as caught:
        recipe.variant("fp9")
    assert caught.value.message.what == "recipe `tiny` has no variant `fp9`"
    assert caught.value.message.why == "variants: bf16, fp8"
    assert caught.value.message.hint == "try `--variant fp8`; `selfhost recipe show tiny` tells more"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"title": None}, "title: missing, a string is wanted", id="missing"),
        pytest.param({"context": "8192"}, "context: a string, an integer is wanted", id="number in quotes"),
        pytest.param({"context": True}, "context: a boolean, an integer is wanted", id="boolean is no number"),
        pytest.param({"context": 0}, "context: 0, a number above 0 is wanted", id="zero"),
        pytest.param({"summary": "  "}, "summary: is empty", id="blank"),
        pytest.param({"contxt": 1}, "contxt: not a known key, did you mean `context`?", id="typing error"),
        pytest.param({"name": "other"}, "name: `other`, but the file is named `tiny.toml`", id="file name differs"),
        pytest.param({"name": "../x"}, "name: `../x` does not have the form [a-z0-9][a-z0-9._-]*", id="name is a path"),
        pytest.param({"variant": []}, "variant: is empty", id="no variant"),
        pytest.param({"Title": "x"}, "Title: not a known key, did you mean `title`?", id="another case"),
        pytest.param(
            {"zz": 1}, "zz: not a known key; known here: `active_parameters`, `check`, `claim`", id="no near key"
        ),
        pytest.param({"x" * 99: 1}, f"{'x' * 57}...: not a known key; known here: `active_", id="long key"),
        pytest.param(
            {"context": 1 << 70}, "context: a number of 71 bits, which is more than a TOML integer holds", id="huge"
        ),
        pytest.param(
            {"serving": {"sampling": {"top_p": float("nan")}}},
            "serving.sampling.top_p: nan, a finite number is wanted",
            id="not a number",
        ),
        pytest.param(
            {"config": {"a": [{"b": dt.date(2026, 1, 2)}]}},
            "config.a[0].b: a date, which a config.json cannot hold",
            id="date in the config",
        ),
        pytest.param(
            {"config": {"a": float("inf")}},
            "config.a: inf, which a config.json cannot hold",
            id="infinity in the config",
        ),
        pytest.param(
            {"variant": [{"name": "a", "scheme": "b", "quantization_config": {"bits": -(1 << 64)}}]},
            "variant[0].quantization_config.bits: a number of 65 bits, which is more than a TOML integer holds",
            id="huge in the config",
        ),
        pytest.param(
            {"support": [{**GOOD["support"][0], "state": "verifed"}]},
            "support[0].state: `verifed` is not known, did you mean `verified`?",
            id="near value",
        ),
        pytest.param({"variant": [1]}, "variant[0]: an integer, a table is wanted", id="variant is no table"),
        pytest.param({"licence": {"id": "MIT"}}, "licence.url: missing, a string is wanted", id="nested"),
        pytest.param({"licence": []}, "licence: a list, a table is wanted", id="list for a table"),
        pytest.param({"config": {}}, "config: is empty", id="empty config"),
        pytest.param(
            {"serving": {"sampling": {"temperature": -1}}},
            "serving.sampling.temperature: -1, 0 or more is wanted",
            id="negative",
        ),
        pytest.param(
            {"serving": {"engine_args": [1]}}, "serving.engine_args[0]: an integer, a string is wanted", id="arg"
        ),
        pytest.param(
            {"variant": [{"name": "a", "scheme": "bf16"}, {"name": "a", "scheme": "bf16"}]},
            "variant[1].name: `a` is there twice",
            id="variant twice",
        ),
        pytest.param(
            {"variant": [{"name": "a", "scheme": "bf16", "source": [{"kind": "ftp", "id": "x"}]}]},
            "variant[0].source[0].kind: `ftp` is not one of huggingface, modelscope, mirror, bundle, wheel, directory",
            id="source kind",
        ),
    ],
)
def test_a_mistake_is_named_with_the_path_of_its_key(change, expected):
    assert any(problem.startswith(expected) for problem in problems(changed(**change)))


def test_all_mistakes_are_told_at_once():
    data = changed(title=None, context="x", licence={"id": 1, "url": "u"}, check={"promt": "?"})
    with pytest.raises(UsageError) as caught:
        recipe_from_dict(data, PurePath("recipes/tiny.toml"))
    message = caught.value.message
    assert int(caught.value.code) == 2
    assert message.what == "recipe `recipes/tiny.toml` is not valid: 6 to correct"
    assert message.why.splitlines() == [
        "title: missing, a string is wanted",
        "context: a string, an integer is wanted",
        "licence.id: an integer, a string is wanted",
        "check.prompt: missing, a string is wanted",
        "check.expect: missing, a string is wanted",
        "check.promt: not a known key, did you mean `prompt`?",
    ]


def test_a_wheel_source_must_say_exactly_which_wheel():
    data = changed(variant=[{"name": "a", "scheme": "bf16", "source": [{"kind": "wheel", "id": "x"}]}])
    assert problems(data) == [
        "variant[0].source[0].revision: missing, a string is wanted",
        "variant[0].source[0].size_bytes: missing, an integer is wanted",
        "variant[0].source[0].sha256: missing, a string is wanted",
        "variant[0].source[0].file: missing, a list is wanted",
    ]


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../../b"])
def test_a_file_may_not_lead_out_of_its_source(path):
    source = {"kind": "huggingface", "id": "x/y", "file": [{"path": path}]}
    data = changed(variant=[{"name": "a", "scheme": "bf16", "source": [source]}])
    assert problems(data) == [f"variant[0].source[0].file[0].path: `{path}` leads out of the source"]


def test_a_newer_schema_says_only_that():
    with pytest.raises(UsageError) as caught:
        recipe_from_dict(changed(schema_version=2, brand_new=1), PurePath("tiny.toml"))
    assert caught.value.message.id == "recipe.newer_schema"
    assert caught.value.message.why == "schema_version: found 2, known up to 1"


def test_what_a_variant_changes_in_config_and_what_is_doubtful_is_read():
    data = changed(
        parameters=1000,
        active_parameters=100,
        long_context={"context": 131072, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "note": "slower"},
        unverified=["sampling"],
    )
    data["variant"][1] |= {"bytes_loaded": 900, "config": {"hidden_size": 512}, "notes": ["padded"]}
    recipe = recipe_from_dict(data, PurePath("tiny.toml"))
    assert (recipe.parameters, recipe.active_parameters, recipe.unverified) == (1000, 100, ("sampling",))
    assert recipe.long_context is not None
    assert (recipe.long_context.context, recipe.long_context.rope_scaling["factor"]) == (131072, 4.0)
    padded = recipe.variant("fp8")
    assert (padded.bytes_loaded, padded.notes) == (900, ("padded",))
    assert recipe.config_of(recipe.variant("bf16")) == {"model_type": "llama", "hidden_size": 256}
    assert recipe.config_of(padded) == {
        "model_type": "llama",
        "hidden_size": 512,
        "quantization_config": {"quant_method": "fp8"},
    }


def test_long_context_needs_its_scaling():
    assert problems(changed(long_context={"context": 131072}))[0].startswith("long_context.rope_scaling: ")


def test_a_config_is_not_nested_without_end():
    config: dict = {"model_type": "llama"}
    for _ in range(500):
        config = {"a": config}
    assert problems(changed(config=config)) == [f"config{'.a' * 17}: more than 16 tables in one another"]
