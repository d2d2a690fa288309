"""What is kept about servers: one folder per name under `$SELFHOST_HOME/servers`, mode 0700.

server.json     the record: what was started, by whom, where it is; rewritten at every change of state
launch.json     what a detached supervisor has to do; removed once it has read it
engine.log      the engine's output;  engine.earlier.log: that of the run before
                both go on in engine.log.1, ...: what was written before the file was rolled
access.log      a line for each request, by the front door;  access.log.1, ...: earlier ones
supervisor.log  that of a detached supervisor
gate.json       keys in force, read by the front door inside the engine;  control.key: selfhost's own key (0600)
gate.closed     it was started open, and a key was made since
boot.json       what the last successful start measured

A record says what was; whether it is still so is asked of the processes (`lifecycle.observe`).
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.errors import MissingError
from selfhost.serve.lifecycle import Identity, Phase, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from selfhost.home import Home

SCHEMA_VERSION = 1
PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of one server."""

    path: Path

    @property
    def record(self) -> Path:
        """The record."""
        return self.path / "server.json"

    @property
    def launch(self) -> Path:
        """Orders for a detached supervisor."""
        return self.path / "launch.json"

    @property
    def engine_log(self) -> Path:
        """Everything the engine wrote."""
        return self.path / "engine.log"

    @property
    def earlier_log(self) -> Path:
        """The same of the run before."""
        return self.path / "engine.earlier.log"

    def set_log_aside(self) -> None:
        """Keep the engine's log as that of the run before, whose own goes."""
        log, earlier = self.engine_log, self.earlier_log
        with contextlib.suppress(FileNotFoundError), files.explain_os_errors(log):
            for old in self.path.glob(f"{earlier.name}*"):
                old.unlink()
            # And what was rolled away of it.
            for part in self.path.glob(f"{log.name}*"):
                part.replace(earlier.with_name(part.name.replace(log.name, earlier.name, 1)))

    @property
    def access_log(self) -> Path:
        """Who asked for what when, without a word of it; goes on over restarts."""
        return self.path / "access.log"

    @property
    def supervisor_log(self) -> Path:
        """What a detached supervisor wrote; normally empty."""
        return self.path / "supervisor.log"

    @property
    def gate(self) -> Path:
        """Settings of the front door inside the engine."""
        return self.path / "gate.json"

    @property
    def control_key(self) -> Path:
        """The key selfhost itself uses for this server."""
        return self.path / "control.key"

    @property
    def boot(self) -> Path:
        """What the last successful start measured."""
        return self.path / "boot.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a server failed, to be told again by whoever asks later."""

    message_id: str
    params: Mapping[str, Any]
    code: int
    returncode: int | None = None
    last_lines: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One server. Nothing in it is secret."""

    name: str
    mark: str
    """`name:random`: what its processes carry in their environment; also tells one start from the next."""
    model: str
    target: str
    """The model as the user named it: a recipe or a directory."""
    variant: str
    served_model_name: str
    host: str
    port: int
    url: str
    argv: tuple[str, ...]
    plan: Mapping[str, Any]
    """As `selfhost plan --json` prints it."""
    state: State
    phase: Phase
    started_at: str
    """ISO 8601, UTC."""
    supervisor: Identity | None = None
    engine: Identity | None = None
    detached: bool = False
    forced: bool = False
    """Started with `--force` although the plan says that it does not fit."""
    require_key: bool = False
    ready_at: str | None = None
    ended_at: str | None = None
    chat: bool = True
    """Whether the model has a chat template."""
    failure: Failure | None = None
    certfile: str | None = None
    """Of a server that speaks TLS: the file with its certificate."""
    certificate_sha256: str | None = None
    """What that file had when it was started."""
    boot_record: str | None = None
    """Where the boot record of its start is kept; None while it starts, and when it could not be kept."""
    restart: str = "never"
    """When it is started again; see `serve.restart`."""
    restarts: int = 0
    last_failure: Failure | None = None
    """Why it was started again last."""
    device_memory_before: Mapping[str, int] | None = None
    """Bytes in use on its devices before its engine started, by device; None where there is nothing to ask."""
    device_memory_held: Mapping[str, int] | None = None
    """Bytes beyond these that did not come back after its end; None when all did, or it was not asked."""
    devices: tuple[str, ...] = ()
    """Accelerators it was given, as `--devices` calls them."""
    promised_bytes: int = 0
    """Memory it may take: of each of its devices; on a CPU of the host."""
    before_bytes: tuple[int, ...] = ()
    """What was used of each of its devices when it was planned."""
    cpus: tuple[int, ...] = ()
    """On a CPU: where its threads are bound."""
    request: Mapping[str, Any] | None = None
    """What it was started with, for `replace` (`app.again`); None: an earlier selfhost did not keep it."""
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """For the file."""
        return dataclasses.asdict(self)


def _identity(value: Mapping[str, Any] | None) -> Identity | None:
    return Identity(**value) if value else None


def _failure(value: Mapping[str, Any] | None) -> Failure | None:
    return Failure(**{**value, "last_lines": tuple(value["last_lines"])}) if value else None


def _from_dict(value: Mapping[str, Any]) -> Record:
    known = {field.name for field in dataclasses.fields(Record)}
    given = {key: item for key, item in value.items() if key in known}
    given |= {name: tuple(value.get(name, ())) for name in ("argv", "devices", "before_bytes", "cpus")}
    given |= {
        "state": State(value["state"]),
        "phase": Phase(value["phase"]),
        "supervisor": _identity(value.get("supervisor")),
        "engine": _identity(value.get("engine")),
        "failure": _failure(value.get("failure")),
        "last_failure": _failure(value.get("last_failure")),
    }
    return Record(**given)


def folder(home: Home, name: str) -> Folder:
    """Where a server's files are; nothing is created."""
    return Folder(home.servers / name)


