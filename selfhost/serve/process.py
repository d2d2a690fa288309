"""Processes of an engine: start them, recognise them later, end all of them and make sure.

A vLLM server is a tree: API server, EngineCore, one Worker per device, helpers. When its main process is killed the
others are re-parented and may keep the accelerator (vllm-project/vllm#55510), so parenthood alone does not find them:
every process carries `SELFHOST_SERVER=<name>:<random>` in its environment, which children inherit. vLLM renames its
processes with setproctitle, which overwrites the environment block unless SPT_NOENV is set (its README says so).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from selfhost.files import explain_os_errors
from selfhost.records import dataclass
from selfhost.serve.lifecycle import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MARK = "SELFHOST_SERVER"
GATE = "SELFHOST_GATE"
_PROC = Path("/proc")
_POLL_S = 0.05
FOLLOW_S = 3.0
"""Once the main process is gone, the others get this long to follow by themselves, as vLLM's do."""
_TERM_S = 5.0
"""After TERM to all of them, before KILL."""
_KILL_S = 10.0
"""After KILL: a process in an uninterruptible driver call can need a while."""


class _Stat(NamedTuple):
    parent: int
    state: str
    session: int
    start_ticks: int


def _parse_stat(text: str) -> _Stat:
    """Fields 3, 4, 6 and 22 of /proc/PID/stat; the name in parentheses may hold spaces and parentheses."""
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(parent=int(fields[1]), state=fields[0], session=int(fields[3]), start_ticks=int(fields[19]))


def _any_stat(pid: int) -> _Stat | None:
    try:
        return _parse_stat((_PROC / str(pid) / "stat").read_text(errors="replace"))
    except (OSError, ValueError):
        return None


def _stat(pid: int) -> _Stat | None:
    """None when there is no such process, or only a zombie of it: it holds nothing any more."""
    stat = _any_stat(pid)
    return None if stat is None or stat.state in "ZX" else stat


@cache
def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def identify(pid: int) -> Identity | None:
    """Identity of a living process; None when there is none."""
    stat = _stat(pid)
    return stat and Identity(pid=pid, start_ticks=stat.start_ticks, boot_id=_boot_id())


