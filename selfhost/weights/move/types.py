"""What is to be moved, what became of it, and how progress is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from selfhost.weights.remote import Address


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """One file to move; None is what is not known before."""

    path: str
    """As users know it."""
    part: Path
    """`<key>.part`; the journal lies beside it as `<key>.json`, the lock as `<key>.lock`."""
    size: int | None
    """Bytes."""
    sha256: str | None
    git_sha1: str | None
    address: Callable[[], Address]
    """Asked first, and again when what it gave has expired."""
    present: Callable[[], bool]
    """Asked once the lock is held: whether another process has finished the file meanwhile."""

    @property
    def promised(self) -> bool:
        """Whether a digest decides in the end."""
        return self.sha256 is not None or self.git_sha1 is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """A file that lies complete, verified and synced under the name of its part."""

    path: str
    size: int
    """Bytes."""
    sha256: str
    marks: bytes
    """See `weights.digest`."""
    downloaded_bytes: int
    """By this call; what an earlier one left does not count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MoveOptions:
    """How to move; the same for all files of a call."""

    connections: int = 8
    """At a time, over all files."""
    limit_bytes_per_s: int | None = None
    """All connections together."""
    stall_s: float = 30.0
    """A connection that sends nothing for so long is given up."""
    connect_s: float = 10.0
    attempts: int = 8
    """In a row without a byte of progress, per range."""
    range_bytes: int = 64 << 20
    """Most bytes of one request."""
    backoff_s: float = 1.0
    """Longest pause after the first failure; doubles with each one up to `backoff_max_s`."""
    backoff_max_s: float = 60.0
    retry_after_max_s: float = 300.0
    """A server that asks for a longer pause is asked again after this one."""


class Progress(Protocol):
    """Who is told what happens; called from several threads at a time."""

    def started(self, path: str, size: int | None, have: int) -> None:
        """A file is begun; `have` bytes are left from before."""
        ...

    def moved(self, path: str, n_bytes: int) -> None:
        """More bytes were written."""
        ...

    def lost(self, path: str, n_bytes: int) -> None:
        """Bytes that were told of are to be fetched again."""
        ...

    def note(self, path: str, text: str) -> None:
        """One line for users: what went wrong and is tried again, what is waited for."""
        ...

    def done(self, path: str) -> None:
        """A file is complete and was handed over."""
        ...
