"""The gateway's configuration in a real nginx: who gets in, what is handed on, what is not held back."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from selfhost.inside import selfhost_gate as gate
from selfhost.render import gateway
from tests.render.gateway.gateway_support import (
    KEY,
    OTHER,
    WAIT_S,
    WEBSOCKET_HEADERS,
    bearer,
)

ROUTES = json.loads((Path(__file__).parents[2] / "data" / "routes-vllm-0.32.0.json").read_text())["routes"]
CHAT = "/v1/chat/completions"


def test_the_table_of_routes_is_that_of_the_front_door():
    assert set(gateway.OPEN) == gate.OPEN
    assert set(gateway.ANTHROPIC) == gate.ANTHROPIC
    assert {*gateway.KEYED, *gateway.ANTHROPIC} == gate.KEYED


def test_nothing_is_left_to_fill_in_and_tls_is_only_there_when_asked_for():
    plain = gateway.nginx_text(gateway.GatewayOptions())
    assert re.findall(r"@\w+@", plain) == []
    assert "ssl" not in plain
    assert "listen 8080 ssl;" in gateway.nginx_text(gateway.GatewayOptions(certificate="/etc/nginx/tls"))


def request_of(route: str) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Method, path and headers of a line of the reviewed file."""
    method, path = route.split(" ", 1)
    path = re.sub(r"\{[^}]*\}", "x", path)
    if method == "WEBSOCKET":
        return "GET", path, WEBSOCKET_HEADERS
    return ("GET", f"{path}/x", ()) if method == "MOUNT" else (method, path, ())


@pytest.mark.slow
def test_every_route_of_the_engine_is_let_through_or_not_as_was_decided(door, engine):
    got = {}
    for route in [*ROUTES, "HEAD /health"]:
        method, path, headers = request_of(route)
        got[route] = [door.ask(method, path, *headers, *key).status for key in ((), (bearer(KEY),))]
    passed = {"WEBSOCKET": 101}
    expected = {
        route: {"open": [200, 200], "key": [401, passed.get(route.split()[0], 200)], "blocked": [404, 404]}[decided]
        for route, decided in {**ROUTES, "HEAD /health": "open"}.items()
    }
    assert got == expected
    # The engine knows no HEAD.
    assert [said["method"] for said in engine.seen if said["path"] == "/health"] == ["GET"] * 4
    assert len(engine.seen) == sum(2 if codes[0] == 200 else codes[1] in {101, 200} for codes in got.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/%6dodels"),
        ("GET", "/v1%2Fmodels"),
        ("GET", "//v1/models"),
        ("GET", "/v1//models"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/./models"),
        ("GET", "/docs/../v1/models"),
        ("GET", "/V1/models"),
        ("GET", "/v1/models#x"),
        ("GET", "/v1/models;x"),
        ("GET", "/v1/models%00"),
        ("GET", "/v1/models%3Fx"),
        ("GET", "/"),
        ("HEAD", "/v1/models"),
        ("PUT", CHAT),
        ("GET", CHAT),
        ("POST", "/health"),
        ("OPTIONS", CHAT),
        ("GET", "/v1/realtime"),
        ("POST", "/invocations"),
        ("GET", "/gateway"),
        ("TRACE", "/health"),
        ("get", "/health"),
    ],
)
def test_other_paths_and_methods_never_reach_the_engine(door, engine, method, path):
    assert door.ask(method, path, bearer(KEY)).status in {400, 404, 405}
    assert engine.seen == []


@pytest.mark.slow
def test_a_websocket_is_let_through_on_its_route_only(door, engine):
    assert door.ask("GET", "/v1/models", *WEBSOCKET_HEADERS, bearer(KEY)).status == 404
    assert door.ask("GET", "/v1/realtime", *WEBSOCKET_HEADERS).status == 401
    assert engine.seen == []
    lines = [f"{name}: {value}" for name, value in (("Host", "x"), *WEBSOCKET_HEADERS, bearer(KEY))]
    with socket.create_connection(("127.0.0.1", door.port), timeout=WAIT_S) as connection:
        connection.sendall("\r\n".join(["GET /v1/realtime HTTP/1.1", *lines, "", ""]).encode())
        reader = connection.makefile("rb")
        assert b" 101 " in reader.readline()
        while reader.readline().strip():
            pass
        connection.sendall(b"abc")
        assert reader.read(3) == b"cba"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("Authorization", f"Bearer {KEY}")], {200}),
        ([("authorization", f"bearer   {KEY} ")], {200}),
        ([("authorization", "Bearer")], {401}),
        ([("authorization", "Bearer ")], {401}),
        ([("authorization", KEY)], {401}),
        ([("authorization", f"Basic {KEY}")], {401}),
        ([("authorization", f"Bearer {KEY}2")], {401}),
        ([("authorization", f"Bearer {KEY[:-1]}")], {401}),
        ([("authorization", f"Bearer {KEY.lower()}")], {401}),
        ([("authorization", f"Bearer x {KEY}")], {401}),
        ([("authorization", f"Bearer {KEY},{OTHER}")], {401}),
        ([bearer(KEY), bearer(OTHER)], {400, 401}),
        ([("x-api-key", KEY)], {401}),
        ([], {401}),
    ],
    ids=str,
)
def test_how_a_key_is_given(door, engine, headers, expected):
    assert door.ask("GET", "/v1/models", *headers).status in expected
    assert len(engine.seen) == (200 in expected)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_clients_of_messages_send_the_key_in_their_own_header(door, path):
    assert door.ask("POST", path, ("x-api-key", KEY)).status == 200
    assert door.ask("POST", path, bearer(KEY)).status == 200
    assert door.ask("POST", path, ("x-api-key", KEY.upper())).status == 401
    assert door.ask("POST", path, ("x-api-key", KEY), bearer("wrong")).status == 401


@pytest.mark.slow
def test_refusals_have_the_shape_of_openais(door):
    no_key, blocked = door.ask("GET", "/v1/models"), door.ask("GET", "/docs")
    assert (no_key.code, no_key.headers["WWW-Authenticate"]) == ("invalid_api_key", 'Bearer realm="selfhost"')
    assert (blocked.code, blocked.headers["WWW-Authenticate"]) == ("route_blocked", None)
    assert no_key.headers["Content-Type"] == "application/json"
