"""What the gateway does with what it lets through: streams, bodies, limits, keys that change, TLS."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from selfhost.render import gateway
from selfhost.serve.ports import free_port
from tests.render.gateway.gateway_support import (
    KEY,
    OTHER,
    WAIT_S,
    StandInEngine,
    ask_on,
    bearer,
    running,
    until,
)

CHAT = "/v1/chat/completions"


@pytest.mark.slow
def test_the_engine_gets_no_key_and_a_number_that_the_client_gets_too(door, engine):
    answer = door.ask("POST", CHAT, bearer(KEY), ("X-Api-Key", OTHER), ("X-Request-Id", "mine"), body=b"{}")
    headers = {name.lower(): value for name, value in engine.seen[0]["headers"]}
    assert not {"authorization", "x-api-key", "upgrade"} & set(headers)
    assert not [key for key in (KEY, OTHER) if key in str(engine.seen)]
    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
    assert answer.headers.get_all("X-Request-Id") == [headers["x-request-id"]]
    assert answer.headers["Server"] == "nginx"


@pytest.mark.slow
def test_a_query_goes_on_as_it_was_sent(door, engine):
    assert door.ask("GET", "/v1/models?a=%2F..%2f&b=c+d", bearer(KEY)).status == 200
    assert engine.seen[0]["path"] == "/v1/models?a=%2F..%2f&b=c+d"


@pytest.mark.slow
def test_the_first_piece_of_a_stream_comes_before_the_last_is_made(door, engine):
    with contextlib.closing(door.connection()) as connection:
        connection.request("POST", CHAT, b"{}", dict([bearer(KEY), ("X-Test", "stream")]))
        answer = connection.getresponse()
        assert answer.read1(100) == b"data: first\n\n"
        engine.go_on.set()
        assert answer.read() == b"data: last\n\n"


@pytest.mark.slow
def test_an_answer_that_nobody_reads_waits_in_the_engine(door, engine):
    with contextlib.closing(door.connection()) as connection:
        connection.request("POST", CHAT, b"{}", dict([bearer(KEY), ("X-Test", "flood")]))
        assert engine.held.wait(WAIT_S)


@pytest.mark.slow
def test_a_client_that_leaves_is_noticed_by_the_engine(door, engine):
    with contextlib.closing(door.connection()) as connection:
        connection.request("POST", CHAT, b"{}", dict([bearer(KEY), ("X-Test", "stall")]))
        until(lambda: engine.seen, "the request does not arrive")
    assert engine.gone.wait(WAIT_S)


@pytest.mark.slow
def test_large_bodies_arrive_whole_and_larger_ones_are_refused_in_words(door, engine):
    body = os.urandom(7 << 20)
    assert door.ask("POST", CHAT, bearer(KEY), body=body).status == 200
    assert (engine.seen[0]["bytes"], len(engine.seen)) == (len(body), 1)
    with contextlib.closing(door.connection()) as connection:
        connection.putrequest("POST", CHAT)
        connection.putheader(*bearer(KEY))
        connection.putheader("Content-Length", str(9 << 20))
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 413
        assert json.loads(answer.read())["error"]["code"] == "request_too_large"
    assert len(engine.seen) == 1


@pytest.mark.slow
def test_a_body_with_two_lengths_is_refused(door, engine):
    with socket.create_connection(("127.0.0.1", door.port), timeout=WAIT_S) as connection:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        smuggled = (
            b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /docs HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        connection.sendall(head.encode() + smuggled)
        assert b" 400 " in connection.makefile("rb").readline()
    assert engine.seen == []


@pytest.mark.slow
def test_metrics_are_on_a_listener_of_their_own_and_nothing_else_is(door, engine):
    with contextlib.closing(door.connection()) as connection:
        connection.port = door.metrics_port
        assert [
            ask_on(connection, method, path).status
            for method, path in (("GET", "/metrics"), ("POST", "/metrics"), ("GET", "/v1/models"), ("GET", "/health"))
        ] == [200, 403, 404, 404]
    assert [said["path"] for said in engine.seen] == ["/metrics"]


@pytest.mark.slow
def test_the_log_has_who_and_what_but_no_key_and_no_question(door):
    answer = door.ask("POST", f"{CHAT}?secret-query", bearer(OTHER), body=b"secret-prompt")
    door.ask("GET", "/health")
    number = answer.headers["X-Request-Id"]
    until(lambda: any(line["id"] == number for line in door.requests), "no line in the log")
    (line,) = [line for line in door.requests if line["id"] == number]
    assert (line["caller"], line["path"], line["status"]) == ("bob", CHAT, 200)
    access = (door.folder / "access").read_text()
    assert "secret-query" not in access
    assert [line for line in door.requests if line["path"] == "/health" and line["status"] == 200] == []
    assert not [word for word in (KEY, OTHER, "secret-prompt") if word in access + door.errors]


@pytest.mark.slow
def test_one_key_that_asks_too_often_waits_alone(nginx, engine):
    with running(nginx, engine.server_address[1], requests_per_s=1, burst=2) as door:
        first = [door.ask("GET", "/v1/models", bearer(KEY)) for _ in range(5)]
        assert [answer.status for answer in first].count(429) >= 1
        refused = next(answer for answer in first if answer.status == 429)
        assert (refused.code, refused.headers["Retry-After"]) == ("rate_limit_exceeded", "1")
        assert door.ask("GET", "/v1/models", bearer(OTHER)).status == 200
        assert {door.ask("GET", "/health").status for _ in range(5)} == {200}


@pytest.mark.slow
def test_an_engine_that_is_not_there_is_told_as_such(nginx):
    with running(nginx, free_port("127.0.0.1")) as door:
        for method, path in (("GET", "/health"), ("POST", CHAT)):
            answer = door.ask(method, path, bearer(KEY))
            assert (answer.status, answer.code) == (503, "engine_not_ready")
        with contextlib.closing(StandInEngine(int(door.options.engine.rpartition(":")[2]))):
            assert door.ask("GET", "/health").status == 200


def is_refused(connection) -> bool:
    """Whether a key from before cannot be used on a connection from before."""
    try:
        return ask_on(connection, "GET", "/v1/models", bearer(KEY)).status == 401
    except (ConnectionError, http.client.HTTPException):
        return True


@pytest.mark.slow
def test_keys_change_by_a_reload_that_cuts_no_answer_off(nginx, engine):
    with running(nginx, engine.server_address[1]) as door, contextlib.ExitStack() as stack:
        idle, busy = (stack.enter_context(contextlib.closing(door.connection())) for _ in range(2))
        assert ask_on(idle, "GET", "/v1/models", bearer(KEY)).status == 200
        busy.request("POST", CHAT, b"{}", dict([bearer(KEY), ("X-Test", "stream")]))
        answer = busy.getresponse()
        assert answer.read1(100) == b"data: first\n\n"
        door.write_keys(carol="sk-new")
        assert door.ask("GET", "/v1/models", bearer("sk-new")).status == 401
        door.reload()
        until(lambda: door.ask("GET", "/v1/models", bearer("sk-new")).status == 200, "the new key is not taken")
        # Workers from before, which know the old keys, take connections for a moment more; then they close idle ones.
        until(lambda: door.ask("GET", "/v1/models", bearer(KEY)).status == 401, "the old key is still taken")
        until(lambda: is_refused(idle), "the old key is still taken on an old connection")
        engine.go_on.set()
        assert answer.read() == b"data: last\n\n"


@pytest.mark.slow
def test_a_broken_keys_file_changes_nothing_and_an_empty_one_lets_nobody_in(nginx, engine):
    with running(nginx, engine.server_address[1]) as door:
        path = door.folder / "keys" / "keys.conf"
        path.write_text('"~^sk-broken$" ')
        door.reload()
        until(lambda: "[emerg]" in door.errors, "the broken file is not noticed")
        assert door.ask("GET", "/v1/models", bearer(KEY)).status == 200
        path.write_text("")
        door.reload()
        until(lambda: door.ask("GET", "/v1/models", bearer(KEY)).status == 401, "the empty file is not taken")
        assert door.ask("GET", "/v1/models").status == 401
        assert door.ask("GET", "/health").status == 200


@pytest.mark.slow
def test_stopping_lets_a_running_answer_end(nginx, engine):
    with running(nginx, engine.server_address[1]) as door, contextlib.closing(door.connection()) as connection:
        connection.request("POST", CHAT, b"{}", dict([bearer(KEY), ("X-Test", "stream")]))
        answer = connection.getresponse()
        assert answer.read1(100) == b"data: first\n\n"
        door.process.send_signal(signal.Signals[gateway.STOP_SIGNAL])
        engine.go_on.set()
        assert answer.read() == b"data: last\n\n"
        connection.close()
        assert door.process.wait(WAIT_S) == 0


@pytest.mark.slow
def test_tls(nginx, engine, debian_tool, tmp_path):
    openssl = debian_tool("openssl", "openssl")
    folder = tmp_path / "tls"
    folder.mkdir()
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "tls.key", "-out", folder / "tls.crt"]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(cafile=folder / "tls.crt")
    # As nginx reads it under another uid.
    for path in (folder, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    tmp_path.chmod(0o755)
    (folder / "tls.key").chmod(0o644)
    with running(nginx, engine.server_address[1], certificate=str(folder), tls=context) as door:
        assert door.ask("GET", "/v1/models", bearer(KEY)).status == 200
        assert dict(engine.seen[0]["headers"])["X-Forwarded-Proto"] == "https"


@pytest.mark.slow
def test_the_configuration_is_accepted_without_a_warning(nginx, door):
    path = door.folder / "nginx.conf"
    done = subprocess.run([nginx, "-e", "stderr", "-t", "-c", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[" not in done.stderr
    assert not re.search(r"\[(crit|alert|emerg)\]", door.errors), door.errors


def in_a_container(folder: Path) -> list[str]:
    """As rendered containers are: nothing to write to but one folder, uid 2000 of group 0, no capability."""
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro / && cd / && shift && exec "$@"'
    nobody = ["setpriv", "--reuid=2000", "--regid=0", "--clear-groups", "--bounding-set=-all", "--no-new-privs", "--"]
    return ["unshare", "-m", "sh", "-c", script, "sh", str(folder), *nobody]


@pytest.mark.slow
def test_it_runs_with_a_read_only_root_and_no_rights(nginx, engine):
    if os.geteuid() != 0:
        pytest.skip("a root of one's own is made by root")
    with running(nginx, engine.server_address[1], inside=in_a_container) as door:
        process = Path(f"/proc/{door.process.pid}")
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
        assert (status["Uid"].split()[0], status["CapBnd"], status["NoNewPrivs"]) == ("2000", "0" * 16, "1")
        roots = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
        assert [words[5].split(",")[0] for words in roots if words[4] == "/"] == ["ro"]
        assert door.ask("POST", CHAT, bearer(KEY), body=os.urandom(7 << 20)).status == 200
        door.write_keys(carol="sk-new")
        door.reload()
        until(lambda: door.ask("GET", "/v1/models", bearer("sk-new")).status == 200, "the new key is not taken")
        assert not re.search(r"\[(crit|alert|emerg)\]", door.errors), door.errors
