"""Files written so that a final name means complete: temporary name, fsync, rename; locks that die with their owner."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from selfhost.errors import MissingError, NoSpaceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_BYTES = 1 << 20
_NOT_WRITABLE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST),
    *(errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
)
_FICLONE = 0x40049409
"""Of linux/fs.h: two files share their blocks until one of them is written to (btrfs, XFS)."""


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn `PermissionError`, a file in the way, a read-only or a full file system into errors that say what to do."""
    try:
        yield
    except OSError as error:
        beside = Path(str(error.filename or path))
        where = path if beside.name.startswith(f".{path.name}.") else beside  # not the temporary file of `atomic_write`
        if error.errno in _NOT_WRITABLE:
            raise MissingError("cli.not_writable", path=where, detail=error.strerror, user=_user()) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpaceError("cli.no_space", path=where, detail=error.strerror) from error
        raise


@contextlib.contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """As `explain_os_errors`, for a large file in the store: a limit to the size of files is a lack of space, too."""
    try:
        with explain_os_errors(path):
            yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise NoSpaceError("move.too_large", path=path, detail=error.strerror) from error
        raise


def _user() -> str:
    # A container may run under a uid without a passwd entry.
    try:
        return f"{getpass.getuser()} (uid {os.getuid()})"
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def make_directory(path: Path, mode: int = 0o755) -> Path:
    """Create `path` and its parents; raises MissingError when it cannot be written."""
    try:
        with explain_os_errors(path):
            path.mkdir(parents=True, exist_ok=True, mode=mode)
    except FileNotFoundError as error:
        # Parents are made too: only a file system that takes no directories (/proc, /sys) says this.
        raise MissingError("cli.not_writable", path=path, detail=error.strerror, user=_user()) from error
    return path


@contextlib.contextmanager
def atomic_write(path: Path, mode: int = 0o644, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; on success it is synced and takes the name, else it is removed.

    Without `sync` it can be empty after a loss of power: for what such a loss makes obsolete anyway.
    """
    with explain_os_errors(path):
        try:
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        except FileNotFoundError as error:
            if not path.parent.is_dir():
                raise
            # A folder that takes no files: /proc, /sys, or one that was removed while this process stands in it.
            raise MissingError("cli.not_writable", path=path, detail=error.strerror, user=_user()) from error
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                if sync:
                    os.fsync(stream.fileno())
            Path(temporary).chmod(mode)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def write_json(path: Path, value: object, mode: int = 0o644, *, sync: bool = True) -> None:
    """Write one JSON object atomically, sorted and indented; for `sync` see `atomic_write`."""
    with atomic_write(path, mode, sync=sync) as stream:
        stream.write(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None when the file is absent or is not a JSON object."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def sha256_file(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def hold_lock(path: Path, *, blocking: bool = True, shared: bool = False) -> Iterator[bool]:
    """Hold a `flock` on `path` (created when absent), exclusive or shared with others; yields whether it was got.

    The kernel releases it when the owner dies, so there is no stale lock to clean up.
    """
    make_directory(path.parent)
    with explain_os_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(descriptor, kind | (0 if blocking else fcntl.LOCK_NB))
            got = True
        except BlockingIOError:
            got = False
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise MissingError("move.no_locks", path=path, detail=error.strerror) from error
            raise
        yield got
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Have a file or a folder on the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot for a folder; they have done it by then, or never will.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def clone(source: IO[bytes], target: IO[bytes]) -> bool:
    """Let an empty file share the blocks of another: no bytes move; False where the file system cannot."""
    try:
        fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
    except OSError:
        return False
    return True


def copy_file(source: Path, target: Path) -> None:
    """Write the bytes of `source` to `target`: by sharing blocks, by a copy in the kernel, or plainly."""
    with source.open("rb") as reading, target.open("wb") as writing:
        if clone(reading, writing):
            return
        with contextlib.suppress(OSError):
            # 0 is the end, or a file system that does not do it; whatever is left is for the plain copy.
            while os.copy_file_range(reading.fileno(), writing.fileno(), 1 << 30):
                pass
        shutil.copyfileobj(reading, writing, _CHUNK_BYTES)


def existing(path: Path) -> Path:
    """A path, all links followed, or its nearest parent that is there."""
    path = Path(os.path.realpath(path))
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Free bytes for this user on the file system that holds `path` or its nearest existing parent."""
    info = os.statvfs(existing(path))
    return info.f_bavail * info.f_frsize
