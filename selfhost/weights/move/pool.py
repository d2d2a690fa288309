"""The threads that move files: `move_all` for many, `fetch_range` for one piece."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.errors import IncompleteError, SelfhostError
from selfhost.messages import text
from selfhost.weights.move.answers import Body, Wanted
from selfhost.weights.move.file import FileMove, Ranges
from selfhost.weights.move.halt import StoppedError
from selfhost.weights.move.retry import TroubleError
from selfhost.weights.move.stream import Line, Source, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from selfhost.weights.move.types import Moved, MoveOptions, Progress, Transfer
    from selfhost.weights.remote import Address

_POLL_S = 0.1
_TRY_LOCK_S = 0.3


def move_all(
    transfers: Sequence[Transfer],
    options: MoveOptions,
    progress: Progress,
    on_moved: Callable[[Transfer, Moved | None], None],
) -> None:
    """Move all files; `on_moved` is called in a thread, for one file at a time, while the lock on the part is held.

    It takes the part away (None: `present` said that there is nothing to do). The first failure stops everything in a
    state that can be resumed, and is raised: IntegrityError, IncompleteError, MissingError, NoSpaceError, or what a
    function of the caller raised. After the return no thread writes. Ctrl-C takes effect within a second.
    """
    _Pool(transfers, options, progress, on_moved).run()


class _State(StrEnum):
    NEW = "new"
    ELSEWHERE = "another process moves it"
    OPEN = "open"
    BUSY = "one thread has it for itself"
    DONE = "done"


class _Item:
    """A file and who works on it; guarded by the pool's condition."""

    def __init__(self, file: FileMove) -> None:
        self.file = file
        self.state = _State.NEW
        self.active = 0
        self.try_at = 0.0

    def has_work(self) -> bool:
        """Whether one more thread may take a range."""
        alone = self.active == 0
        return self.state is _State.OPEN and bool(self.file.pending) and (alone or self.file.ranges is Ranges.YES)


class _Pool:
    def __init__(
        self,
        transfers: Sequence[Transfer],
        options: MoveOptions,
        progress: Progress,
        on_moved: Callable[[Transfer, Moved | None], None],
    ) -> None:
        self._line = Line(options)
        self._on_moved = on_moved
        self._items = [_Item(FileMove(transfer, self._line, progress)) for transfer in transfers]
        self._same_part = Counter(transfer.part for transfer in transfers)
        self._changed = threading.Condition()
        self._handing = threading.Lock()
        self._errors: list[BaseException] = []

    def run(self) -> None:
        threads = [
            # Daemons: one that waits for a name server does not keep the process from ending. It writes nothing.
            threading.Thread(target=self._work, name=f"move-{number}", daemon=True)
            for number in range(max(1, self._line.options.connections) if self._items else 0)
        ]
        try:
            for thread in threads:
                thread.start()
            with self._changed:
                while not self._errors and any(item.state is not _State.DONE for item in self._items):
                    self._changed.wait()
        finally:
            self._line.halt.set()
            with self._changed:
                self._changed.notify_all()
            self._line.halt.join(threads)
            for item in self._items:
                # The disk may be full: what the journal has is then what is resumed.
                with contextlib.suppress(SelfhostError, OSError):
                    item.file.close()
            self._line.client.close()
        if self._errors:
            raise self._errors[0]

    def _work(self) -> None:
        try:
            while (item := self._next()) is not None:
                if item.state is _State.BUSY:
                    self._begin(item)
                else:
                    self._fetch(item)
        except StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that called
            with self._changed:
                self._errors.append(error)
                self._changed.notify_all()
            self._line.halt.set()

    def _next(self) -> _Item | None:
        """What this thread does next: a file that nobody works on, one that is not begun, a range more of another."""
        with self._changed:
            while True:
                self._line.halt.check()
                if all(item.state is _State.DONE for item in self._items):
                    return None
                if item := self._choose():
                    if item.state is _State.OPEN:
                        item.active += 1
                    else:
                        item.state = _State.BUSY
                    return item
                self._changed.wait(_POLL_S)

    def _choose(self) -> _Item | None:
        now = time.monotonic()
        # One stream per file is hashed as it comes: files side by side before ranges side by side.
        for item in self._items:
            if item.active == 0 and item.has_work():
                return item
        for item in self._items:
            if item.state is _State.NEW or (item.state is _State.ELSEWHERE and now >= item.try_at):
                return item
        return min((item for item in self._items if item.has_work()), key=lambda item: item.active, default=None)

    def _put(self, item: _Item, state: _State) -> None:
        with self._changed:
            item.state = state
            self._changed.notify_all()

    def _begin(self, item: _Item) -> None:
        file = item.file
        if not file.lock.acquire():
            if item.try_at == 0.0 and self._same_part[file.transfer.part] == 1:
                file.note(text("move.note_waiting"))
            item.try_at = time.monotonic() + _TRY_LOCK_S
            self._put(item, _State.ELSEWHERE)
            return
        if file.transfer.present():
            self._hand_over(item, None)
            return
        file.open()
        self._settle(item)

    def _fetch(self, item: _Item) -> None:
        try:
            item.file.fetch()
        finally:
            with self._changed:
                item.active -= 1
                last = item.active == 0 and not item.file.pending
                if last:
                    item.state = _State.BUSY
                self._changed.notify_all()
        if last:
            self._settle(item)

    def _settle(self, item: _Item) -> None:
        """One thread alone: the file is whole, or goes on."""
        file = item.file
        if file.part.missing == 0:
            moved = file.verdict()
            if moved is not None:
                self._hand_over(item, moved)
                return
        elif not file.pending:
            file.plan()
        self._put(item, _State.OPEN)

    def _hand_over(self, item: _Item, moved: Moved | None) -> None:
        with self._handing:
            self._line.halt.check()
            item.file.hand_over(moved, self._on_moved)
        self._put(item, _State.DONE)


def fetch_range(
    address: Callable[[], Address], begin: int, end: int, options: MoveOptions, path: str = ""
) -> Iterator[bytes]:
    """The bytes [begin, end) of a file, with all retries; `path` is for messages.

    Raises what `move_all` raises; IncompleteError as well when the server takes no ranges.
    """
    line = Line(options)
    name = path or text("move.unnamed", begin=begin, end=end - 1)
    try:
        reader = _Piece(name, begin, end)
        with contextlib.closing(stream(Source(name, address, line), reader, line)) as views:
            for view in views:
                reader.begin += len(view)
                yield bytes(view)
    finally:
        line.client.close()


class _Piece:
    """A range that nobody keeps; meets `stream.Reader`."""

    def __init__(self, path: str, begin: int, end: int) -> None:
        self.path = path
        self.begin, self.end = begin, end
        self.etag: str | None = None

    def wanted(self) -> Wanted | None:
        if self.begin >= self.end:
            return None
        return Wanted(path=self.path, begin=self.begin, end=self.end, size=None, etag=self.etag)

    def accept(self, body: Body) -> bool:
        if body.whole:
            raise TroubleError(text("move.no_partial"), final=IncompleteError("move.no_ranges", path=self.path))
        self.etag = self.etag or body.etag
        return True

    def note(self, line: str) -> None:
        """Nobody is told: the caller sees the bytes, or the error."""

    def ended(self) -> None:
        """Ranges have a length."""
