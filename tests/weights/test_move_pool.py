"""`move_all` and `fetch_range` against a real local server with every fault there is."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import random
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field

import pytest

from selfhost.errors import IncompleteError, IntegrityError, MissingError, NoSpaceError
from selfhost.weights.digest import Digest
from selfhost.weights.move import part as part_module
from selfhost.weights.move.pool import fetch_range, move_all
from selfhost.weights.move.types import MoveOptions, Transfer
from selfhost.weights.remote import Address
from tests.weights.move_server import Server

MIB = 1 << 20
CONTENT = random.Random(1).randbytes(3 * MIB + 17)
PATH = "/org/model/weights.safetensors"
OPTIONS = MoveOptions(
    connections=4, stall_s=0.4, connect_s=2, attempts=4, range_bytes=MIB, backoff_s=0.01, backoff_max_s=0.02
)


@dataclass
class Told:
    """A `Progress` that remembers."""

    n_moved: int = 0
    n_lost: int = 0
    have: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    on_moved: object = None
    lock: object = field(default_factory=threading.Lock)

    def started(self, path, size, have):
        self.have[path] = have

    def moved(self, path, n_bytes):
        with self.lock:
            self.n_moved += n_bytes
        if self.on_moved:
            self.on_moved(self.n_moved)

    def lost(self, path, n_bytes):
        self.n_lost += n_bytes

    def note(self, path, text):
        self.notes.append(text)

    def done(self, path):
        self.ended.append(path)


class Bench:
    """One file, moved from a server into a folder."""

    def __init__(self, folder, content=CONTENT, path=PATH):
        self.folder, self.content, self.path = folder, content, path
        self.part = folder / "key.part"
        self.final = folder / "final"
        self.told = Told()
        self.results = []
        self.addresses = []

    def transfer(self, server, **changes):
        def address():
            self.addresses.append(1)
            return Address(url=server.url + self.path, headers={"Authorization": "Bearer hf_secret"})

        values = {
            "path": "weights.safetensors",
            "part": self.part,
            "size": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "git_sha1": None,
            "address": address,
            "present": self.final.exists,
        }
        return Transfer(**(values | changes))

    def take(self, transfer, moved):
        if moved is not None:
            transfer.part.rename(self.final)
        self.results.append(moved)

    def run(self, server, options=OPTIONS, **changes):
        move_all([self.transfer(server, **changes)], options, self.told, self.take)
        self.check()

    def check(self):
        assert self.final.read_bytes() == self.content
        if self.results[-1]:
            digest = Digest()
            digest.update(self.content)
            moved = self.results[-1]
            assert (moved.sha256, moved.marks, moved.size) == (digest.hexdigest(), digest.marks, len(self.content))
        assert sorted(path.name for path in self.folder.iterdir() if path.name != "selfhost-home") == ["final"]
        assert self.told.ended


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def once(change, when=lambda _request: True):
    """A rule that bends the first answer it fits."""
    left = [1]

    def rule(request, answer):
        if left[0] and when(request):
            left[0] -= 1
            change(request, answer)

    return rule


def always(change):
    return change


def set_(**values):
    def change(_request, answer):
        for name, value in values.items():
            setattr(answer, name, value)

    return change


def headers(**values):
    return lambda _request, answer: answer.headers.update({k.replace("_", "-"): v for k, v in values.items()})


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
    with Server({PATH: CONTENT}, rule=always(fault)) as server, pytest.raises(error) as raised:
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
    with Server({PATH: CONTENT}, rule=always(set_(cut_after=70_000))) as server:
        bench.run(server)
        assert len(server.requests) > 40


def test_a_flipped_byte_is_fetched_once_more(bench):
    with Server({PATH: CONTENT}, rule=once(flip, lambda r: r.range[0] == 2 * MIB)) as server:
        bench.run(server)
    assert bench.told.n_lost == len(CONTENT)
    assert any("digest is wrong" in note for note in bench.told.notes)


# Servers without ranges


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_a_server_without_ranges_sends_one_stream(bench, chunked, known):
    def rule(_request, answer):
        answer.chunked = chunked

    with Server({PATH: CONTENT}, ranges=False, rule=rule) as server:
        bench.run(server, size=len(CONTENT) if known else None)
        assert len(server.requests) == 1
    assert any("whole files only" in note for note in bench.told.notes)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
def test_a_stream_that_is_cut_starts_over(bench, chunked):
    def rule(_request, answer):
        answer.chunked = chunked
        if len(server.requests) == 1:
            answer.cut_after = 2 * MIB

    with Server({PATH: CONTENT}, ranges=False, rule=rule) as server:
        bench.run(server)
        assert len(server.requests) == 2
    assert bench.told.n_moved - bench.told.n_lost == len(CONTENT)


def test_a_stream_that_is_always_cut_is_given_up(bench):
    with (
        Server({PATH: CONTENT}, ranges=False, rule=always(set_(cut_after=2 * MIB))) as server,
        pytest.raises(IncompleteError) as raised,
    ):
        bench.run(server)
    assert raised.value.message.id == "move.gave_up"
    # What cannot be gone on with does not take up the disk.
    assert [path.name for path in bench.folder.iterdir() if path.name != "selfhost-home"] == []


def test_a_server_that_takes_ranges_after_all(bench):
    def rule(request, answer):
        if len(server.requests) == 1:
            answer.status, answer.body, answer.cut_after = 200, CONTENT, 2 * MIB
            answer.headers.pop("Content-Range")

    with Server({PATH: CONTENT}, rule=rule) as server:
        bench.run(server)
    assert bench.told.n_moved - bench.told.n_lost == len(CONTENT)


def test_a_whole_file_for_a_later_range_is_asked_again(bench):
    def whole(_request, answer):
        answer.status, answer.body = 200, CONTENT
        answer.headers.pop("Content-Range")

    with Server({PATH: CONTENT}, rule=once(whole, lambda r: r.range[0] == 2 * MIB)) as server:
        bench.run(server)
    assert bench.told.n_lost == 0


def test_a_stream_longer_than_the_file_ends(bench):
    def rule(_request, answer):
        answer.chunked, answer.body = True, CONTENT * 2

    with Server({PATH: CONTENT}, ranges=False, rule=rule) as server, pytest.raises(IntegrityError) as raised:
        bench.run(server)
    assert raised.value.message.id == "move.too_long"


# Changes at the source


def test_another_etag_starts_over_once_when_a_digest_is_promised(bench):
    def rule(request, answer):
        if request.range[0] >= 2 * MIB:
            answer.headers["ETag"] = '"other"'

    with Server({PATH: CONTENT}, rule=rule) as server:
        bench.run(server, MoveOptions(connections=1, range_bytes=MIB))
    assert bench.told.n_lost == 2 * MIB
    assert sum("changed at the source" in note for note in bench.told.notes) == 1


def test_another_etag_is_final_when_nothing_is_promised(bench):
    with (
        Server({PATH: CONTENT}, rule=once(headers(ETag='"other"'), lambda r: r.range[0] == 2 * MIB)) as server,
        pytest.raises(IncompleteError) as raised,
    ):
        bench.run(server, sha256=None)
    assert raised.value.message.id == "move.changed"
    assert not bench.part.exists()


def test_a_file_that_is_replaced_while_it_comes(bench):
    def rule(request, answer):
        if request.range[0] == MIB and server.files[PATH] != CONTENT:
            server.files[PATH] = CONTENT
            answer.__dict__.update(server._usual(request).__dict__)

    old = bytes(len(CONTENT))
    with Server({PATH: old}, rule=rule) as server:
        bench.run(server)
    assert any("changed" in note for note in bench.told.notes)


def test_a_weak_etag_promises_nothing(bench):
    counter = iter(range(1000))
    with Server({PATH: CONTENT}, rule=lambda _r, a: a.headers.update(ETag=f'W/"{next(counter)}"')) as server:
        bench.run(server, sha256=None)
        assert not any("if-range" in request.headers for request in server.requests)


@pytest.mark.parametrize("right", [True, False])
def test_a_git_digest_decides_where_nothing_else_is_known(bench, right):
    wanted = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest() if right else "0" * 40
    with Server({PATH: CONTENT}) as server:
        if right:
            bench.run(server, sha256=None, git_sha1=wanted)
        else:
            with pytest.raises(IntegrityError):
                bench.run(server, sha256=None, git_sha1=wanted)


# Redirects, tokens, expired addresses


def test_a_token_stays_with_its_host(bench):
    with Server({"/cdn": CONTENT}) as cdn:

        def rule(_request, answer):
            answer.status, answer.body = 302, b""
            answer.headers["Location"] = cdn.url + "/cdn?signature=secret"

        with Server({PATH: CONTENT}, rule=rule) as server:
            bench.run(server)
            assert server.requests[0].headers["authorization"] == "Bearer hf_secret"
            # The next ranges know the way.
            assert len(server.requests) == 1
            assert len(cdn.requests) == 4
            assert not any("authorization" in request.headers for request in cdn.requests)


def test_a_token_goes_along_on_the_same_host(bench):
    def rule(request, answer):
        if request.path == PATH:
            answer.status, answer.body = 307, b""
            answer.headers["Location"] = "/moved"

    with Server({PATH: CONTENT, "/moved": CONTENT}, rule=rule) as server:
        bench.run(server)
        assert all(request.headers["authorization"] == "Bearer hf_secret" for request in server.requests)


@pytest.mark.parametrize("status", [401, 403, 410])
def test_a_signed_address_that_expires_is_asked_for_again(bench, status):
    uses = {}

    def rule(request, answer):
        if request.path == PATH:
            answer.status, answer.body = 302, b""
            answer.headers["Location"] = f"/cdn?signature={len(server.requests)}"
        else:
            uses[request.path] = uses.get(request.path, 0) + 1
            if uses[request.path] > 1:
                answer.status, answer.body = status, b""

    with Server({PATH: CONTENT, "/cdn": CONTENT}, rule=rule) as server:
        bench.run(server)
    assert len(bench.addresses) >= 2


def test_an_address_of_an_api_that_expires_is_asked_for_again(bench):
    count = iter(range(100))
    with Server({PATH: CONTENT}) as server:

        def rule(request, answer):
            if request.range[0] >= MIB and request.path.endswith("?0"):
                answer.status, answer.body = 403, b""

        server.rule = rule
        bench.run(server, address=lambda: Address(url=f"{server.url}{PATH}?{next(count)}", headers={}))


# What an earlier run left


def interrupted(bench, server, at=2 * MIB, **changes):
    """Run until so many bytes have come, then fail in the main thread's stead."""

    def stop(n_moved):
        if n_moved >= at:
            raise KeyboardInterrupt

    bench.told.on_moved = stop
    with pytest.raises(KeyboardInterrupt):
        bench.run(server, MoveOptions(connections=1, range_bytes=MIB), **changes)
    bench.told = Told()


