"""Rendered files and those on disk: written, compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import MissingError, UsageError
from selfhost.render.rendered import differences

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.render.rendered import RenderedFile


def write(rendered: list[RenderedFile], output: Path) -> list[str]:
    """Write files below a directory, where others stay; those that were there and different.

    Raises UsageError for a file in the place of the directory, MissingError when it cannot be written.
    """
    there = _on_disk(rendered, output)
    try:
        for file in rendered:
            path = output / file.path
            files.make_directory(path.parent)
            with files.atomic_write(path, file.mode) as stream:
                stream.write(file.text.encode())
    except MissingError as error:
        if error.message.id != "cli.not_writable":
            raise
        raise MissingError("render.not_writable", **error.message.params) from error
    return [file.path for file in rendered if there[file.path] not in (None, file.text)]


def _on_disk(rendered: list[RenderedFile], output: Path) -> dict[str, str | None]:
    """Text of the files that are there, byte for byte; what is no text counts as different. Raises UsageError."""
    if output.exists() and not output.is_dir():
        raise UsageError("render.output_is_a_file", path=output)
    paths = {file.path: output / file.path for file in rendered}
    return {
        name: path.read_bytes().decode(errors="replace") if path.is_file() else None for name, path in paths.items()
    }


def compare(rendered: list[RenderedFile], output: Path) -> str:
    """How files on disk differ from what would be rendered; empty when they do not."""
    return differences(rendered, _on_disk(rendered, output))
