"""The front door by itself: who gets in, what is handed on, what happens when its files are wrong."""

from __future__ import annotations

import asyncio
import hashlib
import json
from types import SimpleNamespace

import pytest
import selfhost_keys

from selfhost.inside import selfhost_gate as gate

CONTROL, ALICE = b"control-key", b"alice-key"


def sha256(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


class Engine:
    """An application behind the gate that keeps what it was called with."""

    def __init__(self) -> None:
        self.calls = []

    async def __call__(self, scope, receive, send):
        self.calls.append((scope, receive, send))


def write_keys(path, *keys: bytes) -> None:
    entries = [{"name": "a", "sha256": sha256(key), "created": "2026-11-22"} for key in keys]
    path.write_text(json.dumps({"schema_version": 1, "keys": entries}))


def configure(folder, monkeypatch, **changes):
    value = {"schema_version": 1, "require_key": True, "control_key_sha256": sha256(CONTROL), "keys_file": None}
    (folder / "gate.json").write_text(json.dumps(value | changes))
    monkeypatch.setenv("SELFHOST_GATE", str(folder / "gate.json"))


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = SimpleNamespace(s=1000.0, wall=1_800_000_000.0)
    monkeypatch.setattr(gate.KeysFile.__init__, "__defaults__", (lambda: now.s, lambda: now.wall))
    return now


@pytest.fixture
def door(tmp_path, monkeypatch, clock):
    """`door(...)`: a gate of this configuration, over an Engine."""

    def make(**changes):
        configure(tmp_path, monkeypatch, **changes)
        engine = Engine()
        return gate.Gate(engine), engine

    return make


def scope_of(method: str, path: str, *headers: tuple[str, str], **changes) -> dict:
    raw = [(name.encode(), value.encode()) for name, value in (("host", "127.0.0.1:8000"), *headers)]
    kind = {"type": "websocket"} if method == "WEBSOCKET" else {"type": "http", "method": method}
    return {**kind, "path": path, "raw_path": path.encode(), "headers": raw, "root_path": "", **changes}


def bearer(key: bytes) -> tuple[str, str]:
    return "authorization", f"Bearer {key.decode()}"


def ask(made, scope) -> dict:
    """The gate's own answer as {status, headers, body}; {} when the request went through."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        msg = "the gate must not read a request that it refuses"
        raise AssertionError(msg)

    asyncio.run(made(scope, receive, send))
    merged: dict = {}
    for message in sent:
        merged |= message
    return merged


def status(made, scope) -> int:
    """The gate's answer; 200 when the request went through."""
    return ask(made, scope).get("status", 200)


@pytest.mark.parametrize(("method", "path"), sorted(gate.KEYED))
def test_each_keyed_route_wants_a_key(door, method, path):
    made, engine = door()
    assert status(made, scope_of(method, path, extensions={"websocket.http.response": {}})) == 401
    assert engine.calls == []
    assert status(made, scope_of(method, path, bearer(CONTROL))) == 200
    assert len(engine.calls) == 1


def test_what_goes_through_is_handed_on_untouched(door):
    made, engine = door()
    scope, receive, send = scope_of("POST", "/v1/chat/completions", bearer(CONTROL)), object(), object()
    before = dict(scope)
    asyncio.run(made(scope, receive, send))
    ((got_scope, got_receive, got_send),) = engine.calls
    assert got_scope is scope
    assert scope == before
    assert got_receive is receive
    assert got_send is send


def test_health_is_open_and_head_becomes_the_get_that_the_engine_knows(door):
    made, engine = door()
    assert status(made, scope_of("GET", "/health")) == 200
    assert status(made, scope_of("HEAD", "/health")) == 200
    assert [scope["method"] for scope, _, _ in engine.calls] == ["GET", "GET"]


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/invocations"),
        ("POST", "/collective_rpc"),
        ("GET", "/docs"),
        ("GET", "/metrics/"),
        ("GET", "/v1/responses/x"),
        ("OPTIONS", "/v1/chat/completions"),
        ("HEAD", "/v1/models"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/health"),
        ("WEBSOCKET", "/v1/chat/completions"),
        ("GET", "/v1/realtime"),
        ("GET", ""),
    ],
)
def test_what_is_not_listed_is_blocked_with_and_without_a_key(door, required, method, path):
    made, engine = door(require_key=required)
    for headers in ([], [bearer(CONTROL)]):
        answer = ask(made, scope_of(method, path, *headers, extensions={"websocket.http.response": {}}))
        assert answer["status"] == 404
        error = json.loads(answer["body"])["error"]
        assert error["code"] == "route_blocked"
        assert error["message"].startswith("selfhost blocks this route")
    assert engine.calls == []