def test_what_was_moved_is_not_moved_again(bench):
    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server)
        journal = json.loads(bench.part.with_suffix(".json").read_text())
        assert journal["done"] == [[0, 2 * MIB]]
        assert not bench.final.exists()
        server.requests.clear()
        bench.run(server)
        assert server.sent == len(CONTENT) - 2 * MIB
        assert bench.told.have == {"weights.safetensors": 2 * MIB}
        assert bench.results[-1].downloaded_bytes == len(CONTENT) - 2 * MIB


def test_one_whole_answer_does_not_throw_away_what_is_there(bench):
    def whole(_request, answer):
        answer.status, answer.body = 200, CONTENT
        answer.headers.pop("Content-Range")

    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server)
        server.rule = once(whole)
        bench.run(server)
    assert (bench.told.n_lost, bench.told.have["weights.safetensors"]) == (0, 2 * MIB)


def test_a_server_that_knows_ranges_no_more_starts_over(bench):
    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server)
        server.ranges = False
        bench.run(server, OPTIONS)
    assert bench.told.n_lost == 2 * MIB


def break_journal(part):
    part.with_suffix(".json").write_text("{")


def claim_more(part):
    body = json.loads(part.with_suffix(".json").read_text())
    part.with_suffix(".json").write_text(json.dumps(body | {"done": [[0, 3 * MIB]]}))


