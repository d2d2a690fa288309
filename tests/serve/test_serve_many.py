"""Several servers on one machine of eight GPUs: what each is given, by its plan, its record and `ps`."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from selfhost.app import allotment, detect, serve
from selfhost.app.model import resolve
from selfhost.app.plan import plan_model
from selfhost.app.serve_tools import Fresh
from selfhost.cli.main import app
from selfhost.errors import NoError
from selfhost.hardware.spec import parse
from selfhost.planner.plan import PlanRequest
from selfhost.serve import records
from selfhost.serve.lifecycle import State
from tests.fakes.machine import Machine
from tests.serve.serve_support import QUICK


@pytest.fixture
def eight(here):
    """The tools of `serve` on a machine with eight GPUs, whose memory nobody has taken yet."""
    visible = parse("8xH20").visible_memory_bytes
    found = replace(parse("8xH20"), assumed=False, device_indices=tuple(range(8)), free_memory_bytes=(visible,) * 8)

    def plan(model, request):
        def make(on, _answer):
            return plan_model(model, on, request, with_remedies=False)

        return allotment.plan_beside(make, found, allotment.holders_of(here))

    return serve.Tools(
        resolve=lambda target, variant: resolve(target, variant=variant),
        make_plan=plan,
        engine_python=lambda _plan: Path(sys.executable),
        ensure_weights=lambda _model, _python: Path("/models/here"),
        of_variant=lambda found, variant: found.of_variant(variant),
    )


def asked(name: str, model: str = "qwen2.5-7b", **plan) -> serve.ServeRequest:
    plan = PlanRequest(port_is_free=True, **plan)
    return serve.ServeRequest(target=model, plan=plan, name=name, limits=QUICK)


def start(here, tools, request):
    return serve.claim(here, request, serve.prepare(here, request, tools))


def test_each_server_gets_devices_of_its_own(here, eight):
    given = []
    for name, size in (("a", 1), ("b", 4), ("c", 2), ("d", 1)):
        record, orders = start(here, eight, asked(name, tensor_parallel_size=size))
        given.append(record.devices)
        assert orders.env["CUDA_VISIBLE_DEVICES"] == ",".join(record.devices)
        assert record.promised_bytes == record.plan["per_rank"]["budget_bytes"]
    assert given == [("0",), ("4", "5", "6", "7"), ("2", "3"), ("1",)]
    with pytest.raises(NoError) as caught:
        start(here, eight, asked("e"))
    message = caught.value.message
    assert message.id == "serve.blocked"
    assert message.hint.startswith("make room: `selfhost stop a`")
    assert "held: GPU 0 by server `a`, which is loading" in message.why


def test_two_that_were_planned_at_the_same_moment_take_different_devices(here, eight):
    requests = [asked(name, tensor_parallel_size=2) for name in "abcd"]
    prepared = [serve.prepare(here, request, eight) for request in requests]
    assert {one.plan.env["CUDA_VISIBLE_DEVICES"] for one in prepared} == {"0,1"}
    taken = []
    threads = [
        threading.Thread(target=lambda r=r, p=p: taken.append(serve.claim(here, r, p)[0].devices))
        for r, p in zip(requests, prepared, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [("0", "1"), ("2", "3"), ("4", "5"), ("6", "7")]


def test_of_two_that_need_all_devices_the_second_is_refused_under_the_lock(here, eight):
    requests = [asked(name, "deepseek-v3") for name in "ab"]
    one, two = (serve.prepare(here, request, eight) for request in requests)
    serve.claim(here, requests[0], one)
    with pytest.raises(NoError) as caught:
        serve.claim(here, requests[1], two)
    assert caught.value.message.hint.startswith("make room: `selfhost stop a`")
    assert records.names(here) == ["a"]


def test_devices_of_a_server_that_ended_are_free_again(here, eight):
    record, _ = start(here, eight, asked("a"))
    records.write(here, replace(record, state=State.STOPPED))
    again, _ = start(here, eight, asked("b"))
    assert again.devices == ("0",)


def test_a_server_that_is_ready_holds_what_is_used(here, eight):
    record, _ = start(here, eight, asked("a"))
    (loading,) = allotment.holders_of(here)
    assert (loading.server, loading.devices, loading.loading) == ("a", ("0",), True)
    records.write(here, replace(record, state=State.READY, ready_at=record.started_at))
    (ready,) = allotment.holders_of(here)
    assert ready.loading is False
    records.write(here, replace(record, state=State.STARTING, ready_at=record.started_at))
    (again,) = allotment.holders_of(here)
    assert again.loading is True


def test_ps_shows_the_devices(here, eight):
    start(here, eight, asked("a", tensor_parallel_size=2))
    listed = CliRunner().invoke(app, ["ps"], catch_exceptions=False).stdout.splitlines()
    assert listed[0].split() == ["NAME", "MODEL", "STATE", "PID", "DEVICES", "URL", "UPTIME", "RESTARTS"]
    assert listed[1].split()[4] == "0,1"
    (server,) = json.loads(CliRunner().invoke(app, ["ps", "--json"]).stdout)["servers"]
    assert (server["devices"], server["cpus"]) == (["0", "1"], [])
    assert server["promised_bytes"] > 80 << 30


def test_a_record_from_before_devices_were_kept_is_read(here, eight):
    record, _ = start(here, eight, asked("a"))
    path = records.folder(here, "a").record
    value = json.loads(path.read_text())
    for name in ("devices", "cpus", "before_bytes", "promised_bytes"):
        del value[name]
    path.write_text(json.dumps(value))
    read = records.read(here, "a")
    assert read == replace(record, devices=(), cpus=(), before_bytes=(), promised_bytes=0)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """The whole program on a machine whose NVML says what a recorded one said."""

    def machine(name: str):
        found = Machine(tmp_path)
        found.says_nvml(name)
        snapshot = found.probe()
        monkeypatch.setattr(detect, "detect", lambda _home: snapshot)

    return machine


def rendered(output: Path, target: str, *words: str) -> dict[str, str]:
    line = ["render", target, "qwen2.5-7b", "--output", str(output), *words]
    done = CliRunner().invoke(app, line, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return {str(path.relative_to(output)): path.read_text() for path in output.rglob("*") if path.is_file()}


def plan(*words: str) -> dict:
    done = CliRunner().invoke(app, ["plan", "qwen2.5-7b", "--json", *words], catch_exceptions=False)
    return json.loads(done.stdout)


def test_plan_says_which_devices_are_left(here, eight, recorded):
    recorded("nvml_8xH20.json")
    assert plan()["devices"] == ["0"]
    start(here, eight, asked("a", tensor_parallel_size=2))
    beside = plan()
    assert (beside["devices"], beside["env"]["CUDA_VISIBLE_DEVICES"]) == (["2"], "2")
    assert any(line.startswith("held: GPU 0, 1 by server `a`, which is loading") for line in beside["reasons"])
    assert plan("--devices", "4,5")["devices"] == ["4", "5"]
    taken = plan("--devices", "0")
    assert (taken["fits"], taken["blocked_by"]) == (False, ["a"])
    assert plan("--on", "8xH20")["devices"] == []


def test_a_table_of_all_recipes_and_files_for_later(here, eight, recorded, tmp_path):
    recorded("nvml_8xH20.json")
    start(here, eight, asked("a", tensor_parallel_size=2))
    listed = CliRunner().invoke(app, ["plan", "--for-hardware", "here", "--json"], catch_exceptions=False)
    assert json.loads(listed.stdout)["hardware"]["on"] == "6xH20-96G"
    # What is started another time is beside nobody.
    assert device_ids(rendered(tmp_path / "one", "compose")["compose.yaml"]) == ["0"]
    assert device_ids(rendered(tmp_path / "two", "compose", "--devices", "4")["compose.yaml"]) == ["4"]
    (unit,) = [
        text for text in rendered(tmp_path / "three", "systemd", "--devices", "4,6").values() if "[Unit]" in text
    ]
    assert "Environment=CUDA_VISIBLE_DEVICES=4,6\n" in unit
    assert "--tensor-parallel-size 2" in unit


def device_ids(compose: str) -> list[str]:
    (found,) = [
        reserved["device_ids"]
        for service in yaml.safe_load(compose)["services"].values()
        for reserved in service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", ())
    ]
    return found


def test_on_a_machine_that_others_use_the_freest_device_is_taken(recorded):
    recorded("nvml_8xH20_in_use.json")
    assert plan("--gpu-memory-utilization", "0.5")["devices"] == ["5"]
    assert plan()["fits"] is False


def test_many_plans_at_once_and_devices_exclude_each_other():
    for words in (["plan", "--for-hardware", "here"], ["plan", "qwen2.5-7b", "--matrix"]):
        done = CliRunner().invoke(app, [*words, "--devices", "0"])
        assert done.exception.message.id == "allot.with_many"
    done = CliRunner().invoke(app, ["plan", "qwen2.5-7b", "--on", "8xH20", "--devices", "0"])
    assert done.exception.message.id == "allot.with_on"


def test_the_machine_is_asked_again_when_weights_took_long():
    now, asked_for = [100.0], []

    def ask(devices):
        asked_for.append(devices)
        return replace(parse("8xH20"), device_indices=(len(asked_for),))

    hardware = Fresh(ask, lambda: now[0])
    assert hardware(None) is hardware(None)
    now[0] += 59
    assert hardware(None).device_indices == (1,)
    assert hardware("0").device_indices == (2,)
    now[0] += 3600
    assert hardware(None).device_indices == (3,)
    assert asked_for == [None, "0", None]
