"""What a wheel says of itself: name, version, licence."""

from __future__ import annotations

import re
import zipfile
import zlib
from email.parser import Parser
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import IntegrityError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_METADATA = re.compile(r"[^/]*\.dist-info/METADATA")
_MAX_METADATA_BYTES = 4 << 20
_SHOWN_LICENCE = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """One wheel of a wheelhouse."""

    path: Path
    name: str
    version: str
    size: int
    """Bytes."""
    sha256: str
    licence: str
    """As its metadata says; empty when they do not."""


def metadata(path: Path) -> bytes:
    """The METADATA of a wheel. Raises IntegrityError for a file that is no wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = (entry for entry in archive.infolist() if _METADATA.fullmatch(entry.filename))
            (entry,) = (entry for entry in found if entry.file_size <= _MAX_METADATA_BYTES)
            return archive.read(entry)
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise IntegrityError("wheels.not_a_wheel", path=path, detail=error) from error


def describe(path: Path) -> Wheel:
    """What a wheel says of itself. Raises IntegrityError for a file that is no wheel."""
    said = Parser().parsestr(metadata(path).decode(errors="replace"), headersonly=True)
    return Wheel(
        path=path,
        name=str(said["Name"]),
        version=str(said["Version"]),
        size=path.stat().st_size,
        sha256=files.sha256_file(path),
        licence=_licence(said.get("License-Expression"), said.get("License"), said.get_all("Classifier", [])),
    )


def _licence(expression: str | None, free: str | None, classifiers: Sequence[str]) -> str:
    """One line; old packages have the whole text where a name belongs."""
    if expression:
        return expression.strip()
    if free and "\n" not in free.strip() and len(free.strip()) <= _SHOWN_LICENCE and free.strip() != "UNKNOWN":
        return free.strip()
    found = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    return " AND ".join(found)
