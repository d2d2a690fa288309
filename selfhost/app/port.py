"""Ports of servers: the one that was asked for, or the next that neither somebody nor a server of ours has."""

from __future__ import annotations

import errno
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from selfhost.app import servers
from selfhost.errors import MissingError
from selfhost.messages import text
from selfhost.serve import ports

if TYPE_CHECKING:
    from selfhost.home import Home
    from selfhost.planner.plan import PlanRequest


class Settled(NamedTuple):
    """A request whose port can be listened on."""

    request: PlanRequest
    said: str | None
    """Why it is another than the usual one."""


def settle(home: Home, target: str, request: PlanRequest) -> Settled:
    """The request with a port: any free one for 0, and the next free one when none was asked for.

    Raises MissingError as `check_port`.
    """
    if request.port == 0:
        return Settled(replace(request, port=_any_port(request.host), port_is_free=True), None)
    if not request.port_is_free:
        check_port(home, target, request.host, request.port)
        return Settled(request, None)
    try:
        check_port(home, target, request.host, request.port)
    except MissingError as error:
        free = next_free(home, request.host, request.port)
        if error.message.id != "serve.port_taken" or free is None:
            raise
        holder = error.message.params["holder"]
        said = text("serve.port_moved", port=request.port, holder=holder, free=free)
        return Settled(replace(request, port=free), said)
    return Settled(request, None)


def next_free(home: Home, host: str, port: int) -> int | None:
    """The next port above one that nobody has, servers that do not listen yet included; None when there is none."""
    ours = {server.record.port for server in servers.list_servers(home)[0] if server.state.running}
    free = ports.next_free_port(host, port)
    while free in ours:
        free = ports.next_free_port(host, free)
    return free


def _any_port(host: str) -> int:
    try:
        return ports.free_port(host)
    except OSError as error:
        raise MissingError("serve.bad_host", host=host, detail=error.strerror or error) from error


def check_port(home: Home, target: str, host: str, port: int) -> None:
    """Raises MissingError when the port cannot be listened on, or another server of ours is about to."""
    error = ports.bind_error(host, port)
    # An engine binds at once and listens only when it is loaded: until then the port looks free.
    ours = next((server for server in servers.list_servers(home)[0] if _uses(server, port)), None)
    if error is None and ours is None:
        return
    if error is not None and error.errno == errno.EACCES:
        raise MissingError("serve.port_forbidden", port=port, model=shlex.quote(target)) from error
    if error is not None and error.errno != errno.EADDRINUSE:
        raise MissingError("serve.bad_host", host=host, detail=error.strerror or error) from error
    holder = None if ours else ports.port_holder(port)
    raise MissingError(
        "serve.port_taken",
        port=port,
        host=host,
        holder=_holder_text(ours, holder),
        model=shlex.quote(target),
        free=next_free(home, host, port) or 0,
    )


def _uses(server: servers.Server, port: int) -> bool:
    return server.state.running and server.record.port == port


def _holder_text(ours: servers.Server | None, holder: ports.PortHolder | None) -> str:
    if ours:
        return text("serve.holder_server", name=ours.record.name)
    if holder and holder.pid:
        return text("serve.holder_process", name=holder.name or "?", pid=holder.pid)
    return text("serve.holder_unknown")
