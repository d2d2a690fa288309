"""What an engine would fetch behind the gap is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfhost.bundle.closure import engine_closure, model_closure
from selfhost.bundle.risks import ModelFacts
from selfhost.engines.lock import LockEntry, parse_lock
from selfhost.weights.lock import LockedFile

LOCKS = Path(__file__).resolve().parents[2] / "selfhost" / "engines" / "locks"


def ids(findings):
    return [finding.message.id for finding in findings]


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

    def closure(found, **beside):
        return engine_closure(found, {name.replace("_", "-"): version for name, version in beside.items()}, "/wheels")

    assert closure(entries(torch="2")) == ()
    assert closure(entries(flashinfer_python="0.7", flashinfer_cubin="0.7")) == ()
    assert closure(entries(flashinfer_python="0.7"), flashinfer_cubin="0.7") == ()
    assert ids(closure(entries(flashinfer_python="0.7"))) == ["closure.cubin"]
    assert ids(closure(entries(flashinfer_python="0.7", flashinfer_cubin="0.6"))) == ["closure.cubin_version"]
    assert closure(parse_lock((LOCKS / "cpu.lock").read_text())) == ()
    assert ids(closure(parse_lock((LOCKS / "cuda.lock").read_text()))) == ["closure.cubin"]
