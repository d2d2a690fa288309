"""`selfhost render --lint`: deployment files on disk, and what is known beside them."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.app.model import resolve
from selfhost.errors import IncompleteError, IntegrityError, UsageError
from selfhost.findings import Severity
from selfhost.hardware import spec
from selfhost.hardware.types import Platform
from selfhost.messages import Message, word
from selfhost.models.checkpoint import checkpoint_bytes
from selfhost.records import dataclass
from selfhost.render.lint import lint, rule_of
from selfhost.render.lint.read import ENDINGS
from selfhost.render.lint.rules import RULES
from selfhost.render.lint.site import Beside
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from selfhost.findings import Finding

SCHEMA_VERSION = 1
_LARGEST_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class LintedDeployment:
    """What was found."""

    findings: tuple[Finding, ...]
    files: tuple[str, ...]

    def count(self, severity: Severity) -> int:
        """How many there are of a kind."""
        return sum(finding.severity is severity for finding in self.findings)

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "files": list(self.files),
            "errors": self.count(Severity.ERROR),
            "warnings": self.count(Severity.WARNING),
            "findings": [{"rule": rule_of(finding), **finding.as_dict()} for finding in self.findings],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class LintRequest:
    """What is known besides the files."""

    ignore: Sequence[str] = ()
    """Rules to leave out: `R5`, or `R5,R8`."""
    on: str | None = None
    """The hardware they are for, as in `plan --on`."""
    model: str | None = None
    """The model they are for, as in `plan`: a recipe or a directory."""
    variant: str | None = None
    disk_bytes_per_s: int | None = None
    cuda: str | None = None
    """The CUDA version that the driver there runs at most: `12.8`."""
    images: Path | None = None
    """A list of the images that are brought, one a line."""


def lint_files(paths: Sequence[Path], asked: LintRequest) -> LintedDeployment:
    """Check files, and those in directories.

    Raises UsageError, IntegrityError, IncompleteError for what cannot be read.
    """
    left_out = {rule.strip().upper() for listed in asked.ignore for rule in listed.split(",")}
    for rule in sorted(left_out - {f"R{number}" for number, _ in RULES}):
        raise UsageError("render_lint.unknown_rule", rule=rule)
    files: dict[str, str] = {}
    modes: dict[str, int] = {}
    seen: set[Path] = set()
    for path in _files(paths):
        try:
            real = path.resolve()
        except (OSError, RuntimeError) as error:  # links that lead in a circle
            raise IncompleteError("render_lint.unreadable", file=path, detail=error) from error
        if real in seen:
            continue
        seen.add(real)
        files[str(path)], modes[str(path)] = _text(path), path.stat().st_mode
    if not files:
        raise UsageError("render_lint.nothing", files=", ".join(map(str, paths)) or word("none"))
    beside = replace(_beside(asked), modes=modes)
    return LintedDeployment(findings=tuple(lint(files, beside, left_out)), files=tuple(files))


def rule_list() -> list[tuple[str, str]]:
    """The rules and what each is about, in their order."""
    lines = Message("render_lint.rules").why.splitlines()
    return [(name, said.strip()) for name, _, said in (line.partition(" ") for line in lines)]


def _beside(asked: LintRequest) -> Beside:
    said = Beside(soc_family=_family(asked.on), cuda_ceiling=_cuda(asked.cuda), images=_images(asked.images))
    if asked.model is None:
        return said
    model = resolve(asked.model, variant=asked.variant).to_plan()
    return replace(
        said,
        arch=model.arch,
        weight_bytes=model.weight_bytes_total or checkpoint_bytes(model.arch),
        disk_bytes_per_s=asked.disk_bytes_per_s or said.disk_bytes_per_s,
    )


def _cuda(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    if not (found := re.fullmatch(r"(\d{1,2})\.(\d{1,2})", text)):
        raise UsageError("render_lint.bad_cuda", value=text)
    return int(found[1]), int(found[2])


def _images(path: Path | None) -> frozenset[str] | None:
    if path is None:
        return None
    lines = (line.split("#")[0].split() for line in _text(path).splitlines())
    return frozenset(words[0] for words in lines if words)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(_below(path))
        else:
            yield path


def _below(folder: Path) -> Iterator[Path]:
    """The files in a directory that can be checked; links to directories are not followed."""

    def stop(error: OSError) -> None:
        detail = error.strerror or str(error)
        raise IncompleteError("render_lint.unreadable", file=error.filename, detail=detail) from error

    for inside, _, names in os.walk(folder, onerror=stop):
        yield from (path for name in names if name.endswith(ENDINGS) and (path := Path(inside, name)).is_file())


def _text(path: Path) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            # A pipe would be waited for, and a device may never end.
            raise IntegrityError("render_lint.unreadable", file=path, detail="neither a file nor a directory")
        size = status.st_size
        if size > _LARGEST_BYTES:
            raise IntegrityError(
                "render_lint.too_large", file=path, size=format_bytes(size), limit=format_bytes(_LARGEST_BYTES)
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise IntegrityError("render_lint.unreadable", file=path, detail="not text in UTF-8") from error
    except OSError as error:
        raise IncompleteError("render_lint.unreadable", file=path, detail=error.strerror or str(error)) from error


def _family(on: str | None) -> str | None:
    """The Ascend chips of the hardware that files are for; None for other hardware."""
    device = spec.parse(on).device if on else None
    if device is None or device.platform is not Platform.ASCEND:
        return None
    return device.family
