"""Each fault does what it says, seen by a client that believes nothing: http.client and a plain socket."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time

import pytest

from tests.standins.faults import KINDS, Fault
from tests.standins.mirror import Mirror
from tests.standins.sample import SHARD, SMALL, WEIGHTS

PATH = f"/org/name/{SHARD}"
SIZE = len(WEIGHTS)


@pytest.fixture
def mirror(root):
    with Mirror(root) as mirror:
        yield mirror


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers = response.status, response.headers
        try:
            self.body, self.whole = response.read(), True
        except http.client.IncompleteRead as error:
            self.body, self.whole = error.partial, False


def get(mirror, path=PATH, headers=None, method="GET") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port(mirror), timeout=10)
    try:
        connection.request(method, path, headers=headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def port(mirror) -> int:
    return int(mirror.url.rpartition(":")[2])


def part(begin, end) -> dict[str, str]:
    return {"Range": f"bytes={begin}-{end - 1}"}


def test_a_file_comes_whole(mirror):
    answer = get(mirror)
    assert (answer.status, answer.body, answer.headers["Accept-Ranges"]) == (200, WEIGHTS, "bytes")
    [request] = mirror.requests
    assert (request.method, request.path, request.file) == ("GET", PATH, SHARD)
    assert (request.range, request.status, request.sent_bytes, request.fault) == (None, 200, SIZE, None)
    assert mirror.sent_bytes == SIZE


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("0-0", 0, 1),
        ("1000-1999", 1000, 2000),
        ("1000000-", 1000000, SIZE),
        ("1000000-9999999", 1000000, SIZE),
        ("-10", SIZE - 10, SIZE),
    ],
)
def test_a_range_comes_as_asked(mirror, asked, begin, end):
    answer = get(mirror, headers={"Range": f"bytes={asked}"})
    assert (answer.status, answer.body) == (206, WEIGHTS[begin:end])
    assert answer.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{SIZE}"
    assert mirror.requests[0].range == (begin, end)


@pytest.mark.parametrize("asked", [f"{SIZE}-", "2000-1000"])
def test_a_range_beyond_the_end_is_416(mirror, asked):
    answer = get(mirror, headers={"Range": f"bytes={asked}"})
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


def test_if_range_gives_the_range_of_the_same_file_and_all_of_another(mirror):
    etag = get(mirror, method="HEAD").headers["ETag"]
    assert get(mirror, headers={**part(5, 9), "If-Range": etag}).status == 206
    assert get(mirror, headers={**part(5, 9), "If-Range": '"other"'}).body == WEIGHTS


def test_head_says_the_length_and_sends_nothing(mirror):
    answer = get(mirror, method="HEAD")
    assert (answer.headers["Content-Length"], answer.body, mirror.sent_bytes) == (str(SIZE), b"", 0)


def test_one_connection_takes_many_requests(mirror):
    connection = http.client.HTTPConnection("127.0.0.1", port(mirror), timeout=10)
    for _ in range(3):
        connection.request("GET", PATH, headers=part(0, 10))
        assert connection.getresponse().read() == WEIGHTS[:10]
    assert len(mirror.requests) == 3
    connection.close()


@pytest.mark.parametrize(("times", "skip", "whole"), [(None, 0, "---"), (1, 0, "-++"), (1, 1, "+-+"), (None, 2, "++-")])
def test_a_fault_comes_as_often_as_it_says(mirror, times, skip, whole):
    mirror.add(Fault("cut", times=times, skip=skip))
    assert "".join("-+"[get(mirror).whole] for _ in range(3)) == whole


def test_a_fault_is_for_its_files_only_and_goes_when_cleared(mirror):
    mirror.add(Fault("cut", path="*.safetensors"))
    assert get(mirror, f"/org/name/{SMALL}").whole
    assert not get(mirror).whole
    mirror.clear()
    assert get(mirror).whole


def test_a_cut_beyond_the_end_is_kept_for_a_longer_answer(mirror):
    mirror.add(Fault("cut", after_bytes=1000, times=1))
    assert get(mirror, headers=part(0, 1000)).whole
    assert get(mirror).body == WEIGHTS[:1000]


def test_an_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="no such fault: cutt"):
        Fault("cutt")


def test_cut(mirror):
    mirror.add(Fault("cut", after_bytes=12345))
    answer = get(mirror)
    assert (answer.whole, answer.body, answer.headers["Content-Length"]) == (False, WEIGHTS[:12345], str(SIZE))
    assert (mirror.requests[0].sent_bytes, mirror.requests[0].fault) == (12345, "cut")


def test_reset(mirror):
    mirror.add(Fault("reset", after_bytes=100_000))
    with pytest.raises(ConnectionResetError):
        get(mirror)


def test_drop(mirror):
    mirror.add(Fault("drop"))
    with pytest.raises(http.client.RemoteDisconnected):
        get(mirror)
    assert (mirror.requests[0].status, mirror.requests[0].fault) == (0, "drop")


@pytest.mark.parametrize(("kind", "begins_with"), [("silence", b""), ("stall", b"HTTP/1.1 200 OK")])
def test_silence_and_stall_keep_the_connection_until_the_server_ends(root, kind, begins_with):
    # No client waits here: what arrived is read once the server's end closes the connection.
    with Mirror(root, faults=[Fault(kind, after_bytes=1000)]) as mirror:
        client = socket.create_connection(("127.0.0.1", port(mirror)))
        client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        client.settimeout(0.3)
        got = read_all(client)
        assert got is not None
        assert got.startswith(begins_with)
        assert got.partition(b"\r\n\r\n")[2] == (WEIGHTS[:1000] if kind == "stall" else b"")
    assert client.recv(1) == b""
    client.close()


def read_all(client) -> bytes | None:
    """What came before the time-out; None when the connection ended instead."""
    got = b""
    while True:
        try:
            piece = client.recv(1 << 16)
        except TimeoutError:
            return got
        if not piece:
            return None
        got += piece


def test_a_client_that_goes_away_ends_a_stall(mirror):
    mirror.add(Fault("stall", after_bytes=10))
    client = socket.create_connection(("127.0.0.1", port(mirror)))
    client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert client.recv(10)
    before = threading.active_count()
    client.close()
    deadline = time.monotonic() + 5
    while threading.active_count() >= before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() < before


def test_flip(mirror):
    mirror.add(Fault("flip", offset=5000))
    body = get(mirror).body
    assert [place for place in range(SIZE) if body[place] != WEIGHTS[place]] == [5000]
    assert get(mirror, headers=part(4999, 5002)).body == body[4999:5002]


def test_a_flip_waits_for_the_range_with_its_byte(mirror):
    mirror.add(Fault("flip", offset=5000, times=1))
    assert get(mirror, headers=part(0, 5000)).body == WEIGHTS[:5000]
    assert get(mirror, headers=part(5000, 6000)).body != WEIGHTS[5000:6000]
    assert get(mirror, headers=part(5000, 6000)).body == WEIGHTS[5000:6000]


def test_content_range_lies_about_right_bytes(mirror):
    mirror.add(Fault("content_range"))
    answer = get(mirror, headers=part(100, 200))
    assert (answer.body, answer.headers["Content-Range"]) == (WEIGHTS[100:200], f"bytes 101-200/{SIZE}")
    assert get(mirror).headers["Content-Range"] is None


@pytest.mark.parametrize(("asked", "got"), [((100, 200), (101, 201)), ((SIZE - 9, SIZE), (SIZE - 10, SIZE - 1))])
def test_wrong_range_sends_other_bytes_and_says_so(mirror, asked, got):
    mirror.add(Fault("wrong_range"))
    answer = get(mirror, headers=part(*asked))
    assert answer.body == WEIGHTS[slice(*got)]
    assert answer.headers["Content-Range"] == f"bytes {got[0]}-{got[1] - 1}/{SIZE}"


def test_no_range(mirror):
    mirror.add(Fault("no_range"))
    answer = get(mirror, headers=part(100, 200))
    assert (answer.status, answer.body) == (200, WEIGHTS)
    assert {answer.headers["Content-Range"], answer.headers["Accept-Ranges"]} == {None}


@pytest.mark.parametrize(("headers", "status"), [({}, 200), (part(100, 200), 206)])
def test_empty(mirror, headers, status):
    mirror.add(Fault("empty"))
    answer = get(mirror, headers=headers)
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (status, b"", "0")


def test_content_length(mirror):
    mirror.add(Fault("content_length"))
    answer = get(mirror)
    assert (answer.whole, answer.body, answer.headers["Content-Length"]) == (False, WEIGHTS, str(SIZE + 1000))


def test_chunked(mirror):
    mirror.add(Fault("chunked"))
    answer = get(mirror, headers=part(100, 200_000))
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (206, WEIGHTS[100:200_000], None)


def test_gzip(mirror):
    mirror.add(Fault("gzip"))
    answer = get(mirror, headers=part(100, 200))
    assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip")
    assert gzip.decompress(answer.body) == WEIGHTS


def test_etag_changes_and_the_bytes_do_not(mirror):
    before = get(mirror).headers["ETag"]
    mirror.add(Fault("etag"))
    answer = get(mirror)
    assert (answer.body, answer.headers["ETag"] != before) == (WEIGHTS, True)


def test_replace_with_the_same_size(mirror):
    mirror.add(Fault("replace", skip=1))
    first, second = get(mirror, headers=part(0, 100)), get(mirror, headers=part(100, 200))
    assert first.body == WEIGHTS[:100]
    assert second.body == bytes(255 - byte for byte in WEIGHTS[100:200])
    assert first.headers["ETag"] != second.headers["ETag"]


@pytest.mark.parametrize(
    ("headers", "status", "body"),
    [({}, 200, b"other"), (part(1, 3), 206, b"th"), (part(1, 99), 206, b"ther"), (part(50, 60), 200, b"other")],
)
def test_replace_with_other_content(mirror, headers, status, body):
    mirror.add(Fault("replace", content=b"other"))
    answer = get(mirror, headers=headers)
    assert (answer.status, answer.body) == (status, body)


def test_a_file_rewritten_on_disk_is_another_one_at_once(mirror, root):
    before = get(mirror).headers["ETag"]
    (root / "org" / "name" / SHARD).write_bytes(b"new")
    answer = get(mirror)
    assert (answer.body, answer.headers["ETag"] != before) == (b"new", True)


def test_portal(mirror):
    mirror.add(Fault("portal"))
    answer = get(mirror, headers=part(100, 200))
    assert (answer.status, answer.headers["Content-Type"], answer.headers["ETag"]) == (200, "text/html", None)
    assert b"Log in" in answer.body


def test_status_storm(mirror):
    mirror.add(Fault("status", status=429, retry_after="7", times=2))
    answers = [get(mirror) for _ in range(3)]
    assert [answer.status for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert mirror.sent_bytes == SIZE


def test_redirect(mirror):
    mirror.add(Fault("redirect", times=1))
    mirror.add(Fault("redirect", to="http://127.0.0.1:9/elsewhere", times=1))
    assert [get(mirror).headers["Location"] for _ in range(3)] == [PATH, "http://127.0.0.1:9/elsewhere", None]


def test_trickle_and_limit_are_rates(root):
    # 25 kB at 50 kB/s take half a second; no upper bound is checked, machines are slow at times.
    with Mirror(root, faults=[Fault("trickle", bytes_per_s=50_000, times=1)], limit_bytes_per_s=50_000) as mirror:
        for _ in range(2):
            begin = time.monotonic()
            assert get(mirror, headers=part(0, 25_000)).body == WEIGHTS[:25_000]
            assert time.monotonic() - begin >= 0.45


def test_the_limit_is_one_for_all_connections(root):
    with Mirror(root, limit_bytes_per_s=100_000) as mirror:
        begin = time.monotonic()
        clients = [threading.Thread(target=get, args=(mirror, PATH, part(0, 10_000))) for _ in range(5)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert time.monotonic() - begin >= 0.45


def test_a_server_goes_away_and_comes_back_under_its_port(mirror):
    url = mirror.url
    mirror.stop()
    with pytest.raises(ConnectionRefusedError):
        get(mirror)
    mirror.start()
    assert (mirror.url, get(mirror).body) == (url, WEIGHTS)


def test_the_end_of_a_server_ends_what_is_on_the_way(root):
    with Mirror(root, limit_bytes_per_s=10_000) as mirror:
        client = socket.create_connection(("127.0.0.1", port(mirror)))
        client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.recv(10)
    client.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("standin")]


def test_an_error_of_the_stand_in_itself_is_raised_at_the_end(root, monkeypatch):
    monkeypatch.setattr(Mirror, "answer", lambda _self, _exchange: 1 // 0)
    mirror = Mirror(root)
    with pytest.raises(ZeroDivisionError), mirror, pytest.raises(http.client.RemoteDisconnected):
        get(mirror)


def test_every_fault_has_a_test():
    # The one kind that needs a signed URL is tested with the hub.
    names = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert not [kind for kind in KINDS if kind != "expire" and not any(kind in name for name in names)]
