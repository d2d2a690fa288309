"""The access log of the front door: what a line says, what it never says, how it is rolled; the limit of bodies."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os

import pytest
import selfhost_access
from selfhost_access import AccessLog

from selfhost.inside import selfhost_gate as gate

CONTROL, ALICE = b"control-key", b"alice-key"
LIMIT = 100


class Engine:
    """Reads the body, answers in two pieces; keeps what it was given."""

    def __init__(self, answer=None) -> None:
        self.bodies: list[bytes] = []
        self.scopes: list[dict] = []
        self.answer = answer

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        if self.answer:
            await self.answer(send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"SECRET", "more_body": True})
        await send({"type": "http.response.body", "body": b"ANSWER"})


@pytest.fixture
def door(tmp_path, monkeypatch):
    keys = [{"name": "alice", "sha256": hashlib.sha256(ALICE).hexdigest()}]
    (tmp_path / "keys.json").write_text(json.dumps({"schema_version": 1, "keys": keys}))
    value = {
        "schema_version": 1,
        "require_key": True,
        "control_key_sha256": hashlib.sha256(CONTROL).hexdigest(),
        "keys_file": str(tmp_path / "keys.json"),
        "access_log": str(tmp_path / "access.log"),
    }

    def make(engine=None, **changes):
        (tmp_path / "gate.json").write_text(json.dumps(value | changes))
        monkeypatch.setenv("SELFHOST_GATE", str(tmp_path / "gate.json"))
        monkeypatch.setattr(gate, "MAX_BODY_BYTES", LIMIT)
        return gate.Gate(engine or Engine())

    return make


def ask(made, path="/v1/completions", *headers, method="POST", key=ALICE, bodies=(b"",), kind="http", **changes):
    """What the server sent to the client, as one message."""
    raw = [(b"authorization", b"Bearer " + key), *headers] if key else list(headers)
    scope = {"type": kind, "path": path, "raw_path": path.encode(), "headers": raw, "root_path": ""}
    scope |= {"method": method, "client": ("10.0.0.7", 5)} if kind == "http" else {"client": ("10.0.0.7", 5)}
    waiting = [
        {"type": "http.request", "body": body, "more_body": left > 0}
        for left, body in zip(reversed(range(len(bodies))), bodies, strict=True)
    ]
    sent: dict = {"body": b""}

    async def receive():
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message):
        sent.update(message, body=sent["body"] + message.get("body", b""))

    asyncio.run(made({**scope, **changes}, receive, send))
    return sent


def lines(tmp_path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]


def test_a_line_says_who_asked_for_what_and_what_came_of_it(door, tmp_path):
    ask(door(), "/v1/completions", (b"content-length", b"6"), bodies=(b"PROMPT",))
    (line,) = lines(tmp_path)
    assert line.pop("seconds") >= 0
    assert line.pop("time").endswith("+00:00")
    assert len(line.pop("request_id")) == 16
    assert line == {
        "key": "alice",
        "client": "10.0.0.7",
        "method": "POST",
        "path": "/v1/completions",
        "status": 200,
        "complete": True,
        "bytes_in": 6,
        "bytes_out": 12,
    }


def test_no_word_of_question_answer_key_or_foreign_path_is_kept(door, tmp_path):
    made = door()
    ask(made, bodies=(b"PROMPT",))
    ask(made, "/v1/PROMPT", query_string=b"PROMPT")
    ask(made, "/v1/models", method="PROMPT")
    ask(made, key=b"SECRET")
    ask(made, "/v1/completions", (b"x-request-id", b"PROMPT " * 50), (b"user-agent", b"PROMPT"))
    text = (tmp_path / "access.log").read_text()
    assert text.count("\n") == 5
    assert not [word for word in ("PROMPT", "SECRET", "ANSWER", "alice-key") if word in text]
    assert (tmp_path / "access.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"key": CONTROL}, ("(selfhost)", "/v1/completions", 200)),
        ({"key": None}, (None, "/v1/completions", 401)),
        ({"key": b"wrong"}, (None, "/v1/completions", 401)),
        ({"path": "/invocations"}, (None, None, 404)),
        ({"path": "/v1/models", "raw_path": b"/v1/%6dodels", "method": "GET"}, (None, None, 404)),
    ],
    ids=str,
)
def test_who_is_refused_is_noted_too(door, tmp_path, asked, expected):
    ask(door(), **asked)
    (line,) = lines(tmp_path)
    assert (line["key"], line["path"], line["status"]) == expected


def test_health_checks_are_not_noted(door, tmp_path):
    made = door()
    ask(made, "/health", method="GET")
    assert not (tmp_path / "access.log").exists()


def test_the_number_of_a_request_reaches_engine_client_and_log(door, tmp_path):
    engine = Engine()
    made = door(engine)
    for given in (b"abc-1", None, b"two words", b"\xff", b"x" * 129):
        headers = [(b"x-request-id", given)] if given else []
        answer = ask(made, "/v1/completions", *headers)
        number = lines(tmp_path)[-1]["request_id"].encode()
        assert [value for name, value in answer["headers"] if name == b"x-request-id"] == [number]
        assert [value for name, value in engine.scopes[-1]["headers"] if name == b"x-request-id"] == [number]
        assert (number == given) == (given == b"abc-1")


def test_an_answer_that_is_cut_off_is_not_complete(door, tmp_path):
    async def cut(send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def fail(_send):
        msg = "broken"
        raise ValueError(msg)

    ask(door(Engine(cut)))
    with pytest.raises(ValueError, match="broken"):
        ask(door(Engine(fail)))
    assert [(line["status"], line["complete"]) for line in lines(tmp_path)] == [(200, False), (500, False)]


def test_a_websocket_is_noted_when_it_ends(door, tmp_path):
    async def talk(send):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "你好"})
        await send({"type": "websocket.close"})

    made = door(Engine(talk))
    ask(made, "/v1/realtime", kind="websocket")
    ask(made, "/v1/realtime", kind="websocket", key=None, extensions={"websocket.http.response": {}})
    found = [(line["method"], line["path"], line["status"], line["bytes_out"]) for line in lines(tmp_path)]
    assert found == [("WEBSOCKET", "/v1/realtime", 101, 6), ("WEBSOCKET", "/v1/realtime", 401, 0)]


def test_without_an_access_log_nothing_is_between_server_and_engine(door):
    engine = Engine()
    ask(door(engine, access_log=None))
    assert not [name for name, _ in engine.scopes[0]["headers"] if name == b"x-request-id"]


# The file


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def texts(path) -> list[str]:
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, 8))]
    return [name.read_text() for name in names if name.exists()]


def test_a_full_file_gets_a_number_and_the_oldest_goes(tmp_path):
    log = AccessLog(tmp_path / "access.log", limit_bytes=4, clock=Clock())
    for number in range(7):
        log.write(f"l{number}\n".encode())
    assert texts(tmp_path / "access.log") == ["l6\n", "l4\nl5\n", "l2\nl3\n", "l0\nl1\n"]
    for number in range(7, 20):
        log.write(f"{number:02}\n".encode())
    assert len(texts(tmp_path / "access.log")) <= 1 + selfhost_access.KEPT
    log.close()


def test_who_writes_to_a_file_that_another_process_has_rolled_finds_the_new_one_within_a_second(tmp_path):
    clock = Clock()
    path = tmp_path / "access.log"
    one, other = AccessLog(path, limit_bytes=6, clock=clock), AccessLog(path, limit_bytes=6, clock=clock)
    other.write(b"b1\n")
    one.write(b"a1\n")
    other.write(b"b2\n")
    assert texts(path) == ["b1\na1\n" + "b2\n"] or texts(path)[0] == ""
    clock.s += 2
    other.write(b"b3\n")
    one.write(b"a2\n")
    everything = "".join(texts(path))
    assert sorted(everything.split()) == ["a1", "a2", "b1", "b2", "b3"]
    for log in (one, other):
        log.close()


def test_a_file_that_is_being_read_is_rolled_later(tmp_path):
    path = tmp_path / "access.log"
    log = AccessLog(path, limit_bytes=3, clock=Clock())
    path.touch()
    with path.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        log.write(b"l0\n")
        assert texts(path) == ["l0\n"]
    log.write(b"l1\n")
    assert texts(path) == ["l0\nl1\n"]
    log.close()


def test_a_full_disk_costs_lines_and_is_said_once(tmp_path, capsys):
    path = tmp_path / "access.log"
    path.symlink_to("/dev/full")
    log = AccessLog(path)
    log.write(b"a\n")
    log.write(b"b\n")
    assert capsys.readouterr().err.count("no access log for now") == 1
    path.unlink()
    log.write(b"c\n")
    assert path.read_text() == "c\n"
    log.close()


def test_a_write_that_fails_does_not_fail_the_request(door, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    made = door()
    monkeypatch.setattr(os, "write", full)
    assert ask(made)["status"] == 200
    assert "No space left" in capsys.readouterr().err


# Bodies


@pytest.mark.parametrize(
    ("headers", "bodies", "status"),
    [
        ([(b"content-length", b"100")], (b"x" * 100,), 200),
        ([(b"content-length", b"101")], (b"x" * 101,), 413),
        ([(b"content-length", b"9" * 30)], (b"",), 413),
        ([(b"transfer-encoding", b"chunked")], (b"x" * 50, b"x" * 50), 200),
        ([(b"transfer-encoding", b"chunked")], (b"x" * 50, b"x" * 50, b"x"), 413),
        ([(b"transfer-encoding", b"chunked"), (b"content-length", b"1")], (b"x" * 101,), 413),
        ([(b"content-length", b"1"), (b"content-length", b"101")], (b"x" * 101,), 413),
        ([(b"content-length", b"+5")], (b"x" * 101,), 413),
        ([], (b"",), 200),
    ],
)
def test_a_body_is_as_long_as_it_may_be(door, headers, bodies, status):
    engine = Engine()
    answer = ask(door(engine), "/v1/completions", *headers, bodies=bodies)
    assert answer["status"] == status
    assert engine.bodies == ([b"".join(bodies)] if status == 200 else [])
    if status == 413:
        error = json.loads(answer["body"])["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", "request_too_large")
        announced = not [name for name, _ in headers if name == b"transfer-encoding"] and len(headers) == 1
        assert ((b"connection", b"close") in answer["headers"]) == (not (announced and headers[0][1].isdigit()))


def test_a_long_body_without_a_key_is_no_more_than_a_request_without_a_key(door):
    assert ask(door(), "/v1/completions", (b"content-length", b"101"), key=None)["status"] == 401


def test_a_client_that_goes_before_the_end_of_its_body_reaches_nothing(door):
    engine = Engine()

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(message)

    headers = [(b"authorization", b"Bearer " + ALICE), (b"transfer-encoding", b"chunked")]
    path = "/v1/completions"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": headers}
    asyncio.run(door(engine)(scope, receive, send))
    assert engine.scopes == []


@pytest.mark.parametrize("changes", [{"access_log_bytes": "64M"}, {"access_log": 7}, {"access_log_bytes": 1.5}])
def test_settings_that_are_wrong_keep_the_engine_from_starting(door, changes):
    with pytest.raises(gate.GateError):
        door(**changes)
