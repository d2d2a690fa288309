"""An Ascend stack that does not match is refused before anything starts: the command line on a host that is none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from selfhost.app import ascend_engine, compat
from selfhost.app.compat import Chip
from selfhost.engines import environment
from selfhost.engines.needs import Machine
from selfhost.errors import MissingError
from selfhost.hardware import spec
from selfhost.hardware.probe import probe
from selfhost.home import Home
from tests.ascend_host import A3, AscendHost


@pytest.fixture
def host(tmp_path, monkeypatch):
    return AscendHost(tmp_path, monkeypatch)


def wrong(error: dict) -> list[str]:
    return [item["item"] for item in error["details"]["items"] if item["state"] == "wrong"]


@pytest.mark.parametrize(
    ("driver", "cann", "packages", "items", "hint"),
    [
        ("24.1.rc1.b030", "9.1.0", {}, ["driver"], "upgrade the driver on the host"),
        ("26.1.0", "8.5.1", {}, ["cann", "nnal"], "install CANN 9.1.0"),
        ("26.1.0", "9.1.0", {"torch_npu": "2.9.0"}, ["torch_npu"], "pip install --no-deps torch-npu==2.10.0.post4"),
        ("26.1.0", "9.1.0", {"build": "A3"}, ["build"], "take the image quay.io/ascend/vllm-ascend:v0.23.0, or build"),
        ("25.0.0", "9.0.1", {"vllm": "0.22.1"}, ["driver", "cann", "nnal", "vllm"], "upgrade the driver on the host"),
    ],
)
def test_serve_refuses_what_does_not_match(selfhost, host, home, driver, cann, packages, items, hint):  # noqa: PLR0917
    host.driver(driver)
    host.cann(cann)
    python = host.engine(**packages)
    code, out, err = selfhost("serve", "qwen2.5-7b", "--engine-python", python, "--port", "0", "--offline", "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"], error["id"]) == (4, 4, "compat.not_started")
    assert wrong(error) == items
    assert hint in error["hint"]
    assert error["why"].splitlines()[0].split() == ["ITEM", "WANTED", "FOUND"]
    assert "error: `qwen2.5-7b` is not started" in err
    # Refused before weights were fetched and before anything was written down.
    assert not (home / "models").exists()
    assert not (home / "servers").exists()


def test_serve_refuses_a_wrong_driver_when_no_environment_is_named(selfhost, host):
    host.driver("24.1.0")
    code, out, _ = selfhost("serve", "qwen2.5-7b", "--port", "0", "--offline", "--json")
    error = json.loads(out)["error"]
    assert (code, wrong(error)) == (4, ["driver"])
    assert {item["state"] for item in error["details"]["items"] if item["item"] == "torch_npu"} == {"unknown"}


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("error_container_dcmi_-8020.txt", "another container or process holds the NPUs (-8020)"),
        ("910gen1_910PremiumA_8npu_info_23.0.rc2_UNSUPPORTED.txt", "8x 910PremiumA is not used: first-generation"),
    ],
)
def test_npus_that_cannot_be_used_are_not_passed_over_in_silence(selfhost, host, table, why):
    """A server on the CPU of a machine with eight NPUs is seldom what was meant."""
    host.table(table)
    code, _, err = selfhost("serve", "qwen2.5-7b", "--port", "0", "--offline")
    assert code
    assert f"warning: the CPU is used: {why}" in err
    _, out, _ = selfhost("plan", "qwen2.5-7b", "--json")
    assert any(reason.startswith(f"detection: {why}") for reason in json.loads(out)["reasons"])


def test_serve_says_nothing_against_a_stack_that_matches(selfhost, host):
    _, out, _ = selfhost("serve", "qwen2.5-7b", "--engine-python", host.engine(), "--port", "0", "--offline", "--json")
    # What comes next refuses: there is no such engine here to start.
    error = json.loads(out)["error"]
    assert not error["id"].startswith("compat."), error


def test_force_goes_on_with_a_warning(selfhost, host):
    host.driver("24.1.0")
    python = host.engine(torch_npu="2.9.0")
    _, out, err = selfhost(
        "serve", "qwen2.5-7b", "--engine-python", python, "--port", "0", "--offline", "--force", "--json"
    )
    assert not json.loads(out)["error"]["id"].startswith("compat.")
    assert "warning: starting although the Ascend stack does not match, because of `--force`: driver" in err


def test_force_names_all_that_does_not_match(host):
    host.driver("24.1.0")
    judgement = compat.judge_here(Chip("A2", "910B3"), host.engine(torch_npu="2.9.0"))
    warned = compat.check_start(judgement, "m", force=True)
    assert warned[0].endswith("because of `--force`: driver (Ascend HDK), torch-npu")


def test_a_plan_for_this_machine_says_what_does_not_match(selfhost, host, monkeypatch):
    host.driver("24.1.0")
    monkeypatch.setenv("SELFHOST_ENGINE_PYTHON", str(host.engine(vllm="0.22.1")))
    code, out, _ = selfhost("plan", "qwen2.5-7b", "--json")
    plan = json.loads(out)
    assert (code, plan["verdict"]) == (0, "fits")
    told = [reason for reason in plan["reasons"] if reason.startswith("does not match")]
    assert told == [
        "does not match: driver (Ascend HDK), wanted 25.2 or newer, for CANN 9.1.0, found 24.1.0",
        "does not match: vllm, wanted 0.23.0, found 0.22.1",
    ]
    assert plan["reasons"].count(
        "to change first: upgrade the driver on the host, then the firmware, and reboot: Ascend HDK 25.2 or newer for "
        "CANN 9.1.0 (published with HDK 26.1), not 24.1.0"
    )


def test_a_plan_without_an_environment_says_what_it_could_not_check(selfhost, host):
    _, out, _ = selfhost("plan", "qwen2.5-7b", "--json")
    reasons = json.loads(out)["reasons"]
    assert reasons[-1].startswith("not checked, because nothing here tells: vllm-ascend, vllm-ascend built for, Python")
    assert not any(reason.startswith("does not match") for reason in reasons)


def test_a_plan_for_supposed_hardware_asks_nothing_of_this_machine(selfhost, host):
    host.driver("24.1.0")
    _, out, _ = selfhost("plan", "qwen2.5-7b", "--on", "8x910B3", "--json")
    assert not any("does not match" in reason or "not checked" in reason for reason in json.loads(out)["reasons"])


@pytest.mark.parametrize(("on", "found_here", "applies"), [
    ("8x910B3", True, True),
    ("8x910B3", False, False),
    ("8xH20", True, False),
])  # fmt: skip
def test_only_npus_that_are_here_have_a_stack_to_judge(on, found_here, applies):
    hardware = replace(spec.parse(on), assumed=not found_here)
    assert compat.applies(hardware) is applies


def test_what_an_environment_was_built_for_is_read_without_importing_it(host):
    told = environment.metadata(host.engine(build="_310P"))
    assert told["error"] is None
    assert "_310P" in told["build_info"]
    assert told["versions"]["triton-ascend"] == "3.2.2"


def test_an_environment_that_does_not_answer_is_unknown(host, tmp_path):
    judgement = compat.judge_here(Chip("A2", "910B3"), tmp_path / "no-python")
    assert [item.key for item in judgement.wrong] == []
    assert {"vllm", "torch_npu", "build"} <= {item.key for item in judgement.unknown}


@pytest.mark.parametrize("name", ["ascend", "vllm-ascend"])
def test_install_names_the_image_of_the_chip(selfhost, host, name):
    host.table(A3)
    code, _, err = selfhost("engine", "install", name)
    assert code == 4
    assert "its image suits this machine, its wheels do not" in err
    assert "hint: take the image: quay.io/ascend/vllm-ascend:v0.23.0-a3" in err


def test_install_refuses_a_driver_that_no_image_can_bring(selfhost, host):
    host.driver("24.1.0")
    code, _, err = selfhost("engine", "install", "ascend")
    assert (code, "hint: upgrade the driver on the host" in err) == (4, True)
    code, _, err = selfhost("engine", "install", "ascend", "--no-driver-check")
    assert (code, "quay.io/ascend/vllm-ascend:v0.23.0" in err) == (4, True)


def test_install_refuses_a_chip_of_the_first_generation(selfhost, host):
    host.table("910gen1_910PremiumA_8npu_info_23.0.rc2_UNSUPPORTED.txt")
    code, _, err = selfhost("engine", "install", "ascend")
    assert (code, "hint: plan for another device: 910PremiumA has no kernels in vllm-ascend" in err) == (4, True)


def test_install_where_there_is_no_npu_names_all_images(selfhost, host):
    host.file("bin/npu-smi", "#!/bin/sh\nexit 1\n")
    code, _, err = selfhost("engine", "install", "ascend")
    assert code == 4
    assert "A3 quay.io/ascend/vllm-ascend:v0.23.0-a3" in err


def machine(**changes) -> Machine:
    return Machine(
        **{"machine": "aarch64", "implementation": "cpython", "python": (3, 11), "glibc": (2, 34), **changes}
    )


def test_where_wheels_suit_the_commands_are_told():
    error = ascend_engine.advice(Chip("A2", "910B3"), machine())
    assert error.message.id == "compat.by_wheels"
    assert error.message.params["details"]["wheels"] is True
    for words in (
        "`python3.11 -m venv DIR && DIR/bin/pip install vllm==0.23.0`",
        "`DIR/bin/pip install vllm-ascend==0.23.0 --extra-index-url INDEX`",
        "finds triton-ascend 3.2.2",
        "quay.io/ascend/vllm-ascend:v0.23.0\n",
    ):
        assert words in error.message.hint


@pytest.mark.parametrize(
    ("chip", "changes", "key"),
    [
        (Chip("A3", "910C"), {}, "wheel_chip"),
        (Chip("A2", "910B3"), {"python": (3, 13)}, "wheel_python"),
        (Chip("A2", "910B3"), {"implementation": "pypy"}, "wheel_python"),
        (Chip("A2", "910B3"), {"glibc": (2, 31)}, "wheel_glibc"),
        (Chip("A2", "910B3"), {"glibc": None}, "wheel_glibc"),
        (Chip("A2", "910B3"), {"machine": "riscv64"}, "wheel_machine"),
    ],
)
def test_where_wheels_do_not_suit_it_is_told_why(chip, changes, key):
    error = ascend_engine.advice(chip, machine(**changes))
    assert (error.message.id, error.code) == ("compat.by_image", 4)
    assert [item["item"] for item in error.message.params["details"]["items"] if item["state"] == "wrong"] == [key]


def test_a_server_without_an_environment_is_told_how_to_name_one(home):
    with pytest.raises(MissingError) as caught:
        environment.require(Home(home), "vllm-ascend")
    assert (caught.value.message.id, "--engine-python PYTHON" in caught.value.message.hint) == ("engine.no_lock", True)


def test_other_commands_say_that_there_is_no_environment_of_selfhosts_own(selfhost, host):
    for command, expected in (("path", 4), ("check", 4), ("remove", 2)):
        code, _, err = selfhost("engine", command, "ascend")
        assert (code, "`selfhost engine install ascend`" in err) == (expected, True), command


def test_several_kinds_of_npu_are_no_one_kind(host):
    snapshot = probe(host.root)
    assert compat.chip_here(snapshot) == Chip("A2", "910B3")
    host.table(A3)
    both = (*snapshot.accelerators, *probe(host.root).accelerators)
    assert compat.chip_here(type(snapshot)(captured_at="", accelerators=both, host=snapshot.host)) == Chip()
