"""`selfhost doctor --report`: one file that others can be asked with, and nothing in it that they should not see."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import socket
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from selfhost import __version__, files
from selfhost.app import detect
from selfhost.app.doctor.log import LAST_LINES
from selfhost.doctor import log
from selfhost.doctor.excerpt import excerpt
from selfhost.doctor.redact import SECRET_NAME, Redactor
from selfhost.doctor.wrapped import unwrap
from selfhost.errors import SelfhostError, UsageError
from selfhost.messages import Message
from selfhost.serve import logs, records
from selfhost.serve.phases import split_lines
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.app.doctor import Examined
    from selfhost.app.doctor.log import ReadLog
    from selfhost.app.servers import Server
    from selfhost.home import Home

SCHEMA_VERSION = 1
_PRIVATE = 0o600
_TOKEN_FILES = ("~/.cache/huggingface/token", "~/.huggingface/token", "~/.modelscope/credentials/git_token")
_FLAG = re.compile(r"--(?:[\w-]*(?:key|token|secret|password))(?:=(.+))?$")


def check_target(path: Path) -> None:
    """Raises UsageError when there is something of that name already, or no folder for it."""
    if os.path.lexists(path):
        raise UsageError("doctor.report_exists", path=path)
    if not path.absolute().parent.is_dir():
        raise UsageError("doctor.report_nowhere", folder=path.absolute().parent)


def write_report(
    path: Path, examined: Examined, home: Home, *, read: ReadLog | None = None, keep_addresses: bool = False
) -> Message:
    """Write the report for this user only; what was written. Raises MissingError, NoSpaceError.

    read: a log that belongs to it, of an engine that selfhost did not start.
    """
    redactor = _redactor(examined, home, keep_addresses=keep_addresses)
    value = redactor.value({**_content(examined, home), "log": _read_log(read)})
    with files.explain_os_errors(path), files.atomic_write(path, _PRIVATE) as stream:
        stream.write(json.dumps(value, indent=2, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")
    size = format_bytes(path.stat().st_size)
    return Message("doctor.report_written", {"path": path, "size": size, "count": redactor.count})


def _content(examined: Examined, home: Home) -> dict[str, Any]:
    facts = examined.facts
    return {
        "schema_version": SCHEMA_VERSION,
        "selfhost": {"version": __version__, "python": platform.python_version()},
        "doctor": examined.as_dict(),
        "detect": detect.as_dict(facts.snapshot, detect.engines_here(home)),
        "facts": {
            "host": asdict(facts.host),
            "cuda": asdict(facts.cuda) if facts.cuda else None,
            "ascend": asdict(facts.ascend) if facts.ascend else None,
        },
        "servers": [_server(server, home) for server in examined.servers],
    }


def _read_log(read: ReadLog | None) -> dict[str, Any] | None:
    if read is None:
        return None
    return {**read.as_dict(), "last_lines": excerpt("\n".join(map(unwrap, read.last_lines)), LAST_LINES)}


def _server(server: Server, home: Home) -> dict[str, Any]:
    """A server's state, and what its log says at the end."""
    record = server.record
    said = logs.read_ends(records.folder(home, record.name).engine_log)
    reading = log.read([split_lines(said)])
    return {
        **server.as_dict(),
        "argv": list(record.argv),
        "log": {
            "cause": reading.cause.as_dict() if reading.cause else None,
            "others": [seen.as_dict() for seen in reading.others],
            "last_lines": excerpt(said, LAST_LINES),
        },
    }


def _redactor(examined: Examined, home: Home, *, keep_addresses: bool) -> Redactor:
    secrets = set(_secrets(examined, home))
    names = {socket.gethostname(), examined.facts.snapshot.host.hostname}
    return Redactor(
        secrets=secrets | {quote(secret, safe="") for secret in secrets},
        users=_users(),
        homes=(os.environ.get("HOME", ""), str(Path("~").expanduser())),
        hosts=names | {name.partition(".")[0] for name in names},
        keep_addresses=keep_addresses,
    )


def _users() -> list[str]:
    try:
        return [getpass.getuser()]
    except (KeyError, OSError):
        return []


def _secrets(examined: Examined, home: Home) -> Iterator[str]:
    """Values that are known to be secret, wherever they turn up."""
    yield from (value for name, value in os.environ.items() if SECRET_NAME.search(name))
    for server in examined.servers:
        try:
            yield records.read_control_key(home, server.record.name) or ""
        except (OSError, ValueError, SelfhostError):
            continue
        yield from _of_command(list(server.record.argv))
    for place in (os.environ.get("HF_TOKEN_PATH"), *_TOKEN_FILES):
        if place:
            yield _first_line(Path(os.path.expanduser(place)))  # noqa: PTH111 - no error without a home


def _of_command(argv: list[str]) -> Iterator[str]:
    for number, word in enumerate(argv):
        if found := _FLAG.match(word):
            yield found[1] or (argv[number + 1] if number + 1 < len(argv) else "")


def _first_line(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:4096].partition("\n")[0].strip()
    except OSError:
        return ""
