"""Processes of servers whose record is gone: a folder that was deleted under them, a home that was restored."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost.errors import SelfhostError
from selfhost.messages import Message
from selfhost.records import dataclass
from selfhost.serve import process, records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.home import Home
    from selfhost.serve.lifecycle import Identity

_GRACE_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stray:
    """The processes of one start that no record tells of."""

    mark: str
    members: tuple[Identity, ...]

    @property
    def name(self) -> str:
        """The server's."""
        return self.mark.partition(":")[0]

    def as_dict(self) -> dict[str, Any]:
        """For `ps --json`."""
        return {"name": self.name, "pids": [identity.pid for identity in self.members]}


def find(home: Home) -> list[Stray]:
    """Processes of this home's servers without a record, by their start; those of other homes are not ours."""
    servers = home.servers.resolve()
    found: dict[str, list[Identity]] = {}
    for mark, gate, identity in process.marked():
        folder = Path(gate).parent
        if gate and folder.parent.resolve() == servers:
            found.setdefault(mark, []).append(identity)
    strays = []
    for mark, members in sorted(found.items()):
        stray = Stray(mark=mark, members=tuple(members))
        # By the mark alone: a record of a newer selfhost is one, too.
        if records.read_mark(home, stray.name) != mark:
            strays.append(stray)
    return strays


def end(stray: Stray, timeout_s: float | None) -> Message:
    """End them all, with that much time for an orderly end. Raises SelfhostError when something survives."""
    began = time.monotonic()
    # The main process was the first of them.
    main = min(stray.members, key=lambda identity: identity.start_ticks)
    grace_s = _GRACE_S if timeout_s is None else timeout_s
    ended = process.end_tree(
        stray.mark, main, grace_s=grace_s, follow_s=min(process.FOLLOW_S, grace_s), known=stray.members
    )
    if ended.survivors:
        pids = " ".join(str(identity.pid) for identity in ended.survivors)
        raise SelfhostError("supervise.stray_survivors", name=stray.name, pids=pids)
    seconds = f"{time.monotonic() - began:.1f}"
    return Message("supervise.stray_stopped", {"name": stray.name, "count": ended.ended, "seconds": seconds})


def end_all(home: Home, timeout_s: float | None) -> Iterator[Message | SelfhostError]:
    """End every one; a failure does not keep the rest from being ended."""
    for stray in find(home):
        try:
            yield end(stray, timeout_s)
        except SelfhostError as error:
            yield error
