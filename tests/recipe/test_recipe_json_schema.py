"""The JSON Schema that editors use is current, takes every recipe, and agrees with the loader."""

from __future__ import annotations

import copy
import datetime as dt
import tomllib
from pathlib import PurePath

import jsonschema
import pytest

from selfhost.errors import UsageError
from selfhost.recipe.json_schema import as_text, recipe_schema
from selfhost.recipe.load import builtin_directory
from selfhost.recipe.read import recipe_from_dict

FILE = builtin_directory() / "recipe.schema.json"
WRITE = (
    "python -c 'from selfhost.recipe.json_schema import as_text; print(as_text(), end=\"\")'"
    " > recipes/recipe.schema.json"
)
BUILTIN = sorted(builtin_directory().glob("*/*.toml"))
VALIDATOR = jsonschema.Draft7Validator(recipe_schema(), format_checker=jsonschema.FormatChecker())
FULL = {
    "schema_version": 1,
    "name": "tiny",
    "title": "Tiny",
    "family": "Tiny",
    "summary": "for tests",
    "hub_id": "a/tiny",
    "context": 4096,
    "parameters": 10,
    "active_parameters": 5,
    "notes": ["n"],
    "unverified": ["u"],
    "licence": {"id": "MIT", "url": "https://example.org/mit", "conditions": ["be kind"]},
    "config": {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
    "long_context": {"context": 8192, "rope_scaling": {"factor": 2.0}, "note": "n"},
    "variant": [
        {
            "name": "fp8",
            "scheme": "fp8",
            "summary": "s",
            "bytes_on_disk": 1000,
            "bytes_loaded": 900,
            "config": {"torch_dtype": "float16"},
            "quantization_config": {"quant_method": "fp8"},
            "notes": ["n"],
            "unverified": ["u"],
            "source": [
                {"kind": "huggingface", "id": "a/b", "revision": "0" * 40},
                {
                    "kind": "wheel",
                    "id": "w",
                    "revision": "1",
                    "size_bytes": 1,
                    "sha256": "a" * 64,
                    "file": [{"path": "x", "size_bytes": 1, "sha256": "b" * 64}],
                },
            ],
        },
    ],
    "serving": {
        "max_model_len": 2048,
        "tool_call_parser": "hermes",
        "reasoning_parser": "qwen3",
        "chat_template": "t.jinja",
        "sampling": {"temperature": 1, "top_k": 20, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.05},
        "engine_args": ["--x"],
    },
    "check": {"prompt": "?", "expect": "!"},
    "support": [
        {
            "state": "verified",
            "engine": "vllm",
            "versions": "0.32.0",
            "where": "a server",
            "hardware": "8xH20",
            "date": dt.date(2026, 11, 22),
            "note": "n",
        }
    ],
    "claim": [
        {
            "variant": "fp8",
            "by": "somebody",
            "engine": "vllm",
            "versions": "0.32.0",
            "hardware": "8xH20",
            "where": "a server",
            "url": "https://example.org",
            "options": ["--tensor-parallel-size", "8"],
            "environment": {"X": "1"},
            "lacks_gib": 1.5,
            "refused": True,
            "note": "n",
        }
    ],
    "source": [{"fact": "config", "url": "https://example.org"}],
}


def as_json(value):
    """TOML as an editor hands it to JSON Schema: dates as text."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_json(inner) for inner in value]
    return value.isoformat() if isinstance(value, dt.date) else value


def test_the_shipped_file_is_current():
    assert FILE.read_text() == as_text(), f"write it again: {WRITE}"


def test_it_is_a_schema_itself():
    jsonschema.Draft7Validator.check_schema(recipe_schema())


@pytest.mark.parametrize("path", BUILTIN, ids=lambda path: path.stem)
def test_each_recipe_is_valid_by_it(path):
    assert [error.message for error in VALIDATOR.iter_errors(as_json(tomllib.loads(path.read_text())))] == []


@pytest.mark.parametrize("path", BUILTIN, ids=lambda path: path.stem)
def test_each_recipe_leads_an_editor_to_it(path):
    directive, _, schema = path.read_text().splitlines()[0].partition(" ")
    assert (directive, (path.parent / schema).resolve()) == ("#:schema", FILE)


def places(value, way=()):
    """Every key and list item of a document, outside what is the model's own (`config` and its like)."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*way, key)
        if key not in ("config", "quantization_config", "rope_scaling", "environment"):
            yield from places(inner, (*way, key))


def edited(way, change) -> dict:
    document = copy.deepcopy(FULL)
    holder = document
    for key in way[:-1]:
        holder = holder[key]
    change(holder, way[-1])
    return document


def put(value):
    return lambda holder, key: holder.__setitem__(key, value)


def rename(holder, key):
    if isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    else:
        holder.append(holder[key])


CHANGES = {
    "dropped": lambda holder, key: holder.pop(key),
    "renamed": rename,
    "boolean": put(True),
    "zero": put(0),
    "negative": put(-1),
    "text": put("zzz"),
    "blank": put("  "),
    "list": put([]),
    "table": put({}),
    "number": put(1.5),
}


def test_it_agrees_with_the_loader_on_every_single_mistake():
    checked, differing = 0, []
    for way in places(FULL):
        for name, change in CHANGES.items():
            document = edited(way, change)
            try:
                recipe_from_dict(document, PurePath("tiny.toml"))
                loaded = True
            except UsageError:
                loaded = False
            checked += 1
            if loaded != VALIDATOR.is_valid(as_json(document)):
                differing.append((way, name, loaded))
    # Only the loader knows the file's name, and tells names that are there twice or lead out of their source.
    assert [d for d in differing if d[:2] not in {(("name",), "text"), (("variant", 0), "renamed")}] == []
    assert checked == 10 * len(list(places(FULL)))


def test_unknown_keys_and_wrong_values_are_marked():
    bad = copy.deepcopy(FULL)
    bad["contxt"] = 1
    bad["variant"][0]["source"][0]["kind"] = "hugginface"
    bad["variant"][0]["source"][1].pop("sha256")
    found = {(*error.absolute_path, error.validator) for error in VALIDATOR.iter_errors(as_json(bad))}
    assert found == {
        ("additionalProperties",),
        ("variant", 0, "source", 0, "kind", "enum"),
        ("variant", 0, "source", 1, "required"),
    }
