"""What an engine would fetch behind the gap is found; what selfhost itself renders has no such finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfhost.bundle.closure import Command, command_closure, engine_closure, model_closure
from selfhost.bundle.risks import ModelFacts
from selfhost.engines.lock import LockEntry, parse_lock
from selfhost.weights.lock import LockedFile

LOCKS = Path(__file__).resolve().parents[2] / "selfhost" / "engines" / "locks"
ARGV = ("vllm", "serve", "/models/m", "--allowed-media-domains", "none.invalid", "--disable-fastapi-docs")
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
    "VLLM_HOST_IP": "127.0.0.1",
}


def ids(findings):
    return [finding.message.id for finding in findings]


def of(*argv, environment=ENVIRONMENT, carried=()):
    return ids(command_closure(Command((*ARGV, *argv), environment), carried))


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        ((), []),
        (("--tokenizer", "/models/t"), []),
        (("--tokenizer", "org/t"), ["closure.repository"]),
        (("--tokenizer=org/t",), ["closure.repository"]),
        (("--tokenizer", "org/here"), []),
        (("--hf_config_path", "org/t"), ["closure.repository"]),
        (("--speculative-config", '{"method": "eagle3", "model": "org/draft"}'), ["closure.repository"]),
        (("--speculative-config", '{"method": "ngram"}'), []),
        (("--speculative-config", '{"model": "/models/draft"}'), []),
        (("--speculative-config.model", "org/draft"), ["closure.repository"]),
        (("--spec-model", "org/draft"), ["closure.repository"]),
        (("--lora-modules", "a=/x", "b=org/b", '{"name": "c", "path": "org/c"}'), ["closure.repository"] * 2),
    ],
)
def test_repositories_that_options_name_are_found_unless_the_bundle_has_them(argv, wanted):
    assert of(*argv, carried={"org/here"}) == wanted


@pytest.mark.parametrize(
    "argv",
    [
        ("bash", "-c", "pip install x && vllm serve /m"),
        ("bash", "-c", "set -e; uv pip install x; vllm serve /m"),
        ("/usr/bin/curl", "https://example.org"),
    ],
)
def test_a_command_that_installs_something_is_found(argv):
    found = command_closure(Command(argv, ENVIRONMENT), ())
    assert "closure.fetcher" in ids(found)
    assert "closure.fetcher" not in of("--served-model-name", "pip-curl", "--chat-template", "/git/x")


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_each_variable_counts(name):
    lacking = {key: value for key, value in ENVIRONMENT.items() if key != name}
    wanted = "closure.host_ip" if name == "VLLM_HOST_IP" else "closure.environment"
    assert of(environment=lacking) == [wanted]
    if wanted == "closure.environment":
        assert of(environment=ENVIRONMENT | {name: "x"}) == [wanted]


def test_options_that_keep_requests_from_the_network_count_and_a_token_is_told():
    bare = Command(("vllm", "serve", "org/m"), ENVIRONMENT | {"HF_TOKEN": "t"})
    assert ids(command_closure(bare, ())) == ["closure.repository", "closure.token", "closure.media", "closure.docs"]


def model(config, *paths):
    files = tuple(LockedFile(path=path, size=0, sha256="0" * 64) for path in paths)
    return ModelFacts(name="m", files=files, configs={"config.json": config})


@pytest.mark.parametrize(
    ("config", "paths", "wanted"),
    [
        ({"model_type": "llama"}, (), []),
        ({"model_type": "kimi_audio"}, (), ["closure.vocabulary"]),
        ({"model_type": "kimi_audio"}, ("tiktoken.model",), []),
        ({"model_type": "gpt_oss"}, ("tokenizer.json",), ["closure.harmony"]),
        ({"model_type": "gpt_oss"}, ("vocab/o200k_base.tiktoken",), []),
        ({"speculators_config": {"verifier": {"name_or_path": "org/big"}}}, (), ["closure.verifier"]),
        ({"speculators_config": {"verifier": {"name_or_path": "org/here"}}}, (), []),
        ({"speculators_config": "odd"}, (), []),
    ],
)
def test_what_a_model_asks_for_beside_its_files(config, paths, wanted):
    assert ids(model_closure(model(config, *paths), {"org/here"})) == wanted


def test_kernels_of_flashinfer_are_those_of_its_version_or_told():
    def entries(**versions):
        return [LockEntry(name.replace("_", "-"), version, "", ()) for name, version in versions.items()]

    assert engine_closure(entries(torch="2")) == ()
    assert engine_closure(entries(flashinfer_python="0.7", flashinfer_cubin="0.7")) == ()
    assert ids(engine_closure(entries(flashinfer_python="0.7"))) == ["closure.cubin"]
    assert ids(engine_closure(entries(flashinfer_python="0.7", flashinfer_cubin="0.6"))) == ["closure.cubin_version"]
    assert engine_closure(parse_lock((LOCKS / "cpu.lock").read_text())) == ()
    assert ids(engine_closure(parse_lock((LOCKS / "cuda.lock").read_text()))) == ["closure.cubin"]
