"""What a mirror answers, request by request."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import urllib.parse

import pytest

from selfhost.errors import MissingError, TrustError, UsageError
from selfhost.home import Home
from selfhost.mirror.incoming import Incoming, body_length
from selfhost.serve import keys
from selfhost.weights import store
from tests.mirror.mirror_support import ask
from tests.weights.storage_support import ORIGIN, put, sha

COMMIT = ORIGIN.revision
RESOLVE = f"/org/tiny/resolve/{COMMIT}"


def test_a_file_has_its_digest_commit_and_size_in_the_headers(get, files):
    for method in ("GET", "HEAD"):
        got = get(f"{RESOLVE}/model.safetensors", method)
        data = files["model.safetensors"]
        assert got.status == 200
        assert got.headers["ETag"] == got.headers["X-Linked-Etag"] == f'"{sha(data)}"'
        assert got.headers["X-Repo-Commit"] == COMMIT
        assert got.headers["X-Linked-Size"] == got.headers["Content-Length"] == str(len(data))
        assert got.body == (data if method == "GET" else b"")


def test_every_file_comes_byte_for_byte(get, files):
    for path, data in files.items():
        assert get(f"{RESOLVE}/{urllib.parse.quote(path)}").body == data, path
        assert get(f"/org/tiny/{urllib.parse.quote(path)}").body == data, path


@pytest.mark.parametrize(
    ("header", "status", "part", "said"),
    [
        ("bytes=0-3", 206, slice(0, 4), "bytes 0-3/{size}"),
        ("bytes=5-", 206, slice(5, None), "bytes 5-{last}/{size}"),
        ("bytes=-4", 206, slice(-4, None), "bytes {minus4}-{last}/{size}"),
        ("bytes=0-999999", 206, slice(None), "bytes 0-{last}/{size}"),
        ("bytes=999999-", 416, slice(0, 0), "bytes */{size}"),
        ("bytes=-0", 416, slice(0, 0), "bytes */{size}"),
        ("bytes=3-1", 200, slice(None), None),
        ("bytes=0-1,3-4", 200, slice(None), None),
        ("lines=0-1", 200, slice(None), None),
        ("bytes=٣-", 200, slice(None), None),
    ],
)
def test_ranges(get, files, *, header, status, part, said):
    data = files["model.safetensors"]
    values = {"size": len(data), "last": len(data) - 1, "minus4": len(data) - 4}
    got = get(f"{RESOLVE}/model.safetensors", Range=header.encode())
    assert (got.status, got.body) == (status, data[part])
    assert got.headers["Content-Range"] == (said and said.format(**values))


def test_a_part_of_another_content_is_not_continued(get, files):
    data = files["model.safetensors"]
    path = f"{RESOLVE}/model.safetensors"
    assert get(path, Range="bytes=5-", If_Range=f'"{sha(data)}"').body == data[5:]
    for other in (f'"{"0" * 64}"', "Wed, 21 Oct 2015 07:28:00 GMT"):
        got = get(path, Range="bytes=5-", If_Range=other)
        assert (got.status, got.body) == (200, data)


def test_what_a_client_has_is_not_sent_again(get, files):
    tag = f'"{sha(files["config.json"])}"'
    got = get(f"{RESOLVE}/config.json", If_None_Match=tag)
    assert (got.status, got.body, got.headers["ETag"]) == (304, b"", tag)
    assert get(f"{RESOLVE}/config.json", If_None_Match='"other"').status == 200


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/models/org/absent", "RepoNotFound"),
        ("/org/absent/resolve/main/config.json", "RepoNotFound"),
        ("/api/models/org/tiny/revision/v9", "RevisionNotFound"),
        ("/org/tiny/resolve/v9/config.json", "RevisionNotFound"),
        (f"{RESOLVE}/absent.json", "EntryNotFound"),
        ("/api/models/org/tiny/tree/main/absent", "EntryNotFound"),
        ("/api/models/org/tiny/absent", "EntryNotFound"),
    ],
)
def test_what_is_not_there_is_told_in_the_words_of_the_hub(get, path, code):
    for method in ("GET", "HEAD"):
        got = get(path, method)
        assert (got.status, got.headers["X-Error-Code"]) == (404, code)
        assert got.headers["X-Error-Message"]


def test_listings(get, files):
    info = json.loads(get(f"/api/models/org/tiny/revision/{COMMIT}?blobs=true").body)
    assert info["sha"] == COMMIT
    assert {s["rfilename"]: (s["lfs"]["sha256"], s["size"]) for s in info["siblings"]} == {
        path: (sha(data), len(data)) for path, data in files.items()
    }
    assert all(set(s) == {"rfilename"} for s in json.loads(get("/api/models/Org/TINY").body)["siblings"])
    flat = json.loads(get("/api/models/org/tiny/tree/main").body)
    assert {entry["path"] for entry in flat} == {*(path for path in files if "/" not in path), "inner"}
    assert {entry["path"] for entry in json.loads(get("/api/models/org/tiny/tree/main?recursive=true").body)} == {
        *files,
        "inner",
    }
    assert [entry["path"] for entry in json.loads(get("/api/models/org/tiny/tree/main/inner").body)] == [
        "inner/vocab.json"
    ]
    asked = b"paths=config.json&paths=inner&paths=absent"
    entries = json.loads(get("/api/models/org/tiny/paths-info/main", "POST", asked).body)
    assert [(entry["path"], entry["type"]) for entry in entries] == [("config.json", "file"), ("inner", "directory")]


def test_sums_and_the_lock_lie_beside_the_files(get, files):
    expected = "".join(f"{sha(files[path])}  {path}\n" for path in sorted(files))
    for name in ("org/tiny", "tiny/bf16", "selfhost/tiny"):
        assert get(f"/{name}/SHA256SUMS").body.decode() == expected
    assert json.loads(get("/org/tiny/selfhost-model.json").body)["source"]["revision"] == COMMIT


def test_variants_of_a_recipe_are_revisions_and_main_means_one_only(home, start, files):
    put(home, files)
    put(home, {**files, "config.json": b'{"other": 1}'}, variant="int4")
    url = start().url
    assert ask(url, "/selfhost/tiny/resolve/int4/config.json").body == b'{"other": 1}'
    assert ask(url, "/selfhost/tiny/resolve/bf16/config.json").body == files["config.json"]
    got = ask(url, "/selfhost/tiny/resolve/main/config.json")
    assert (got.status, got.headers["X-Error-Code"]) == (404, "RevisionNotFound")
    assert "bf16, int4" in got.headers["X-Error-Message"]


def test_a_model_that_comes_or_goes_is_seen(home, start, files, monkeypatch):
    monkeypatch.setattr("selfhost.mirror.shelf._FRESH_S", 0.0)
    url = start().url
    assert ask(url, "/org/tiny/config.json").status == 404
    directory = put(home, files)
    assert ask(url, "/org/tiny/config.json").status == 200
    store.remove(directory)
    assert ask(url, "/org/tiny/config.json").status == 404


# Nothing outside the store, nothing that is not what it is called


@pytest.mark.parametrize(
    "path",
    [
        "/org/tiny/resolve/main/../../../../../../etc/passwd",
        "/org/tiny/resolve/main/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/org/tiny/%2e%2e/%2e%2e/keys/secret",
        "/../../etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/org/tiny/resolve/main//etc/passwd",
        "/org/tiny/resolve/main/config.json%00",
        "/org/tiny/resolve/main/inner",
        "/org/tiny/inner/",
        "/org/tiny/",
        "/models/tiny/bf16/config.json",
        "/simple/../../etc/passwd",
        "/simple/x/..%2f..%2fetc%2fpasswd",
        "/org/tiny/.selfhost",
        "/%ff/%fe",
        "*",
    ],
)
def test_no_path_leads_out_of_the_store(get, home, path):
    (home / "keys").mkdir()
    (home / "keys" / "secret").write_text("root:")
    for method in ("GET", "HEAD"):
        got = get(path, method)
        assert got.status in (400, 404)
        assert b"root:" not in got.body


@pytest.mark.parametrize("kind", ["link", "folder-link", "shorter", "fifo", "gone"])
def test_what_is_not_the_content_is_not_sent(home, get, stored, files, *, kind, tmp_path):
    name = "inner/vocab.json"
    secret = tmp_path / "secret" / "vocab.json"
    secret.parent.mkdir()
    secret.write_bytes(b"x" * len(files[name]))
    blob = home / "blobs" / "sha256" / sha(files[name])[:2] / sha(files[name])
    blob.unlink()
    (stored / name).unlink()
    if kind == "link":
        blob.symlink_to(secret)
        (stored / name).symlink_to(secret)
    elif kind == "folder-link":
        (stored / "inner").rmdir()
        (stored / "inner").symlink_to(secret.parent)
    elif kind == "shorter":
        blob.write_bytes(b"x")
    elif kind == "fifo":
        os.mkfifo(blob)
    got = get(f"{RESOLVE}/{name}")
    assert got.status == 500
    assert "selfhost verify tiny/bf16" in got.headers["X-Error-Message"]
    assert get(f"{RESOLVE}/config.json").status == 200


def test_a_model_of_an_older_selfhost_is_served_from_its_own_files(home, start, files):
    from tests.weights.storage_support import put_old

    put_old(home, files)
    assert ask(start().url, "/org/tiny/resolve/main/inner/vocab.json").body == files["inner/vocab.json"]


def test_two_files_of_one_repository_and_commit_are_one_repository(home, start):
    put(home, {"config.json": b"{}", "q4.gguf": b"4"}, variant="q4")
    put(home, {"config.json": b"{}", "q8.gguf": b"8"}, variant="q8")
    url = start().url
    found = json.loads(ask(url, f"/api/models/org/tiny/revision/{COMMIT}").body)["siblings"]
    assert [one["rfilename"] for one in found] == ["config.json", "q4.gguf", "q8.gguf"]
    found = json.loads(ask(url, "/api/models/selfhost/tiny/revision/q8").body)
    assert [one["rfilename"] for one in found["siblings"]] == ["config.json", "q8.gguf"]
    assert ask(url, f"/selfhost/tiny/resolve/{found['sha']}/q8.gguf").body == b"8"
    assert json.loads(ask(url, "/health").body) == {"status": "ok", "models": 2}


def test_main_is_what_was_stored_last_and_older_commits_stay(home, start, monkeypatch):
    first = put(home, {"config.json": b"1"})
    monkeypatch.setattr(
        "tests.weights.storage_support.ORIGIN", type(ORIGIN)(kind="huggingface", id="Org/Tiny", revision="f" * 40)
    )
    second = put(home, {"config.json": b"2"}, "Org", "Tiny")
    times = {first: 1_000_000_000, second: 2_000_000_000}
    for directory, seconds in times.items():
        os.utime(directory / "selfhost-model.json", (seconds, seconds))
    url = start().url
    assert ask(url, "/org/tiny/resolve/main/config.json").body == b"2"
    assert ask(url, f"/org/tiny/resolve/{COMMIT}/config.json").body == b"1"
    assert ask(url, f"/ORG/tiny/resolve/{'f' * 40}/config.json").headers["X-Repo-Commit"] == "f" * 40


def test_a_client_that_goes_away_is_logged_with_what_it_got(home, start):
    put(home, {"model.bin": bytes(64 << 20)})
    server = start()
    place = urllib.parse.urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(b"GET /org/tiny/model.bin HTTP/1.1\r\n\r\n")
        connection.recv(1000)
    server.stop(20.0)
    (line,) = server.lines
    sent = int(line.split()[-2])
    assert 0 < sent < 64 << 20


def test_a_damaged_lock_hides_its_model_only(home, start, files):
    put(home, files)
    (put(home, files, "other") / "selfhost-model.json").write_text("{")
    url = start().url
    assert ask(url, "/tiny/bf16/config.json").status == 200
    assert ask(url, "/other/bf16/config.json").status == 404


@pytest.mark.parametrize("asked_before", [False, True])
def test_what_somebody_wrote_to_is_not_served_as_what_it_was(stored, get, asked_before):
    path = stored / "model.safetensors"
    if asked_before:
        assert get(f"{RESOLVE}/model.safetensors").status == 200
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)  # in place, as a training script does that saves where it loaded
    got = get(f"{RESOLVE}/model.safetensors")
    assert (got.status, "selfhost verify tiny/bf16" in got.headers["X-Error-Message"]) == (500, True)
    assert get(f"{RESOLVE}/config.json").status == 200
    data[-1] ^= 1
    path.write_bytes(data)
    assert get(f"{RESOLVE}/model.safetensors").status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "OPTIONS"])
def test_nothing_can_be_written(get, stored, method):
    got = get(f"{RESOLVE}/config.json", method, b"{}")
    assert (got.status, got.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /health HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /health HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_ends_the_connection(served, request_text):
    place = urllib.parse.urlsplit(served.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(request_text)
        got = b""
        while piece := connection.recv(1 << 16):
            got += piece
    assert b"200 OK" not in got
    assert ask(served.url, "/health").status == 200


def test_a_client_that_says_nothing_is_let_go(home, stored, monkeypatch):
    from selfhost.mirror.routes import Routes
    from selfhost.mirror.server import Rules, Server
    from selfhost.mirror.shelf import Shelf
    from selfhost.mirror.wheelhouse import Wheelhouse

    routes = Routes(Shelf(home / "models", home / "blobs"), Wheelhouse(()))
    rules = Rules(admits=lambda _header: True, log=lambda _line: None, stall_s=0.2)
    with Server("127.0.0.1", 0, routes, rules) as server:
        place = urllib.parse.urlsplit(server.url)
        with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
            connection.sendall(b"GET /hea")
            assert connection.recv(100) == b""


def test_a_request_has_its_time_as_a_whole_however_it_trickles():
    now = [0.0]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        incoming = Incoming(ours, 10.0, lambda: now[0])
        buffer = bytearray(1)
        now[0] = 9.0  # nothing came yet: its time has not begun
        for _ in range(4):
            theirs.sendall(b"x")
            assert incoming.readinto(buffer) == 1
            now[0] += 2.5
        with pytest.raises(TimeoutError):
            incoming.readinto(buffer)
        incoming.begin()
        theirs.sendall(b"x")
        assert incoming.readinto(buffer) == 1
        assert ours.gettimeout() == 10.0  # for what is sent


@pytest.mark.parametrize(
    ("lengths", "length"),
    [
        ([], 0),
        (["5"], 5),
        (["5", "5"], 5),
        (["5", "6"], None),
        (["1048576"], 1 << 20),
        (["1048577"], None),
        (["9" * 5000], None),
        (["-1"], None),
        (["²"], None),
        (["5, 5"], None),
    ],
)
def test_lengths_of_bodies(lengths, length):
    assert body_length(lengths) == length


def test_connections_are_bounded_and_who_is_let_in_is_served(start, stored, monkeypatch):
    monkeypatch.setattr("selfhost.mirror.server._MAX_CONNECTIONS", 1)
    server = start()
    place = urllib.parse.urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        # Says nothing: what it had not read when it is turned away would reset its connection.
        with socket.create_connection((place.hostname, place.port), timeout=10) as other:
            assert other.recv(1000).startswith(b"HTTP/1.1 503")
        connection.sendall(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        while connection.recv(1000):
            pass
    with server._listener._changed:
        assert server._listener._changed.wait_for(lambda: not server._listener._open, 10)
    assert ask(server.url, "/health").status == 200


# Keys, addresses, the end


def test_a_key_is_asked_for_as_soon_as_there_is_one(home, served):
    url = served.url
    assert ask(url, "/org/tiny/config.json").status == 200
    key = keys.new(Home(home), "node")
    basic = __import__("base64").b64encode(f"user:{key}".encode()).decode()
    for header in (None, "Bearer wrong", f"Bearer {key}x", "Basic !!!", "Basic " + basic[:-8], "Digest x"):
        headers = {"Authorization": header} if header else {}
        got = ask(url, "/org/tiny/config.json", headers=headers)
        assert got.status == 401, header
        assert got.headers["WWW-Authenticate"].startswith("Basic")
    for header in (f"Bearer {key}", f"bearer {key}", f"Basic {basic}"):
        assert ask(url, "/org/tiny/config.json", headers={"Authorization": header}).status == 200
    assert ask(url, "/health").status == 200
    assert not any(key in line for line in served.lines)
    (home / "keys" / "keys.json").write_text("{")
    assert ask(url, "/org/tiny/config.json", headers={"Authorization": f"Bearer {key}"}).status == 401


def test_an_open_address_wants_a_key_or_a_word(home, start, stored):
    with pytest.raises(TrustError, match="without an API key"):
        start(host="0.0.0.0")
    server = start(host="0.0.0.0", no_key=True)
    url = server.url.replace("0.0.0.0", "127.0.0.1")
    assert ask(url, "/org/tiny/config.json").status == 200
    keys.new(Home(home), "node")
    assert ask(url, "/org/tiny/config.json").status == 200
    asking = start(host="0.0.0.0").url.replace("0.0.0.0", "127.0.0.1")
    assert ask(asking, "/org/tiny/config.json").status == 401
    keys.revoke(Home(home), "node")
    assert ask(asking, "/org/tiny/config.json").status == 401, "the last key that goes does not open it"


def test_what_cannot_be_had_is_said_at_the_start(start, served, tmp_path):
    port = urllib.parse.urlsplit(served.url).port
    with pytest.raises(MissingError) as error:
        start(port=port)
    assert str(port) in error.value.message.what
    with pytest.raises(UsageError, match="no directory with wheels"):
        start(wheelhouses=(tmp_path,))


def test_the_end_lets_a_transfer_finish_and_takes_no_new_ones(home, start):
    data = hashlib.shake_128(b"x").digest(32 << 20)
    put(home, {"model.bin": data})
    server = start()
    place = urllib.parse.urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(b"GET /org/tiny/model.bin HTTP/1.1\r\n\r\n")
        got = connection.recv(1000)
        ending = threading.Thread(target=server.stop, args=(20.0,))
        ending.start()
        server._listener.stopping.wait(5)
        while piece := connection.recv(1 << 20):
            got += piece
        ending.join()
    assert got.partition(b"\r\n\r\n")[2] == data
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((place.hostname, place.port), timeout=1)


def test_the_access_log_has_one_line_per_answer_that_drives_no_terminal(served, files):
    place = urllib.parse.urlsplit(served.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(b"GET /\x1b]0;owned\x07 HTTP/1.1\r\nConnection: close\r\n\r\n")
        while connection.recv(1000):
            pass
    ask(served.url, f"{RESOLVE}/config.json")
    served.stop()
    assert len(served.lines) == 2
    assert all(line.isprintable() for line in served.lines)
    assert f"127.0.0.1 GET {RESOLVE}/config.json HTTP/1.1 200 {len(files['config.json'])} " in served.lines[1]


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /org/tiny/config.json?token=KEY HTTP/1.1",
        b"GET http://user:KEY@mirror/org/tiny/config.json HTTP/1.1",
        b"Authorization: Bearer KEY",
        b"KEY /org/tiny HTTP/1.1",
        b"GET /org/tiny HTTP/KEY",
    ],
)
def test_the_access_log_has_no_keys(served, request_line):
    place = urllib.parse.urlsplit(served.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(request_line + b"\r\nConnection: close\r\n\r\n")
        while connection.recv(1000):
            pass
    served.stop()
    assert len(served.lines) == 1
    assert "KEY" not in served.lines[0]
