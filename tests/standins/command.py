"""A stand-in as a process: its address is the first line it prints; SIGTERM and SIGINT end it."""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from tests.standins.faults import Fault

if TYPE_CHECKING:
    from tests.standins.serving import Server


def main(kind: type[Server]) -> None:
    parser = argparse.ArgumentParser(description=kind.__doc__)
    parser.add_argument("--root", type=Path, required=True, help="directory of <org>/<name>/...")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--limit-mb-s", type=float, help="10^6 bytes a second, all connections together")
    parser.add_argument("--token")
    parser.add_argument("--signed", action="store_true", help="large files are behind signed URLs on another port")
    parser.add_argument("--fault", action="append", default=[], help='JSON, for example {"kind": "cut", "times": 2}')
    parser.add_argument(
        "--set", action="append", default=[], help="JSON of one more keyword: digests, gated, sums, ..."
    )
    parser.add_argument("--log", type=Path, help="file that gets all requests at the end, one JSON object a line")
    given = parser.parse_args()
    more = {name: value for item in given.set for name, value in json.loads(item).items()}
    limit = None if given.limit_mb_s is None else given.limit_mb_s * 1e6
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    faults = [Fault(**json.loads(item)) for item in given.fault]
    options = {"limit_bytes_per_s": limit, "port": given.port, "signed": given.signed, **more}
    with kind(given.root, given.token, faults=faults, **options) as server:
        server.prepare()
        print(server.url, flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
    if given.log:
        given.log.write_text(server.to_json())
