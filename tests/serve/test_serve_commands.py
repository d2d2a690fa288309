"""`ps`, `logs`, `stop`, `chat`, `serve` as a user types them, against the fake engine."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from selfhost.app import serve, serve_tools
from selfhost.cli import main as cli
from selfhost.serve import records
from tests.serve.serve_support import FAKE, LOGS, QUICK, free_port, make_plan
from tests.serve.tls_support import make_pair

pytestmark = pytest.mark.slow

SELFHOST = [sys.executable, "-m", "selfhost"]


@pytest.fixture
def selfhost(capsys, monkeypatch):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def run(*arguments, stdin=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        before = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main(list(arguments))
        finally:
            signal.signal(signal.SIGTERM, before)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_ps_without_servers(selfhost):
    assert selfhost("ps") == (0, "", "no servers\n")
    code, out, _ = selfhost("ps", "--json")
    assert (code, json.loads(out)) == (0, {"schema_version": 1, "servers": [], "strays": []})


def test_ps_shows_what_runs(selfhost, fakes):
    record = fakes.detached()
    _, out, _ = selfhost("ps")
    heading, row = out.splitlines()
    assert heading.split() == ["NAME", "MODEL", "STATE", "PID", "DEVICES", "URL", "UPTIME", "RESTARTS"]
    assert row.split()[:4] == ["tiny", "tiny", "ready", str(record.engine.pid)]
    assert row.split()[4].startswith("cpu:")
    assert row.split()[5] == record.url
    (server,) = json.loads(selfhost("ps", "--json")[1])["servers"]
    wanted = {
        "schema_version": 1,
        "name": "tiny",
        "pid": record.engine.pid,
        "url": record.url,
        "state": "ready",
        "model": "tiny",
        "served_model_name": "fake",
        "process_count": 1,
        "failure": None,
    }
    assert {key: server[key] for key in wanted} == wanted


def test_ps_shows_what_failed_until_it_was_looked_after(selfhost, fakes):
    with pytest.raises(Exception, match="KV cache"):
        fakes.detached({"crash": str(LOGS / "kv-too-small.log")})
    _, out, err = selfhost("ps")
    assert out.splitlines()[1].split()[:4] == ["tiny", "tiny", "failed", "-"]
    what = "`tiny` failed while warming up: the KV cache cannot hold one request of 1024 tokens"
    assert err == f"tiny: {what}\n"
    (server,) = json.loads(selfhost("ps", "--json")[1])["servers"]
    assert (server["state"], server["pid"], server["failure"]["code"]) == ("failed", None, 3)
    code, out, err = selfhost("stop", "tiny")
    assert (code, out) == (3, "")
    assert err.startswith(
        f"error: `tiny` is not running\n  {what}; none of its processes is left, the record is cleaned\n"
    )
    assert selfhost("ps")[2] == "no servers\n"
    assert "To serve at least one request" in selfhost("logs", "tiny")[1], "the log is kept"


def test_ps_skips_what_is_no_record(selfhost, here):
    folder = records.make_folder(here, "odd")
    folder.record.write_text("nonsense")
    _, _, err = selfhost("ps")
    assert err == f"warning: not a record of a server: `{folder.record}`: remove it if nothing runs there\nno servers\n"
    folder.record.write_text('{"schema_version": 99}')
    assert selfhost("ps")[2].startswith(
        "warning: the server `odd` was started by a newer selfhost: use that version for it\n"
    )
    code, _, err = selfhost("stop", "odd")
    assert code == 4


def test_stop_says_what_it_ended(selfhost, fakes):
    record = fakes.detached({"children": 1})
    code, out, err = selfhost("stop", "tiny", "--timeout", "2")
    assert (code, err) == (0, "")
    pattern = rf"tiny stopped: 2 processes ended in \d+\.\d s, port {record.port} is closed\n"
    assert re.fullmatch(pattern, out)
    code, out, err = selfhost("stop", "tiny")
    assert (code, out) == (3, "")
    assert err == "error: `tiny` is not running\n  it was stopped before\n"


def test_stop_of_several_goes_on_after_a_failure(selfhost, fakes):
    fakes.detached(name="one")
    fakes.detached(name="two")
    code, out, err = selfhost("stop", "one", "none", "two", "--timeout", "1")
    assert code == 3
    assert [line.split()[0] for line in out.splitlines()] == ["one", "two"]
    assert err.startswith("error: no server named `none`\n")


def test_stop_all(selfhost, fakes):
    code, _, err = selfhost("stop", "--all")
    assert (code, err.splitlines()[0]) == (0, "no server is running")
    fakes.detached(name="one")
    fakes.detached(name="two")
    code, out, _ = selfhost("stop", "--all", "--timeout", "1")
    assert (code, len(out.splitlines())) == (0, 2)


@pytest.mark.parametrize("arguments", [[], ["tiny", "--all"]])
def test_stop_wants_names_or_all(selfhost, arguments):
    code, _, err = selfhost("stop", *arguments)
    assert code == 2
    assert "selfhost stop --all" in err


def test_stop_reports_a_port_that_somebody_else_took(selfhost, fakes, monkeypatch):
    fakes.detached()
    monkeypatch.setattr("selfhost.app.servers._PORT_S", 0.1)
    monkeypatch.setattr("selfhost.serve.ports.is_open", lambda *_: True)
    monkeypatch.setattr("selfhost.serve.ports.port_holder", lambda _port: None)
    code, _, err = selfhost("stop", "tiny", "--timeout", "1")
    assert code == 1
    assert err.startswith("error: `tiny` is ended, but somebody listens on port ")


def test_logs(selfhost, fakes):
    fakes.detached({"log": str(LOGS / "started.log")})
    whole = (LOGS / "started.log").read_text().splitlines()
    code, out, _ = selfhost("logs", "tiny")
    assert code == 0
    assert out.splitlines()[0] == "fake engine: signals and children are set up"
    assert whole[-1] in out
    assert selfhost("logs", "tiny", "-n", "1")[1] == whole[-1] + "\n"
    assert selfhost("logs", "none")[0] == 3


def test_logs_follow_until_the_server_ends(fakes, in_thread):
    fakes.detached({"log": str(LOGS / "started.log")})
    seen = threading.Event()

    def write():
        # Again and again: when the follower is there to see it depends on how busy the machine is.
        with records.folder(fakes.home, "tiny").engine_log.open("a", buffering=1) as log:
            while not seen.wait(0.1):
                log.write("a new line\n")

    in_thread(write)
    with subprocess.Popen([*SELFHOST, "logs", "tiny", "-f", "-n", "0"], stdout=subprocess.PIPE, text=True) as follower:
        try:
            assert follower.stdout.readline() == "a new line\n"
        finally:
            seen.set()
        subprocess.run([*SELFHOST, "stop", "tiny"], check=True, capture_output=True)
        assert follower.wait(5) == 0


def test_following_ends_with_130_on_interrupt(fakes):
    fakes.detached()
    argv = [*SELFHOST, "logs", "tiny", "-f"]
    follower = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    follower.communicate(timeout=5)
    assert follower.returncode == 130


def test_chat_one_question(selfhost, fakes):
    fakes.detached()
    answer = "Paris is the capital of France. turn 1 \n"
    assert selfhost("chat", "tiny", "Where?") == (0, answer, "")


def test_chat_is_a_conversation_on_piped_lines_and_needs_no_name_for_one_server(selfhost, fakes):
    fakes.detached({"answer": "Paris"})
    assert selfhost("chat", stdin="Where?\n\nAnd now?\n") == (0, "Paris turn 1 \nParis turn 2 \n", "")


def test_chat_asks_for_no_more_than_the_context_holds(selfhost, fakes):
    fakes.detached({"answer": "Paris"})
    assert selfhost("chat", "tiny", "Where?", "--max-tokens", "100000", "--temperature", "0")[0] == 0


def test_chat_with_a_model_that_has_no_template(selfhost, fakes):
    fakes.detached({"answer": "Paris", "no_template": True})
    assert selfhost("chat", "tiny", "Where?")[1] == "Paris plain \n"


def test_chat_needs_a_server_and_only_one_without_a_name(selfhost, fakes):
    assert selfhost("chat")[0] == 3
    assert selfhost("chat", "none", "Where?")[0] == 3
    fakes.detached(name="one")
    fakes.detached(name="two")
    code, _, err = selfhost("chat")
    assert code == 2
    assert err.startswith("error: several servers are running\n  one, two\n")


def test_chat_with_a_server_that_is_not_ready(selfhost, fakes):
    fakes.claim()
    code, _, err = selfhost("chat", "tiny", "Where?")
    assert code == 3
    assert err.startswith("error: `tiny` does not take questions now\n  it is starting\n")


def test_chat_tells_what_the_server_says(selfhost, fakes, here):
    fakes.detached()
    records.write(here, replace(records.read(here, "tiny"), served_model_name="other"))
    code, _, err = selfhost("chat", "tiny", "Where?")
    assert code == 1
    assert err.startswith("error: `other` did not answer\n  The model `other` does not exist.\n")


@pytest.fixture
def with_fake_tools(monkeypatch):
    """`selfhost serve` on the fake engine instead of a real one; the rest is as users get it."""

    class Named:
        name = "tiny"
        model_path = "/models/tiny"

    def tools(_home, _python, _talk, _recipe_paths, _accept, _version):
        def plan(_model, request):
            argv = ("vllm", "serve", "/models/tiny", "--host", request.host, "--port", str(request.port))
            return make_plan(host=request.host, port=request.port, argv=argv)

        found = type("Found", (), {"to_plan": lambda _self: Named()})()
        return serve.Tools(
            resolve=lambda _target, _variant: found,
            make_plan=plan,
            engine_python=lambda _plan: sys.executable,
            ensure_weights=lambda _model, _engine: "/models/tiny",
        )

    monkeypatch.setattr(serve_tools, "real_tools", tools)
    monkeypatch.setattr(serve, "engine_command", lambda python, plan: (python, str(FAKE), *plan.argv[1:]))
    monkeypatch.setattr(serve, "Limits", lambda deadline_s: QUICK)


def test_serve_detached_prints_the_url_and_says_the_rest_on_stderr(selfhost, fakes, with_fake_tools):
    port = free_port()
    code, out, err = selfhost("serve", "./tiny", "-d", "--port", str(port))
    assert (code, out) == (0, f"http://127.0.0.1:{port}\n")
    lines = [line.strip() for line in err.splitlines()]
    assert lines[0] == "fits: tiny (directory) fits on cpu@8"
    assert "memory per worker, GiB" in lines
    assert any(line.endswith("loading: starting the engine of `tiny`") for line in lines)
    assert lines[-4] == f"ready: http://127.0.0.1:{port} (model `fake`)"
    assert re.fullmatch(r"predicted against actual: ready after \d\.\d s", lines[-3])
    # The fake plan has no subject; what a real one says: test_serve_boot_records.py
    assert lines[-2].startswith("boot record: could not be kept")
    assert lines[-1] == ("chat: `selfhost chat tiny`, log: `selfhost logs tiny -f`, end: `selfhost stop tiny`")


def test_serve_detached_as_json(selfhost, fakes, with_fake_tools):
    code, out, _ = selfhost("serve", "./tiny", "--detach", "--port", "0", "--name", "mine", "--json")
    said = json.loads(out)
    assert code == 0
    assert (said["schema_version"], said["name"], said["state"], said["model"]) == (1, "mine", "ready", "tiny")
    assert said["url"] == f"http://127.0.0.1:{said['port']}"
    assert said["pid"] == json.loads(selfhost("ps", "--json")[1])["servers"][0]["pid"]


def test_serve_that_fails_says_why_and_exits_by_cause(selfhost, fakes, with_fake_tools, monkeypatch):
    monkeypatch.setenv("FAKE_ENGINE", json.dumps({"crash": str(LOGS / "weights-cut-off.log")}))
    code, out, err = selfhost("serve", "./tiny", "-d", "--port", "0", "--json")
    assert code == 5
    assert json.loads(out)["error"]["id"] == "diagnose.weights_corrupt"
    assert "error: `tiny` failed while loading: a file of the model is damaged or cut off\n  engine: safetensors" in err


def when_ready(here, act) -> None:
    until = time.monotonic() + 10
    while not ((record := records.read(here, "tiny")) and record.ready_at):
        assert time.monotonic() < until
        time.sleep(0.02)
    act(record)


def test_a_foreground_server_that_dies_prints_one_object(selfhost, fakes, here, with_fake_tools, in_thread):
    in_thread(lambda: when_ready(here, lambda record: os.kill(record.engine.pid, signal.SIGKILL)))
    code, out, err = selfhost("serve", "./tiny", "--port", "0", "--json")
    assert code == 1
    assert json.loads(out)["state"] == "ready"
    assert "\nerror: `tiny` " in err


def test_a_foreground_server_that_is_ended_says_that_nothing_is_left(selfhost, fakes, here, with_fake_tools, in_thread):
    in_thread(lambda: when_ready(here, lambda _record: os.kill(os.getpid(), signal.SIGINT)))
    code, out, err = selfhost("serve", "./tiny", "--port", "0")
    assert code == 130
    assert out.startswith("http://127.0.0.1:")
    assert err.splitlines()[-1] == "tiny stopped: no process of it is left"


@pytest.mark.usefixtures("fakes", "with_fake_tools")
def test_a_terminal_that_closes_while_a_server_starts_leaves_none(selfhost, here, in_thread, monkeypatch):
    monkeypatch.setenv("FAKE_ENGINE", json.dumps({"start_s": 600}))
    ended = threading.Event()

    def close_it():
        until = time.monotonic() + 10
        while not ((record := records.read(here, "tiny")) and record.engine):
            assert time.monotonic() < until
            time.sleep(0.02)
        # Not for a command that would not hear it: it would end the tests.
        assert callable(signal.getsignal(signal.SIGHUP))
        os.kill(os.getpid(), signal.SIGHUP)
        ended.set()

    in_thread(close_it)
    code, _, _ = selfhost("serve", "./tiny", "-d", "--port", "0")
    assert (code, ended.is_set()) == (143, True)
    assert records.read(here, "tiny").state == "stopped"


@pytest.mark.usefixtures("fakes", "with_fake_tools")
def test_under_nohup_a_server_outlives_its_terminal(selfhost, here, in_thread):
    def close_it(_record):
        for number in (signal.SIGHUP, signal.SIGINT):
            os.kill(os.getpid(), number)

    in_thread(lambda: when_ready(here, close_it))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    code, _, _ = selfhost("serve", "./tiny", "--port", "0")
    assert code == 130, "by the interrupt"


@pytest.mark.usefixtures("fakes", "with_fake_tools")
def test_on_a_terminal_the_url_stands_on_a_line_of_its_own(selfhost, here, in_thread, monkeypatch):
    monkeypatch.setattr("selfhost.cli.output.is_terminal", lambda: True)
    in_thread(lambda: when_ready(here, lambda _record: os.kill(os.getpid(), signal.SIGINT)))
    _, _, err = selfhost("serve", "./tiny", "--port", "0")
    assert "\r\x1b[Kready: http://127.0.0.1:" in err


def test_serve_on_a_taken_port_exits_4_and_leaves_nothing(selfhost, fakes, here, with_fake_tools):
    record = fakes.detached(name="first")
    code, out, err = selfhost("serve", "./tiny", "--port", str(record.port))
    assert (code, out) == (4, "")
    assert f"error: port {record.port} on 127.0.0.1 is taken\n  by the server `first`" in err
    assert records.names(here) == ["first"]


def test_an_engine_is_not_removed_while_a_server_runs_from_it(selfhost, fakes, home, tmp_path):
    linked = tmp_path / "elsewhere"
    linked.mkdir()
    (home / "engines").mkdir(parents=True)
    (home / "engines" / "cpu").symlink_to(linked)
    for name in ("used", "unused"):
        (linked / name / "bin").mkdir(parents=True)
        (linked / name / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    fakes.detached(python=str(home / "engines" / "cpu" / "used" / "bin" / "python"))
    code, out, err = selfhost("engine", "remove", "cpu", "--yes")
    assert (code, out) == (3, "")
    assert err.splitlines() == [
        "error: engine `cpu` is in use",
        "  servers: tiny",
        "hint: stop them first: `selfhost stop tiny`",
    ]
    assert sorted(path.name for path in linked.iterdir()) == ["unused", "used"]

    selfhost("stop", "tiny")
    assert selfhost("engine", "remove", "cpu", "--yes")[0] == 0
    assert [path for path in linked.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("flag", ["--ssl-certfile", "--ssl-keyfile"])
def test_a_certificate_without_its_key_is_refused(selfhost, home, tmp_path, with_fake_tools, flag):
    code, out, err = selfhost("serve", "./tiny", flag, str(tmp_path / "file.pem"))
    assert (code, out) == (2, "")
    assert f"only `{flag}` was given" in err
    assert not home.exists()


def test_a_certificate_with_another_key_is_refused_before_anything_is_made(selfhost, home, tmp_path, with_fake_tools):
    one, other = make_pair(tmp_path), make_pair(tmp_path, "other")
    files = ("--ssl-certfile", str(one.certfile), "--ssl-keyfile", str(other.keyfile))
    code, _, err = selfhost("serve", "./tiny", "-d", *files)
    assert (code, "is not the key of the certificate" in err) == (2, True)
    assert not (home / "servers").exists()


def test_logs_of_requests_are_another_file(selfhost, fakes, here):
    fakes.detached()
    folder = records.folder(here, "tiny")
    folder.access_log.write_text('{"n": 2}\n{"n": 3}\n')
    folder.access_log.with_name("access.log.1").write_text('{"n": 1}\n')
    assert selfhost("logs", "tiny", "--access")[1] == '{"n": 1}\n{"n": 2}\n{"n": 3}\n'
    assert selfhost("logs", "tiny", "--access", "-n", "2")[1] == '{"n": 2}\n{"n": 3}\n'
    assert "fake engine" in selfhost("logs", "tiny")[1]
