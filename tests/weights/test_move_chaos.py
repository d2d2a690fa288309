"""Many files, many connections, and a server that fails at random: everything arrives, byte for byte."""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter

import pytest

from selfhost.weights.move.pool import move_all
from selfhost.weights.move.types import MoveOptions, Transfer
from selfhost.weights.remote import Address
from tests.weights.move_bench import CONTENT, Told
from tests.weights.move_server import Server

SEEDS = int(os.environ.get("SELFHOST_TEST_CHAOS", "3"))
KIB = 1 << 10
OPTIONS = MoveOptions(
    connections=8, stall_s=0.2, attempts=40, range_bytes=128 * KIB, backoff_s=0.002, backoff_max_s=0.004
)


def cut(chance, _request, answer):
    answer.cut_after = chance.randrange(1, max(2, len(answer.body or b"")))


def gone(_chance, _request, answer):
    answer.body = None


def busy(chance, _request, answer):
    answer.status, answer.body = chance.choice([500, 502, 429, 503, 408]), b"busy"


def tagged(chance, _request, answer):
    answer.headers["ETag"] = f'"{chance.random()}"'


def whole(_chance, request, answer):
    answer.status, answer.body = 200, CONTENT[: sizes[request.path.partition("?")[0]]]
    answer.headers.pop("Content-Range", None)


def moved(chance, request, answer):
    answer.status, answer.body = 302, b"moved"
    answer.headers["Location"] = f"{request.path.partition('?')[0]}?{chance.random()}"


def expired(_chance, request, answer):
    if "?" in request.path:
        answer.status, answer.body = 403, b"expired"


def wrong(_chance, _request, answer):
    answer.headers["Content-Range"] = "bytes 5-9/10"


def chunked(_chance, _request, answer):
    answer.chunked = True


FAULTS = [cut, cut, gone, busy, tagged, whole, moved, expired, wrong, chunked]
DOUBTFUL = (tagged, whole, wrong)
"""Three such answers in a row for one range mean that the file is another one: a path gets two of them in all."""
sizes = {f"/f{n}": size for n, size in enumerate([0, 1, 128 * KIB, 300_001, 1_000_000, 2_500_000, len(CONTENT)])}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_everything_arrives(tmp_path, seed):
    chance, told, found, doubts = random.Random(seed), Told(), {}, Counter()

    def take(transfer, moved):
        found[transfer.path] = (transfer.part.read_bytes(), moved.sha256)
        transfer.part.unlink()

    with Server({name: CONTENT[:size] for name, size in sizes.items()}) as server:

        def rule(request, answer):
            if chance.random() >= 0.25:
                return
            fault = chance.choice(FAULTS)
            if fault in DOUBTFUL:
                path = request.path.partition("?")[0]
                doubts[path] += 1
                if doubts[path] > 2:
                    return
            fault(chance, request, answer)

        server.rule = rule
        transfers = [
            Transfer(
                path=name,
                part=tmp_path / f"{name[1:]}.part",
                size=chance.choice([size, None]),
                sha256=hashlib.sha256(CONTENT[:size]).hexdigest(),
                git_sha1=None,
                address=lambda name=name: Address(url=server.url + name, headers={"Authorization": "Bearer t"}),
                present=lambda: False,
            )
            for name, size in sizes.items()
        ]
        move_all(transfers, OPTIONS, told, take)
    for name, size in sizes.items():
        assert found[name] == (CONTENT[:size], hashlib.sha256(CONTENT[:size]).hexdigest())
    assert told.n_moved - told.n_lost == sum(sizes.values())
    assert [path.name for path in tmp_path.iterdir() if path.name != "selfhost-home"] == []
