"""`replace` with fake engines: who serves at each moment; the gateway is a stand-in, nginx has a file of its own."""

from __future__ import annotations

import http.client
import signal
import time
from dataclasses import replace as changed
from pathlib import Path

import pytest

from selfhost import files
from selfhost.app import again, replace, serve, server_logs, servers, start
from selfhost.errors import Interrupted, MissingError, NoError, SelfhostError, UsageError
from selfhost.planner.plan import PlanRequest
from selfhost.serve import process, records
from selfhost.serve.certificate import Pair
from selfhost.serve.lifecycle import State
from tests.serve.replace_support import Replacing
from tests.serve.serve_support import LOGS
from tests.serve.test_serve_records import make_record

pytestmark = pytest.mark.slow


class Front:
    """A gateway that remembers what it was told; `fail` and `busy` make it behave badly."""

    configuration = Path("/somewhere/nginx.conf")

    def __init__(self, asked: int) -> None:
        self.asked = asked
        self.said: list[str] = []
        self.fail: BaseException | None = None
        self.after: BaseException | None = None
        self.busy = 0
        self.seen: list[dict[str, str]] = []
        self.watch = None

    def port(self):
        return self.asked

    def check(self):
        pass

    def point(self, _host, port):
        self.said.append("point")
        if self.fail:
            raise self.fail
        self.asked = port
        if self.after:
            raise self.after

    def reload(self):
        self.said.append("reload")

    def old_workers(self):
        if self.watch:
            self.seen.append(self.watch())
        self.busy -= 1
        return max(self.busy, 0)


@pytest.fixture
def tiny(fakes, monkeypatch):
    made = Replacing(fakes, monkeypatch)
    made.how()
    return made