@pytest.mark.parametrize(
    "changes",
    [
        {"raw_path": b"/v1/%6dodels"},
        {"raw_path": b"/v1%2Fmodels"},
        {"raw_path": None},
        {"root_path": "/v1"},
    ],
    ids=str,
)
def test_a_listed_path_in_a_roundabout_way_is_blocked(door, changes):
    made, _ = door()
    assert status(made, scope_of("GET", "/v1/models", bearer(CONTROL), **changes)) == 404


def test_the_answer_without_a_key_is_openais_with_a_challenge(door):
    answer = ask(door()[0], scope_of("GET", "/v1/models"))
    assert dict(answer["headers"])[b"www-authenticate"] == b'Bearer realm="selfhost"'
    assert dict(answer["headers"])[b"content-length"] == str(len(answer["body"])).encode()
    error = json.loads(answer["body"])["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_api_key", None)
    assert "`selfhost key new NAME`" in error["message"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("Authorization", "Bearer control-key")], 200),
        ([("authorization", "bearer   control-key ")], 200),
        ([("authorization", "Bearer")], 401),
        ([("authorization", "Bearer ")], 401),
        ([("authorization", "control-key")], 401),
        ([("authorization", "Basic control-key")], 401),
        ([("authorization", "Bearer control-key2")], 401),
        ([("authorization", "Bearer " + sha256(CONTROL))], 401),
        ([bearer(CONTROL), bearer(CONTROL)], 401),
        ([bearer(CONTROL), bearer(b"x")], 401),
        ([("x-api-key", "control-key")], 401),
    ],
)
def test_how_a_key_is_given(door, headers, expected):
    assert status(door()[0], scope_of("GET", "/v1/models", *headers)) == expected


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_clients_of_messages_send_the_key_in_their_own_header(door, path):
    made, _ = door()
    assert status(made, scope_of("POST", path, ("x-api-key", "control-key"))) == 200
    assert status(made, scope_of("POST", path, ("x-api-key", "wrong"))) == 401
    assert status(made, scope_of("POST", path, *[("x-api-key", "control-key")] * 2)) == 401


def test_a_websocket_is_refused_before_it_is_accepted(door):
    made, engine = door()
    real = ask(made, scope_of("WEBSOCKET", "/v1/realtime", extensions={"websocket.http.response": {}}))
    assert (real["status"], real["type"]) == (401, "websocket.http.response.body")
    plain = ask(made, scope_of("WEBSOCKET", "/v1/realtime"))
    assert (plain["type"], plain["code"]) == ("websocket.close", 1008)
    assert engine.calls == []


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], 200),
        ([("origin", "http://localhost:3000")], 200),
        ([("origin", "http://[::1]:3000")], 200),
        ([("origin", "https://evil.example")], 403),
        ([("origin", "http://localhost.evil.example")], 403),
        ([("origin", "null")], 403),
        ([("host", "evil.example")], 403),
    ],
)
def test_an_open_server_answers_no_web_page_from_elsewhere(door, headers, expected):
    made, _ = door(require_key=False)
    assert status(made, scope_of("GET", "/v1/models", *headers)) == expected


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_an_open_server_answers_under_its_loopback_names(door, host):
    made, _ = door(require_key=False)
    assert status(made, {**scope_of("GET", "/v1/models"), "headers": [(b"host", host.encode())]}) == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "localhost@evil.example", "["])
def test_an_open_server_does_not_answer_under_other_names(door, host):
    made, _ = door(require_key=False)
    assert status(made, {**scope_of("GET", "/v1/models"), "headers": [(b"host", host.encode())]}) == 403


