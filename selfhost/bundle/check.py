"""Whether volumes are what SHA256SUMS and bundle.json say: names and sizes first, then every byte."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from selfhost.bundle import layout
from selfhost.bundle.devices import run_by_device
from selfhost.bundle.read import source_of
from selfhost.bundle.take import Piece, Source, read_whole
from selfhost.errors import IncompleteError
from selfhost.records import dataclass
from selfhost.weights.digest import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from selfhost.bundle.read import Bundle, Volume
    from selfhost.weights.digest import Digest


class Status(StrEnum):
    """What was found of a file of a volume."""

    OK = "ok"
    MISSING = "missing"
    SIZE = "size"
    DIGEST = "digest"
    UNREADABLE = "unreadable"
    EXTRA = "extra"
    """There, and not listed: nobody vouches for it."""
    ODD = "odd"
    """A link, a pipe, a device: nothing that a bundle has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileCheck:
    """What was found of one file."""

    volume: int
    root: Path
    path: str
    status: Status
    content: str = ""
    """sha256 of the content that it is, or is a piece of; empty for what is none."""
    size: int | None = None
    found_size: int | None = None
    begin: int | None = None
    end: int | None = None
    """Where the first wrong bytes are, where marks tell it."""
    detail: str = ""

    @property
    def damaged(self) -> bool:
        """Whether it is there and wrong."""
        return self.status not in (Status.OK, Status.MISSING)

    def as_dict(self) -> dict[str, Any]:
        """One of `files` of `bundle verify --json`."""
        names = ("volume", "path", "content", "size", "found_size", "begin", "end", "detail")
        return {**{name: getattr(self, name) for name in names}, "status": self.status.value}


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One file, or the pieces of one content, to be read."""

    source: Source
    content: str
    """As `FileCheck` has it."""
    volumes: tuple[Volume, ...]
    """Of each of its pieces."""


def structure(volume: Volume) -> list[FileCheck]:
    """Files that are absent, too many, of another size or no files; nothing is read. Raises what the medium raises."""
    sizes = {path: size for path, _, size in volume.info.this.files}
    contents = {p: blob.sha256 for blob in volume.info.this.blobs for p, _, _ in blob.files_on(volume.number)}
    found = volume.medium.entries()
    wrong = []

    def add(path: str, status: Status, **values: Any) -> None:
        wrong.append(
            FileCheck(
                volume=volume.number,
                root=volume.root,
                path=path,
                status=status,
                content=contents.get(path, ""),
                size=sizes.get(path),
                **values,
            )
        )

    for path in sorted({*found, *volume.sums}):
        entry = found.get(path)
        if entry is None:
            add(path, Status.MISSING)
        elif entry.kind != "file":
            add(path, Status.ODD, detail=entry.kind)
        elif path not in volume.sums and path not in layout.UNSUMMED:
            add(path, Status.EXTRA, found_size=entry.size)
        elif path in sizes and entry.size != sizes[path]:
            add(path, Status.SIZE, found_size=entry.size)
    return wrong


def tasks(volume: Volume, wrong: list[FileCheck]) -> list[Task]:
    """What is left to be read of a volume by itself: not what is known to be wrong."""
    skipped = {check.path for check in wrong}
    found = [(blob.sha256, source_of(volume, blob)) for blob in volume.info.this.blobs if not blob.is_cut]
    for name in sorted(set(layout.TOP) & set(volume.sums) - skipped):
        try:
            size = (volume.root / name).lstat().st_size
        except OSError as error:  # pulled out, or taken away, since `structure` looked
            raise volume.medium.explained(name, error) from error
        found.append(("", _alone(Piece(medium=volume.medium, path=name, sha256=volume.sums[name], size=size))))
    return [
        Task(source=one, content=content, volumes=(volume,) * len(one.pieces))
        for content, one in found
        if not skipped & {piece.path for piece in one.pieces}
    ]


def cut_tasks(bundle: Bundle, wrong: list[FileCheck]) -> list[Task]:
    """What is left to be read of contents on several volumes: each as a whole where all of it is here and not wrong."""
    skipped = {(check.volume, check.path) for check in wrong}
    here = {volume.number: volume for volume in bundle.volumes}
    found = []
    for blob in bundle.info.cut:
        on = [here.get(chunk.volume or 0) for chunk in blob.chunks]
        pieces = [
            (piece, volume)
            for piece, volume in zip(bundle.pieces(blob), on, strict=True)
            if piece and volume and (volume.number, piece.path) not in skipped
        ]
        if len(pieces) == len(blob.chunks):
            source = Source(sha256=blob.sha256, size=blob.size, pieces=tuple(piece for piece, _ in pieces))
            found.append(Task(source=source, content=blob.sha256, volumes=tuple(volume for _, volume in pieces)))
        else:
            found += [Task(source=_alone(piece), content=blob.sha256, volumes=(volume,)) for piece, volume in pieces]
    return found


def _alone(piece: Piece) -> Source:
    return Source(sha256=piece.sha256, size=piece.size, pieces=(piece,))


def verify(
    bundle: Bundle,
    progress: Callable[[int, int], None],
    *,
    full: bool = True,
    marks: Mapping[str, bytes] | None = None,
    workers: int | None = None,
) -> list[FileCheck]:
    """Every file of the volumes at hand that is listed or there, by volume and path.

    full: read every byte; else names and sizes decide. marks: of contents, to tell where damage is. workers: as
    `run_by_device` has it. progress gets bytes read and bytes altogether.
    """
    checks: list[FileCheck] = []
    todo: list[Task] = []
    for volume in bundle.volumes:
        wrong = structure(volume)
        checks += wrong
        todo += tasks(volume, wrong)
    todo += cut_tasks(bundle, checks)
    # The largest first: the last one to finish then has the least to do.
    todo.sort(key=lambda task: -task.source.size)
    if full:

        def read(task: Task, tick: Callable[[int], None]) -> list[FileCheck]:
            return _read(task, tick, marks or {})

        total = sum(task.source.size for task in todo)
        for found in run_by_device([(one.volumes[0].root, one) for one in todo], read, total, progress, workers):
            checks += found
    else:
        checks += [one for task in todo for one in _of(task, Status.OK)]
    return sorted(checks, key=lambda check: (check.volume, check.path))


def _read(task: Task, tick: Callable[[int], None], marks: Mapping[str, bytes]) -> list[FileCheck]:
    source = task.source
    digest, wrong = read_whole(source, tick)
    checks = _of(task, Status.OK)
    # Where damage is can be told of what was read as a whole, and of the first that is wrong.
    begin, end = (None, None) if any(wrong.values()) else _where(digest, marks.get(source.sha256, b""))
    for place, error in sorted(wrong.items()):
        if error is None:
            checks[place] = replace(checks[place], status=Status.DIGEST, begin=begin, end=end)
            begin = end = None
        elif isinstance(error, IncompleteError):
            checks[place] = replace(checks[place], status=Status.MISSING)
        else:
            status = Status.SIZE if error.message.id == "unpack.other_size" else Status.UNREADABLE
            checks[place] = replace(checks[place], status=status, detail=error.message.what)
    return checks


def _where(digest: Digest, marks: bytes) -> tuple[int | None, int | None]:
    """The first piece that is wrong; not known without marks that fit."""
    begin = digest.first_wrong(marks) if marks else None
    return (None, None) if begin is None else (begin, min(begin + PIECE_BYTES, digest.size))


def _of(task: Task, status: Status) -> list[FileCheck]:
    """One for each piece."""
    return [
        FileCheck(
            volume=volume.number,
            root=volume.root,
            path=piece.path,
            status=status,
            content=task.content,
            size=piece.size,
        )
        for piece, volume in zip(task.source.pieces, task.volumes, strict=True)
    ]
