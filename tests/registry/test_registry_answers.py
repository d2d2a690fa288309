"""Answers that come byte by byte, break off or are too large end a command, each with its reason."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import threading

import pytest

from selfhost.errors import IncompleteError, IntegrityError, UsageError
from selfhost.registry import answers
from selfhost.registry.reference import parse_reference
from selfhost.registry.types import MAX_MANIFEST_BYTES
from tests.registry.registry_support import REPOSITORY, Told, client

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class _Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind = "token" if self.path.startswith("/token") else "denied" if self._asks() else "manifest"
        status, headers, length, body = self.server.said[kind]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value.replace("HERE", self.headers["Host"]))
        self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            for piece in body:
                self.wfile.write(piece)
                self.wfile.flush()

    def _asks(self) -> bool:
        return "denied" in self.server.said and "Authorization" not in self.headers

    def log_message(self, *_words: object) -> None:
        pass


@contextlib.contextmanager
def answering(**said):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
    server.said, server.daemon_threads = said, True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(host: str, **clock):
    with client(host, **clock) as registry:
        return registry.manifest(REPOSITORY, "v1", Told())


def whole(body: bytes, status: int = 200, **headers: str):
    return status, headers, len(body), [body]


def challenge(length: int = 0, body=()):
    return 401, {"WWW-Authenticate": 'Bearer realm="http://HERE/token"'}, length, body


def without_end():
    return itertools.repeat(b"x" * 100)


TOKEN = whole(json.dumps({"token": "t"}).encode())
FOUND = whole(b"{}", **{"Content-Type": MANIFEST})


@pytest.mark.parametrize("which", ["manifest", "token"])
def test_an_answer_that_does_not_end_is_given_up(which):
    endless = (200, {}, 1 << 30, without_end())
    said = {"denied": challenge(), "token": TOKEN, "manifest": FOUND, which: endless}
    hours = itertools.count(0.0, answers.SMALL_S / 2)
    with answering(**said) as host, pytest.raises(IncompleteError) as raised:
        ask(host, clock=lambda: next(hours))
    assert raised.value.message.id == "registry.gave_up"
    assert str(int(answers.SMALL_S)) in raised.value.message.why


def test_an_error_in_the_place_of_a_blob_that_does_not_end_is_given_up():
    hours = itertools.count(0.0, answers.SMALL_S / 2)
    with (
        answering(manifest=(500, {}, 1 << 30, without_end())) as host,
        client(host, clock=lambda: next(hours)) as asked,
        pytest.raises(IncompleteError) as raised,
    ):
        next(asked.read_blob(REPOSITORY, "0" * 64, 1, Told()))
    assert str(int(answers.SMALL_S)) in raised.value.message.why


def test_what_a_401_or_a_redirect_has_to_say_is_not_waited_for():
    with answering(denied=challenge(1 << 40, without_end()), token=TOKEN, manifest=FOUND) as host:
        assert ask(host).data == b"{}"


def test_a_token_that_breaks_off_is_asked_for_again_and_given_up():
    cut = (200, {}, 100, [b'{"token"'])
    with answering(denied=challenge(), token=cut, manifest=FOUND) as host, pytest.raises(IncompleteError) as raised:
        ask(host)
    assert raised.value.message.id == "registry.gave_up"


@pytest.mark.parametrize("lives", ["1" + "0" * 400, "-5", "NaN", "1e999"])
def test_a_token_of_any_length_of_life_is_understood_or_refused(lives):
    token = whole(b'{"token": "t", "expires_in": %s}' % lives.encode())
    with answering(denied=challenge(), token=token, manifest=FOUND) as host:
        if len(lives) < 100:
            assert ask(host).data == b"{}"
        else:
            with pytest.raises(IncompleteError):
                ask(host)


def test_a_manifest_that_is_too_large_is_no_other_digest():
    with answering(manifest=whole(b" " * (MAX_MANIFEST_BYTES + 1))) as host, pytest.raises(IntegrityError) as raised:
        ask(host)
    assert raised.value.message.id == "registry.large"


@pytest.mark.parametrize(
    "given",
    ["https://user:hunter2@r.example/a:1", "user:hunter2@r.example/a", "r.example:hunter2@x/a", "//u:hunter2@r/a"],
)
def test_a_password_in_a_name_is_not_shown(given):
    with pytest.raises(UsageError) as raised:
        parse_reference(given)
    message = raised.value.message
    assert "hunter2" not in f"{message.what}{message.why}{message.hint}"
    assert "a" in message.what