def newer_schema(part):
    body = json.loads(part.with_suffix(".json").read_text())
    part.with_suffix(".json").write_text(json.dumps(body | {"schema_version": 99}))


@pytest.mark.parametrize("damage", [break_journal, claim_more, newer_schema])
def test_a_journal_that_cannot_be_right_starts_over(bench, damage):
    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server)
        damage(bench.part)
        server.requests.clear()
        bench.run(server)
        assert server.sent == len(CONTENT)
    assert any("starting over" in note for note in bench.told.notes)


def test_a_part_of_another_file_starts_over(bench):
    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server, sha256="0" * 64)
        bench.run(server)
    assert any("starting over" in note for note in bench.told.notes)


def test_a_part_whose_bytes_were_damaged_is_found_out(bench):
    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server)
        data = bytearray(bench.part.read_bytes())
        data[1000] ^= 1
        bench.part.write_bytes(data)
        bench.run(server)
    assert any("digest is wrong" in note for note in bench.told.notes)


def test_a_part_without_digest_and_with_another_etag_is_not_gone_on_with(bench):
    other = bytes(len(CONTENT))
    with Server({PATH: other}) as server:
        interrupted(bench, server, sha256=None)
        server.files[PATH] = CONTENT
        with pytest.raises(IncompleteError) as raised:
            bench.run(server, sha256=None)
        assert raised.value.message.id == "move.changed"
        bench.run(server, sha256=None)


