"""What is sent to a registry, as records: contents, manifests, and the name they get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.bundle import modelpack
from selfhost.bundle.take import Source, read_range
from selfhost.errors import IncompleteError
from selfhost.records import dataclass
from selfhost.registry.types import Blob
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from selfhost.bundle.modelpack import Layer
    from selfhost.bundle.read import Bundle
    from selfhost.registry.reference import Reference


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """A manifest or an index, as it is sent."""

    wanted: str
    """The tag or the digest that it gets."""
    media_type: str
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """A content that is not at hand; the registry may have it."""

    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipment:
    """One thing that gets a name there."""

    name: str
    reference: Reference
    blobs: tuple[Blob | Absent, ...]
    manifests: tuple[Sealed, ...]
    """In the order in which they are sent; the last one has the name."""
    referrers: tuple[dict[str, Any], ...] = ()
    """Descriptors of what belongs to the last one."""


def blob_of(sources: dict[str, Source], layer: Layer) -> Blob | Absent:
    """A content as it is sent: from its files, where they are at hand."""
    source = sources.get(layer.sha256)
    if source is None:
        return Absent(sha256=layer.sha256, size=layer.size)

    def read(begin: int, end: int) -> Iterator[memoryview]:
        return read_range(source, begin, end)

    return Blob(name=layer.path or "config", sha256=layer.sha256, size=layer.size, read=read)


def distinct(blobs: Iterable[Blob | Absent]) -> tuple[Blob | Absent, ...]:
    """Each content once."""
    return tuple({one.sha256: one for one in blobs}.values())


def data_blob(name: str, data: bytes) -> Blob:
    """A content that is in memory."""
    sha256 = modelpack.sha256_of(data)
    return Blob(name=name, sha256=sha256, size=len(data), read=lambda begin, end: iter([data[begin:end]]))


def lacking(bundle: Bundle, absent: Sequence[Absent], message: str = "push.lacking") -> IncompleteError:
    """The error of contents that are nowhere: which volumes they are on."""
    digests = {one.sha256 for one in absent}
    named = [
        f"{volume.label} ({format_bytes(volume.size_bytes)})"
        for volume in bundle.absent
        if digests & {blob.sha256 for blob in volume.blobs}
    ]
    if left := len(digests & set(bundle.info.have)):
        named.append(f"{left} that were left out of the bundle: the receiver has them")
    size = format_bytes(sum(one.size for one in {one.sha256: one for one in absent}.values()))
    names = "\n".join(named) or "-"
    return IncompleteError(message, label=bundle.info.label, count=len(digests), size=size, names=names)
