"""Many bad lines: a blob arrives as it was, or an error of the contract says why not; never something else."""

from __future__ import annotations

import random
from collections import Counter

from selfhost.errors import ExitCode, SelfhostError
from selfhost.weights.move.types import MoveOptions
from tests.registry.registry_support import REPOSITORY, Told, blob_of, bytes_of, client
from tests.standins.registry import Registry
from tests.standins.registry_proxy import Fault, Proxy

LINES = 80
FAULTS = 5
STATUSES = (408, 429, 500, 502, 503, 504)
ALLOWED = {ExitCode.INTEGRITY, ExitCode.INCOMPLETE}


def fault(chance: random.Random) -> Fault:
    method = chance.choice(["PATCH", "PATCH", "PATCH", "PUT", "POST", "GET", "HEAD", "*"])
    kind = chance.choice(["drop", "drop_answer", "status", "drop_body", "range", "flip", "cut_answer", "flip_answer"])
    return Fault(
        kind,
        method,
        times=chance.randint(1, 3),
        skip=chance.randint(0, 4),
        status=chance.choice(STATUSES),
        after_bytes=chance.randint(0, 60_000),
        value=chance.choice(["0-0", "0-1", "0-39999", "0-99999999", "", "x"]),
    )


def test_whatever_a_line_does_what_is_there_is_right():
    met, outcomes, codes = Counter(), Counter(), set()
    for seed in range(LINES):
        chance = random.Random(seed)
        data = bytes_of(chance.randint(0, 200_000), seed)
        blob, faults = blob_of(data), [fault(chance) for _ in range(FAULTS)]
        moving = MoveOptions(backoff_s=0.0, backoff_max_s=0.0, attempts=6, stall_s=5.0)
        with (
            Registry() as upstream,
            Proxy(upstream.port, faults) as proxy,
            client(proxy.host, chunk_bytes=40_000, moving=moving) as registry,
        ):
            told = Told()
            try:
                registry.push_blob(REPOSITORY, blob, told)
                back = b"".join(bytes(view) for view in registry.read_blob(REPOSITORY, blob.sha256, blob.size, Told()))
                assert back == data, seed
                assert told.done == blob.size, seed
                outcomes["whole"] += 1
            except SelfhostError as error:
                outcomes[error.message.id] += 1
                codes.add(error.code)
            assert all(digest == f"sha256:{blob.sha256}" for digest in upstream.blobs), seed
            met.update(proxy.happened)
    print(f"{met.total()} faults on {LINES} lines: {dict(met)}; outcomes: {dict(outcomes)}")
    assert codes <= ALLOWED
    assert met.total() >= 300
    assert outcomes["whole"] >= LINES * 3 // 4
