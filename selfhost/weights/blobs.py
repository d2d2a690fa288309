"""Contents of files, each once, under its sha256. A file under that name is complete and was verified.

    blobs/sha256/ab/<64 hex>          the content
    blobs/sha256/ab/<64 hex>.marks    its `Digest.marks`; without them a damaged file is repaired as a whole
    blobs/partial/<key>.part          not complete yet; flock held by who writes it
    blobs/partial/<key>.wanted        contents of a model whose download is not done, for `gc` to keep
    blobs/.gc.lock                    shared by who counts on blobs being there, exclusive for who removes some

Models are directories of hard links to contents, so a file that several models have takes space once.
"""

from __future__ import annotations

import contextlib
import errno
import filecmp
import hashlib
import os
import re
import secrets
from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import IntegrityError, SelfhostError
from selfhost.weights.digest import Digest, digest_stream

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path


_NAME = re.compile(r"[0-9a-f]{64}")
_WANTED = ".wanted"
_NO_HARD_LINK = (errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_NO_LINK = (*_NO_HARD_LINK, errno.EACCES)


class Linked(StrEnum):
    """How a file of a model came to have its content."""

    HARD = "hard link"
    SYMBOLIC = "symbolic link"
    COPY = "copy"


class Blobs:
    """The contents under one root; nothing is created before something is put in."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Where a content lies, or would. Raises ValueError for what is no digest: it would lead elsewhere."""
        if not _NAME.fullmatch(sha256):
            raise ValueError(ascii(sha256))
        return self.root / "sha256" / sha256[:2] / sha256

    def part(self, key: str) -> Path:
        """Where something lies that is not complete yet."""
        return self.root / "partial" / f"{key}.part"

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Whether the content is there, in its size; nothing is read."""
        try:
            found = self.path(sha256).stat().st_size
        except OSError:
            return False
        return size is None or found == size

    def is_right(self, sha256: str, size: int | None = None) -> bool:
        """Whether the content is there and nobody wrote to it since its marks were; without marks it is read.

        Files of models are links to contents: who edits one in place edits it for whoever gets it next.
        """
        if not self.has(sha256, size):
            return False
        path, digest = self.path(sha256), Digest()
        try:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime_ns <= self._marks_path(sha256).stat().st_mtime_ns:
                    return True
            with path.open("rb", buffering=0) as stream:
                digest_stream(stream, digest)
        except OSError:  # a disk that does not give it back
            return False
        if digest.hexdigest() != sha256:
            return False
        with contextlib.suppress(SelfhostError):  # it is right, whoever may write here
            self.keep_marks(sha256, digest.marks)
        return True

    def marks(self, sha256: str) -> bytes:
        """Its marks; empty when there are none."""
        try:
            return self._marks_path(sha256).read_bytes()
        except OSError:
            return b""

    def _marks_path(self, sha256: str) -> Path:
        return self.path(sha256).with_name(f"{sha256}.marks")

    def digests(self) -> Iterator[str]:
        """Of every content here, sorted."""
        for path in sorted(self.root.glob("sha256/??/*")):
            if _NAME.fullmatch(path.name):
                yield path.name

    def sizes(self) -> dict[str, os.stat_result]:
        """The file of every content, by sha256, sorted; one that is removed meanwhile is none."""
        found = {}
        for sha256 in self.digests():
            with contextlib.suppress(OSError):
                found[sha256] = self.path(sha256).stat()
        return found

    def strays(self) -> Iterator[Path]:
        """Marks without a content, and temporary files of killed processes."""
        for path in self.root.glob("sha256/??/*"):
            if _NAME.fullmatch(path.name) or (path.suffix == ".marks" and path.with_suffix("").exists()):
                continue
            yield path

    # Locks

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """No content is removed meanwhile. Hold it from before the first `has` until the model is published."""
        with files.hold_lock(self.root / ".gc.lock", shared=True):
            yield

    @contextlib.contextmanager
    def sole_use(self) -> Iterator[bool]:
        """Nobody counts on contents meanwhile; yields False when somebody does. Does not wait."""
        with files.hold_lock(self.root / ".gc.lock", blocking=False) as got:
            yield got

    # Contents that no model has yet

    def want(self, name: str, digests: Iterable[str]) -> None:
        """Remember what a download is about, until `unwant`: contents that it has brought are kept when it stops."""
        path = self._wanted_path(name)
        files.make_directory(path.parent)
        files.write_json(path, {"name": name, "sha256": sorted(digests)}, sync=False)

    def unwant(self, name: str) -> None:
        """The download is done."""
        self._wanted_path(name).unlink(missing_ok=True)

    def wanted(self, after_s: float = 0.0, without: Collection[str] = ()) -> set[str]:
        """Contents of downloads that are not done, begun after this time (seconds since 1970), but for those named."""
        downloads = self.downloads()
        return {
            sha256
            for name, (begun_at, digests) in downloads.items()
            if begun_at >= after_s and name not in without
            for sha256 in digests
        }

    def downloads(self) -> dict[str, tuple[float, frozenset[str]]]:
        """Those that are not done: when each was begun (seconds since 1970), and its contents; by name, sorted."""
        found = {}
        for path in self.root.glob(f"partial/*{_WANTED}"):
            with contextlib.suppress(OSError):
                body = files.read_json(path) or {}
                name = str(body.get("name", path.name))
                found[name] = (path.stat().st_mtime, frozenset(map(str, body.get("sha256", ()))))
        return dict(sorted(found.items()))

    def forget_wanted(self, before_s: float) -> None:
        """Downloads that were begun before this time are given up."""
        for path in self.root.glob(f"partial/*{_WANTED}"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < before_s:
                    path.unlink()

    def _wanted_path(self, name: str) -> Path:
        key = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
        return self.root / "partial" / f"{key}{_WANTED}"

    # In and out

    def adopt(self, file: Path, sha256: str, marks: bytes, *, replace: bool = False) -> Path:
        """Give a file its final name, which is returned. The caller has verified and synced it.

        The same content that is there already stays, so that links to it stay links to one file; damaged since, or with
        `replace`, it goes.
        """
        target = self.path(sha256)
        with files.explain_os_errors(target):
            files.make_directory(target.parent)
            if not replace and _same_bytes(file, target):
                file.unlink()
                return target
            self.keep_marks(sha256, marks)
            file.chmod(0o644)  # a container may run under another uid: it must be able to read it
            file.replace(target)
            files.sync(target.parent)
        return target

    def keep_marks(self, sha256: str, marks: bytes) -> None:
        """Write the marks of a content down."""
        if marks:
            with files.atomic_write(self._marks_path(sha256)) as stream:
                stream.write(marks)

    def remove(self, sha256: str) -> None:
        """Remove a content. The caller has `sole_use`."""
        self.path(sha256).unlink(missing_ok=True)
        self._marks_path(sha256).unlink(missing_ok=True)

    def link(self, sha256: str, target: Path, *, symbolic: bool = True) -> Linked:
        """Let `target`, which is not there yet, have the content; how it was done.

        A symbolic link is relative to the folder of `target`: it stays right where that folder is renamed in place. It
        is for models of the store only: `gc` knows no others.
        """
        source = self.path(sha256)
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in (*_NO_HARD_LINK, errno.EMLINK):
                raise
            if symbolic and error.errno != errno.EMLINK and _symlink(source, target):
                return Linked.SYMBOLIC
        else:
            return Linked.HARD
        files.copy_file(source, target)
        target.chmod(0o644)
        files.sync(target)
        return Linked.COPY

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """A new empty part for this process alone, locked against `gc`; nothing of it stays under this name."""
        part = self.part(f"{key}-{os.getpid()}-{secrets.token_hex(6)}")
        with files.hold_lock(part):
            try:
                yield part
            finally:
                part.unlink(missing_ok=True)

    def copy_in(
        self,
        source: Path,
        *,
        link: bool = False,
        expected_sha256: str | None = None,
        expected_size: int | None = None,
    ) -> tuple[str, int]:
        """Take a file in, hashed on the way; its sha256 and size. With `link` the two are one file from then on.

        Raises IntegrityError when it is not what was expected.
        """
        with self.writing("copy") as part, files.explain_write_errors(part):
            digest = Digest()
            if link and _hard_link_over(source, part):
                with part.open("rb", buffering=0) as stream:
                    digest_stream(stream, digest)
            else:
                _copy(source, part, digest)
            sha256 = digest.hexdigest()
            if expected_size not in (None, digest.size) or expected_sha256 not in (None, sha256):
                raise IntegrityError(
                    "storage.other_content",
                    path=source,
                    wanted=expected_sha256 or f"{expected_size} bytes",
                    found=f"{sha256} ({digest.size:,} bytes)",
                )
            files.sync(part)
            self.adopt(part, sha256, digest.marks)
        return sha256, digest.size


def _same_bytes(file: Path, other: Path) -> bool:
    """Read both: what lies there since long may have gone bad, and whoever gets a link would get that."""
    try:
        return filecmp.cmp(file, other, shallow=False)
    except OSError:
        return False


def _symlink(source: Path, target: Path) -> bool:
    try:
        target.symlink_to(os.path.relpath(source.resolve(), target.parent.resolve()))
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return False
    return True


def _hard_link_over(source: Path, target: Path) -> bool:
    """Make `target` another name of the file itself, not of a link that leads to it."""
    temporary = target.with_suffix(".link")
    try:
        os.link(source.resolve(), temporary)
    except OSError as error:
        if error.errno not in (*_NO_LINK, errno.EMLINK):
            raise
        return False
    temporary.replace(target)
    return True


def _copy(source: Path, target: Path, digest: Digest) -> None:
    with source.open("rb", buffering=0) as reading, target.open("r+b", buffering=0) as writing:
        if files.clone(reading, writing):
            # What was taken in is hashed, not what lies at the source by now.
            digest_stream(writing, digest)
        else:
            digest_stream(reading, digest, writing)
