"""What is asked of `selfhost quantize`, what that comes to, and what is there in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from selfhost.quantize import job as jobs
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from selfhost.app.quantize.source import SourceModel
    from selfhost.quantize.job import Event, Job
    from selfhost.quantize.needs import Needs
    from selfhost.quantize.schemes import Scheme

SAMPLES = 512


class Talk(Protocol):
    """Who is told."""

    def note(self, line: str) -> None:
        """Tell something."""

    def following(self, what: str, *, steps: bool = False) -> AbstractContextManager[Tell]:
        """Show how far a script is; steps: it counts them, not bytes."""


class Tell(Protocol):
    """Takes what a script says."""

    def __call__(self, event: Event) -> None:
        """One event."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What the user may decide."""

    model: str
    scheme: Scheme
    source: str | None = None
    """`--from`: the variant; None: the one in the format that the scheme is made of."""
    name: str | None = None
    """Of the new variant; None: the scheme's, with `-local` where the recipe has one of that name."""
    group_size: int | None = None
    calibration: Path | None = None
    samples: int = SAMPLES
    """Of the text, at most: each so many tokens, not a passage (quantize/needs.py `TOKENS`)."""
    max_kl: float | None = None
    loss: bool = True
    device: str = "auto"
    jobs: int | None = None
    output: Path | None = None
    python: Path | None = None
    recipe_paths: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What would be run, and what it takes; everything that can be known to be wrong was looked at."""

    request: Request
    source: SourceModel
    variant: str | None
    """Of the recipe; None for a directory."""
    directory: Path
    """Where the result will lie."""
    work: Path
    job: Job
    needs: Needs
    python: Path

    def as_dict(self) -> dict[str, Any]:
        """For `--dry-run --json`."""
        return {
            "schema_version": jobs.SCHEMA_VERSION,
            "model": self.source.name,
            "variant": self.variant,
            "from": self.source.variant,
            "path": str(self.directory),
            "script": self.request.scheme.script.value,
            "job": self.job.as_dict(),
            "output_bytes": self.needs.output_bytes,
            "disk_bytes": self.needs.disk_bytes,
            "memory_bytes": self.needs.memory_bytes,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A variant that is there."""

    plan: Plan
    provenance: Mapping[str, Any]
    loss: Mapping[str, Any] | None
    recipe: Path | None
    """The user's recipe that knows it."""
    already: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "schema_version": jobs.SCHEMA_VERSION,
            "model": self.plan.source.name,
            "variant": self.plan.variant,
            "from": self.plan.source.variant,
            "scheme": self.plan.request.scheme.name,
            "path": str(self.plan.directory),
            "recipe": str(self.recipe) if self.recipe else None,
            "already": self.already,
            "provenance": dict(self.provenance),
            "loss": dict(self.loss) if self.loss else None,
        }
