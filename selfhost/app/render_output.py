"""Rendered files and those on disk: written, compared, and what earlier renders have left there.

What was written is listed beside it, in `LIST`: files of the user's (`.env`, keys) lie among ours, and a file that a
later render has no more would go on being started, by quadlet for one.
"""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import MissingError, UsageError
from selfhost.render.rendered import RenderedFile, differences, removals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIST = ".selfhost-rendered"
_ABOUT = "# Written by `selfhost render`: it says when a later one does not write them any more.\n"
_BESIDE = "images.txt"
"""Of a target that stands beside any other: neither has left the other's files."""


def write(rendered: list[RenderedFile], output: Path) -> list[str]:
    """Write files below a directory, where others stay; those that were there and different.

    Raises UsageError for a file in the place of the directory, MissingError when it cannot be written.
    """
    there = _on_disk(rendered, output)
    try:
        # The list first: what is written before an error is in it.
        for file in (_list_of(rendered, output), *rendered):
            path = output / file.path
            files.make_directory(path.parent)
            with files.atomic_write(path, file.mode) as stream:
                stream.write(file.text.encode())
    except MissingError as error:
        if error.message.id != "cli.not_writable":
            raise
        raise MissingError("render.not_writable", **error.message.params) from error
    return [file.path for file in rendered if there[file.path] not in (None, file.text)]


def _list_of(rendered: list[RenderedFile], output: Path) -> RenderedFile:
    """With what is left over, so that it is said until somebody has removed it."""
    paths = {file.path for file in rendered} | {*_still_there(output)}
    return RenderedFile(path=LIST, text=_ABOUT + "".join(f"{path}\n" for path in sorted(paths)))


def left_over(rendered: list[RenderedFile], output: Path) -> list[str]:
    """Files below a directory that an earlier render wrote and this one does not, sorted."""
    now = {file.path for file in rendered}
    if now == {_BESIDE}:
        return []
    return [path for path in _still_there(output) if path not in {*now, _BESIDE}]


def _still_there(output: Path) -> list[str]:
    return [path for path in _listed(output) if _is_below(output / path, output)]


def _is_below(path: Path, output: Path) -> bool:
    """Whether it is a file of the directory itself: a link to a folder may lead out of it."""
    try:
        return path.is_file() and path.parent.resolve().is_relative_to(output.resolve())
    except OSError:
        # Of a directory that may not be looked into, or no name that the file system has.
        return False


def _listed(output: Path) -> list[str]:
    """What earlier renders wrote, as it is listed; nothing outside of the directory, whoever wrote the list."""
    try:
        lines = (output / LIST).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    paths = [line for line in lines if line.isprintable() and line.strip() and not line.startswith("#")]
    plain = [path for path in paths if str(PurePosixPath(path)) == path and ".." not in path.split("/")]
    return sorted({path for path in plain if not path.startswith("/")})


def _on_disk(rendered: list[RenderedFile], output: Path) -> dict[str, str | None]:
    """Text of the files that are there, byte for byte; what is no text counts as different.

    Raises UsageError, MissingError.
    """
    with _explained(output):
        if output.exists() and not output.is_dir():
            raise UsageError("render.output_is_a_file", path=output)
    return {file.path: _text(output / file.path) for file in rendered}


def _text(path: Path) -> str | None:
    with _explained(path):
        return path.read_bytes().decode(errors="replace") if path.is_file() else None


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MissingError("render.not_readable", path=path, detail=error.strerror) from error


def compare(rendered: list[RenderedFile], output: Path) -> str:
    """How files on disk differ from what would be rendered; empty when they do not.

    What earlier renders have left counts as well. Raises UsageError, and MissingError for what may not be read.
    """
    found = differences(rendered, _on_disk(rendered, output))
    return found + removals({path: _text(output / path) or "" for path in left_over(rendered, output)})