def test_a_part_is_gone_on_with_from_another_place(bench):
    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server)
        server.etag = '"of-another-place"'
        server.requests.clear()
        bench.run(server)
        assert server.sent == len(CONTENT) - 2 * MIB


# Several processes


def test_a_file_that_another_process_moves_is_waited_for(bench):
    with Server({PATH: CONTENT}) as server:
        lock = bench.part.with_suffix(".lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)

        def other():
            until = time.monotonic() + 10
            while not bench.told.notes and time.monotonic() < until:
                time.sleep(0.01)
            bench.final.write_bytes(CONTENT)
            lock.unlink()
            os.close(descriptor)

        thread = threading.Thread(target=other)
        thread.start()
        bench.run(server)
        thread.join()
        assert server.requests == []
    assert bench.results == [None]
    assert bench.told.notes == ["another process is downloading this file; waiting for it"]


def test_the_lock_of_a_dead_process_is_no_obstacle(bench):
    bench.part.with_suffix(".lock").touch()
    with Server({PATH: CONTENT}) as server:
        bench.run(server)
    assert bench.told.notes == []


def test_one_part_named_twice_is_moved_once(bench):
    with Server({PATH: CONTENT}) as server:
        transfer = bench.transfer(server)
        move_all([transfer, transfer], OPTIONS, bench.told, bench.take)
        assert server.sent == len(CONTENT)
    assert sorted(moved is None for moved in bench.results) == [False, True]


# Stopping


def test_the_first_failure_stops_the_others_in_a_state_to_go_on_from(tmp_path):
    slow, told = Bench(tmp_path, CONTENT), Told()
    with Server({PATH: CONTENT}) as server:

        def rule(request, answer):
            if request.path == PATH:
                answer.bytes_per_s = 4 * MIB
            elif not told.n_moved:
                answer.status, answer.body = 503, b""

        server.rule = rule
        bad = slow.transfer(
            server, part=tmp_path / "bad.part", address=lambda: Address(url=server.url + "/gone", headers={})
        )
        with pytest.raises(IncompleteError) as raised:
            move_all([slow.transfer(server), bad], OPTIONS, told, slow.take)
        assert raised.value.message.id in ("move.absent", "move.gave_up")
        server.rule = None
        slow.run(server)
        assert slow.told.have == {"weights.safetensors": told.n_moved}


@pytest.mark.parametrize("state", ["silent", "stalled", "trickling", "paused"])
def test_an_interrupt_takes_effect_within_a_second(bench, state):
    options = MoveOptions(connections=4, stall_s=60, backoff_s=60, backoff_max_s=60, limit_bytes_per_s=None)
    seen = threading.Event()

    def rule(_request, answer):
        seen.set()
        if state == "silent":
            answer.silent = True
        elif state == "stalled":
            answer.stall_after = 1000
        elif state == "trickling":
            answer.bytes_per_s = 64 << 10
        else:
            answer.status, answer.body = 503, b""
            answer.headers["Retry-After"] = "100"

    with Server({PATH: CONTENT}, rule=rule) as server:
        began = []

        def interrupt():
            seen.wait(10)
            time.sleep(0.2)
            began.append(time.monotonic())
            os.kill(os.getpid(), 2)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            bench.run(server, options)
        assert time.monotonic() - began[0] < 1.0
        thread.join()
    assert not bench.final.exists()


def test_what_the_caller_raises_ends_everything(bench):
    def refuse(_transfer, _moved):
        raise ZeroDivisionError

    with Server({PATH: CONTENT}) as server, pytest.raises(ZeroDivisionError):
        move_all([bench.transfer(server)], OPTIONS, bench.told, refuse)


# The disk


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (errno.ENOSPC, NoSpaceError, "cli.no_space"),
        (errno.EDQUOT, NoSpaceError, "cli.no_space"),
        (errno.EFBIG, NoSpaceError, "move.too_large"),
        (errno.EIO, IncompleteError, "move.disk"),
    ],
)
def test_a_disk_that_takes_no_more(bench, monkeypatch, number, error, message):
    real = os.pwrite

    def pwrite(descriptor, data, offset):
        if offset >= 2 * MIB:
            raise OSError(number, os.strerror(number))
        return real(descriptor, data, offset)

    with Server({PATH: CONTENT}) as server:
        with monkeypatch.context() as patched:
            patched.setattr(part_module.os, "pwrite", pwrite)
            with pytest.raises(error) as raised:
                bench.run(server, MoveOptions(connections=1, range_bytes=MIB))
        assert raised.value.message.id == message
        bench.told = Told()
        bench.run(server)
    assert bench.told.have == {"weights.safetensors": 2 * MIB}


