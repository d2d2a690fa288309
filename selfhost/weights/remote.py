"""What a place has of a model, before anything is downloaded: its files with sizes and digests, and where each is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from selfhost.errors import IntegrityError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.weights.lock import Origin

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_MAX_REVISION = 255
_MAX_BYTES = 1 << 60
"""Beyond what any file system takes."""


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


def checked(listing: Listing, label: str) -> Listing:
    """The listing itself: what it says is going to name files here, and to be shown on a terminal.

    Raises IntegrityError for a digest, a size or a revision that is none.
    """
    revision = listing.origin.revision
    if revision is not None and not (len(revision) <= _MAX_REVISION and revision.isprintable()):
        raise IntegrityError("places.bad_listing", label=label, detail=f"revision {revision[:80]!a}")
    for file in listing.files:
        for value, form in ((file.sha256, _SHA256), (file.git_sha1, _SHA1)):
            if value is not None and not form.fullmatch(value):
                detail = f"{file.path[:80]!a}: digest {value[:80]!a}"
                raise IntegrityError("places.bad_listing", label=label, detail=detail)
        if file.size is not None and not 0 <= file.size < _MAX_BYTES:
            detail = f"{file.path[:80]!a}: {file.size} bytes"
            raise IntegrityError("places.bad_listing", label=label, detail=detail)
    return listing


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
