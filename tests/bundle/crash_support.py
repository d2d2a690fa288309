"""A disk that stops taking changes at one point, as when power goes; and a process that is killed there.

Every call that may change a disk is a point: opening a file that is new or is written to, each write to it (of which
half arrives), and those in `CALLS`. From the point on nothing changes the disk any more, whatever cleans up on the way
out.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import fcntl
import io
import os
import shutil
import signal
import threading
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALLS = (
    *("fsync", "replace", "rename", "link", "symlink", "unlink", "remove", "mkdir", "rmdir", "chmod", "utime"),
    *("truncate", "ftruncate", "posix_fallocate", "copy_file_range", "write"),
)
FICLONE = 0x40049409
_DIGEST_CHARACTERS = 64


class Crash(BaseException):
    """Nothing catches this to go on."""


class Disk:
    """Counts points; from the one of number `at` on, none happens. at=0: all happen."""

    def __init__(self, at: int = 0, *, kill: bool = False) -> None:
        self.at, self.kill = at, kill
        self.count = 0
        self.kinds: Counter[str] = Counter()
        self.written: set[str] = set()
        """Files that power would take bytes from if it went now."""
        self.early: list[str] = []
        """Contents and pieces among those that got their names."""
        self._lock = threading.Lock()

    def named(self, source, target) -> None:
        """A content or a piece of one gets its name, which means that it is complete, and is not on the disk."""
        path = Path(os.fspath(target))
        is_content = _DIGEST_CHARACTERS in (len(path.name), len(path.parent.name))
        if is_content and os.path.realpath(source) in self.written:
            self.early.append(str(path))

    def point(self, kind: str, half: Callable[[], object] = lambda: None) -> None:
        """Raises Crash, or kills this process; `half` is what arrives of what was going on."""
        with self._lock:
            self.count += 1
            self.kinds[kind] += 1
            if not self.at or self.count < self.at:
                return
            if self.count == self.at:
                half()
        if self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        raise Crash


class _Written:
    """A file that is written to."""

    def __init__(self, stream, disk: Disk) -> None:
        self._stream, self._disk = stream, disk
        disk.written.add(os.path.realpath(f"/proc/self/fd/{stream.fileno()}"))

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __enter__(self):
        self._stream.__enter__()
        return self

    def __exit__(self, *about):
        return self._stream.__exit__(*about)

    def __iter__(self):
        return iter(self._stream)

    def write(self, data):
        def half():
            self._stream.write(data[: len(data) // 2])
            self._stream.flush()

        self._disk.point("write", half)
        return self._stream.write(data)


class _Calls:
    """Calls of the system by way of a disk."""

    def __init__(self, disk: Disk, *, clones: bool) -> None:
        self._disk, self._clones = disk, clones
        self.kept = {name: getattr(os, name) for name in (*CALLS, "open")}
        self.opened, self.control = io.open, fcntl.ioctl

    def guarded(self, name: str):
        def call(*args, **options):
            self._disk.point(name)
            if name == "fsync":
                self._disk.written.discard(os.path.realpath(f"/proc/self/fd/{args[0]}"))
            elif name in ("replace", "rename", "link"):
                self._disk.named(*args[:2])
            return self.kept[name](*args, **options)

        return call

    def os_open(self, path, flags, *args, **options):
        if flags & (os.O_CREAT | os.O_TRUNC):
            self._disk.point("open")
        return self.kept["open"](path, flags, *args, **options)

    def io_open(self, file, mode="r", *args, **options):
        if not set(mode) & set("wax+"):
            return self.opened(file, mode, *args, **options)
        if not isinstance(file, int):
            self._disk.point("open")
        return _Written(self.opened(file, mode, *args, **options), self._disk)

    def ioctl(self, descriptor, request, source=0, *rest):
        if request != FICLONE:
            return self.control(descriptor, request, source, *rest)
        self._disk.point("ioctl")
        if not self._clones:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        os.pwrite(descriptor, os.pread(source, os.fstat(source).st_size, 0), 0)
        return 0


@contextlib.contextmanager
def failing(disk: Disk, *, clones: bool = False) -> Iterator[Disk]:
    """Calls go by way of the disk. clones: as on a file system that can share blocks."""
    calls = _Calls(disk, clones=clones)
    try:
        for name in CALLS:
            setattr(os, name, calls.guarded(name))
        os.open, fcntl.ioctl = calls.os_open, calls.ioctl
        io.open = builtins.open = calls.io_open
        yield disk
    finally:
        for name, call in calls.kept.items():
            setattr(os, name, call)
        io.open = builtins.open = calls.opened
        fcntl.ioctl = calls.control


def crashed(work: Callable[[], object], at: int, **how) -> bool:
    """Work until the point of that number; False when there are not so many."""
    with failing(Disk(at), **how):
        try:
            work()
        except Crash:
            return True
    return False


def killed(work: Callable[[], object], at: int, **how) -> bool:
    """As `crashed`, in a process that SIGKILL ends there."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with failing(Disk(at, kill=True), **how):
                work()
            code = 0
        except BaseException:  # noqa: BLE001 - nothing of the tests goes on in the child
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def points(work: Callable[[], object], **how) -> Counter[str]:
    """How many points there are when nothing fails, by kind."""
    with failing(Disk(), **how) as disk:
        work()
    assert disk.early == [], "a name before the bytes are on the disk"
    return disk.kinds


def emptied(folder):
    """The folder, with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
