"""The front door of a real engine that speaks TLS: keys, logs, a renewed certificate, requests by hand and by a fuzzer.

One server for all of them, in the order of the file. The fuzzer runs where SELFHOST_TEST_SCHEMATHESIS names it.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from tests.serve.tls_support import make_pair
from tests.tiny_models import make_tiny_model

pytestmark = pytest.mark.e2e

INSIDE = Path(__file__).resolve().parent.parent / "inside"
FUZZ_S = 60
PROMPT = "WORDS-OF-A-PROMPT"


class Server:
    """A running server and the command line that belongs to its home."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder, self.python = folder, python
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SELFHOST_")}
        self.environment |= {"SELFHOST_HOME": str(folder / "home"), "SELFHOST_LOG_SIZE": "32KiB"}
        self.environment["PYTHONPATH"] = str(INSIDE.parent.parent)

    def selfhost(self, *arguments: str, code: int = 0) -> SimpleNamespace:
        command = [sys.executable, "-m", "selfhost", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return SimpleNamespace(out=done.stdout, err=done.stderr)

    def connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=60))

    def send(self, sent: bytes, quiet_s: float = 1.5) -> bytes:
        """Everything that is answered on one connection, until it is closed or silent for a while."""
        received = b""
        with self.connect() as connection:
            try:
                connection.sendall(sent.replace(b"KEY", self.key.encode()))
                while piece := connection.recv(65536):
                    received += piece
                    connection.settimeout(quiet_s)  # after the first word, for which a busy machine may take long
            except (OSError, ssl.SSLError):
                pass
        return received

    def status(self, method: str, path: str, key: str | None = None, body: object = None) -> int:
        return int(self.ask(method, path, key, body).split(b" ", 2)[1])

    def ask(self, method: str, path: str, key: str | None = None, body: object = None) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
        lines += [f"Authorization: Bearer {key}"] if key else []
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}", "", ""]
        return self.send("\r\n".join(lines).encode() + content, quiet_s=60)

    def requests(self) -> list[dict]:
        return [json.loads(line) for line in self.selfhost("logs", "door", "--access").out.splitlines()]


@pytest.fixture(scope="module")
def door(tmp_path_factory, engine_python):
    folder = tmp_path_factory.mktemp("door")
    server = Server(folder, engine_python)
    make_tiny_model(engine_python, "qwen2", folder / "model")
    server.key = server.selfhost("key", "new", "alice").out.strip()
    pair = make_pair(folder)
    options = ["--name", "door", "--port", "0", "--max-model-len", "512", "--engine-python", str(engine_python)]
    options += ["--ssl-certfile", str(pair.certfile), "--ssl-keyfile", str(pair.keyfile)]
    started = server.selfhost("serve", str(folder / "model"), "-d", "--json", *options)
    server.url = json.loads(started.out)["url"]
    server.port, server.pair = urlsplit(server.url).port, pair
    try:
        yield server
    finally:
        server.selfhost("stop", "door")


