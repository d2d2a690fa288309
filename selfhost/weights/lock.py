"""The lock of a model: where it came from and the size and sha256 of every file. Lies beside the files, as JSON."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOCK_NAME = "selfhost-model.json"
MODEL_SIGNATURE_NAME = "model.sig"
"""May lie beside the files of a model too: who signed it, as OpenSSF Model Signing names it."""
SCHEMA_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_NAME_BYTES = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedFile:
    """One file as it was when the model was prepared."""

    path: str
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a model came from."""

    kind: str
    """A `recipe.schema.SourceKind`: huggingface, modelscope, mirror, directory, wheel, quantized."""
    id: str
    """Repository, address, path or distribution, as the kind has it."""
    revision: str | None
    """A commit where the place has commits, a version for a wheel, the digest of its source for what was made here."""
    sha256: str | None = None
    """Of what was downloaded, when that was one file (wheel)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelLock:
    """What was prepared, from where."""

    recipe: str
    """The recipe's name; for a hub id without a recipe, its organisation."""
    variant: str
    """The recipe's variant; for a hub id without a recipe, its name."""
    source: Origin
    files: tuple[LockedFile, ...]

    @property
    def total_bytes(self) -> int:
        """All files together."""
        return sum(file.size for file in self.files)

    def as_dict(self) -> dict[str, Any]:
        """What is written to `LOCK_NAME`."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def lock_from_dict(body: Mapping[str, Any]) -> ModelLock:
    """The lock in a JSON object. Raises ValueError, saying what is wrong with it."""
    try:
        source = body["source"]
        files = tuple(
            LockedFile(path=str(f["path"]), size=int(f["size"]), sha256=str(f["sha256"])) for f in body["files"]
        )
        origin = Origin(
            kind=str(source["kind"]), id=str(source["id"]), revision=source["revision"], sha256=source.get("sha256")
        )
        lock = ModelLock(recipe=str(body["recipe"]), variant=str(body["variant"]), source=origin, files=files)
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"{type(error).__name__}: {error}"
        raise ValueError(msg) from error
    for value in (origin.kind, origin.id, origin.revision, origin.sha256):
        # They are shown on a terminal.
        if value is not None and not (isinstance(value, str) and value.isprintable()):
            msg = f"source: {ascii(value)[:200]}"
            raise ValueError(msg)
    if problem := path_problem(file.path for file in files):
        raise ValueError(problem)
    for file in files:
        if file.size < 0 or not _SHA256.fullmatch(file.sha256):
            msg = f"{file.path!r}: size {file.size}, sha256 {file.sha256!r}"
            raise ValueError(msg)
    return lock


def path_problem(paths: Iterable[str]) -> str:
    """Why these cannot be the files of one model directory; empty when they can.

    A list of names comes from a server: none may lead out of the directory, hide in it or take another's place.

    >>> path_problem(["config.json", "a/b.json"]), path_problem(["../x"])
    ('', "'../x' is no path inside a model")
    """
    seen: set[str] = set()
    for path in paths:
        if not _is_plain(path):
            return f"{path!r} is no path inside a model"
        if path in seen:
            return f"{path!r} is listed twice"
        seen.add(path)
    for path in seen:
        parts = path.split("/")
        if outer := next((o for n in range(1, len(parts)) if (o := "/".join(parts[:n])) in seen), None):
            return f"{outer!r} is a file and a folder"
    return ""


def _is_plain(path: str) -> bool:
    if not path or path == LOCK_NAME or "\\" in path or not path.isprintable():
        return False
    return all(
        part not in ("", ".", "..") and len(part.encode(errors="surrogateescape")) <= _MAX_NAME_BYTES
        for part in path.split("/")
    )
