"""`replace`: another server takes the place of one that serves, without a moment in which neither does.

    the new one starts on another port -> it answers -> the gateway is pointed at it -> the old one finishes and ends

Up to the switch whatever goes wrong ends the new one and leaves the old one alone; after it, whatever happens ends the
old one. The switch itself is not interrupted by signals. A `kill -9` of this command can leave both running: the next
`replace` of that name finds out which one serves and ends the other.
"""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from selfhost import files
from selfhost.app import again, serve, servers, start
from selfhost.app.gateway_make import check_scheme
from selfhost.app.machine import STOP_SIGNALS
from selfhost.errors import NoError
from selfhost.messages import text
from selfhost.planner.plan import PlanRequest
from selfhost.records import dataclass
from selfhost.serve import generations, health, records
from selfhost.serve.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from selfhost.app.orders import Limits
    from selfhost.app.servers import Server
    from selfhost.app.start import StartReport
    from selfhost.home import Home
    from selfhost.serve.records import Record

DRAIN_S = 600.0
_POLL_S = 0.1


class Switch(Protocol):
    """What stands in front of servers: `app.gateway_switch.Gateway`."""

    @property
    def configuration(self) -> Path:
        """The file that names it to users."""

    def port(self) -> int | None:
        """Of the server it asks."""

    def check(self) -> None:
        """Raises where it could not be pointed at anything."""

    def point(self, host: str, port: int) -> None:
        """Have it ask another one; raises and changes nothing when it cannot."""

    def reload(self) -> None:
        """Have it read its files again."""

    def old_workers(self) -> int:
        """How many of its processes still wait for answers of the server before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What the user asked for; None leaves a thing as it is."""

    name: str
    settings: PlanRequest
    target: str | None = None
    variant: str | None = None
    engine_python: str | None = None
    engine_version: str | None = None
    recipe_paths: tuple[str, ...] | None = None
    force: bool = False
    restart: str | None = None
    stop_first: bool = False
    drain_s: float = DRAIN_S
    gateway: Switch | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What `replace` needs besides the home."""

    tools: Callable[[serve.ServeRequest], serve.Tools]
    """The rest of selfhost, as it is needed for that server."""
    report: StartReport
    tell: Callable[[str], object] = lambda _line: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    limits: Limits | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Replaced:
    """Who took whose place."""

    old: Record
    new: Record


def run(home: Home, wish: Wish, means: Means) -> Replaced:
    """Replace a server. Raises what `serve` raises, and NoError for one that cannot be replaced now."""
    base = generations.base(servers.find_server(home, wish.name).record.name)
    with files.hold_lock(home.servers / f".replace-{base}.lock", blocking=False) as got:
        if not got:
            raise NoError("replace.busy", name=base)
        if wish.gateway is not None:
            wish.gateway.check()  # before minutes of loading
        old = _serving(home, base, wish, means)
        if wish.gateway is not None:
            check_scheme(old.name, old.url)
        request = request_for(old, wish, means)
        if wish.stop_first:
            return _with_a_gap(home, old, request, wish, means)
        return _beside(home, old, request, wish, means)


def request_for(old: Record, wish: Wish, means: Means) -> serve.ServeRequest:
    """What to start: as the old one was started, but for what is asked for."""
    plan = again.changed(again.settings_of(old), wish.settings)
    if plan.served_model_name is None:
        # Clients go on asking for the model by the name they know.
        plan = replace(plan, served_model_name=old.served_model_name)
    if wish.stop_first and wish.settings.port_is_free:
        plan = replace(plan, port=old.port)
    elsewhere = wish.target is not None or wish.variant is not None
    kept = old.request or {}
    engine_kept = wish.engine_python is None and wish.engine_version is None
    return serve.ServeRequest(
        target=wish.target or again.target_of(old),
        plan=plan,
        variant=wish.variant if elsewhere else old.variant,
        force=wish.force or bool(kept.get("force")),
        detached=True,
        restart=wish.restart or old.restart,
        engine_python=kept.get("engine_python") if engine_kept else wish.engine_python,
        engine_version=kept.get("engine_version") if engine_kept else wish.engine_version,
        recipe_paths=tuple(kept.get("recipe_paths", ())) if wish.recipe_paths is None else wish.recipe_paths,
        tls=again.tls_of(old),
        replaces=old.name,
        limits=means.limits,
    )


def _serving(home: Home, base: str, wish: Wish, means: Means) -> Record:
    """The one that serves; what else runs under its name was left by a replacement that was killed, and is ended."""
    running = servers.running_generations(home, base)
    old = _behind(home, running, wish) or (running[0] if running else servers.find_server(home, base))
    if len(running) > 1:
        _settle(home, old, running, wish, means)
        old = servers.look(old.record)
    record = old.record
    if old.state not in (State.READY, State.ORPHANED) or record.ready_at is None:
        raise NoError("replace.not_serving", name=record.name, state=old.state.value)
    if not record.detached and old.state is State.READY:
        pid = record.supervisor.pid if record.supervisor else 0
        raise NoError("replace.foreground", name=record.name, pid=pid)
    return record


def _behind(home: Home, running: list[Server], wish: Wish) -> Server | None:
    """Of those that run the one that the gateway asks. Raises NoError when that is another server."""
    if wish.gateway is None or (port := wish.gateway.port()) is None:
        return None
    for server in running:
        if server.record.port == port:
            return server
    for server in servers.list_servers(home)[0]:
        if running and server.state.running and server.record.port == port:
            mine, other = running[0].record, generations.base(server.record.name)
            path = wish.gateway.configuration
            raise NoError("replace.other_engine", path=path, name=mine.name, port=mine.port, found=port, other=other)
    return None


def _settle(home: Home, old: Server, running: list[Server], wish: Wish, means: Means) -> None:
    if wish.gateway is not None:
        # Its file may have been written and not read yet.
        wish.gateway.reload()
        _drain(old.record, wish, means)
    for server in running:
        if server.record.name != old.record.name:
            means.tell(text("replace.leftover", name=server.record.name))
            _end(home, server.record)


# Beside the old one


def _beside(home: Home, old: Record, request: serve.ServeRequest, wish: Wish, means: Means) -> Replaced:
    prepared = _prepare(home, old, request, means)
    _check_doors(prepared.name, prepared, wish)
    means.tell(text("replace.begin", old=old.name, url=old.url, new=prepared.name))
    new = _start(home, request, prepared, means)
    try:
        _switch(old, new, wish, means)
        _drain(old, wish, means)
    except BaseException:
        # Whoever is asked now goes on.
        _end(home, old if _is_asked(new, wish) else new)
        raise
    _end(home, old)
    means.tell(text("replace.done", new=new.name, old=old.name))
    return Replaced(old=old, new=new)


def _prepare(home: Home, old: Record, request: serve.ServeRequest, means: Means) -> serve.Prepared:
    try:
        return serve.prepare(home, request, means.tools(request))
    except NoError as error:
        if not _only_in_its_way(error, old):
            raise
        reasons = error.message.params["reasons"]
        raise NoError("replace.no_room", name=generations.base(old.name), reasons=reasons) from error


def _only_in_its_way(error: NoError, old: Record) -> bool:
    """Whether it would fit without the old one."""
    return error.message.id == "serve.blocked" and str(error.message.params["servers"]).split() == [old.name]


def _check_doors(name: str, prepared: serve.Prepared, wish: Wish) -> None:
    if wish.gateway is not None and prepared.require_key:
        raise NoError("gateway.two_doors", name=name, keys="KEYS")


def _start(
    home: Home, request: serve.ServeRequest, prepared: serve.Prepared, means: Means, keep: Collection[str] = ()
) -> Record:
    record, orders = serve.claim(home, request, prepared, keep)
    return start.run_detached(home, record, orders, means.report)


def _switch(old: Record, new: Record, wish: Wish, means: Means) -> None:
    """Point the gateway at the new one; signals that ask for an end arrive after that."""
    if wish.gateway is None:
        if new.port != old.port:
            means.tell(text("replace.moved", url=new.url))
        return
    with _undisturbed():
        wish.gateway.point(health.reachable_host(new.host), new.port)
    means.tell(text("replace.switched", new=new.name, url=new.url))


def _is_asked(new: Record, wish: Wish) -> bool:
    return wish.gateway is None or wish.gateway.port() == new.port


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """For seconds at most."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _drain(old: Record, wish: Wish, means: Means) -> None:
    """Wait until nothing that came in before the switch still runs, but not for ever."""
    if wish.gateway is None:
        return
    until, told = means.clock() + wish.drain_s, False
    while workers := wish.gateway.old_workers():
        if means.clock() >= until:
            means.tell(text("replace.cut", old=old.name, seconds=f"{wish.drain_s:.0f}"))
            return
        if not told:
            told = True
            means.tell(text("replace.draining", old=old.name, workers=workers))
        means.sleep(_POLL_S)


