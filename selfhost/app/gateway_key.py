"""`selfhost key --gateway`: make, list and end keys of a gateway, in the file that it reads."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import MissingError, UsageError
from selfhost.messages import word
from selfhost.render import gateway_keys
from selfhost.serve import keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.render.gateway_keys import GatewayKey

_ENCODING = ("utf-8", "surrogateescape")
"""Whatever else people have written stays as it is, byte for byte."""


def new(name: str, path: Path) -> str:
    """Make a key of a gateway, add its line to the file, and return it.

    Raises UsageError for a bad or a taken name, where the file cannot lie, and for one that nginx does not take;
    MissingError when it cannot be written.
    """
    keys.check_name(name)
    with _locked(path) as real:
        text = _read(real)
        if any(known.name == name for known in _keys(text, path)):
            raise UsageError("key.gateway_taken", name=name, path=path, quoted=shlex.quote(str(path)))
        key = keys.make()
        _write(real, gateway_keys.added(text, name, key))
    return key


def rotate(name: str, path: Path, key: str) -> None:
    """Add another key of a name; the one before holds until it is revoked, as nginx knows no times.

    One that was replaced earlier ends. Raises UsageError for an unknown name, and as `ls` does.
    """
    _known(name, path)
    with _locked(path) as real:
        text = gateway_keys.without(_read(real), name, but_last=True)
        _write(real, gateway_keys.added(text, name, key))


def ls(path: Path) -> list[GatewayKey]:
    """The keys in a gateway's file. Raises UsageError for one that is not there, or that nginx does not take."""
    real = _place(path)
    if not real.exists():
        raise UsageError("key.gateway_no_file", path=path, quoted=shlex.quote(str(path)))
    return _keys(_read(real), path)


def revoke(name: str, path: Path, *, old_only: bool = False) -> None:
    """Take the keys of a name out of a gateway's file; `old_only`: all but the last of them.

    Raises UsageError for an unknown name, and as `ls` does.
    """
    _known(name, path)
    with _locked(path) as real:
        text = _read(real)
        _keys(text, path)
        _write(real, gateway_keys.without(text, name, but_last=old_only))


def _known(name: str, path: Path) -> None:
    names = list(dict.fromkeys(known.name for known in ls(path)))
    if name not in names:
        near = ", ".join(f"`{each}`" for each in get_close_matches(name, names) or names) or word("none")
        raise UsageError("key.gateway_unknown", name=name, path=path, nearest=near, quoted=shlex.quote(str(path)))


def _keys(text: str, path: Path) -> list[GatewayKey]:
    try:
        return gateway_keys.read(text)
    except ValueError as error:
        raise UsageError("key.gateway_damaged", path=path, line=error) from error


def _place(path: Path) -> Path:
    """The file itself, all links followed. Raises UsageError where no file can be: a pipe would wait for ever."""
    real = Path(os.path.realpath(path))
    try:
        possible = real.is_file() if real.exists() else real.parent.parent.is_dir()
    except OSError as error:
        raise MissingError("key.gateway_unreadable", path=path, detail=error.strerror) from error
    if not possible:
        raise UsageError("key.gateway_place", path=path)
    return real


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """The file itself, held against others; its folder is made, but not those above."""
    real = _place(path)
    files.make_directory(real.parent)
    with files.hold_lock(real.parent / f".{real.name}.lock"):
        yield real


def _read(path: Path) -> str:
    """Text of the file; empty for one that is not there yet. Raises MissingError when it may not be read."""
    try:
        return path.read_bytes().decode(*_ENCODING)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise MissingError("key.gateway_unreadable", path=path, detail=error.strerror) from error


def _write(path: Path, text: str) -> None:
    """The owner's alone when it is made; after that owner, group and mode stay, so that the gateway can read it."""
    before = path.stat() if path.exists() else None
    with files.atomic_write(path, stat.S_IMODE(before.st_mode) if before else 0o600) as stream:
        stream.write(text.encode(*_ENCODING))
        if before:
            os.fchown(stream.fileno(), before.st_uid, before.st_gid)
