"""Each rule of `recipe lint` finds its mistake, by id and key, and nothing else; built-in recipes have no errors."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import json
import tomllib
from pathlib import PurePath

import pytest

from selfhost.app.lint import lint_recipes, pinned_engine
from selfhost.cli.main import main
from selfhost.findings import Severity
from selfhost.recipe.lint import duplicate_hub_ids, lint
from selfhost.recipe.load import builtin_directory
from selfhost.recipe.read import recipe_from_dict
from tests.toml_text import as_toml

BASE = tomllib.loads((builtin_directory() / "qwen" / "qwen2.5-7b.toml").read_text())
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
BYTES = 15_231_233_024  # 7,615,616,512 parameters of two bytes


def good() -> dict:
    """Qwen2.5-7B with one variant and nothing to find."""
    source = {"kind": "huggingface", "id": "Qwen/Qwen2.5-7B-Instruct", "revision": "a" * 40}
    variant = {"name": "bf16", "scheme": "bf16", "bytes_on_disk": BYTES, "source": [source]}
    kept = ("schema_version", "title", "family", "summary", "hub_id", "config")
    return {
        **{key: copy.deepcopy(BASE[key]) for key in kept},
        "name": "tiny",
        "context": 32768,
        "licence": {"id": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        "variant": [variant],
        "serving": {"tool_call_parser": "hermes", "sampling": {"temperature": 0.7, "top_p": 0.8}},
        "check": {"prompt": "What is the capital of France?", "expect": "Paris"},
        "source": [{"fact": "config", "url": "https://huggingface.co/Qwen/Qwen2.5-7B-Instruct"}],
    }


def changed(way: str, value: object) -> dict:
    document = good()
    *path, last = way.split(".")
    holder = document
    for key in path:
        holder = holder[int(key)] if key.isdigit() else holder.setdefault(key, {})
    holder[last] = value
    return document


def found(document: dict, folder: str | None = None) -> list:
    return lint(recipe_from_dict(document, PurePath("tiny.toml")), pinned_engine(), folder=folder)


def test_a_good_recipe_has_no_findings():
    assert found(good(), folder="qwen") == []


SUPPORT = {"state": "verified", "engine": "vllm", "versions": "0.32.0", "where": "a server", "date": None}
W8A8 = {
    "quant_method": "compressed-tensors",
    "config_groups": {
        "group_0": {
            "weights": {"type": "int", "num_bits": 8, "strategy": "channel"},
            "input_activations": {"num_bits": 8},
        }
    },
}


@pytest.mark.parametrize(
    ("way", "value", "severity", "message_id", "where"),
    [
        ("variant.0.source.0.revision", "main", "warning", "lint.unpinned", "variant[0].source[0].revision"),
        ("variant.0.scheme", "awq-int4", "error", "lint.scheme", "variant[0].scheme"),
        ("variant.0.scheme", "fp16", "error", "lint.scheme", "variant[0].scheme"),
        ("variant.0.scheme", "int3", "error", "lint.scheme_unknown", "variant[0].scheme"),
        ("variant.0.quantization_config", AWQ, "error", "lint.scheme", "variant[0].scheme"),
        ("variant.0.quantization_config", {"quant_method": "awq"}, "error", "lint.config", "variant[0]"),
        ("variant.0.quantization_config", {"quant_method": "mxq"}, "error", "lint.config", "variant[0]"),
        ("variant.0.bytes_on_disk", BYTES * 103 // 100, "warning", "lint.bytes", "variant[0].bytes_on_disk"),
        ("variant.0.bytes_loaded", BYTES * 97 // 100, "warning", "lint.bytes", "variant[0].bytes_loaded"),
        ("variant.0.bytes_loaded", BYTES + 1, "error", "lint.bytes_order", "variant[0].bytes_loaded"),
        ("parameters", 7_000_000_000, "warning", "lint.parameters", "parameters"),
        ("config.architectures", ["Qwen2ForCausalLn"], "error", "lint.config", "variant[0]"),
        ("config.hidden_size", "3584", "error", "lint.config", "variant[0]"),
        ("context", 32769, "error", "lint.context", "context"),
        ("serving.max_model_len", 131072, "error", "lint.context", "serving.max_model_len"),
        (
            "long_context",
            {"context": 131073, "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32768}},
            "error",
            "lint.long_context",
            "long_context.context",
        ),
        ("serving.tool_call_parser", "hermes2", "error", "lint.parser", "serving.tool_call_parser"),
        ("serving.reasoning_parser", "qwen", "error", "lint.parser", "serving.reasoning_parser"),
        ("serving.sampling.temperature", 2.5, "error", "lint.sampling", "serving.sampling.temperature"),
        ("serving.sampling.top_p", 0.0, "error", "lint.sampling", "serving.sampling.top_p"),
        ("serving.sampling.min_p", 1.5, "error", "lint.sampling", "serving.sampling.min_p"),
        ("serving.sampling.repetition_penalty", 0, "error", "lint.sampling", "serving.sampling.repetition_penalty"),
        ("serving.engine_args", ["--max-model-len", "4096"], "error", "lint.setting", "serving.engine_args"),
        ("serving.engine_args", ["--port", "1"], "error", "owned.own_option", "serving.engine_args"),
        ("serving.engine_args", ["--api-key", "x"], "error", "owned.keys", "serving.engine_args"),
        ("serving.engine_args", ["--no-such-flag"], "error", "owned.unknown", "serving.engine_args"),
        ("serving.engine_args", ["--trust-remote-code"], "error", "owned.remote_code", "serving.engine_args"),
        ("licence.url", "see the repository", "error", "lint.licence_reference", "licence.url"),
        ("source", [], "warning", "lint.no_facts", "source"),
        ("source.0.url", "the model card", "warning", "lint.fact_source", "source[0].url"),
        ("check.expect", "france", "warning", "lint.check_in_question", "check.expect"),
    ],
)
def test_a_rule_finds_its_mistake_and_no_other_does(way, value, severity, message_id, where):
    findings = found(changed(way, value))
    kept = [(f.severity.value, f.message.id, f.where) for f in findings]
    assert (severity, message_id, where) in kept
    # One mistake may break a second rule for good reason: an unknown class is also not the engine's.
    also = {"lint.architecture", "lint.bytes"} if value in (["Qwen2ForCausalLn"], AWQ) else set()
    assert {found_id for _, found_id, _ in kept} - also == {message_id}


@pytest.mark.parametrize(
    ("scheme", "quantization", "agrees"),
    [
        ("awq-int4", AWQ, True),
        ("gptq-int4", AWQ, False),
        ("awq-int4", {**AWQ, "bits": 8}, False),
        ("gptq-int4", {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, True),
        ("gptq-int8", {"quant_method": "gptq", "bits": 8, "group_size": 128, "sym": True}, True),
        ("gptq-int8", {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, False),
        ("fp8", {"quant_method": "fp8", "weight_block_size": [128, 128]}, True),
        ("w8a8", W8A8, True),
        ("w4a16", W8A8, False),
        ("nf4", {"quant_method": "bitsandbytes", "load_in_4bit": True}, True),
        ("int8", {"quant_method": "bitsandbytes", "load_in_8bit": True}, True),
    ],
)
def test_a_scheme_is_held_against_its_config(scheme, quantization, agrees):
    document = good()
    document["variant"][0] |= {"scheme": scheme, "quantization_config": quantization}
    del document["variant"][0]["bytes_on_disk"]
    assert [f.message.id for f in found(document)] == ([] if agrees else ["lint.scheme"])


def test_the_sentences_of_a_finding():
    (finding,) = found(changed("serving.tool_call_parser", "hermes2"))
    assert finding.as_dict() == {
        "severity": "error",
        "id": "lint.parser",
        "where": "serving.tool_call_parser",
        "problem": "vllm 0.32.0 has no tool call parser named `hermes2`",
        "why": "nearest: hermes",
        "fix": "use one that it has, or leave the key out",
    }
    (finding,) = found(changed("variant.0.bytes_on_disk", 2 * BYTES))
    assert finding.message.what == "`bytes_on_disk` of variant `bf16` is +100.0 % off what its architecture computes"
    assert finding.message.why.startswith("found 30,462,466,048, computed 15,231,233,024: embeddings, head")


def test_a_tied_head_may_be_on_disk_a_second_time():
    document = changed("config.tie_word_embeddings", True)
    head = 152_064 * 3_584 * 2
    document["variant"][0] |= {"bytes_on_disk": BYTES, "bytes_loaded": BYTES - head}
    assert found(document) == []
    document["variant"][0] |= {"bytes_on_disk": BYTES + head}
    assert [f.message.id for f in found(document)] == ["lint.bytes"]


def test_a_class_that_selfhost_knows_but_the_engine_lacks():
    engine = pinned_engine()
    older = dataclasses.replace(engine, architectures=engine.architectures - {"Qwen2ForCausalLM"})
    (finding,) = lint(recipe_from_dict(good(), PurePath("tiny.toml")), older)
    assert (finding.severity, finding.message.id, finding.where) == (
        Severity.ERROR,
        "lint.architecture",
        "config.architectures",
    )


@pytest.mark.parametrize(
    "extension",
    [
        ("config.rope_scaling", {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}),
        ("config.rope_scaling", {"rope_type": "linear", "factor": 4.0}),
        (
            "serving.engine_args",
            ["--hf-overrides", '{"rope_parameters":{"factor":4.0,"original_max_position_embeddings":32768}}'],
        ),
        ("serving.engine_args", ['--hf-overrides={"max_position_embeddings":131072}']),
    ],
)
def test_a_longer_context_is_fine_when_it_is_made_on_purpose(extension):
    document = changed(*extension)
    document["context"] = 131072
    assert found(document) == []
    document["context"] = 131073
    assert [f.message.id for f in found(document)] == ["lint.context"]


@pytest.mark.parametrize("hardware", ["8xH20", "2x8x910B3", "cpu@24"])
def test_hardware_of_a_claim_is_known(hardware):
    assert [f.message.id for f in found(with_support(hardware=hardware))] == []


@pytest.mark.parametrize("hardware", ["8xH200X", "H2O@96", "two of them"])
def test_hardware_of_a_claim_is_not_known(hardware):
    (finding,) = found(with_support(hardware=hardware))
    assert (finding.message.id, finding.where) == ("lint.hardware", "support[0].hardware")


def test_an_engine_that_is_not_known():
    assert [f.message.id for f in found(with_support(engine="sglang"))] == ["lint.engine_unknown"]


def with_support(**changes) -> dict:
    return {**good(), "support": [{**SUPPORT, "date": dt.date(2026, 11, 22), **changes}]}


def test_the_folder_is_the_familys_the_names_or_the_organisations():
    document = {**good(), "name": "tiny", "family": "QwQ", "hub_id": "Qwen/QwQ-32B"}
    assert found(document, folder="qwen") == []
    assert [f.message.id for f in found(document, folder="deepseek")] == ["lint.folder"]


def test_a_hub_id_in_two_recipes():
    mine = recipe_from_dict(good(), PurePath("tiny.toml"))
    other = recipe_from_dict({**good(), "name": "other"}, PurePath("other.toml"))
    (finding,) = duplicate_hub_ids(mine, [mine, other])
    assert (finding.where, finding.message.what) == (
        "hub_id",
        "hub id `Qwen/Qwen2.5-7B-Instruct` is also in recipe `other`",
    )


def test_each_flag_that_is_wrong_is_told():
    document = changed("serving.engine_args", ["--port", "1", "--enable-prefix-caching", "--no-such", "--uds", "x"])
    assert [f.message.id for f in found(document)] == ["owned.own_option", "owned.unknown", "owned.listening"]


def test_built_in_recipes_have_no_errors():
    linted = lint_recipes([])
    assert len(linted) == len(list(builtin_directory().glob("*/*.toml")))
    errors = [(file.name, f.where, f.message.what) for file in linted for f in file.findings if f.severity == "error"]
    assert errors == []


# The command.


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["recipe", "lint", *arguments])
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


@pytest.fixture
def write(tmp_path):
    def write(document: dict, name: str = "tiny"):
        path = tmp_path / f"{name}.toml"
        path.write_text(as_toml({**document, "name": name, "hub_id": f"me/{name}"}))
        return path

    return write


def own(document: dict) -> dict:
    """With a repository that no built-in recipe names."""
    document["variant"][0]["source"][0]["id"] = "me/tiny"
    return document


def test_a_clean_file(capsys, write):
    assert run(capsys, str(write(own(good())))) == (0, "", "1 recipes, nothing to correct\n")


def test_warnings_are_allowed_unless_strict(capsys, write):
    path = write(own(changed("source", [])))
    code, out, err = run(capsys, str(path))
    assert code == 0
    assert out.splitlines()[0] == f"{path}: warning: source: no source is given for any fact of this recipe"
    assert err == "1 recipes: 0 errors, 1 warnings\n"
    assert run(capsys, str(path), "--strict")[0] == 3


def test_what_to_do_is_said_once(capsys, write):
    document = own(good())
    document["variant"][0]["source"] = [
        {"kind": "huggingface", "id": "me/tiny"},
        {"kind": "modelscope", "id": "me/tiny"},
    ]
    code, out, _ = run(capsys, str(write(document)))
    assert (code, out.count("at no fixed commit"), out.count("hint:")) == (0, 2, 1)


def test_errors_are_exit_code_3_and_json_says_the_same(capsys, write):
    path = write(own(changed("serving.tool_call_parser", "hermes2")))
    code, out, _ = run(capsys, str(path), "--json")
    body = json.loads(out)
    assert code == 3
    assert {key: body[key] for key in ("schema_version", "errors", "warnings", "unreadable")} == {
        "schema_version": 1,
        "errors": 1,
        "warnings": 0,
        "unreadable": 0,
    }
    assert [f["id"] for f in body["recipes"][0]["findings"]] == ["lint.parser"]


def test_a_file_that_is_no_recipe_is_exit_code_2_with_all_mistakes_and_the_others_are_still_linted(capsys, write):
    bad = own(good()) | {"context": "32k", "contxt": 1}
    bad["variant"][0]["source"][0]["kind"] = "hugginface"
    broken, fine = write(bad, "broken"), write(own(good()))
    code, out, err = run(capsys, str(broken), str(fine))
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"error: recipe `{broken}` is not valid: 3 to correct",
        "  context: a string, an integer is wanted",
        "  variant[0].source[0].kind: `hugginface` is not known, did you mean `huggingface`?",
        "  contxt: not a known key, did you mean `context`?",
        "hint: correct the keys above; `selfhost recipe show smollm2-135m --json` shows one that is valid",
        "1 recipes, nothing to correct",
    ]
    # Alone, nothing was linted: that there is "nothing to correct" would contradict the message.
    assert run(capsys, str(broken))[2].splitlines() == err.splitlines()[:-1]
    code, out, _ = run(capsys, str(broken), str(fine), "--json")
    body = json.loads(out)
    assert (code, body["unreadable"]) == (2, 1)
    assert [file["readable"] for file in body["recipes"]] == [False, True]
    assert "contxt: not a known key" in body["recipes"][0]["error"]["why"]


def test_a_name_that_is_none_and_a_file_that_is_not_there(capsys):
    code, _, err = run(capsys, "qwen2.5-7c")
    assert code == 2
    assert err.startswith("error: no recipe named `qwen2.5-7c`")
    code, _, err = run(capsys, "./absent.toml")
    assert code == 2
    assert err.startswith("error: there is no file `absent.toml`")


@pytest.mark.parametrize("key", ["num_key_value_heads", "tie_word_embeddings", "hidden_size"])
def test_a_misspelt_key_of_the_config_is_found(key):
    document = good()
    document["config"][key[:-1]] = document["config"].pop(key)
    messages = [(finding.where, finding.message.what) for finding in found(document)]
    wanted = f"`{key[:-1]}` is not a key that planning reads: did you mean `{key}`?"
    assert (f"config.{key[:-1]}", wanted) in messages
