"""`serve` on a machine with NPUs, CANN in a folder and a stand-in for the engine: nothing here ran on a device."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from selfhost.app import serve, start
from selfhost.app.engine_env import cann_env
from selfhost.app.model import resolve
from selfhost.app.plan import plan_model
from selfhost.engines import known
from selfhost.errors import MissingError
from selfhost.hardware.spec import parse
from selfhost.planner.plan import PlanRequest
from selfhost.serve import records
from tests.ascend_support import install
from tests.serve.serve_support import QUICK, free_port, make_plan


@pytest.fixture
def machine(tmp_path):
    return install(tmp_path / "machine")


def ascend_plan(port: int):
    """Four of eight NPUs of a host, as a container got them: counted from 0 there."""
    there, here = (4, 5, 6, 7), (0, 1, 2, 3)
    hardware = replace(parse("4x910B3"), assumed=False, device_indices=there, physical_ids=there, logical_ids=here)
    return plan_model(resolve("qwen2.5-72b").to_plan(), hardware, PlanRequest(host="127.0.0.1", port=port))


def tools(machine, plan, log):
    def weights(_model, _python):
        log.append("weights")
        return Path(plan.model_path)

    return serve.Tools(
        resolve=lambda _target, _variant: type("Found", (), {"to_plan": lambda _: plan_of(plan)})(),
        make_plan=lambda _model, _request: plan,
        engine_python=lambda _plan: Path(sys.executable),
        ensure_weights=weights,
        machine_env=lambda _plan, python: cann_env(machine, python),
    )


def plan_of(plan):
    return type("Model", (), {"name": plan.model, "model_path": plan.model_path})()


def test_an_engine_gets_canns_variables_and_the_plans_ones(here, fakes, machine, monkeypatch):
    monkeypatch.setenv("FAKE_ENGINE", "{}")
    port = free_port()
    plan = ascend_plan(port)
    prepared = serve.prepare(here, request(port), tools(machine, plan, []))
    ours = prepared.argv[-4:]
    assert ours == ("--disable-access-log-for-endpoints", "/health,/metrics", "--middleware", "selfhost_gate.Gate")
    assert {ours[0], ours[2]} <= known.load("vllm-ascend").flags.keys()
    # The stand-in answers as a small plan says; its environment is what this is about.
    argv = (
        sys.executable,
        str(Path(__file__).parent.parent / "fakes" / "engine.py"),
        "serve",
        "/m",
        "--host",
        "127.0.0.1",
    )
    fake = replace(make_plan(), port=port, env=plan.env)
    prepared = replace(prepared, plan=fake, argv=(*argv, "--port", str(port)))
    record, orders = serve.claim(here, request(port), prepared)
    record = start.run_detached(here, record, orders, fakes.report())
    assert record.state.value == "ready"
    env = dict(
        entry.split("=", 1) for entry in Path(f"/proc/{record.engine.pid}/environ").read_text().split("\0") if entry
    )
    home = machine.at("/usr/local/Ascend/cann-9.1.0")
    assert env["ASCEND_HOME_PATH"] == str(home)
    assert env["LD_LIBRARY_PATH"].endswith("/usr/local/Ascend/driver/lib64")
    assert env["PYTHONPATH"].split(":")[1] == f"{home}/python/site-packages"
    assert env["ASCEND_RT_VISIBLE_DEVICES"] == "0,1,2,3"
    assert env["HCCL_CONNECT_TIMEOUT"] == plan.env["HCCL_CONNECT_TIMEOUT"]
    assert "HCCL_CONNECT_TIMEOUT" not in str(records.read(here, record.name).argv)


def request(port):
    plan = PlanRequest(host="127.0.0.1", port=port)
    return serve.ServeRequest(target="qwen2.5-72b", plan=plan, name="tiny", limits=QUICK, detached=True)


def test_without_cann_nothing_is_fetched_and_nothing_made(here, machine):
    machine.at("/usr/local/Ascend/cann").unlink()
    log: list[str] = []
    port = free_port()
    with pytest.raises(MissingError) as caught:
        serve.prepare(here, request(port), tools(machine, ascend_plan(port), log))
    assert (caught.value.message.id, caught.value.code) == ("cann.no_toolkit", 4)
    assert log == []
    assert not here.root.exists()
