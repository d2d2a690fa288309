"""TCP ports of this machine: who listens, what is free, is anybody there."""

from __future__ import annotations

import contextlib
import socket
from typing import NamedTuple

_PORTS = 65536


class PortHolder(NamedTuple):
    """Who listens on a port; the name is empty when it is another user's process."""

    pid: int | None
    name: str


def port_holder(port: int) -> PortHolder | None:
    """The process that listens on a TCP port of this machine; None when nobody does."""
    import psutil

    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            with contextlib.suppress(psutil.Error, TypeError):
                return PortHolder(connection.pid, psutil.Process(connection.pid).name())
            return PortHolder(connection.pid, "")
    return None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def bind_error(host: str, port: int) -> OSError | None:
    """Why a server could not listen on `host:port`; None when it can."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        # As the engine does (vllm/entrypoints/launchers/launcher.py @ 0.32.0): connections of a server that was just
        # stopped, still in TIME_WAIT, do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            return error
    return None


def free_port(host: str) -> int:
    """Any free port. Raises OSError when `host` is not an address of this machine."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def next_free_port(host: str, port: int) -> int | None:
    """The next free port above one; None when there is none."""
    return next((above for above in range(port + 1, _PORTS) if bind_error(host, above) is None), None)


def is_open(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=2):
        return True
    return False
