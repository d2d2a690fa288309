"""`move_all` against a real local server with every fault there is."""

from __future__ import annotations

import hashlib
import random

import pytest

from selfhost.errors import IncompleteError, IntegrityError, MissingError
from selfhost.weights.move.pool import move_all
from selfhost.weights.move.types import Transfer
from selfhost.weights.remote import Address
from tests.weights.move_bench import CONTENT, MIB, OPTIONS, PATH, Bench, Told, headers, once, set_
from tests.weights.move_server import Server


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def flip(request, answer):
    if request.range and request.range[0] <= 2 * MIB < request.range[1] and answer.status == 206:
        body = bytearray(answer.body)
        body[2 * MIB - request.range[0]] ^= 1
        answer.body = bytes(body)


def shift(request, answer):
    begin, end = request.range
    answer.headers["Content-Range"] = f"bytes {begin + 1}-{end - 1}/{len(CONTENT)}"
    answer.body = CONTENT[begin + 1 : end]


def empty(_request, answer):
    answer.body = b""


def empty_whole(_request, answer):
    answer.status, answer.body = 200, b""
    answer.headers.pop("Content-Range", None)


def page(_request, answer):
    answer.status, answer.body, answer.headers = 200, b"<html>log in</html>", {"Content-Type": "text/html; charset=x"}


def test_a_file_comes_in_ranges_and_is_verified(bench):
    with Server({PATH: CONTENT}) as server:
        bench.run(server)
        assert sorted(request.range for request in server.requests) == [
            (0, MIB),
            (MIB, 2 * MIB),
            (2 * MIB, 3 * MIB),
            (3 * MIB, 3 * MIB + 17),
        ]
        assert bench.told.n_moved == server.sent == len(CONTENT)
        assert all(request.headers["accept-encoding"] == "identity" for request in server.requests)


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB])
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_sizes_at_the_bounds_of_ranges(tmp_path, size, known):
    bench = Bench(tmp_path, CONTENT[:size])
    with Server({PATH: CONTENT[:size]}) as server:
        bench.run(server, size=size if known else None)
        assert server.sent == size


def test_many_files_come_side_by_side(tmp_path):
    contents = {f"/f{n}": random.Random(n).randbytes(n * 300_000) for n in range(12)}
    told, found = Told(), {}

    def take(transfer, moved):
        found[transfer.path] = (moved.sha256, transfer.part.read_bytes())

    with Server(contents) as server:
        transfers = [
            Transfer(
                path=name,
                part=tmp_path / f"{n}.part",
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                git_sha1=None,
                address=lambda url=server.url + name: Address(url=url, headers={}),
                present=lambda: False,
            )
            for n, (name, content) in enumerate(contents.items())
        ]
        move_all(transfers, OPTIONS, told, take)
    assert {name: body for name, (_, body) in found.items()} == contents
    assert sorted(told.ended) == sorted(contents)
    # What the caller leaves in place stays; journals and locks do not.
    assert {path.suffix for path in tmp_path.iterdir() if path.name != "selfhost-home"} == {".part"}


def test_nothing_to_move_is_no_failure():
    move_all([], OPTIONS, Told(), lambda *_: None)


FAULTS = {
    "cut": set_(cut_after=300_000),
    "cut before the first byte": set_(cut_after=0),
    "closed without an answer": set_(body=None),
    "stalled in the body": set_(stall_after=200_000),
    "no answer at all": set_(silent=True),
    "empty 206": empty,
    "empty 200": empty_whole,
    "other bytes than asked for": shift,
    "a Content-Range that lies": headers(Content_Range=f"bytes 7-1000/{len(CONTENT)}"),
    "a Content-Range that is none": headers(Content_Range="bytes ?"),
    "another total": headers(Content_Range=f"bytes 0-{MIB - 1}/99999999"),
    "a Content-Length beyond the body": lambda _, answer: answer.headers.update({"Content-Length": "2000000"}),
    "busy": set_(status=503, body=b"later"),
    "busy, with a time": lambda _, answer: (set_(status=429, body=b"")(_, answer), headers(Retry_After="0")(_, answer)),
    "a broken server": set_(status=500, body=b""),
    "compressed": headers(Content_Encoding="gzip"),
    "a page": page,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_that_goes_away_is_survived(bench, fault):
    with Server({PATH: CONTENT}, rule=once(fault)) as server:
        bench.run(server)
    assert any("trying again" in note for note in bench.told.notes)
    assert bench.told.n_moved - bench.told.n_lost == len(CONTENT)


FINAL = {
    "busy": (set_(status=503, body=b""), IncompleteError, "move.gave_up"),
    "never answers": (set_(body=None), IncompleteError, "move.gave_up"),
    "cut before the first byte": (set_(cut_after=0), IncompleteError, "move.gave_up"),
    "no such file": (set_(status=404, body=b""), IncompleteError, "move.absent"),
    "needs a token": (set_(status=401, body=b""), MissingError, "move.token"),
    "forbidden": (set_(status=403, body=b""), MissingError, "move.token"),
    "a teapot": (set_(status=418, body=b""), IncompleteError, "move.refused"),
    "compressed": (headers(Content_Encoding="br"), IncompleteError, "move.encoded"),
    "a page": (page, IncompleteError, "move.page"),
    "another size": (headers(Content_Range=f"bytes 0-{MIB - 1}/99999999"), IntegrityError, "move.size"),
    "empty": (empty_whole, IntegrityError, "move.size"),
    "a flipped byte": (flip, IntegrityError, "move.digest"),
    "redirects without end": (
        lambda r, a: (set_(status=302, body=b"")(r, a), headers(Location=r.path + "x")(r, a)),
        IncompleteError,
        "move.redirects",
    ),
    "a redirect into the disk": (
        lambda r, a: (set_(status=302, body=b"")(r, a), headers(Location="file:///etc/passwd")(r, a)),
        IncompleteError,
        "move.bad_redirect",
    ),
}


@pytest.mark.parametrize(("fault", "error", "message"), FINAL.values(), ids=FINAL)
def test_a_fault_that_stays_is_told(bench, fault, error, message):
    with Server({PATH: CONTENT}, rule=fault) as server, pytest.raises(error) as raised:
        bench.run(server)
    assert raised.value.message.id == message
    assert "hf_secret" not in raised.value.message.what + raised.value.message.why + raised.value.message.hint
    assert not bench.final.exists()
    if message == "move.digest":
        assert not bench.part.exists()


def test_an_address_that_cannot_be_reached(bench):
    def address():
        return Address(url="http://127.0.0.1:1/x", headers={})

    with Server({}) as server, pytest.raises(IncompleteError) as raised:
        bench.run(server, address=address)
    assert "Connection refused" in raised.value.message.why


def test_a_connection_that_breaks_again_and_again_is_no_failure_while_bytes_come(bench):
    with Server({PATH: CONTENT}, rule=set_(cut_after=70_000)) as server:
        bench.run(server)
        assert len(server.requests) > 40


def test_a_flipped_byte_is_fetched_once_more(bench):
    with Server({PATH: CONTENT}, rule=once(flip, lambda r: r.range[0] == 2 * MIB)) as server:
        bench.run(server)
    assert bench.told.n_lost == len(CONTENT)
    assert any("digest is wrong" in note for note in bench.told.notes)