def age_s(identity: Identity) -> float:
    """Seconds since a process began; no clock that somebody may set takes part."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - identity.start_ticks / os.sysconf("SC_CLK_TCK")


def is_alive(identity: Identity | None) -> bool:
    """Whether this very process still runs; a zombie does not."""
    return identity is not None and identify(identity.pid) == identity


def spawn(argv: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output going to `log` (emptied first) by file descriptor.

    So it outlives the caller, and no signal of the caller's terminal reaches it. Raises MissingError when the log
    cannot be written, OSError when the program cannot be run.
    """
    with explain_os_errors(log), log.open("wb") as output:
        log.chmod(0o600)
    with log.open("ab") as output:
        return subprocess.Popen(
            list(argv),
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def let_go(child: subprocess.Popen[bytes]) -> None:
    """Leave a child to itself: it outlives us, and nobody here will wait for it."""
    child.returncode = 0  # else Popen warns that it still runs when the object goes


def reap_orphans(engine: int) -> list[int]:
    """Take away what ended and became ours because its parent ended first; the process ids.

    The first process of a container inherits every orphan in it, and each stays a zombie until it is waited for. Not
    taken: the engine itself, which its Popen waits for, and children of our own session, which somebody here started.
    """
    me, session = os.getpid(), os.getsid(0)
    found = []
    for pid in (int(path.name) for path in _PROC.iterdir() if path.name.isdigit()):
        stat = _any_stat(pid)
        if stat is None or (stat.parent, stat.state) != (me, "Z") or pid == engine or stat.session == session:
            continue
        with contextlib.suppress(ChildProcessError):
            found += [pid] if os.waitpid(pid, os.WNOHANG)[0] else []
    return found


def _carries(pid: int, entry: bytes) -> bool:
    try:
        return entry in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # gone, or not ours to read
        return False


def marked() -> list[tuple[str, str, Identity]]:
    """Living processes of any server that may be looked at: mark, the front door's settings they were given, which."""
    found = []
    for pid in sorted(int(path.name) for path in _PROC.iterdir() if path.name.isdigit()):
        with contextlib.suppress(OSError):  # gone, or not ours to read
            entries = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
            values = dict(entry.decode(errors="replace").partition("=")[::2] for entry in entries)
            if MARK in values and pid != os.getpid() and (identity := identify(pid)):
                found.append((values[MARK], values.get(GATE, ""), identity))
    return found


def members(mark: str, main: Identity | None = None) -> list[Identity]:
    """Living processes of a server: those that carry its mark, `main`, and every descendant of these."""
    entry = f"{MARK}={mark}".encode()
    stats = {int(p.name): stat for p in _PROC.iterdir() if p.name.isdigit() and (stat := _stat(int(p.name)))}
    found = {pid for pid in stats if _carries(pid, entry)}
    if main and is_alive(main):
        found.add(main.pid)
    grown = True
    while grown:
        children = {pid for pid, stat in stats.items() if stat.parent in found} - found
        found |= children
        grown = bool(children)
    found.discard(os.getpid())
    return [Identity(pid=pid, start_ticks=stats[pid].start_ticks, boot_id=_boot_id()) for pid in sorted(found)]


def send(identity: Identity, number: signal.Signals) -> None:
    """Signal this very process; nothing happens when it is gone or not ours."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(identity.pid)
        try:
            # The descriptor holds on to one process: checked after opening, it cannot be a later one.
            if is_alive(identity):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What came of ending a tree."""

    ended: int
    """Processes that were there and are gone."""
    killed: int
    """Of those, how many had to be killed."""
    survivors: tuple[Identity, ...]
    seconds: float


class _Tree:
    """The processes of one server, watched while they are ended."""

    def __init__(self, mark: str, main: Identity | None, known: Iterable[Identity], hurry: Callable[[], bool]) -> None:
        self._mark, self._main, self._hurry = mark, main, hurry
        self._seen: set[Identity] = {identity for identity in known if is_alive(identity)}
        self._killed: set[Identity] = set()

    def left(self) -> list[Identity]:
        found = set(members(self._mark, self._main))
        # A descendant that dropped the mark is found through its parents only: keep to it when they are gone.
        found.update(identity for identity in self._seen if is_alive(identity))
        self._seen.update(found)
        return sorted(found, key=lambda identity: identity.pid)

    def wait(self, seconds: float, done: Callable[[], bool]) -> None:
        """Until `done`, at most `seconds`; not at all when in a hurry."""
        until = time.monotonic() + seconds
        while not (done() or self._hurry() or time.monotonic() >= until):
            time.sleep(_POLL_S)

    def terminate(self) -> None:
        for identity in self.left():
            send(identity, signal.SIGTERM)

    def killed(self) -> bool:
        """KILL whatever is left, also what was born meanwhile; whether nothing was."""
        left = self.left()
        self._killed.update(left)
        for identity in left:
            send(identity, signal.SIGKILL)
        return not left

    def kill(self) -> None:
        until = time.monotonic() + _KILL_S
        while not self.killed() and time.monotonic() < until:
            time.sleep(_POLL_S)

    def result(self, seconds: float) -> Ended:
        left = self.left()
        gone = self._seen - set(left)
        return Ended(ended=len(gone), killed=len(gone & self._killed), survivors=tuple(left), seconds=seconds)


def end_tree(  # noqa: PLR0913 - three times and what is known of the tree
    mark: str,
    main: Identity | None,
    *,
    grace_s: float,
    follow_s: float = FOLLOW_S,
    known: Iterable[Identity] = (),
    hurry: Callable[[], bool] = lambda: False,
) -> Ended:
    """End every process of a server and report what is left; returns when all are gone or cannot be ended.

    TERM to the main process alone first, because vLLM's API server then takes its children down in order; whoever does
    not follow, or is left of a main process that was gone before, is asked with TERM, and is killed. `hurry` is asked
    all the time: once it is true, KILL comes at once. `known`: processes of the tree that were seen earlier.
    """
    started = time.monotonic()
    tree = _Tree(mark, main, known, hurry)
    if main and tree.left() and is_alive(main):
        send(main, signal.SIGTERM)
        tree.wait(grace_s, lambda: not is_alive(main))
        if not is_alive(main):
            tree.wait(follow_s, lambda: not tree.left())
    if not hurry() and tree.left():
        tree.terminate()
        tree.wait(_TERM_S, lambda: not tree.left())
    tree.kill()
    return tree.result(time.monotonic() - started)


def oom_kills() -> int | None:
    """Processes that the kernel's out-of-memory killer ended since boot; None where the kernel does not tell.

    Compared before and after. Source: `oom_kill` of /proc/vmstat (Linux >= 4.13), which also counts cgroup kills.
    """
    try:
        text = (_PROC / "vmstat").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), None)
