"""What `serve` refuses before anything is made, and what it claims."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from selfhost.app import port, serve
from selfhost.app.engine_env import LAUNCHER, engine_env, is_secret
from selfhost.errors import MissingError, NoError, TrustError, UsageError
from selfhost.home import Home
from selfhost.planner.plan import PlanRequest, Remedy, Verdict
from selfhost.serve import keys, ports, records
from tests.serve.serve_support import QUICK, free_port, make_plan


class FakeModel:
    """A model that was found."""

    def to_plan(self):
        return PlannedModel(name="Tiny Model", model_path="to be fetched")


@dataclass(frozen=True)
class PlannedModel:
    name: str
    model_path: str


@pytest.fixture
def log():
    return []


@pytest.fixture
def tools(tmp_path, log):
    def plan(model, request):
        log.append(("plan", model.model_path))
        argv = ("vllm", "serve", model.model_path, "--port", str(request.port))
        return make_plan(model_path=model.model_path, host=request.host, port=request.port, argv=argv)

    def engine(_plan):
        log.append("engine")
        return Path("/opt/engine/bin/python")

    return serve.Tools(
        resolve=lambda target, variant: FakeModel(),
        make_plan=plan,
        engine_python=engine,
        ensure_weights=lambda _model, python: log.append(f"weights with {python.name}") or tmp_path / "weights",
    )


def request(**changes) -> serve.ServeRequest:
    port = changes.pop("port", None)
    plan = PlanRequest(port=free_port() if port is None else port, host=changes.pop("host", "127.0.0.1"))
    return serve.ServeRequest(**{"target": "./tiny model", "plan": plan, "limits": QUICK, **changes})


def nothing_made(here) -> bool:
    return not here.root.exists()


def test_everything_is_decided_and_nothing_is_made(here, tools, log, tmp_path):
    wanted = request()
    prepared = serve.prepare(here, wanted, tools)
    weights = str(tmp_path / "weights")
    assert prepared.name == "tiny-model"
    port = str(wanted.plan.port)
    assert prepared.argv == (
        "/opt/engine/bin/python",
        str(LAUNCHER),
        "serve",
        weights,
        "--port",
        port,
        "--disable-access-log-for-endpoints",
        "/health,/metrics",
        "--middleware",
        "selfhost_gate.Gate",
    )
    assert log == [("plan", "to be fetched"), "engine", "weights with python", ("plan", weights)]
    assert nothing_made(here)


def test_a_free_port_is_chosen_for_0(here, tools):
    prepared = serve.prepare(here, request(port=0), tools)
    assert prepared.plan.port > 0
    assert ports.bind_error("127.0.0.1", prepared.plan.port) is None


def test_a_taken_port_names_its_holder_and_the_next_free_one(here, tools, log):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MissingError) as caught:
            serve.prepare(here, request(port=port), tools)
        message = caught.value.message
        assert message.what == f"port {port} on 127.0.0.1 is taken"
        assert message.why == f"by {Path('/proc/self/comm').read_text().strip()} (pid {os.getpid()})"
        free = ports.next_free_port("127.0.0.1", port)
        assert message.hint.startswith(f"use the next free one: `selfhost serve './tiny model' --port {free}`")
    assert log == []
    assert nothing_made(here)


def test_a_port_that_another_server_of_ours_will_listen_on_is_taken(fakes, here, tools):
    record, _ = fakes.claim(name="first")
    with pytest.raises(MissingError) as caught:
        serve.prepare(here, request(port=record.port), tools)
    assert caught.value.message.why == "by the server `first`; `selfhost stop first` ends it"


def test_without_a_port_the_next_free_one_is_taken_and_said(fakes, here, tools):
    record, _ = fakes.claim(name="first")
    said = []
    wanted = request(port=record.port)
    wanted = replace(wanted, plan=replace(wanted.plan, port_is_free=True))
    prepared = serve.prepare(here, wanted, tools._replace(tell=said.append))
    free = prepared.plan.port
    assert free > record.port
    assert prepared.argv[prepared.argv.index("--port") + 1] == str(free)
    assert said == [f"port {record.port} is taken by the server `first`; `selfhost stop first` ends it: {free} is used"]


def test_of_two_that_were_prepared_for_one_port_the_second_moves_on(here, tools):
    wanted = request(name="a")
    wanted = replace(wanted, plan=replace(wanted.plan, port_is_free=True))
    one, two = (serve.prepare(here, replace(wanted, name=name), tools) for name in ("a", "b"))
    assert one.plan.port == two.plan.port
    first, _ = serve.claim(here, wanted, one)
    second, _ = serve.claim(here, wanted, two)
    assert second.port > first.port == one.plan.port
    assert second.url.endswith(f":{second.port}")
    assert second.plan["argv"][-1] == second.argv[second.argv.index("--port") + 1] == str(second.port)


def test_any_port_that_is_taken_meanwhile_is_replaced_by_another(here, tools):
    wanted = request(port=0)
    one = serve.prepare(here, replace(wanted, name="a"), tools)
    two = replace(serve.prepare(here, replace(wanted, name="b"), tools), wanted=one.wanted)
    first, _ = serve.claim(here, wanted, one)
    second, _ = serve.claim(here, wanted, two)
    assert second.port > first.port


def test_a_port_that_was_asked_for_and_is_taken_meanwhile_is_refused(here, tools):
    wanted = request()
    one, two = (serve.prepare(here, replace(wanted, name=name), tools) for name in ("a", "b"))
    serve.claim(here, wanted, one)
    with pytest.raises(MissingError) as caught:
        serve.claim(here, wanted, two)
    assert caught.value.message.id == "serve.port_taken"


def test_the_next_free_port_is_not_one_that_another_server_will_listen_on(fakes, here):
    record, _ = fakes.claim(name="first")
    beside, _ = fakes.claim(name="second", port=ports.next_free_port("127.0.0.1", record.port))
    assert port.next_free(here, "127.0.0.1", record.port) > beside.port


def test_an_address_that_is_not_here(here, tools):
    keys.new(here, "k")
    with pytest.raises(MissingError) as caught:
        serve.prepare(here, request(host="203.0.113.7"), tools)
    assert (caught.value.message.id, caught.value.code) == ("serve.bad_host", 4)


def test_a_privileged_port(here, tools, monkeypatch):
    monkeypatch.setattr(ports, "bind_error", lambda *_: OSError(errno.EACCES, "Permission denied"))
    with pytest.raises(MissingError) as caught:
        serve.prepare(here, request(port=80), tools)
    assert caught.value.message.id == "serve.port_forbidden"


def test_other_machines_need_a_key(here, tools):
    with pytest.raises(TrustError):
        serve.prepare(here, request(host="0.0.0.0"), tools)
    assert nothing_made(here)
    keys.new(here, "k")
    assert serve.prepare(here, request(host="0.0.0.0"), tools).require_key is True


@pytest.mark.parametrize("verdict", [Verdict.DOES_NOT_FIT, Verdict.UNSUPPORTED])
def test_what_does_not_fit_is_refused_with_what_would(here, tools, log, verdict):
    remedies = (
        Remedy(change="--on 8xH20", fits=True, max_model_len=4096),
        Remedy(change="--max-model-len 9999", fits=False, max_model_len=9999),
        Remedy(change="--max-model-len 256", fits=True, max_model_len=256),
    )
    plan = make_plan(verdict=verdict, reasons=("weights need 4 GiB", "3 GiB is there"), remedies=remedies)
    refusing = tools._replace(make_plan=lambda _model, _request: plan)
    with pytest.raises(NoError) as caught:
        serve.prepare(here, request(), refusing)
    message = caught.value.message
    assert message.why == "weights need 4 GiB\n3 GiB is there"
    if verdict is Verdict.DOES_NOT_FIT:
        assert message.what == "`tiny` does not fit on cpu@8"
        assert message.hint == (
            "try `selfhost serve './tiny model' --max-model-len 256`\nto start it nevertheless: `--force`"
        )
        assert log == [], "refused before anything else was looked for"
        assert serve.prepare(here, request(force=True), refusing).plan.fits is False
    else:
        with pytest.raises(NoError):
            serve.prepare(here, request(force=True), refusing)


def test_only_remedies_elsewhere_lead_to_a_plan(here, tools):
    remedies = (Remedy(change="--on 8xH20", fits=True, max_model_len=4096),)
    plan = make_plan(verdict=Verdict.DOES_NOT_FIT, remedies=remedies)
    with pytest.raises(NoError) as caught:
        serve.check_fits(request(), plan)
    assert caught.value.message.hint.startswith("try `selfhost plan './tiny model' --on 8xH20`")


@pytest.mark.parametrize(
    ("given", "model", "name"),
    [
        (None, "Qwen2.5-7B Instruct", "qwen2.5-7b-instruct"),
        (None, "../models/.hidden", "models-.hidden"),
        (None, "模型", "model"),
        ("my.server-1", "x", "my.server-1"),
    ],
)
def test_names(given, model, name):
    assert serve.server_name(given, model) == name


@pytest.mark.parametrize("name", ["", "../etc", "a/b", "Ünï", "UPPER", ".hidden", "a" * 64, "a b"])
def test_bad_names_are_refused(name):
    with pytest.raises(UsageError) as caught:
        serve.server_name(name, "x")
    assert caught.value.message.id == "serve.bad_name"


def test_a_claim_writes_a_private_record_and_the_front_door(fakes, here):
    record, orders = fakes.claim()
    folder = records.folder(here, "tiny")
    assert records.read(here, "tiny") == record
    assert record.mark.startswith("tiny:")
    assert orders.mark == record.mark
    assert orders.max_tokens == 512 - 64
    assert json.loads(folder.gate.read_text())["require_key"] is False
    assert folder.control_key.stat().st_mode & 0o777 == 0o600
    key = folder.control_key.read_text().strip()
    assert key not in folder.record.read_text() + folder.gate.read_text()


def test_a_second_server_of_the_same_name_is_refused(fakes, here, tools):
    fakes.claim()
    with pytest.raises(NoError) as caught:
        serve.prepare(here, request(name="tiny"), tools)
    assert caught.value.message.hint == (
        "end it with `selfhost stop tiny`, or give this one another name: `--name tiny-2`"
    )
    with pytest.raises(NoError):
        fakes.claim()


def test_a_stale_record_is_replaced(fakes, here):
    record, _ = fakes.claim()
    gone = replace(record.supervisor, start_ticks=record.supervisor.start_ticks - 1)
    records.write(here, replace(record, supervisor=gone))
    assert fakes.state() == "dead"
    again, _ = fakes.claim()
    assert again.mark != record.mark


def test_of_two_claims_at_once_one_wins(fakes, here):
    results = []

    def claim():
        try:
            results.append(fakes.claim(port=free_port())[0].mark)
        except NoError as error:
            results.append(error.message.id)

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results)[:5] == ["serve.name_taken"] * 5
    assert records.read(here, "tiny").mark == sorted(results)[5]


def test_a_home_that_cannot_be_written(fakes, here):
    here.root.write_text("a file where the folder should be")
    with pytest.raises(MissingError) as caught:
        fakes.claim()
    assert caught.value.message.id == "cli.not_writable"
    fakes.home = Home(Path("/proc/selfhost"))  # takes no directories, not even from root
    with pytest.raises(MissingError) as caught:
        fakes.claim()
    assert caught.value.message.id == "cli.not_writable"


def test_the_engines_environment_has_no_secrets_and_the_plans_variables_win(tmp_path):
    parent = {
        "PATH": "/bin",
        "HF_TOKEN": "x",
        "OPENAI_API_KEY": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "VLLM_API_KEY": "x",
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_CPU_SGL_KERNEL": "1",
        "PYTHONPATH": "/mine",
        "PYTHONHOME": "/mine",
        "SELFHOST_SERVER": "outer:1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
    }
    env = engine_env(
        parent, {"OMP_NUM_THREADS": "2"}, mark="t:1", gate=tmp_path / "gate.json", cache=tmp_path, has_home=True
    )
    assert env == {
        "PATH": "/bin",
        "VLLM_CPU_SGL_KERNEL": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "2",
        "PYTHONPATH": str(LAUNCHER.parent),
        "PYTHONUNBUFFERED": "1",
        "SELFHOST_GATE": str(tmp_path / "gate.json"),
        "SELFHOST_SERVER": "t:1",
        "SPT_NOENV": "1",
    }


@pytest.mark.parametrize(
    ("planned", "kept"), [({}, True), ({"PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True"}, False)]
)
def test_an_allocator_is_set_in_one_way_only(tmp_path, planned, kept):
    parent = {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    env = engine_env(parent, planned, mark="t:1", gate=tmp_path / "g", cache=tmp_path, has_home=True)
    assert ("PYTORCH_ALLOC_CONF" in env) is kept


def test_without_a_home_directory_the_engine_gets_one(tmp_path):
    env = engine_env({}, {}, mark="t:1", gate=tmp_path / "g", cache=tmp_path / "cache", has_home=False)
    assert (env["HOME"], env["USER"]) == (str(tmp_path / "cache"), "selfhost")


@pytest.mark.parametrize(
    "name",
    [
        "GITHUB_TOKEN",
        "my_password",
        "AWS_ACCESS_KEY_ID",
        "HUGGING_FACE_HUB_TOKEN",
        "X_APIKEY",
        "PGPASSWORD",
        "DB_PASSWD",
        "GH_PAT",
    ],
)
def test_secrets_by_name(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", ["PWD", "OLDPWD", "PATH", "MKL_COMPAT", "TOKENIZERS_PARALLELISM"])
def test_what_is_no_secret(name):
    assert not is_secret(name)


@pytest.mark.parametrize(("further", "grace_s"), [((), 30), (("--shutdown-timeout=60",), 70)])
def test_an_engine_that_lets_requests_finish_is_not_killed_before_they_have(tmp_path, tools, further, grace_s):
    make = tools.make_plan
    tools = tools._replace(make_plan=lambda model, wanted: with_words(make(model, wanted), further))
    home = Home(tmp_path / "home")
    _, orders = serve.claim(home, request(limits=None), serve.prepare(home, request(limits=None), tools))
    assert orders.limits.grace_s == grace_s


def with_words(plan, words):
    return replace(plan, argv=(*plan.argv, *words))