def answers(record) -> bool:
    connection = http.client.HTTPConnection(record.host, record.port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_the_old_one_goes_on_until_the_new_one_is_asked_and_what_it_began_is_finished(tiny):
    old = tiny.fakes.detached()
    front = Front(old.port)
    front.busy, front.watch = 4, tiny.states
    done = tiny.run(front)
    assert front.said == ["point"]
    assert front.seen[:3] == [{"tiny": "ready", "tiny@2": "ready"}] * 3
    assert (done.old.name, done.new.name, front.asked) == ("tiny", "tiny@2", done.new.port)
    assert tiny.states() == {"tiny@2": "ready"}
    assert (answers(old), answers(done.new)) == (False, True)
    assert tiny.said[-1] == "tiny@2 has taken the place of tiny"
    assert any("finishes what it has begun" in line for line in tiny.said)


def test_the_name_means_the_one_that_serves_everywhere(tiny):
    tiny.fakes.detached()
    new = tiny.run().new
    home = tiny.home
    assert servers.find_server(home, "tiny").record.name == "tiny@2"
    assert "signals and children" in "".join(server_logs.log_lines(home, "tiny", None, follow=False))
    with pytest.raises(NoError) as caught:
        serve.check_name(home, "tiny")
    assert caught.value.message.params["url"] == new.url
    third = tiny.run().new
    assert third.name == "tiny@3"
    assert records.names(home) == ["tiny@2", "tiny@3"], "of what is long gone nothing is kept"
    (said,) = servers.stop_all(home, servers.names_meant(home, "tiny"), None)
    assert said.what.startswith("tiny@3 stopped: ")
    assert tiny.states() == {}
    tiny.fakes.detached()
    assert records.names(home) == ["tiny"]
    assert servers.find_server(home, "tiny").state is State.READY


def test_stop_ends_all_generations_of_a_name(tiny):
    first = tiny.fakes.detached()
    tiny.beside(first)
    assert tiny.states() == {"tiny": "ready", "tiny@2": "ready"}
    meant = servers.names_meant(tiny.home, "tiny")
    assert sorted(meant) == servers.running_names(tiny.home) == ["tiny", "tiny@2"]
    assert [result.id for result in servers.stop_all(tiny.home, meant, None)] == ["serve.stopped"] * 2
    assert tiny.states() == {}
    assert servers.names_meant(tiny.home, "tiny") == ["tiny@2"], "`stop` says of which one that it does not run"


def test_of_two_generations_only_the_orphan_is_ended(tiny):
    first = tiny.fakes.detached()
    tiny.beside(first)
    process.send(first.supervisor, signal.SIGKILL)
    until = time.monotonic() + 10
    while servers.orphan_names(tiny.home) != ["tiny"]:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert [result.id for result in servers.stop_all(tiny.home, servers.orphan_names(tiny.home), 1)] == [
        "serve.stopped"
    ]
    assert tiny.states() == {"tiny@2": "ready"}


def test_when_the_new_one_fails_the_old_one_goes_on_and_the_failure_is_told_as_by_serve(tiny):
    old = tiny.fakes.detached()
    front = Front(old.port)
    tiny.how(crash=str(LOGS / "weights-cut-off.log"))
    with pytest.raises(SelfhostError) as caught:
        tiny.run(front)
    assert (caught.value.message.id, caught.value.code) == ("diagnose.weights_corrupt", 5)
    assert front.said == []
    assert tiny.states() == {"tiny": "ready", "tiny@2": "failed"}
    assert servers.find_server(tiny.home, "tiny").record.mark == old.mark
    assert answers(old)
    tiny.how()
    assert tiny.run(front).new.name == "tiny@3"
    assert records.names(tiny.home) == ["tiny", "tiny@3"]


def test_when_the_gateway_refuses_the_new_one_ends(tiny):
    old = tiny.fakes.detached()
    front = Front(old.port)
    front.fail = MissingError("gateway.no_reload", path="x", seconds=1)
    with pytest.raises(MissingError):
        tiny.run(front)
    assert (tiny.states(), front.asked) == ({"tiny": "ready"}, old.port)
    assert answers(old)


def test_interrupted_after_the_switch_the_new_one_goes_on(tiny):
    old = tiny.fakes.detached()
    front = Front(old.port)
    front.after = Interrupted()
    with pytest.raises(Interrupted):
        tiny.run(front)
    assert tiny.states() == {"tiny@2": "ready"}
    assert front.asked == servers.find_server(tiny.home, "tiny").record.port


def test_interrupted_while_the_old_one_finishes_it_is_ended(tiny):
    front = Front(tiny.fakes.detached().port)
    front.busy = 99

    def interrupt():
        raise Interrupted

    front.watch = interrupt
    with pytest.raises(Interrupted):
        tiny.run(front)
    assert tiny.states() == {"tiny@2": "ready"}


def test_interrupted_while_the_new_one_starts_the_old_one_goes_on(tiny, monkeypatch):
    old = tiny.fakes.detached()

    def interrupt(*_args):
        raise Interrupted

    monkeypatch.setattr(start.StartReport, "changed", interrupt)
    with pytest.raises(Interrupted):
        tiny.run(Front(old.port))
    assert tiny.states() == {"tiny": "ready"}
    assert answers(old)


def test_an_answer_without_an_end_does_not_keep_the_old_one_for_ever(tiny):
    front = Front(tiny.fakes.detached().port)
    front.busy = 10**9
    tiny.run(front, drain_s=30)
    assert 30 <= tiny.now_s < 31
    assert "tiny was given 30 s to finish and had not: what still ran was cut off" in tiny.said


def test_what_a_killed_replacement_left_is_ended_by_the_next(tiny):
    old = tiny.fakes.detached()
    tiny.beside(old)
    # The gateway was not pointed at the second: the first is the one that serves.
    front = Front(old.port)
    done = tiny.run(front)
    assert front.said == ["reload", "point"]
    assert "left by an earlier replacement that was interrupted: tiny@2 is ended" in tiny.said
    assert (done.old.name, tiny.states()) == ("tiny", {done.new.name: "ready"})


def test_two_at_once(tiny):
    tiny.fakes.detached()
    with files.hold_lock(tiny.home.servers / ".replace-tiny.lock"), pytest.raises(NoError) as caught:
        tiny.run()
    assert caught.value.message.id == "replace.busy"


def test_without_room_for_both_it_is_refused_and_says_how(tiny):
    old = tiny.fakes.detached()
    tiny.room = 1
    with pytest.raises(NoError) as caught:
        tiny.run(Front(old.port))
    message = caught.value.message
    assert (message.id, message.why) == ("replace.no_room", "too little")
    assert message.hint == "end the old one first, with a gap: `selfhost replace tiny --stop-first`"
    assert tiny.states() == {"tiny": "ready"}


def test_with_a_gap_the_new_one_has_the_same_port(tiny):
    old = tiny.fakes.detached()
    tiny.room = 1
    done = tiny.run(stop_first=True)
    assert (done.new.port, tiny.states()) == (old.port, {"tiny@2": "ready"})


def test_with_a_gap_the_old_one_comes_back_when_the_new_one_fails(tiny, tmp_path):
    old = tiny.fakes.detached()
    tiny.room = 1
    tries = []

    def weights():
        tries.append(1)
        if len(tries) == 1:
            raise MissingError("engine.offline", name="cpu")
        return "/models/tiny"

    tiny.weights = weights
    with pytest.raises(MissingError):
        tiny.run(stop_first=True)
    (name,) = tiny.states()
    record = servers.find_server(tiny.home, "tiny").record
    assert (record.name, record.port, answers(record)) == (name, old.port, True)
    assert tiny.said[-1] == "tiny@2 did not start: tiny is started again as it was"


def test_with_a_gap_the_log_of_the_one_that_failed_stays(tiny):
    tiny.fakes.detached()
    tiny.room = 1
    crashes = [str(LOGS / "weights-cut-off.log")]

    def weights():
        tiny.how(**{"crash": crashes.pop()} if crashes else {})
        return "/models/tiny"

    tiny.weights = weights
    with pytest.raises(SelfhostError) as caught:
        tiny.run(stop_first=True)
    assert caught.value.message.id == "diagnose.weights_corrupt"
    assert tiny.states() == {"tiny@2": "failed", "tiny@3": "ready"}
    assert "weights" in records.folder(tiny.home, "tiny@2").engine_log.read_text()


def test_the_new_one_is_as_the_old_one_but_for_what_is_asked(tiny):
    first = tiny.fakes.detached()
    kept = {
        "settings": {"max_model_len": 256, "engine_args": ["--seed", "1"], "goal": "latency", "port": 9, "host": "::1"},
        "engine_version": "0.32.0",
        "recipe_paths": ["/recipes"],
        "force": True,
    }
    first = changed(first, request=kept, restart="on-failure:5")
    means = tiny.means()

    def asked(**settings):
        free = {f"{name}_is_free": name not in settings for name in ("host", "port")}
        return replace.Wish(name="tiny", settings=PlanRequest(**free, **settings))

    same = replace.request_for(first, asked(), means)
    assert (same.plan.max_model_len, same.plan.engine_args, same.plan.goal.value) == (256, ("--seed", "1"), "latency")
    assert (same.plan.host, same.plan.port_is_free, same.plan.served_model_name) == ("::1", True, "fake")
    assert (same.target, same.variant, same.restart, same.force) == ("/models/tiny", "directory", "on-failure:5", True)
    assert (same.engine_version, same.recipe_paths, same.replaces, same.detached) == (
        "0.32.0",
        ("/recipes",),
        "tiny",
        True,
    )

    other = replace.request_for(first, asked(max_model_len=512, port=9000), means)
    assert (other.plan.max_model_len, other.plan.port, other.plan.port_is_free) == (512, 9000, False)
    default = replace.request_for(first, asked(host="127.0.0.1", port=8000), means).plan
    assert (default.host, default.port, default.port_is_free) == ("127.0.0.1", 8000, False), "defaults, asked for"
    longest = replace.request_for(first, asked(auto_max_model_len=True), means)
    assert (longest.plan.max_model_len, longest.plan.auto_max_model_len) == (None, True)
    moved = replace.request_for(first, changed(asked(), target="qwen2.5-7b", engine_python="/p"), means)
    assert (moved.target, moved.variant, moved.engine_python, moved.engine_version) == ("qwen2.5-7b", None, "/p", None)
    assert moved.plan.served_model_name == "fake", "clients ask for the name they know"


def test_files_are_found_again_from_any_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = serve.ServeRequest(
        target="./tiny",
        plan=PlanRequest(),
        engine_python="venv/bin/python",
        recipe_paths=("recipes",),
        tls=Pair(certfile=Path("c.pem"), keyfile=Path("k.pem")),
    )
    kept = again.kept(given)
    record = make_record(request=kept)
    monkeypatch.chdir("/")
    assert again.tls_of(record) == Pair(certfile=tmp_path / "c.pem", keyfile=tmp_path / "k.pem")
    assert kept["engine_python"] == str(tmp_path / "venv" / "bin" / "python")
    assert kept["recipe_paths"] == [str(tmp_path / "recipes")]


def test_what_does_not_serve_or_is_another_command_s_is_not_replaced(tiny):
    with pytest.raises(NoError) as caught:
        tiny.run()
    assert caught.value.message.id == "serve.unknown_server"
    tiny.fakes.claim()
    with pytest.raises(NoError) as caught:
        tiny.run()
    assert caught.value.message.id == "replace.not_serving"


def test_a_gateway_of_another_server_is_refused(tiny):
    tiny.fakes.detached()
    other = tiny.fakes.detached(name="other")
    with pytest.raises(NoError) as caught:
        tiny.run(Front(other.port))
    assert caught.value.message.id == "replace.other_engine"
    assert (
        caught.value.message.hint
        == "name the server that is behind it: `selfhost replace other --gateway /somewhere/nginx.conf`"
    )


def test_a_server_in_the_foreground_is_its_command_s(tiny):
    process = tiny.fakes.front()
    tiny.fakes.wait_for("ready")
    with pytest.raises(NoError) as caught:
        tiny.run()
    assert caught.value.message.id == "replace.foreground"
    process.terminate()
    process.communicate(timeout=10)


def test_nobody_can_give_a_generation_s_name(tiny):
    with pytest.raises(UsageError):
        serve.server_name("tiny@2", "tiny")
