"""`logs`: what a server's engine printed, and what its front door was asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from selfhost.app import servers
from selfhost.serve import logs, records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.home import Home

_FOLLOW_POLL_S = 0.3


def log_lines(home: Home, name: str, count: int | None, *, follow: bool, access: bool = False) -> Iterator[str]:
    """Pieces of a server's log, ends of lines included; with `follow` until the server ends. Raises NoError.

    access: of the front door's, in place of the engine's.
    """
    server = servers.find_server(home, name)
    name = server.record.name  # of this generation to its end
    folder = records.folder(home, name)
    tail = logs.Tail(folder.access_log if access else folder.engine_log)
    if count is None:
        yield from tail.earlier()
    else:
        yield "".join(f"{line}\n" for line in tail.last_lines(count))
    while True:
        running = follow and server.state.running
        yield tail.read(final=not running)
        if not running:
            return
        time.sleep(_FOLLOW_POLL_S)
        server = servers.exact_server(home, name)
