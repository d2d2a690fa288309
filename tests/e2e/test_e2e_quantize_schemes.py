"""Each scheme of `selfhost quantize`: made by the command of a small real model, served by the real CPU engine.

Schemes that are served take some minutes each: `make long`.
"""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_e2e_serve_directory import processes_of, selfhost

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

MODEL = "smollm2-135m"
SECONDS = 1800
NO_KERNELS = {"w8a16": "the CPU engine has kernels for whole numbers of 4 bits, not of 8", "fp8": "only with AMX"}


@pytest.fixture(scope="module")
def pulled(engine_python, quantize_python, tmp_path_factory) -> Path:
    """A home with the model, the CPU engine and the environment that quantizes."""
    home = tmp_path_factory.mktemp("home")
    for python in (engine_python, quantize_python):
        environment = python.parent.parent
        target = home / "engines" / environment.parent.name
        target.mkdir(parents=True)
        (target / environment.name).symlink_to(environment)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SELFHOST_HOME", str(home))
        selfhost("pull", MODEL)
    return home


@pytest.fixture
def here(pulled, monkeypatch) -> Path:
    monkeypatch.setenv("SELFHOST_HOME", str(pulled))
    return pulled


@pytest.mark.usefixtures("long_run")
def test_a_variant_that_lost_little_enough_is_served_here_and_across(here, tmp_path, monkeypatch):
    words = ("quantize", MODEL, "--scheme", "w4a16-gptq", "--samples", "8")
    refused = selfhost(*words, "--max-kl", "0.001", check=False, seconds=SECONDS)
    assert refused.returncode == 3, refused.stderr
    assert "the variant lost too much" in refused.stderr
    assert variants() == ["bf16"]
    assert not (here / "models" / MODEL / "w4a16-gptq").exists()

    made = json.loads(selfhost(*words, "--max-kl", "1", "--json", seconds=SECONDS).stdout)
    assert 0.001 < made["loss"]["mean_kl"] < 1
    assert variants() == ["bf16", "w4a16-gptq"]
    loss_is_told("w4a16-gptq")
    assert "Paris" in answer_of("w4a16-gptq", here)

    medium, other = tmp_path / "medium", tmp_path / "other"
    medium.mkdir()
    other.mkdir()
    (other / "engines").symlink_to(here / "engines")
    selfhost("bundle", "create", "--model", MODEL, "--variant", "w4a16-gptq", "--to", str(medium))
    (volume,) = medium.iterdir()
    monkeypatch.setenv("SELFHOST_HOME", str(other))
    selfhost("bundle", "verify", str(volume), "--allow-unsigned", "a test")
    selfhost("bundle", "import", str(volume), "--allow-unsigned", "a test")
    assert variants() == ["bf16", "w4a16-gptq"]
    loss_is_told("w4a16-gptq")
    assert "Paris" in answer_of("w4a16-gptq", other)


@pytest.mark.usefixtures("long_run")
@pytest.mark.parametrize("scheme", ["w8a8", "w4a16-awq", "int8", "nf4"])
def test_a_scheme_is_made_and_served(here, scheme):
    samples = ("--samples", "8") if scheme.startswith("w") else ()
    selfhost("quantize", MODEL, "--scheme", scheme, *samples, seconds=SECONDS)
    loss_is_told(scheme)
    assert "Paris" in answer_of(scheme, here)


@pytest.mark.usefixtures("long_run")
def test_what_the_engine_makes_while_it_loads_is_served(here):
    selfhost("quantize", MODEL, "--scheme", "nf4", "--in-flight")
    assert "Paris" in answer_of("nf4-in-flight", here)


@pytest.mark.parametrize("scheme", NO_KERNELS)
def test_what_the_cpu_engine_has_no_kernels_for_is_made_and_not_served(here, scheme):
    selfhost("quantize", MODEL, "--scheme", scheme, "--no-loss")
    plan = selfhost("plan", MODEL, "--variant", scheme, "--json", check=False)
    assert plan.returncode == 3, plan.stderr
    assert NO_KERNELS[scheme] in " ".join(json.loads(plan.stdout)["reasons"])
    refused = selfhost("serve", MODEL, "--variant", scheme, "--detach", "--port", "0", check=False)
    assert refused.returncode == 3, refused.stderr
    assert NO_KERNELS[scheme] in " ".join(refused.stderr.split())
    assert processes_of(here) == []


def variants() -> list[str]:
    recipe = json.loads(selfhost("recipe", "show", MODEL, "--json").stdout)
    return [variant["name"] for variant in recipe["variants"]]


def loss_is_told(variant: str) -> None:
    """By the recipe and in the plan, the same figures; and the plan says that it runs on a CPU."""
    (lines,) = [
        lines
        for name, lines in json.loads(selfhost("recipe", "show", MODEL, "--json").stdout)["losses"].items()
        if name == variant
    ]
    assert "KL divergence" in lines[0]
    plan = json.loads(selfhost("plan", MODEL, "--variant", variant, "--json").stdout)
    assert plan["verdict"] == "fits"
    assert lines[0] in plan["reasons"]


def answer_of(variant: str, home: Path) -> str:
    """What a server of the variant says to the recipe's question, by HTTP."""
    check = json.loads(selfhost("recipe", "show", MODEL, "--json").stdout)["check"]
    words = ("serve", MODEL, "--variant", variant, "--offline", "--detach", "--port", "0", "--max-model-len", "512")
    server = json.loads(selfhost(*words, "--json", seconds=SECONDS).stdout)
    try:
        body = {
            "model": server["model"],
            "messages": [{"role": "user", "content": check["prompt"]}],
            "temperature": 0,
            "max_tokens": 32,
        }
        request = urllib.request.Request(
            f"{server['url']}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=300) as response:
            answer = json.load(response)["choices"][0]["message"]["content"]
    finally:
        selfhost("stop", server["name"])
    assert processes_of(home) == []
    print(f"{variant}: {answer}")
    return answer
