"""`verify`: compare every file with what was written down; with `--repair`, put it right."""

from __future__ import annotations

import functools
import os
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost.app import stored
from selfhost.errors import IncompleteError, IntegrityError, SelfhostError, UsageError
from selfhost.home import user_path
from selfhost.messages import Message
from selfhost.records import dataclass
from selfhost.units import format_bytes
from selfhost.weights import check, repair, store, touched, verify
from selfhost.weights.blobs import Blobs
from selfhost.weights.checkpoint import shown
from selfhost.weights.ledger import Ledger
from selfhost.weights.lock import LOCK_NAME, ModelLock
from selfhost.weights.places.sums import SUMS_NAME
from selfhost.weights.verify import FileCheck, Reading, Status, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.home import Home
    from selfhost.weights.repair import Fetch, Repaired

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A directory, and what it is compared with."""

    directory: Path
    name: str
    """As the user may type it again."""
    model: str
    variant: str | None
    wanted: tuple[Wanted, ...]
    lock: ModelLock | None
    """None where a SHA256SUMS is all there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """Whom to tell how far it is."""

    progress: Callable[[str, int, int], None]
    """Gets a phase (`verify`, `repair`), bytes done and bytes altogether."""
    note: Callable[[Message], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was found, and what was put right."""

    target: Target
    files: tuple[FileCheck, ...]
    structure: tuple[SelfhostError, ...]
    bytes_read: int
    repaired: tuple[Repaired, ...] = ()

    @property
    def damaged(self) -> tuple[FileCheck, ...]:
        """Files whose bytes are wrong."""
        return tuple(file for file in self.files if file.damaged)

    @property
    def missing(self) -> tuple[FileCheck, ...]:
        """Files that are not there."""
        return tuple(file for file in self.files if file.status is Status.MISSING)

    @property
    def extra(self) -> tuple[FileCheck, ...]:
        """Files that nothing was written down about."""
        return tuple(file for file in self.files if file.status is Status.EXTRA)

    @property
    def problem(self) -> SelfhostError | None:
        """The error of a directory that is not whole; its class is the exit code."""
        damage = [error for error in self.structure if isinstance(error, IntegrityError)]
        listed = "\n".join(described(file) for file in (*self.damaged, *self.missing))
        name, hint = self.target.name, repair_command(self.target)
        if self.damaged:
            return IntegrityError("verify.damaged", name=name, count=len(self.damaged), files=listed, hint=hint)
        if self.missing:
            return IncompleteError("verify.missing", name=name, count=len(self.missing), files=listed, hint=hint)
        return damage[0] if damage else None

    def as_dict(self) -> dict[str, Any]:
        """The contract of `verify --json`."""
        lock = self.target.lock
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.target.model,
            "variant": self.target.variant,
            "path": str(self.target.directory),
            "revision": lock.source.revision if lock else None,
            "ok": self.problem is None,
            "files": [file.as_dict() for file in self.files],
            "bytes_read": self.bytes_read,
            "structure": [
                {"id": e.message.id, "what": e.message.what, "why": e.message.why, "hint": e.message.hint}
                for e in self.structure
            ],
            "repaired": [one.as_dict() for one in self.repaired],
            "bytes_downloaded": sum(one.bytes_downloaded for one in self.repaired),
        }


def described(file: FileCheck) -> str:
    """One line about a file that is not right."""
    values = {"path": file.path, "size": file.size, "found": file.found_size, "begin": file.begin, "end": file.end}
    ids = {Status.MISSING: "verify.file_missing", Status.SIZE: "verify.file_size", Status.EXTRA: "verify.file_extra"}
    return Message(ids.get(file.status, "verify.file_digest"), values).what


def repair_command(target: Target) -> str:
    """What puts a directory right."""
    if target.lock is None:
        return "download the files named above again"
    return f"fetch only what is wrong: `selfhost verify {target.name} --repair`"


# What is meant


def find_target(text: str, variant: str | None, home: Home) -> Target:
    """The directory that MODEL means, and what it is compared with.

    Raises IncompleteError when the store does not have it or there is nothing to compare with, UsageError when several
    variants are there, IntegrityError for a damaged lock or, where there is nothing else, damaged weights.
    """
    found = stored.find(text, variant, home)
    if len(found) > 1:
        raise UsageError(
            "verify.several_variants", name=text, variants=", ".join(d.name for d in found), first=found[0].name
        )
    if found:
        directory = found[0]
        if not (directory / LOCK_NAME).exists():
            return _without_lock(directory, text)
        lock = store.read_lock(directory)
        return of_lock(directory, shlex.quote(text) + (f" --variant {variant}" if variant else ""), lock)
    path = user_path(text)
    if path.is_dir() and (text.startswith((".", "/", "~")) or "/" in text):
        directory = Path(os.path.abspath(path))  # noqa: PTH100 - links stay: the name the user gave is the one they know
        if (directory / LOCK_NAME).exists():
            return of_lock(directory, shlex.quote(text), store.read_lock(directory))
        return _without_lock(directory, text)
    name = f"{text} ({variant})" if variant else text
    raise IncompleteError("verify.not_there", name=name, known=stored.names(home))


def of_lock(directory: Path, name: str, lock: ModelLock) -> Target:
    """A model of the store, and what was written down when it was published."""
    wanted = tuple(Wanted(path=f.path, sha256=f.sha256, size=f.size) for f in lock.files)
    return Target(directory=directory, name=name, model=lock.recipe, variant=lock.variant, wanted=wanted, lock=lock)


def _without_lock(directory: Path, name: str) -> Target:
    """Digests from a SHA256SUMS; without one, the structure is all that can be looked at."""
    sums = directory / SUMS_NAME
    if not sums.is_file():
        check.check_directory(directory)
        raise IncompleteError("verify.nothing_to_compare", path=directory, lock=LOCK_NAME, sums=SUMS_NAME)
    try:
        wanted = verify.parse_sums(sums.read_text(encoding="utf-8", errors="surrogateescape"))
    except ValueError as error:
        raise IntegrityError("verify.bad_sums", path=sums, detail=error) from error
    return Target(directory=directory, name=name, model=directory.name, variant=None, wanted=wanted, lock=None)


# Reading


def run(target: Target, home: Home, workers: int | None, told: Told) -> Report:
    """Read everything and compare. An interrupted run of the same directory, younger than a day, goes on."""
    blobs, ledger = Blobs(home.blobs), Ledger(home.verify, target.directory, time.time)
    if ledger.goes_on:
        told.note(Message("verify.goes_on", {"name": target.name}))
    read = 0

    def progress(done: int, total: int) -> None:
        nonlocal read
        read = done
        told.progress("verify", done, total)

    began = time.time()
    reading = Reading(
        workers=workers or len(os.sched_getaffinity(0)),
        progress=progress,
        marks=blobs.marks,
        on_whole=lambda sha256, marks: _keep_marks(blobs, sha256, marks),
        ledger=ledger,
    )
    checks = verify.verify_files(target.directory, target.wanted, reading)
    report = _report(target, checks, read)
    if report.problem is None and target.lock is not None:
        # What a continued run read before does not count as read now; it was looked at, and is unchanged.
        touched.mark_verified(target.directory, began)
    return report


def recheck(directory: Path, name: str, home: Home, told: Told) -> None:
    """Read again what was written to since it was verified. Raises IntegrityError when it is not what it was."""
    lock = store.read_lock(directory)
    if not (suspects := touched.written_since(directory, lock)):
        return
    told.note(Message("verify.suspects", {"name": name, "files": shown(file.path for file in suspects)}))
    target = of_lock(directory, name, lock)
    paths = {file.path for file in suspects}
    wanted = tuple(one for one in target.wanted if one.path in paths)
    report = run(replace(target, wanted=wanted), home, None, told)
    if report.problem is not None:
        raise report.problem


def _keep_marks(blobs: Blobs, sha256: str, marks: bytes) -> None:
    """Of a content that has none, or lost them: the next damage is repaired by pieces."""
    if marks and blobs.marks(sha256) != marks and blobs.has(sha256):
        try:
            blobs.keep_marks(sha256, marks)
        except SelfhostError:  # a store that this user may only read is verified all the same
            return


def _report(target: Target, checks: list[FileCheck], read: int, repaired: tuple[Repaired, ...] = ()) -> Report:
    whole = all(one.status is Status.OK for one in checks)
    return Report(
        target=target,
        files=(*checks, *verify.extra_files(target.directory, {file.path for file in target.wanted})),
        # Of files that are damaged anyway it would only say so again.
        structure=tuple(check.structure_problems(target.directory)) if whole else (),
        bytes_read=read,
        repaired=repaired,
    )


# Repair


def put_right(report: Report, home: Home, open_source: Callable[[ModelLock], Fetch], told: Told) -> Report:
    """Repair every file that is not right; the report of afterwards.

    Raises IntegrityError when the source has another content, IncompleteError without a source, UsageError where
    nothing says where the files came from.
    """
    target, lock = report.target, report.target.lock
    wrong = {file.path: file for file in (*report.damaged, *report.missing)}
    if not wrong:
        return report
    if lock is None:
        raise UsageError("verify.no_lock_to_repair", path=target.directory, lock=LOCK_NAME)
    todo = [file for file in lock.files if file.path in wrong]
    total, done = sum(file.size for file in todo), 0

    def progress(_path: str, count: int) -> None:
        nonlocal done
        done += count
        told.progress("repair", done, total)

    bench = repair.Bench(
        directory=target.directory,
        models=home.models,
        blobs=Blobs(home.blobs),
        open_source=functools.cache(functools.partial(open_source, lock)),
        progress=progress,
        waiting=lambda: told.note(Message("model.waiting", {"name": target.name})),
    )
    repaired = []
    with bench.blobs.in_use():
        for file in todo:
            one = repair.repair_file(bench, file, read=wrong[file.path].status is Status.DIGEST)
            repaired.append(one)
            told.note(Message("verify.repaired", {"path": file.path, "how": _how(one)}))
    fixed = {one.path for one in repaired}
    checks = [_now_right(file) if file.path in fixed else file for file in report.files if file not in report.extra]
    return _report(target, checks, report.bytes_read, tuple(repaired))


def _how(one: Repaired) -> str:
    if not one.fetched:
        return Message("verify.from_store").what
    return Message("verify.from_source", {"size": format_bytes(one.bytes_downloaded)}).what


def _now_right(file: FileCheck) -> FileCheck:
    return replace(file, status=Status.OK, found_size=file.size, found_sha256=file.sha256, begin=None, end=None)