def _end(home: Home, record: Record) -> None:
    with contextlib.suppress(NoError):  # it had ended by itself
        servers.stop(home, record.name)


# In the place of the old one


def _with_a_gap(home: Home, old: Record, request: serve.ServeRequest, wish: Wish, means: Means) -> Replaced:
    """End the old one, then start the new one; the old one again when that fails."""
    name = _try(home, old, request, wish, means)
    means.tell(text("replace.gap", old=old.name, new=name))
    try:
        _end(home, old)
        new = _start(home, request, serve.prepare(home, request, means.tools(request)), means)
    except BaseException:
        means.tell(text("replace.back", old=old.name, new=name))
        _again(home, old, name, wish, means)
        raise
    if not _is_asked(new, wish):
        _switch(old, new, wish, means)
    means.tell(text("replace.done", new=new.name, old=old.name))
    return Replaced(old=old, new=new)


def _try(home: Home, old: Record, request: serve.ServeRequest, wish: Wish, means: Means) -> str:
    """The name of the new one. Raises what forbids it, before anything was ended."""
    quiet = means.tools(request)._replace(tell=lambda _line: None, show_plan=lambda _plan: None)
    try:
        prepared = serve.prepare(home, request, quiet)
    except NoError as error:
        if not _only_in_its_way(error, old):
            raise
        return generations.following(records.names(home), old.name)
    _check_doors(prepared.name, prepared, wish)
    return prepared.name


def _again(home: Home, old: Record, failed: str, wish: Wish, means: Means) -> None:
    """Start the old one as it was, where it was; the log of the one that failed is named in what is told of it."""
    as_it_was = Wish(name=old.name, settings=PlanRequest(host_is_free=True, port_is_free=True), stop_first=True)
    request = request_for(old, as_it_was, means)
    new = _start(home, request, serve.prepare(home, request, means.tools(request)), means, keep=[failed])
    if not _is_asked(new, wish):
        _switch(old, new, wish, means)
