"""One file: what is asked for, what is made of the answers, and the verdict over the bytes on disk."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.errors import IncompleteError, IntegrityError
from selfhost.messages import text
from selfhost.weights.move.answers import Body, Wanted
from selfhost.weights.move.part import Part, PartLock
from selfhost.weights.move.retry import ChangedError, TroubleError
from selfhost.weights.move.stream import Line, Source, stream
from selfhost.weights.move.types import Moved, Progress, Transfer

if TYPE_CHECKING:
    from collections.abc import Callable

# Bytes that a killed process may have written and not listed, over all files; half of what a resumed call may waste,
# for what was on its way is lost as well.
_UNLISTED_BYTES = 32 << 20
_LEAST_JOURNAL_BYTES = 1 << 20
_UNKNOWN_END = 1 << 62
_DOUBTS = 2


class Ranges(StrEnum):
    """Whether the server takes range requests."""

    UNKNOWN = "unknown"
    """Until the first answer one range only is asked for."""
    YES = "yes"
    NO = "no"


class FileMove:
    """The way of one file from its source to a verified part."""

    def __init__(self, transfer: Transfer, line: Line, progress: Progress) -> None:
        self.transfer = transfer
        self.line = line
        self.progress = progress
        options = line.options
        unlisted = max(_LEAST_JOURNAL_BYTES, _UNLISTED_BYTES // max(1, options.connections))
        self.part = Part(transfer, unlisted)
        self.lock = PartLock(transfer.part)
        self.source = Source(transfer.path, transfer.address, line)
        self.guard = threading.RLock()
        self.ranges = Ranges.UNKNOWN
        self.pending: deque[tuple[int, int]] = deque()
        self.downloaded = 0
        self.begun_again = False
        self.doubts = _DOUBTS
        self.condemned = False
        """Nothing of it is of use: it is removed once no thread works on it."""

    def note(self, line: str) -> None:
        """Tell users one line about this file."""
        self.progress.note(self.transfer.path, line)

    def open(self) -> None:
        """Take up what is left from before; the lock is held."""
        if not self.part.open():
            self.note(text("move.note_left"))
        self.progress.started(self.transfer.path, self.part.size, self.part.done.total)
        self.plan()

    def plan(self) -> None:
        """List the ranges that are missing."""
        with self.guard:
            size, step = self.part.size, self.line.options.range_bytes
            # Without a size, the first answer tells it.
            self.pending = deque([(0, step)] if size is None else self.part.done.pieces(size, step))

    def fetch(self) -> None:
        """Move the next range that nobody has taken; returns as well when the file was begun again meanwhile."""
        with self.guard:
            if not self.pending:
                return
            taken = _Taken(self, self.pending.popleft())
        try:
            with contextlib.closing(stream(self.source, taken, self.line)) as views:
                for view in views:
                    self.line.halt.check()
                    if not self.part.write(taken.generation, taken.begin, view):
                        return
                    taken.begin += len(view)
                    with self.guard:
                        self.downloaded += len(view)
                    self.progress.moved(self.transfer.path, len(view))
        except ChangedError:
            self.changed(taken.generation)
            return
        self.part.follow(self.line.halt.check, self.line.buffer())
        # The disk writes while others download; else all of it would be waited for at the end, deaf to Ctrl-C.
        self.part.flush()

    def changed(self, generation: int) -> None:
        """The file at the other end is another one: begin again, once, when a digest decides in the end."""
        if generation != self.part.generation:
            return
        if not self.transfer.promised:
            self.condemned = True
            raise IncompleteError("move.changed", path=self.transfer.path)
        self.begin_again(generation, text("move.note_changed"))

    def begin_again(self, generation: int, why: str) -> None:
        """Start from the first byte."""
        with self.guard:
            lost = self.part.begin_again(generation)
            if lost is None:
                return
            self.begun_again = True
            self.plan()
        self.note(why)
        self.progress.lost(self.transfer.path, lost)

    def learn(self, body: Body, taken: _Taken) -> bool:
        """Take what an answer says of the file. Says whether the bytes that come can be resumed."""
        part = self.part
        with self.guard:
            if taken.generation != part.generation:
                raise ChangedError
            if body.whole and (self.ranges is Ranges.YES or self._doubts_whole()):
                raise TroubleError(text("move.no_partial"))
            self.ranges = Ranges.NO if body.whole else Ranges.YES
            # After a new beginning the digest alone decides: many servers may answer, with tags of their own.
            part.etag = part.etag or (None if self.begun_again else body.etag)
            if body.whole:
                self._take_whole(body, taken)
            elif not part.resumable:
                self._take_ranges(taken)
            if part.size is None:
                self._size_is(body, taken)
        return not body.whole

    def _doubts_whole(self) -> bool:
        """Whether to ask once more before what is there is thrown away: one of several servers may know no ranges."""
        if self.ranges is Ranges.UNKNOWN and self.part.done.total and self.doubts > 0:
            self.doubts -= 1
            return True
        return False

    def _take_ranges(self, taken: _Taken) -> None:
        """A server that sent whole files takes ranges now: begin with the first one."""
        self.part.resumable = True
        etag, lost = self.part.etag, self.part.begin_again(taken.generation)
        self.progress.lost(self.transfer.path, lost or 0)
        self.plan()
        self.part.etag, taken.generation = etag, self.part.generation
        taken.begin, taken.end = self.pending.popleft()

    def _take_whole(self, body: Body, taken: _Taken) -> None:
        part = self.part
        if body.length is None and self.transfer.sha256 is None and part.size is None:
            raise IncompleteError("move.no_length", path=self.transfer.path)
        if part.resumable:
            part.resumable = False
            if part.size is None or part.size > self.line.options.range_bytes:
                self.note(text("move.note_no_ranges"))
        etag = part.etag
        lost = part.begin_again(part.generation)
        if lost:
            self.progress.lost(self.transfer.path, lost)
        self.pending.clear()
        part.etag, taken.generation = etag, part.generation
        part.size = body.total if part.size is None else part.size
        taken.begin, taken.end = 0, _UNKNOWN_END if part.size is None else part.size

    def _size_is(self, body: Body, taken: _Taken) -> None:
        """The first answer tells how large the file is; one without end says nothing yet."""
        if body.whole:
            return
        if body.total is None:
            raise IncompleteError("move.no_length", path=self.transfer.path)
        self.part.size = body.total
        step = self.line.options.range_bytes
        self.pending = deque((begin, end) for begin, end in self.part.done.pieces(body.total, step) if begin > 0)
        taken.end = min(taken.end, body.total)

    def verdict(self) -> Moved | None:
        """Check all bytes and sync them; None when the file is begun again.

        Raises IntegrityError when it was fetched twice and is wrong; then nothing of it stays.
        """
        part, transfer = self.part, self.transfer
        part.follow(self.line.halt.check, self.line.buffer(), wait=True)
        found, wanted = part.digest.hexdigest(), transfer.sha256
        if wanted is None and transfer.git_sha1 is not None:
            found, wanted = self._git_sha1(), transfer.git_sha1
        if wanted is not None and found != wanted.lower():
            if self.begun_again:
                self.condemned = True
                raise IntegrityError("move.digest", path=transfer.path, wanted=wanted, found=found)
            self.begin_again(part.generation, text("move.note_mismatch", wanted=wanted, found=found))
            return None
        part.sync()
        self.line.halt.check()
        return Moved(
            path=transfer.path,
            size=part.digest.size,
            sha256=part.digest.hexdigest(),
            marks=part.digest.marks,
            downloaded_bytes=self.downloaded,
        )

    def _git_sha1(self) -> str:
        digest = hashlib.sha1(b"blob %d\0" % self.part.digest.size, usedforsecurity=False)
        for data in self.part.read():
            self.line.halt.check()
            digest.update(data)
        return digest.hexdigest()

    def hand_over(self, moved: Moved | None, on_moved: Callable[[Transfer, Moved | None], None]) -> None:
        """Tell the caller while the lock is held, then clear away what was needed to get here."""
        self.part.close()
        on_moved(self.transfer, moved)
        # Where the caller left the verified bytes in place, they stay.
        self.part.remove(keep_bytes=moved is not None)
        self.lock.release(remove=True)
        self.progress.done(self.transfer.path)

    def close(self) -> None:
        """Leave everything so that it can be resumed; no thread works on it any more."""
        if not self.lock.held:
            return
        useless = self.condemned or not self.part.resumable or self.part.done.total == 0
        try:
            if useless:
                self.part.remove()
            self.part.save()
        finally:
            self.part.close()
            self.lock.release(remove=useless)


class _Taken:
    """One range as a thread moves it; meets `stream.Reader`."""

    def __init__(self, file: FileMove, piece: tuple[int, int]) -> None:
        self._file = file
        self.begin, self.end = piece
        self.generation = file.part.generation

    def wanted(self) -> Wanted | None:
        if self.begin >= self.end or self.generation != self._file.part.generation:
            return None
        part, step = self._file.part, self._file.line.options.range_bytes
        whole = not part.resumable
        return Wanted(
            path=self._file.transfer.path,
            # A server without ranges gives everything again.
            begin=0 if whole else self.begin,
            end=min(self.end, step) if whole else self.end,
            size=part.size,
            etag=part.etag,
        )

    def accept(self, body: Body) -> bool:
        return self._file.learn(body, self)

    def note(self, line: str) -> None:
        self._file.note(line)

    def ended(self) -> None:
        part = self._file.part
        if part.size is None:
            part.size = self.begin
        if self.begin != part.size:
            raise TroubleError(text("move.cut", missing=part.size - self.begin))
        self.end = self.begin