# The rest


def test_the_bandwidth_is_kept_by_all_threads_together(bench):
    began = time.monotonic()
    with Server({PATH: CONTENT}) as server:
        bench.run(server, MoveOptions(connections=4, range_bytes=MIB, limit_bytes_per_s=6 * MIB))
    # 3 MiB at 6 MiB/s, less the burst of a quarter of a second.
    assert time.monotonic() - began >= 0.25


def test_one_range_is_fetched_for_repair():
    with Server({PATH: CONTENT}, rule=once(set_(cut_after=100_000))) as server:
        address = Address(url=server.url + PATH, headers={})
        got = b"".join(fetch_range(lambda: address, 12345, 2 * MIB, OPTIONS))
        assert got == CONTENT[12345 : 2 * MIB]
        assert list(fetch_range(lambda: address, 5, 5, OPTIONS)) == []


def test_one_range_of_a_server_without_ranges():
    with Server({PATH: CONTENT}, ranges=False) as server, pytest.raises(IncompleteError) as raised:
        list(fetch_range(lambda: Address(url=server.url + PATH, headers={}), 5, 10, OPTIONS))
    assert raised.value.message.id == "move.no_ranges"


def test_a_proxy_of_the_environment_is_used(bench, monkeypatch):
    with Server({PATH: CONTENT}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("http://", "http://user:pass@"))
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://user:pass@"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        bench.run(proxy, address=lambda: Address(url="http://models.invalid" + PATH, headers={}))
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"


@pytest.fixture
def tls(tmp_path_factory, debian_tool):
    """(context of a server, its certificate)."""
    folder = tmp_path_factory.mktemp("tls")
    command = [debian_tool("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, folder / "cert.pem"


def test_a_certificate_nobody_vouches_for(bench, tls, monkeypatch):
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    context, certificate = tls
    with Server({PATH: CONTENT}, tls=context) as server:
        with pytest.raises(MissingError) as raised:
            bench.run(server)
        assert raised.value.message.id == "move.certificate"
        assert "self-signed" in raised.value.message.why
        monkeypatch.setenv("CURL_CA_BUNDLE", str(certificate))
        bench.run(server)


def test_a_place_that_cannot_be_asked_for_a_while(bench):
    left = [1]
    with Server({PATH: CONTENT}) as server:

        def address():
            if left[0]:
                left[0] -= 1
                raise IncompleteError("move.absent", path="x", url="http://api", status=404)
            return Address(url=server.url + PATH, headers={})

        bench.run(server, address=address)
        left[0] = 1000
        with pytest.raises(IncompleteError) as raised:
            bench.run(server, present=lambda: False, address=address)
        assert raised.value.message.id == "move.absent"


def test_a_limit_waits_no_longer_than_needed_to_stop(bench):
    began = []

    def interrupt(n_moved):
        if n_moved > 50_000:
            began.append(time.monotonic())
            raise KeyboardInterrupt

    bench.told.on_moved = interrupt
    with Server({PATH: CONTENT}) as server, pytest.raises(KeyboardInterrupt):
        bench.run(server, MoveOptions(connections=4, limit_bytes_per_s=100_000))
    assert time.monotonic() - began[0] < 1.0
