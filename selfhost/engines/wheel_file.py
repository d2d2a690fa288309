"""What a wheel says of itself: name, version, licence."""

from __future__ import annotations

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


def describe(path: Path) -> Wheel:
    """What a wheel says of itself. Raises IntegrityError for a file that is no wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            (entry,) = (e for e in archive.infolist() if _is_metadata(e.filename))
            with archive.open(entry) as stream:
                said = Parser().parsestr(stream.read(_MAX_METADATA_BYTES).decode(errors="replace"), headersonly=True)
        name, version = str(said["Name"]), str(said["Version"])
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise IntegrityError("wheels.not_a_wheel", path=path, detail=error) from error
    return Wheel(
        path=path,
        name=name,
        version=version,
        size=path.stat().st_size,
        sha256=files.sha256_file(path),
        licence=_licence(said.get("License-Expression"), said.get("License"), said.get_all("Classifier", [])),
    )


def _is_metadata(path: str) -> bool:
    folder, _, name = path.partition("/")
    return folder.endswith(".dist-info") and name == "METADATA"


def _licence(expression: str | None, free: str | None, classifiers: Sequence[str]) -> str:
    """One line; old packages have the whole text where a name belongs."""
    if expression:
        return expression.strip()
    if free and "\n" not in free.strip() and len(free.strip()) <= _SHOWN_LICENCE and free.strip() != "UNKNOWN":
        return free.strip()
    found = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    return " AND ".join(found)
