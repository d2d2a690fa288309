"""The engine's own list of routes against the gate's table; and requests made by hand against a real server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from selfhost.inside import selfhost_gate as gate
from selfhost.serve import keys

HERE = Path(__file__).resolve().parent
ROUTES = json.loads((HERE.parent / "data" / "routes-vllm-0.32.0.json").read_text())["routes"]
STATUS = {"open": 200, "key": 401, "blocked": 404}


def of_class(name: str) -> set[tuple[str, str]]:
    return {tuple(route.split(" ", 1)) for route, decided in ROUTES.items() if decided == name}


def test_the_reviewed_file_and_the_gates_table_say_the_same():
    assert of_class("key") == gate.KEYED
    assert of_class("open") | {("HEAD", "/health")} == gate.OPEN
    assert set(ROUTES.values()) == set(STATUS)


@pytest.fixture(scope="module")
def gate_environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    control = keys.write_gate(folder / "gate.json", require_key=True, keys_file=None)
    inside = Path(gate.__file__).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "SELFHOST_"))}
    environment |= {"SELFHOST_GATE": str(folder / "gate.json"), "PYTHONPATH": str(inside), "HOME": str(folder)}
    return environment, control


def probe(engine_python, environment, *arguments):
    command = [engine_python, HERE / "probe_routes.py", *arguments]
    done = subprocess.run(
        command, env=environment, cwd=environment["HOME"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def probed(engine_python, gate_environment):
    return probe(engine_python, gate_environment[0])


@pytest.mark.e2e
def test_every_route_of_the_engine_was_decided_on(probed):
    found = {*probed["answers"], *probed["source"]}
    assert found - set(ROUTES) == set(), "new routes of the engine: decide on each in tests/data/routes-*.json"
    assert set(ROUTES) - found == set(), "routes the engine no longer has"


@pytest.mark.e2e
def test_where_the_bare_engine_answers_the_gate_asks_for_a_key_or_blocks(probed):
    assert len(probed["answers"]) > 80
    for route, (bare, gated) in probed["answers"].items():
        assert bare not in {404, 405, "nothing"}, f"{route}: the bare engine should have answered, it said {bare}"
        assert gated == STATUS[ROUTES[route]], route


@pytest.mark.e2e
def test_health_answers_without_a_key(probed):
    assert probed["answers"]["GET /health"] == [200, 200]


@pytest.mark.e2e
def test_a_middleware_outside_the_gate_keeps_the_engine_from_starting(engine_python, gate_environment):
    assert probe(engine_python, gate_environment[0], "--throttle") == {
        "start": "lifespan.startup.failed",
        "health": 503,
    }


@pytest.fixture(scope="module", params=["httptools", "h11"])
def server(request, engine_python, gate_environment):
    """`ask(bytes)`: everything a real server behind the gate answers on one connection."""
    environment, control = gate_environment
    command = [engine_python, HERE / "gated_server.py", request.param]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    port = int(process.stdout.readline())

    def ask(sent: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(sent.replace(b"KEY", control.encode()))
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
                if received.startswith(b"HTTP/1.1 101") and b"REACHED" in received:
                    break
        return received

    ask.port, ask.key, ask.parser = port, control, request.param
    yield ask
    process.terminate()
    process.wait(10)
    process.stdout.close()


def request_of(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, "Host: 127.0.0.1", "Connection: close", *headers, "", ""]).encode("latin-1") + body


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def statuses_of(answer: bytes) -> list[int]:
    return [int(part.split(b" ", 1)[0]) for part in answer.split(b"HTTP/1.1 ")[1:]]


KEY_LENGTH = len("sk-selfhost-") + 43
AUTHORIZED = "Authorization: Bearer KEY"
HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("GET /v1/models HTTP/1.1", [AUTHORIZED], 200),
        ("GET /v1/models?limit=1 HTTP/1.1", [AUTHORIZED], 200),
        ("GET /v1/models HTTP/1.1", ["authorization: bEaReR KEY"], 200),
        ("POST /v1/messages HTTP/1.1", ["x-api-key: KEY", "Content-Length: 0"], 200),
        ("GET /health HTTP/1.1", [], 200),
        ("GET /v1/models HTTP/1.0", [AUTHORIZED], 200),
        ("GET /v1/models HTTP/1.1", [], 401),
        ("GET /v1/models HTTP/1.1", ["Authorization: Bearer nonsense"], 401),
        ("GET /v1/models HTTP/1.1", ["Authorization: Basic KEY"], 401),
        ("GET /v1/models HTTP/1.1", ["Authorization: KEY"], 401),
        ("GET /v1/models HTTP/1.1", ["Authorization: Bearer KEY, Bearer nonsense"], 401),
        ("GET /v1/models HTTP/1.1", [AUTHORIZED, AUTHORIZED], 401),
        ("GET /v1/models HTTP/1.1", ["x-api-key: KEY"], 401),
        ("GET /v1/models?api_key=KEY HTTP/1.1", [], 401),
        ("POST /v1/messages HTTP/1.1", ["x-api-key: KEY", "x-api-key: KEY", "Content-Length: 0"], 401),
        ("POST /v1/messages HTTP/1.1", ["x-api-key: KEY", "Authorization: Bearer no", "Content-Length: 0"], 401),
        *[
            (f"{method_and_path} HTTP/1.1", [AUTHORIZED, "Content-Length: 0"], 404)
            for method_and_path in (
                "POST /invocations",
                "GET //v1/models",
                "GET /v1//models",
                "GET /v1/models/",
                "GET /v1/%6dodels",
                "GET /v1%2Fmodels",
                "GET /v1/models%00",
                "GET /v1/models%20",
                "GET /./v1/models",
                "GET /v1/../v1/models",
                "GET /health/../v1/models",
                "GET /health/%2e%2e/invocations",
                "GET /health%2f..%2finvocations",
                "GET /v1/models;a=b",
                "GET /V1/models",
                "GET /health/",
                "GET /%68ealth",
                "POST /v1/models",
                "PUT /v1/chat/completions",
                "DELETE /v1/chat/completions",
                "HEAD /v1/models",
                "OPTIONS /v1/chat/completions",
                "TRACE /v1/models",
                "GET /v1/realtime",
                "GET /docs",
                "GET /",
                "GET http://127.0.0.1/invocations",
                "POST /invocations?/v1/chat/completions",
            )
        ],
    ],
)
def test_a_request_by_hand(server, line, headers, status):
    answer = server(request_of(line, *headers))
    assert status_of(answer) == status, answer
    assert (b"REACHED" in answer) == (status == 200)


@pytest.mark.e2e
@pytest.mark.parametrize(
    "line",
    [
        "GET http://127.0.0.1/v1/models HTTP/1.1",
        "get /v1/models HTTP/1.1",
        "GET /v1/models HTTP/9.9",
        "GET v1/models HTTP/1.1",
        "GET \\v1\\models HTTP/1.1",
        "GET  /v1/models HTTP/1.1",
        "GET\t/v1/models HTTP/1.1",
        "GET /v1/models\xa0 HTTP/1.1",
        "GET /v1/models#/health HTTP/1.1",
        "CONNECT 127.0.0.1:80 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "POST /health HTTP/1.1",
    ],
)
@pytest.mark.parametrize("headers", [[], ["X-HTTP-Method-Override: GET"], ["X-Original-URL: /health"]], ids=str)
def test_odd_request_lines_without_a_key_reach_nothing(server, line, headers):
    answer = server(request_of(line, *headers, "Content-Length: 0"))
    assert status_of(answer) in {400, 401, 404, 0}, answer
    assert b"REACHED" not in answer


@pytest.mark.e2e
@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: 0", "Content-Length: 5"],
        ["Transfer-Encoding: xchunked"],
        ["Content-Length: +5"],
        ["Content-Length: 0"],
    ],
    ids=lambda headers: headers[-1],
)
def test_a_request_hidden_in_a_body_reaches_nothing(server, headers):
    hidden = b"0\r\n\r\nPOST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
    sent = request_of("POST /v1/completions HTTP/1.1", *headers, body=hidden).replace(b"Connection: close\r\n", b"")
    assert b"REACHED" not in server(sent)


@pytest.mark.e2e
def test_each_of_several_requests_on_one_connection_is_judged_by_itself(server):
    first = request_of("GET /health HTTP/1.1").replace(b"Connection: close\r\n", b"")
    second = request_of("POST /invocations HTTP/1.1", "Content-Length: 0").replace(b"Connection: close\r\n", b"")
    third = request_of("GET /v1/models HTTP/1.1", AUTHORIZED)
    answer = server(first + second + third)
    assert statuses_of(answer) == [200, 404, 200]
    assert answer.count(b"REACHED") == 2


@pytest.mark.e2e
def test_a_refused_body_is_not_read_as_a_request(server):
    body = request_of("GET /v1/models HTTP/1.1", AUTHORIZED) * 1000
    length = len(body.replace(b"KEY", b"x" * KEY_LENGTH))
    refused = request_of("POST /invocations HTTP/1.1", f"Content-Length: {length}", body=body)
    answer = server(refused.replace(b"Connection: close\r\n", b"", 1) + request_of("GET /health HTTP/1.1"))
    assert statuses_of(answer) == [404, 200]
    assert answer.count(b"REACHED") == 1


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("GET /v1/realtime HTTP/1.1", [AUTHORIZED], 101),
        ("GET /v1/realtime HTTP/1.1", [], 401),
        ("GET /v1/realtime HTTP/1.1", [AUTHORIZED, AUTHORIZED], 401),
        ("GET /v1/realtime HTTP/1.1", ["Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.KEY"], 401),
        ("GET /v1/realtime/ HTTP/1.1", [AUTHORIZED], 404),
        ("GET /v1/chat/completions HTTP/1.1", [AUTHORIZED], 404),
        ("GET /invocations HTTP/1.1", [AUTHORIZED], 404),
        ("GET /health HTTP/1.1", [], 404),
    ],
)
def test_a_websocket_handshake(server, line, headers, status):
    sent = request_of(line, *HANDSHAKE, *headers).replace(b"Connection: close\r\n", b"")
    answer = server(sent)
    assert status_of(answer) == status, answer
    assert (b"REACHED" in answer) == (status == 101)


@pytest.mark.e2e
def test_an_upgrade_to_something_else_is_judged_as_the_request_it_is(server):
    upgrade = ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"]
    sent = request_of("GET /invocations HTTP/1.1", *upgrade).replace(b"Connection: close\r\n", b"")
    assert b"REACHED" not in server(sent)


def pushed(port: int, start: bytes, piece: bytes) -> int:
    """Bytes that a server takes of a request that does not end, until it hangs up; at most 8 MiB."""
    sent = len(start)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            connection.sendall(start)
            while sent < 8 << 20:
                connection.sendall(piece)
                sent += len(piece)
                time.sleep(0.001)  # else the socket's buffers take more than the server has looked at
        except OSError:
            return sent
    return sent


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /", b"a" * 16384),
        (b"GET / HTTP/1.1\r\nA: ", b"a" * 16384),
        (b"GET / HTTP/1.1\r\nA", b"a" * 16384),
        (b"GET / HTTP/1.1\r\n", b"A: b\r\n" * 1000),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ", b"a" * 16384),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 1000),
    ],
    ids=["path", "value", "name", "lines", "trailer", "trailers"],
)
def test_lines_without_an_end_are_hung_up_on(server, start, piece):
    # Without the limit httptools takes everything. Extensions of chunks go on for ever, but nobody keeps them.
    assert pushed(server.port, start, piece) < 6 << 20


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([f"A{number}: {'x' * 200}" for number in range(200)], 200),
        (["A: " + "x" * 60000], 200),
        ([f"A{number}: x" for number in range(300)], 400),
        (["A: " + "x" * 30000] * 3, 400),
    ],
    ids=["many", "long", "too many", "too long"],
)
def test_headers_are_taken_up_to_the_limit(server, headers, status):
    answer = server(request_of("GET /health HTTP/1.1", *headers))
    # h11 has 16 KiB here, and 4 MiB in the engine, which sets it.
    assert status_of(answer) in ({status} if server.parser == "httptools" else {200, 400, 431})


@pytest.mark.e2e
def test_a_large_body_in_small_chunks_is_not_taken_for_lines(server):
    body = b"".join(b"5\r\nabcde\r\n" for _ in range(200_000)) + b"0\r\n\r\n"
    sent = request_of("POST /v1/completions HTTP/1.1", AUTHORIZED, "Transfer-Encoding: chunked", body=body)
    assert status_of(server(sent)) == 200


@pytest.mark.e2e
@pytest.mark.parametrize("header", ["Content-Length: 67108865", "Content-Length: 99999999999999999999999999"])
def test_a_body_that_is_announced_as_too_large_is_not_waited_for(server, header):
    assert status_of(server(request_of("POST /v1/completions HTTP/1.1", AUTHORIZED, header))) in {413, 400}


@pytest.mark.e2e
def test_a_body_that_turns_out_too_large_is_refused_before_it_has_ended(server):
    start = request_of("POST /v1/completions HTTP/1.1", AUTHORIZED, "Transfer-Encoding: chunked")
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(start.replace(b"KEY", server.key.encode()))
        connection.sendall(b"4000001\r\n" + b"x" * 0x4000001)
        assert status_of(connection.recv(65536)) == 413