def now() -> str:
    """As the access log writes times."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def completion(**more) -> dict:
    return {"model": "model", "prompt": PROMPT, "max_tokens": 8, "ignore_eos": True, **more}


def test_a_server_with_a_certificate_is_reached_by_https_and_by_nothing_else(door):
    assert door.url.startswith("https://127.0.0.1:")
    assert door.selfhost("chat", "door", "你好", "--max-tokens", "8").out.strip()
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        with_tls = plain.recv(1024) if plain else b""
    assert not with_tls.startswith(b"HTTP/1.1 200")


def test_each_request_leaves_a_line_without_a_word_of_it(door):
    answer = door.ask("POST", "/v1/completions", door.key, completion(stream=True))
    assert b"data: [DONE]" in answer
    number = next(line[14:] for line in answer.decode().splitlines() if line.lower().startswith("x-request-id: "))
    assert door.status("POST", "/v1/completions", None, completion()) == 401
    assert door.status("GET", f"/{PROMPT}", door.key) == 404
    text = door.selfhost("logs", "door", "--access").out
    assert PROMPT not in text
    good, no_key, blocked = [json.loads(line) for line in text.splitlines()][-3:]
    assert (good["key"], good["path"], good["status"], good["complete"]) == ("alice", "/v1/completions", 200, True)
    assert (good["request_id"], good["method"], good["client"]) == (number, "POST", "127.0.0.1")
    assert good["bytes_out"] > 500
    assert good["seconds"] > 0
    assert (no_key["key"], no_key["status"]) == (None, 401)
    assert (blocked["path"], blocked["status"]) == (None, 404)


def test_keys_rotate_and_end_while_the_server_runs(door):
    first = door.selfhost("key", "new", "bob", "--expires", "1h").out.strip()
    time.sleep(1.2)
    second = door.selfhost("key", "rotate", "bob", "--keep", "10m").out.strip()
    time.sleep(1.2)
    assert [door.status("GET", "/v1/models", key) for key in (first, second, "wrong")] == [200, 200, 401]
    door.selfhost("key", "revoke", "bob", "--old")
    time.sleep(1.2)
    assert [door.status("GET", "/v1/models", key) for key in (first, second)] == [401, 200]
    short = door.selfhost("key", "rotate", "bob", "--keep", "0s", "--expires", "3s").out.strip()
    time.sleep(1.2)
    assert [door.status("GET", "/v1/models", key) for key in (second, short)] == [401, 200]
    time.sleep(3)
    assert door.status("GET", "/v1/models", short) == 401


def test_the_engines_log_is_rolled_and_read_as_one(door):
    folder = door.folder / "home" / "servers" / "door"
    for _ in range(700):
        door.status("GET", "/v1/models", door.key)
    until = time.monotonic() + 10
    while not (folder / "engine.log.1").exists() and time.monotonic() < until:
        time.sleep(0.2)
    text = door.selfhost("logs", "door").out
    assert (folder / "engine.log").stat().st_size < len(text.encode())
    assert text.count('"GET /v1/models HTTP/1.1" 200') >= 700
    assert len(door.selfhost("logs", "door", "-n", "50").out.splitlines()) == 50


def test_a_renewed_certificate_is_shown_without_a_restart(door):
    def shown() -> bytes:
        with door.connect() as connection:
            return connection.getpeercert(binary_form=True)

    before = shown()
    (door.folder / "new").mkdir()
    new = make_pair(door.folder / "new")
    for old, made in ((door.pair.keyfile, new.keyfile), (door.pair.certfile, new.certfile)):
        old.write_bytes(made.read_bytes())
    until = time.monotonic() + 20
    while shown() == before and time.monotonic() < until:
        time.sleep(0.5)
    assert shown() == ssl.PEM_cert_to_DER_cert(new.certfile.read_text())
    assert door.selfhost("chat", "door", "hi", "--max-tokens", "4").out.strip()


HEAD = "Host: 127.0.0.1\r\n"
AUTHORIZED = f"{HEAD}Authorization: Bearer KEY\r\n"
POST = f"POST /v1/completions HTTP/1.1\r\n{AUTHORIZED}"
HANDSHAKE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
HIDDEN = "POST /collective_rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "allowed"),
    [
        (f"GET //v1/models HTTP/1.1\r\n{AUTHORIZED}\r\n", {404}),
        (f"GET /v1/%6dodels HTTP/1.1\r\n{AUTHORIZED}\r\n", {404}),
        (f"GET /health/../v1/models HTTP/1.1\r\n{HEAD}\r\n", {404}),
        (f"GET /v1/models;x HTTP/1.1\r\n{AUTHORIZED}\r\n", {404}),
        (f"GET https://127.0.0.1/v1/models HTTP/1.1\r\n{HEAD}\r\n", {401, 404}),
        (f"GET https://127.0.0.1/openapi.json HTTP/1.1\r\n{AUTHORIZED}\r\n", {404}),
        (f"GET /openapi.json HTTP/1.1\r\n{AUTHORIZED}\r\n", {404}),
        (f"POST /invocations HTTP/1.1\r\n{AUTHORIZED}Content-Length: 2\r\n\r\n{{}}", {404}),
        (f"POST /collective_rpc HTTP/1.0\r\n{AUTHORIZED}Content-Length: 2\r\n\r\n{{}}", {404}),
        (f"GET /v1/models HTTP/1.0\r\n{HEAD}\r\n", {401}),
        (f"BREW /v1/models HTTP/1.1\r\n{AUTHORIZED}\r\n", {400}),
        (f"PURGE /v1/models HTTP/1.1\r\n{AUTHORIZED}\r\n", {400, 404}),
        (f"POST /v1/models HTTP/1.1\r\n{AUTHORIZED}X-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n\r\n", {404}),
        (f"GET /v1/models HTTP/1.1\r\n{HEAD}Authorization: Bearer\tKEY\r\n\r\n", {401}),
        (f"GET /v1/models HTTP/1.1\r\n{HEAD}Authorization : Bearer KEY\r\n\r\n", {400, 401}),
        (f"GET /v1/models HTTP/1.1\r\n{HEAD}X: y\r\n Authorization: Bearer KEY\r\n\r\n", {400, 401}),
        (f"GET /v1/models HTTP/1.1\r\n{AUTHORIZED}X: {'y' * 100_000}\r\n\r\n", {400}),
        (f"GET /v1/models HTTP/1.1\r\n{AUTHORIZED}{'X: y' * 1}\r\n" + "X: y\r\n" * 300 + "\r\n", {400}),
        (f"{POST}Content-Length: 99999999999\r\n\r\n", {413}),
        (f"{POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\n", {400}),
        (f"{POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}", {400, 401, 404}),
        (f"{POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{HIDDEN}", {400, 404}),
        *((f"{POST}Content-Length: {length}\r\n\r\n{{}}", {400}) for length in ("+5", "0x5", "5,5", "-1", "")),
        (f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}", {400, 404}),
        (f"{POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{HIDDEN}", {400, 404}),
        (f"CONNECT 127.0.0.1:1 HTTP/1.1\r\n{AUTHORIZED}\r\n", {400, 404}),
        (f"OPTIONS * HTTP/1.1\r\n{AUTHORIZED}\r\n", {400, 404}),
        (f"GET /health%00 HTTP/1.1\r\n{AUTHORIZED}\r\n", {404}),
        (f"GET /health HTTP/1.1\r\n{HEAD}\r\n{HIDDEN}", {200, 404}),
        (f"GET /v1/realtime HTTP/1.1\r\n{HEAD}{HANDSHAKE}\r\n", {401, 403}),
        (f"GET /v1/chat/completions HTTP/1.1\r\n{AUTHORIZED}{HANDSHAKE}\r\n", {404, 403}),
        (f"GET /v1/models HTTP/1.1\r\n{HEAD}Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n", {400, 401}),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", {400, 404}),
        ("\0" * 100, {400}),
    ],
    ids=range(38),
)
def test_requests_by_hand_reach_nothing_that_they_may_not(door, sent, allowed):
    began = now()
    answer = door.send(sent.encode("latin-1"))
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses, "nothing was answered"
    assert set(statuses) <= allowed
    noted = [line for line in door.requests() if line["time"] >= began]
    # None: let through by its key, and broken off by the parser, which answered in the engine's place.
    assert {line["status"] for line in noted} <= allowed | {None}


@pytest.fixture(scope="module")
def schema(door) -> Path:
    """The engine's own description of its routes, of which the door lets only some through."""
    environment = {**door.environment, "PYTHONPATH": str(INSIDE.parent.parent / "selfhost" / "inside")}
    environment["SELFHOST_GATE"] = str(door.folder / "home" / "servers" / "door" / "gate.json")
    command = [door.python, INSIDE / "probe_routes.py", "--openapi"]
    done = subprocess.run(
        command, env=environment, cwd=door.folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    path = door.folder / "openapi.json"
    path.write_text(done.stdout)
    assert len(json.loads(done.stdout)["paths"]) > 50
    return path


def fuzz(door, schema: Path, *headers: str) -> list[dict]:
    """What the door noted of the requests that a fuzzer made of every route the engine has."""
    program = os.environ.get("SELFHOST_TEST_SCHEMATHESIS")
    if not program:
        pytest.skip("no fuzzer: run `make long`, or set SELFHOST_TEST_SCHEMATHESIS")
    command = [program, "run", str(schema), "--url", door.url, "--tls-verify", "false", "--seed", "1"]
    command += ["--phases", "fuzzing", "--max-examples", "8", "--max-time", str(FUZZ_S), "--continue-on-failure"]
    command += ["--no-shrink", "--request-timeout", "20", "--checks", "not_a_server_error", "--warnings", "off"]
    command += [word for header in headers for word in ("--header", header)]
    follow = [sys.executable, "-m", "selfhost", "logs", "door", "--access", "--follow", "--lines", "0"]
    seen = door.folder / "seen.jsonl"
    with seen.open("wb") as stream, subprocess.Popen(follow, env=door.environment, stdout=stream) as follower:
        time.sleep(1)
        done = subprocess.run(command, cwd=door.folder, capture_output=True, text=True, check=False, timeout=4 * FUZZ_S)
        time.sleep(1)
        follower.terminate()
    noted = [json.loads(line) for line in seen.read_text().splitlines()]
    # A server that nobody asks is asked by its supervisor.
    noted = [line for line in noted if line["key"] != "(selfhost)"]
    assert len(noted) > 200, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return noted


@pytest.mark.usefixtures("long_run")
@pytest.mark.parametrize("authorized", [False, True])
def test_a_fuzzer_gets_nowhere_it_may_not(door, schema, authorized):
    noted = fuzz(door, schema, *([f"Authorization: Bearer {door.key}"] if authorized else []))
    assert {line["status"] for line in noted if line["path"] is None} == {404}
    listed = [line for line in noted if line["path"] is not None]
    assert listed
    if authorized:
        # What the engine itself says to nonsense is its own; the door has nothing to say here.
        assert 503 not in {line["status"] for line in listed}
    else:
        assert {line["status"] for line in listed} == {401}
        assert {line["key"] for line in listed} == {None}
    assert json.loads(door.selfhost("ps", "--json").out)["servers"][0]["state"] == "ready"