def make_folder(home: Home, name: str) -> Folder:
    """The same, created, for this user only."""
    files.make_directory(home.servers, PRIVATE)
    made = folder(home, name)
    files.make_directory(made.path, PRIVATE)
    return made


def write(home: Home, record: Record) -> None:
    """Put the record under its name; readers see the old one or the new one.

    Not synced, which can take seconds on a busy disk: a loss of power ends the server too.
    """
    files.write_json(folder(home, record.name).record, record.as_dict(), 0o600, sync=False)


def read(home: Home, name: str) -> Record | None:
    """The record of a server; None when there is none or it is not a record.

    Raises MissingError for one that a newer selfhost wrote.
    """
    path = folder(home, name).record
    value = files.read_json(path)
    if value is None:
        return None
    version = value.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise MissingError("serve.newer_record", name=name, path=path, found=version, known=SCHEMA_VERSION)
    try:
        return _from_dict(value)
    except (KeyError, TypeError, ValueError):
        return None


def read_mark(home: Home, name: str) -> str | None:
    """The mark in a record of whatever version; None when there is none."""
    mark = (files.read_json(folder(home, name).record) or {}).get("mark")
    return mark if isinstance(mark, str) else None


def names(home: Home) -> list[str]:
    """Names that have a record, sorted."""
    return sorted(path.parent.name for path in home.servers.glob("*/server.json"))


@contextlib.contextmanager
def exclusive(home: Home) -> Iterator[None]:
    """One `serve` at a time decides about names and ports; held for moments only."""
    files.make_directory(home.servers, PRIVATE)
    with files.hold_lock(home.servers / ".lock"):
        yield


def read_control_key(home: Home, name: str) -> str | None:
    """The key selfhost itself uses for a server; None when there is none."""
    try:
        return folder(home, name).control_key.read_text().strip() or None
    except FileNotFoundError:
        return None


def write_control_key(home: Home, name: str, key: str) -> None:
    """Keep the key for this user only."""
    with files.atomic_write(folder(home, name).control_key, 0o600) as stream:
        stream.write(key.encode() + b"\n")
