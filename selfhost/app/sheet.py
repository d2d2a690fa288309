"""`selfhost plan --output FILE`: one plan or many as a page or a picture, written whole or not at all."""

from __future__ import annotations

import os
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from selfhost import __version__, files
from selfhost.errors import UsageError
from selfhost.messages import Message
from selfhost.planner.matrix import Matrix, Models
from selfhost.sheet.figures import Made
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.planner.plan import Plan

SUFFIXES = (".html", ".svg")


def check_target(path: Path) -> None:
    """Raises UsageError for another suffix, for what is there already, and where there is no folder."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError("sheet.suffix", path=path)
    if os.path.lexists(path):
        raise UsageError("sheet.exists", path=path)
    if not path.absolute().parent.is_dir():
        folder = shlex.quote(str(path.absolute().parent))
        raise UsageError("sheet.nowhere", folder=folder)


def write(path: Path, subject: Plan | Matrix | Models) -> Message:
    """Write the file; what was written. Raises MissingError, NoSpaceError."""
    made = Made(__version__, datetime.now(UTC).date().isoformat())
    content = _drawn(subject, made, as_page=path.suffix.lower() == ".html").encode()
    with files.atomic_write(path) as stream:
        stream.write(content)
    return Message("sheet.written", {"path": path, "size": format_bytes(len(content))})


def _drawn(subject: Plan | Matrix | Models, made: Made, *, as_page: bool) -> str:
    # Each is imported where it is drawn.
    if isinstance(subject, (Matrix, Models)):
        from selfhost.sheet import many

        if isinstance(subject, Matrix):
            return many.matrix_page(subject, made) if as_page else many.matrix_svg(subject, made)
        return many.list_page(subject, made) if as_page else many.list_svg(subject, made)
    if as_page:
        from selfhost.sheet.plan_page import plan_page

        return plan_page(subject, made)
    from selfhost.sheet.drawn import plan_svg

    return plan_svg(subject, made)
