"""`smoke` with the stand-in engine: what is started, what is proven, what failures become; nothing is left."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from selfhost.app import model, serve, servers, smoke
from selfhost.errors import NoError
from selfhost.hardware.types import Device, Hardware, Platform
from selfhost.planner.plan import Layout, PlanRequest, Verdict
from selfhost.serve import records
from tests.serve.serve_support import FAKE, LOGS, QUICK, make_plan

pytestmark = pytest.mark.slow

GIB = 1 << 30
ALL = ["engine", "ranks", "weights", "memory", "server", "answer", "stop"]


class Machine:
    """Plans for a machine that is not there, and runs the stand-in for the engine."""

    def __init__(self, tmp_path, **changes) -> None:
        self.asked, self.changes, self.verdicts = [], changes, {}
        self.python = tmp_path / "python"
        # The launcher's path comes first; the stand-in is started in its place.
        self.python.write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" "{FAKE}" "$@"\n')
        self.python.chmod(0o755)

    def plan(self, given, request):
        self.asked.append((given, request))
        argv = ("vllm", "serve", given.model_path, "--host", request.host, "--port", str(request.port))
        verdict = self.verdicts.get(given.arch.quantization and given.arch.quantization.method, Verdict.FITS)
        plan = make_plan(model=given.name, variant=given.variant, model_path=given.model_path, argv=argv)
        return replace(plan, **{"port": request.port, "verdict": verdict, **self.changes})

    def tools(self):
        return serve.Tools(
            resolve=lambda target, variant: model.resolve(target, variant=variant),
            make_plan=self.plan,
            engine_python=lambda _plan: self.python,
            ensure_weights=lambda *_: pytest.fail("weights were asked for"),
            of_variant=lambda found, variant: found.of_variant(variant),
        )


@pytest.fixture
def run(here, monkeypatch, fakes):
    """Runs `smoke`; `fakes` looks that nothing is left."""
    said = []

    def go(machine, target="qwen2.5-0.5b", how=None, *, request=None, **more):
        monkeypatch.setenv("FAKE_ENGINE", json.dumps({"log": str(LOGS / "started.log"), **(how or {})}))
        wanted = serve.ServeRequest(target=target, plan=request or PlanRequest(port_is_free=True), limits=QUICK, **more)
        tell = smoke.Tell(said.append, said.append, lambda _step, _line: None)
        return smoke.run(here, wanted, machine.tools(), tell)

    go.said = said
    return go


def stages(report):
    return [stage["stage"] for stage in report.as_dict()["stages"] if stage["reached"]]


def test_a_machine_on_which_everything_works_passes(run, tmp_path, here):
    machine = Machine(tmp_path)
    report = run(machine)
    assert stages(report) == ALL
    value = report.as_dict()
    assert (value["passed"], value["error"], value["model"], value["server"]) == (
        True,
        None,
        "qwen2.5-0.5b",
        "smoke-qwen2.5-0.5b",
    )
    assert {"name": "num_hidden_layers", "before": 24, "after": 2} in value["reductions"]
    assert "made small: num_hidden_layers 24 -> 2" in run.said
    assert "64 tokens after a prompt of 256" in "\n".join(report.lines())
    assert records.names(here) == []
    whole, *small = machine.asked
    assert whole[0].arch.num_hidden_layers == 24
    for given, request in small:
        assert given.arch.num_hidden_layers == 2
        assert given.engine_args == ("--load-format", "dummy")
        assert request.port != 8000


def test_the_layout_of_the_whole_model_is_what_is_started(run, tmp_path):
    gpu = Device(id="H20", name="H20", vendor="nvidia", platform=Platform.CUDA)
    layout = Layout(tensor_parallel_size=4, pipeline_parallel_size=3, enable_expert_parallel=True)
    machine = Machine(
        tmp_path,
        layout=layout,
        hardware=Hardware(device=gpu, devices_per_node=16, visible_memory_bytes=90 * GIB, assumed=False),
    )
    report = run(machine, "deepseek-v3", request=PlanRequest(max_model_len=2048, port_is_free=True))
    given, request = machine.asked[-1]
    assert (request.tensor_parallel_size, request.pipeline_parallel_size, request.enable_expert_parallel) == (
        4,
        3,
        True,
    )
    assert request.max_model_len == 512  # what the whole plan has
    assert given.arch.num_hidden_layers == 3
    assert given.arch.quantization.method == "fp8"
    assert given.arch.experts.num_experts == 256
    assert "TP=4 PP=3 DP=1 EP" in report.lines()[1]


def test_a_format_without_kernels_here_is_left_out_and_told(run, tmp_path):
    machine = Machine(tmp_path)
    machine.verdicts["fp8"] = Verdict.UNSUPPORTED
    report = run(machine, "deepseek-v3")
    assert report.passed
    assert not report.as_dict()["model_fits_here"]
    assert "made small: quantization fp8 -> none" in run.said
    assert "is not served on" in run.said[0]
    assert "fp8, without fp8" in "\n".join(report.lines())


def test_what_msmodelslim_made_is_started_in_the_format_of_its_computation(run, tmp_path):
    report = run(Machine(tmp_path, variant="w8a8"), "deepseek-v3", variant="w8a8")
    assert report.passed
    assert "made small: quantization ascend -> none" in run.said


def test_what_cannot_be_served_at_all_is_refused_before_anything_is_made(run, tmp_path, here):
    machine = Machine(tmp_path)
    machine.verdicts = {None: Verdict.UNSUPPORTED}
    with pytest.raises(NoError) as caught:
        run(machine)
    assert caught.value.message.id == "smoke.not_here"
    assert records.names(here) == []


def test_a_start_that_fails_says_how_far_it_came_and_why_as_serve_does(run, tmp_path, here):
    report = run(Machine(tmp_path), how={"log": None, "crash": str(LOGS / "numa-nodes.log")})
    assert stages(report) == ["engine"]
    assert not report.passed
    assert report.lines()[0].split()[:2] == ["engine", "ok"]
    assert report.lines()[1].split()[:2] == ["ranks", "failed"]
    assert report.lines()[2].split()[:2] == ["weights", "-"]
    error = report.as_dict()["error"]
    assert (error["id"], error["code"]) == (report.error.message.id, int(report.error.code))
    # Its log stays, for `selfhost logs`.
    assert servers.find_server(here, "smoke-qwen2.5-0.5b").state.value == "failed"


def test_an_engine_that_makes_too_few_tokens_has_not_passed(run, tmp_path):
    report = run(Machine(tmp_path), how={"made": 3})
    assert stages(report) == ALL[:5]
    assert report.error.message.id == "smoke.no_answer"
    assert "'completion_tokens': 3" in report.error.message.why


def test_an_engine_that_refuses_the_long_prompt_has_not_passed(run, tmp_path):
    report = run(Machine(tmp_path), how={"answer": "", "refuse_plain": True})
    assert report.error.message.id == "smoke.no_answer"
    assert "EngineCore encountered an issue" in report.error.message.why


def test_an_interruption_between_the_start_and_the_stop_leaves_nothing(run, tmp_path, monkeypatch):
    def interrupted(_home, _record):
        raise KeyboardInterrupt

    monkeypatch.setattr(smoke, "_work", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(Machine(tmp_path))


def test_somebodys_server_of_that_name_is_left_alone(run, tmp_path, fakes, here):
    fakes.detached(None, name="smoke-qwen2.5-0.5b")
    with pytest.raises(NoError) as caught:
        run(Machine(tmp_path))
    assert caught.value.message.id == "serve.name_taken"
    assert servers.find_server(here, "smoke-qwen2.5-0.5b").state.value == "ready"
