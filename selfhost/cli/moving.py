"""How far a download is: one line for the whole and one for each file on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from selfhost.cli import output
from selfhost.cli.output import text
from selfhost.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from selfhost.weights.move.types import Progress

_PLAIN_EVERY_S = 10.0
_FILES_SHOWN = 8
_MIN_NAME, _NAME_WIDTH = 12, 36
_MIN_BAR, _MAX_BAR = 8, 30
_WINDOW_S = 10.0
"""The rate is that of the last seconds: a connection that came back shows at once."""


class Meter:
    """Bytes that have moved, of how many, how fast. May be called from several threads."""

    def __init__(
        self, sizes: Mapping[str, int | None], have_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sizes = dict(sizes)
        self._other_bytes = have_bytes
        self._moved: dict[str, int] = {}
        self._done: set[str] = set()
        self._recent: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._moved_at = clock()
        self._in_all = 0

    def started(self, path: str, size: int | None, have: int) -> None:
        """A file begins, with what an earlier run left of it."""
        with self._lock:
            self._sizes[path] = size if size is not None else self._sizes.get(path)
            self._moved[path] = have

    def moved(self, path: str, n_bytes: int) -> None:
        """So many bytes more."""
        with self._lock:
            self._moved[path] = self._moved.get(path, 0) + n_bytes
            self._in_all += n_bytes
            now = self._moved_at = self._clock()
            if now - self._recent[-1][0] > _WINDOW_S / 20:
                self._recent.append((now, self._in_all))
            while now - self._recent[0][0] > _WINDOW_S and len(self._recent) > 1:
                self._recent.popleft()

    def lost(self, path: str, n_bytes: int) -> None:
        """So many are to be fetched again."""
        with self._lock:
            self._moved[path] = max(self._moved.get(path, 0) - n_bytes, 0)

    def done(self, path: str) -> None:
        """A file is whole."""
        with self._lock:
            self._done.add(path)
            self._moved[path] = self._sizes[path] = self._sizes.get(path) or self._moved.get(path, 0)

    def line(self) -> str:
        """`3 of 20 files, 1.2 GiB of 8.0 GiB (15 %), 210.0 MiB/s, 33 s left`; what is not known is left out."""
        with self._lock:
            have = self._other_bytes + sum(self._moved.values())
            sizes = [size for size in self._sizes.values() if size is not None]
            total = self._other_bytes + sum(sizes) if len(sizes) == len(self._sizes) else None
            rate = self._rate()
            files = text("pull.files_done", done=len(self._done), count=len(self._sizes))
        parts = [files, _bytes_line(have, total)]
        if rate > 0:
            parts.append(f"{format_bytes(rate)}/s")
            if total is not None and total > have:
                parts.append(text("pull.time_left", time=format_duration((total - have) / rate)))
        return ", ".join(parts)

    def _rate(self) -> float:
        """Bytes per second of late; 0 once nothing has come for as long as that is."""
        now = self._clock()
        began, before = self._recent[0]
        if now <= began or now - self._moved_at > _WINDOW_S:
            return 0.0
        return (self._in_all - before) / (now - began)

    def files(self) -> list[tuple[str, int, int | None]]:
        """Those under way: path, bytes, size."""
        with self._lock:
            return [(p, n, self._sizes.get(p)) for p, n in sorted(self._moved.items()) if p not in self._done]


def _bytes_line(have: int, total: int | None) -> str:
    if total is None:
        return format_bytes(have)
    told = {"have": format_bytes(have), "total": format_bytes(total), "percent": _percent(have, total)}
    return text("pull.bytes_done", **told)


def _percent(have: int, total: int) -> int:
    return min(100 * have // total, 100) if total else 100


class _Said:
    """A meter's progress protocol: what is told of a file is said at once."""

    def __init__(self, meter: Meter, say: Callable[[str], None]) -> None:
        self.started, self.moved, self.lost, self.done = meter.started, meter.moved, meter.lost, meter.done
        self._say = say

    def note(self, path: str, line: str) -> None:
        """Something that users should know: what is tried again, what is waited for."""
        self._say(f"{path}: {line}")


class Terminal:
    """Who is at the other end of a pull: a terminal, a log, or (`quiet`) nobody."""

    def __init__(self, *, quiet: bool = False, before: Callable[[], object] = lambda: None) -> None:
        """before: called before anything is printed, for a line that has to go first."""
        self._quiet = quiet
        self._before = before

    def note(self, line: str) -> None:
        """Tell something; nothing when quiet."""
        if not self._quiet:
            self._before()
            output.note(line)

    def warn(self, line: str) -> None:
        """A warning, also when quiet."""
        self._before()
        output.warn(line)

    def agrees(self, question: str) -> bool | None:
        """Ask on the terminal; None without one."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return None
        self._before()
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @contextlib.contextmanager
    def moving(self, sizes: Mapping[str, int | None], have_bytes: int) -> Iterator[Progress]:
        """Show files as they come; on a terminal as lines that are redrawn, else as a line now and then."""
        meter = Meter(sizes, have_bytes)
        self._before()
        if self._quiet:
            yield _Said(meter, lambda _line: None)
        elif output.is_terminal():
            with _drawn(meter) as say:
                yield _Said(meter, say)
        else:
            with _told(meter):
                yield _Said(meter, output.note)


@contextlib.contextmanager
def _told(meter: Meter) -> Iterator[None]:
    """A plain line every few seconds, also while nothing moves, and one at the end."""
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(_PLAIN_EVERY_S):
            output.note(meter.line())

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
        output.note(meter.line())
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _drawn(meter: Meter) -> Iterator[Callable[[str], None]]:
    """Yields what prints a line above the drawing."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, highlight=False)

    def draw() -> Text:
        lines = [_file_line(*file, console.width) for file in meter.files()[:_FILES_SHOWN]]
        return Text("\n".join([*lines, meter.line()]), no_wrap=True, overflow="crop")

    with Live(console=console, get_renderable=draw, refresh_per_second=5, transient=True):
        yield lambda line: console.print(Text(line))
    output.note(meter.line())


def _file_line(path: str, have: int, size: int | None, width: int) -> str:
    """`model-00001-of-00004.safetensors  [#####     ]  1.2 of 4.9 GiB`."""
    told = _bytes_line(have, size)
    # On a narrow terminal the name gives way: what is cut off would be the figures.
    name_width = max(_MIN_NAME, min(_NAME_WIDTH, width - len(told) - 2))
    name = path if len(path) <= name_width else f"...{path[3 - name_width :]}"
    room = width - name_width - len(told) - 6
    bar = ""
    if room >= _MIN_BAR and size:
        filled = min(room, _MAX_BAR) * min(have, size) // size
        bar = f"[{'#' * filled:<{min(room, _MAX_BAR)}}]"
    return f"{name:<{name_width}} {bar} {told}"
