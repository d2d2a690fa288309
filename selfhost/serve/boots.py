"""Boot records on disk, `$SELFHOST_HOME/boots`, mode 0700: one file per subject (`planner.boots`), newest start first.

A file is named for the model's architecture and for the subject, so that those of a model are found by name. A file is
replaced as a whole; who adds to one holds the lock of the folder. Nothing here decides what a record means.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost import files
from selfhost.messages import text
from selfhost.planner import boots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from selfhost.home import Home
    from selfhost.planner.boots import BootRecord, Subject

KEPT_STARTS = 5
"""Of one subject: enough to see how far starts differ."""
KEPT_SUBJECTS = 32
"""Of one architecture; the oldest go."""
_PRIVATE = 0o700


class Found(NamedTuple):
    """What was read."""

    records: tuple[BootRecord, ...]
    notes: tuple[str, ...]
    """Files that could not be used, each told once."""


def path_of(home: Home, subject: Subject) -> Path:
    """The file of a subject, whether it exists or not."""
    return home.boots / f"{subject.fingerprint}-{subject.key}.json"


def add(home: Home, subject: Mapping[str, Any], boot: Mapping[str, Any]) -> Path:
    """Put a start before the others of its subject; the file.

    A file that is damaged or of a newer selfhost makes room. Raises MissingError, NoSpaceError when it cannot be
    written, KeyError, TypeError when the subject is none.
    """
    path = path_of(home, boots.subject_from_dict(subject))
    files.make_directory(home.boots, _PRIVATE)
    with files.hold_lock(home.boots / ".lock"):
        before = _usable(files.read_json(path))
        value = {
            "schema_version": boots.SCHEMA_VERSION,
            "subject": subject,
            "boots": [boot, *before][:KEPT_STARTS],
        }
        files.write_json(path, value, 0o600)
        _prune(home, path)
    return path


def _usable(value: Mapping[str, Any] | None) -> list[Any]:
    if value is None or value.get("schema_version") != boots.SCHEMA_VERSION:
        return []
    try:
        boots.record_from_dict(value, "")
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
    return list(value["boots"])


def _prune(home: Home, new: Path) -> None:
    fingerprint = new.name.partition("-")[0]
    found = sorted(home.boots.glob(f"{fingerprint}-*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in [path for path in found if path != new][KEPT_SUBJECTS - 1 :]:
        path.unlink(missing_ok=True)


def read(home: Home, fingerprints: Iterable[str]) -> Found:
    """The records of some architectures, sorted by file name; never fails."""
    wanted = set(fingerprints)
    try:
        paths = sorted(path for path in home.boots.iterdir() if path.suffix == ".json")
    except OSError:
        return Found((), ())
    records, notes = [], []
    for path in paths:
        if path.name.partition("-")[0] not in wanted:
            continue
        with contextlib.suppress(FileNotFoundError):  # pruned meanwhile
            found = _read(path)
            if isinstance(found, str):
                notes.append(found)
            else:
                records.append(found)
    return Found(tuple(records), tuple(notes))


def _read(path: Path) -> BootRecord | str:
    """The record in a file, or why it is not used."""
    try:
        value = json.loads(path.read_bytes())
        version = value["schema_version"]
        if isinstance(version, int) and version > boots.SCHEMA_VERSION:
            return text("boot.newer", path=path, found=version, known=boots.SCHEMA_VERSION)
        return boots.record_from_dict(value, str(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        return text("boot.unreadable", path=path, detail=error.strerror or error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return text("boot.damaged", path=path, detail=" ".join(f"{type(error).__name__}: {error}".split())[:120])
