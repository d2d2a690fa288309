"""`selfhost gateway`: the configuration of an nginx in front of a server that can be replaced."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.app import servers
from selfhost.errors import NoError, UsageError
from selfhost.home import user_path
from selfhost.records import dataclass
from selfhost.render.gateway import GatewayOptions, engine_line, key_example, nginx_text
from selfhost.serve import generations, health, ports

if TYPE_CHECKING:
    from selfhost.home import Home

_HEADER = (
    "# Made by `selfhost gateway`: the engine's address stands in engine.conf, where `selfhost replace` changes it.\n"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A gateway that can be started."""

    name: str
    url: str
    """Of the server behind it."""
    listen: str
    folder: Path
    configuration: Path
    keys: Path
    command: str
    """Starts it in the foreground."""

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        paths = {"folder": self.folder, "configuration": self.configuration, "keys": self.keys}
        told = {"schema_version": 1, "name": self.name, "url": self.url, "listen": self.listen, "command": self.command}
        return told | {key: str(path) for key, path in paths.items()}


def make(home: Home, name: str, folder: Path, listen: str, certificate: str = "") -> Made:
    """Write the files. Raises NoError for a server that asks for keys itself, UsageError for a folder that has one.

    Nothing is let through before there is a key in its file of keys.
    """
    record = servers.find_server(home, name).record
    folder = Path(os.path.abspath(user_path(str(folder))))  # noqa: PTH100 - links stay what they are called
    keys = folder / "keys" / "keys.conf"
    if record.require_key:
        raise NoError("gateway.two_doors", name=record.name, keys=keys)
    check_scheme(record.name, record.url)
    configuration = folder / "nginx.conf"
    if configuration.exists():
        raise UsageError("gateway.exists", folder=folder)
    options = GatewayOptions(
        listen=listen,
        engine_file=str(folder / "engine.conf"),
        metrics=f"127.0.0.1:{_metrics_port(listen)}",
        keys=str(keys),
        certificate=certificate,
        temporary=str(folder),
        access_log=str(folder / "access.log"),
    )
    files.make_directory(keys.parent)
    if not keys.exists():
        with files.atomic_write(keys, 0o600):
            pass  # without a key it lets nobody in
    for path, text in (
        (folder / "engine.conf", engine_line(health.reachable_host(record.host), record.port)),
        (folder / "keys.conf.example", key_example(options)),
        (configuration, _HEADER + nginx_text(options)),
    ):
        with files.atomic_write(path) as stream:
            stream.write(text.encode())
    return Made(
        name=generations.base(record.name),
        url=record.url,
        listen=listen,
        folder=folder,
        configuration=configuration,
        keys=keys,
        command=f"nginx -e stderr -c {shlex.quote(str(configuration))} -g 'daemon off;'",
    )


def check_scheme(name: str, url: str) -> None:
    """Raises NoError for a server with TLS of its own: the gateway speaks plain HTTP to its engine, on this machine."""
    if url.startswith("https:"):
        raise NoError("gateway.tls", name=name, url=url)


def _metrics_port(listen: str) -> int:
    """The next free one after the gateway's own."""
    port = listen.rpartition(":")[2]
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65535:  # noqa: PLR2004 - the last port
        raise UsageError("gateway.bad_listen", listen=listen)
    return ports.next_free_port("127.0.0.1", int(port)) or int(port) + 1
