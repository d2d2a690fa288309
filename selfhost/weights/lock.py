"""The lock of a model: where it came from and the size and sha256 of every file. Lies beside the files, as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCK_NAME = "selfhost-model.json"
SCHEMA_VERSION = 1


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
    """A `recipe.schema.SourceKind`: huggingface, modelscope, mirror, directory, wheel."""
    id: str
    """Repository, address, path or distribution, as the kind has it."""
    revision: str | None
    """A commit where the place has commits, a version for a wheel."""
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
        return ModelLock(recipe=str(body["recipe"]), variant=str(body["variant"]), source=origin, files=files)
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"{type(error).__name__}: {error}"
        raise ValueError(msg) from error
