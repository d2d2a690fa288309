"""What a place has of a model, before anything is downloaded: its files with sizes and digests, and where each is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.weights.lock import Origin


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """One file as a place lists it; None is what the place does not say."""

    path: str
    """Relative to the model, with `/` between its parts."""
    size: int | None = None
    """Bytes."""
    sha256: str | None = None
    git_sha1: str | None = None
    """Of git's blob: `sha1(b"blob <size>\\0" + content)`. What the Hugging Face hub says of files outside LFS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """All files of one revision of a model at one place."""

    origin: Origin
    """With the commit, where the place has commits."""
    files: tuple[RemoteFile, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where the bytes of one file are. Headers may hold a token: never shown, never sent to another host."""

    url: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        """Without what may be secret."""
        return f"Address({self.url.partition('?')[0]!r})"


class Place(Protocol):
    """One source of a model, reached over HTTP."""

    @property
    def label(self) -> str:
        """What users call it: `Hugging Face`, `ModelScope`, `mirror http://10.0.0.5:8080`."""
        ...

    def listing(self) -> Listing:
        """Ask what there is.

        Raises IncompleteError when it cannot be reached, UsageError when it has no such model or revision, MissingError
        when it wants a token.
        """
        ...

    def address(self, path: str) -> Address:
        """Where a file of the listing is now; asked again when an address has expired."""
        ...
