"""The variant that is pulled where nobody names one, on a host with NPUs that is none."""

from __future__ import annotations

import pytest

from selfhost.app import best, wanted
from selfhost.app import detect as detection
from selfhost.hardware import spec
from selfhost.home import Home
from selfhost.recipe import load
from tests.ascend_host import AscendHost


@pytest.fixture
def here(home) -> Home:
    return Home(home)


def chosen(name: str, here: Home) -> str | None:
    path = load.find_recipes(here, ())[name]
    return best.variant_here(load.read_recipe(path), path, here)


def test_a_node_of_several_gets_the_format_that_its_npus_run(here, tmp_path, monkeypatch):
    AscendHost(tmp_path, monkeypatch)
    assert detection.hardware_for(None, here).text == "8x910B3-64G"
    # 16 of them hold it: `selfhost plan deepseek-r1 --on 2x8x910B3`.
    assert chosen("deepseek-r1", here) == "w8a8"
    assert load.read_recipe(load.find_recipes(here, ())["deepseek-r1"]).variants[0].name == "fp8"


def test_elsewhere_nothing_is_chosen_that_does_not_fit(here, monkeypatch):
    monkeypatch.setattr(detection, "hardware_for", lambda _on, _home: spec.parse("2xA800-80G"))
    assert chosen("deepseek-r1", here) is None


@pytest.mark.parametrize(("variant", "told"), [("fp8", True), ("w8a8", False)])
def test_a_format_that_no_npu_here_runs_is_told_of(here, tmp_path, monkeypatch, variant, told):
    host = AscendHost(tmp_path, monkeypatch)
    monkeypatch.setattr("selfhost.hardware.system.System", host.system)
    why = best.why_not_here(wanted.find("deepseek-r1", here, variant=variant), (), here)
    assert (why is not None) is told
    assert not told or why.startswith("`deepseek-r1 (fp8)` does not run on 910B3")


def test_a_machine_without_npus_is_not_asked(here, monkeypatch, tmp_path):
    from selfhost.hardware.system import System

    (tmp_path / "root").mkdir()
    monkeypatch.setattr("selfhost.hardware.system.System", lambda: System(root=tmp_path / "root", environ={"PATH": ""}))
    monkeypatch.setattr(detection, "hardware_for", lambda *_: pytest.fail("asked"))
    assert best.why_not_here(wanted.find("deepseek-r1", here, variant="fp8"), (), here) is None