def test_a_key_is_good_from_the_next_look_on_and_until_it_is_revoked(door, tmp_path, clock):
    path = tmp_path / "keys.json"
    made, _ = door(keys_file=str(path))
    request = scope_of("GET", "/v1/models", bearer(ALICE))
    assert status(made, request) == 401
    write_keys(path, b"bob-key", ALICE)
    assert status(made, request) == 401, "looked at about once a second"
    clock.s += 1.1
    assert status(made, request) == 200
    write_keys(path)
    clock.s += 1.1
    assert status(made, request) == 401
    assert status(made, scope_of("GET", "/v1/models", bearer(CONTROL))) == 200


def test_an_unchanged_file_is_not_read_again(door, tmp_path, clock, monkeypatch):
    write_keys(tmp_path / "keys.json", ALICE)
    made, _ = door(keys_file=str(tmp_path / "keys.json"))
    monkeypatch.setattr(selfhost_keys, "load", lambda _path: pytest.fail("read again"))
    clock.s += 5
    assert status(made, scope_of("GET", "/v1/models", bearer(ALICE))) == 200


def test_the_first_key_closes_an_open_server_and_revoking_it_does_not_open_it_again(door, tmp_path, clock):
    path = tmp_path / "keys.json"
    made, _ = door(require_key=False, keys_file=str(path))
    request = scope_of("GET", "/v1/models")
    assert status(made, request) == 200
    write_keys(path, ALICE)
    clock.s += 1.1
    assert status(made, request) == 401
    path.unlink()
    clock.s += 1.1
    assert status(made, request) == 401
    again, _ = door(require_key=False, keys_file=str(path))
    assert status(again, request) == 401, "an engine that is started again in its place"


@pytest.mark.parametrize("required", [True, False])
def test_a_keys_file_that_turns_bad_closes_the_door_until_it_is_good_again(door, tmp_path, clock, capsys, required):
    path = tmp_path / "keys.json"
    made, engine = door(require_key=required, keys_file=str(path))
    path.write_text("{")
    for _ in range(3):
        clock.s += 1.1
        assert status(made, scope_of("GET", "/v1/models", bearer(ALICE))) == 503
    assert engine.calls == []
    assert capsys.readouterr().err.count("keys cannot be checked") == 1
    assert status(made, scope_of("GET", "/health")) == 200
    write_keys(path, ALICE)
    clock.s += 1.1
    assert status(made, scope_of("GET", "/v1/models", bearer(ALICE))) == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"schema_version": None},
        {"require_key": 1},
        {"require_key": "false"},
        {"control_key_sha256": None},
        {"control_key_sha256": "control-key"},
        {"control_key_sha256": "g" * 64},
        {"keys_file": 7},
    ],
    ids=str,
)
def test_the_engine_does_not_start_with_a_configuration_that_is_wrong(door, changes):
    with pytest.raises(gate.GateError):
        door(**changes)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"schema_version": 2, "keys": []}',
        '{"schema_version": 1}',
        '{"schema_version": 1, "keys": {}}',
        '{"schema_version": 1, "keys": ["x"]}',
        '{"schema_version": 1, "keys": [{"sha256": "abc"}]}',
    ],
)
def test_nor_with_keys_that_it_cannot_read(door, tmp_path, content):
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(gate.GateError):
        door(keys_file=str(tmp_path / "keys.json"))


def test_nor_with_none_at_all(monkeypatch, tmp_path):
    monkeypatch.delenv("SELFHOST_GATE", raising=False)
    with pytest.raises(gate.GateError, match="SELFHOST_GATE"):
        gate.Gate(Engine())
    monkeypatch.setenv("SELFHOST_GATE", str(tmp_path / "nowhere.json"))
    with pytest.raises(gate.GateError, match="does not exist"):
        gate.Gate(Engine())


def start(made, *layers):
    said = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        said.append(message)

    app = SimpleNamespace(user_middleware=[SimpleNamespace(cls=layer) for layer in layers])
    asyncio.run(made({"type": "lifespan", "app": app}, receive, send))
    return said


def test_the_gate_must_be_the_outermost_middleware(door):
    made, engine = door()
    assert start(made, gate.Gate, Engine) == []
    assert len(engine.calls) == 1
    (said,) = start(made, Engine, gate.Gate)
    assert said["type"] == "lifespan.startup.failed"
    assert "outside the front door" in said["message"]
    assert status(made, scope_of("GET", "/health")) == 503
