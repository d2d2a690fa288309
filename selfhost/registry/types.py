"""What goes to a registry and comes from it, and how it is told. Values only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from selfhost.records import dataclass
from selfhost.weights.move.types import MoveOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_MANIFEST_BYTES = 4 << 20
"""As the distribution specification has it."""
MIN_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """A content to be sent."""

    name: str
    """As messages call it."""
    sha256: str
    size: int
    """Bytes."""
    read: Callable[[int, int], Iterator[bytes | memoryview]]
    """The bytes from one place up to another; asked again for what must be sent again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """A manifest or an index as a registry has it; the bytes are those of the digest."""

    media_type: str
    sha256: str
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How to speak to a registry."""

    plain_http: bool = False
    chunk_bytes: int = 64 << 20
    """Most bytes of one request; halved down to 1 MiB where a proxy refuses such large ones."""
    moving: MoveOptions = MoveOptions(stall_s=120.0)
    """A registry that puts a large content in its place says nothing meanwhile."""


class Told(Protocol):
    """Who is told how a blob goes; what it raises ends the work."""

    def moved(self, n_bytes: int) -> None:
        """So many more bytes are there; fewer, when negative: they are to be sent again."""
        ...

    def note(self, line: str) -> None:
        """One line for users: what went wrong and is tried again."""
        ...
