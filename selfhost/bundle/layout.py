"""Every path and name of a bundle, and what its `bundle.json` says. Values only: nothing here reads a medium.

    <label>-vol<n>of<N>/
      START-HERE.txt  verify.py  SHA256SUMS  SHA256SUMS.sig
      bundle.json  oci-layout  index.json
      blobs/sha256/<64 hex>              a content, whole
      chunks/<64 hex>/<00000>            pieces of one that the medium takes no file for, or is too small for

A content that is metadata (manifests, configurations) is on every volume; any other is on one, unless it is larger than
every medium: then it is cut, and its pieces say which volume they are on. `bundle.json` is the same on all volumes but
for `volume`; it is of version 2 where a content is cut so, else of version 1, which older tools read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from selfhost.bundle import canonical
from selfhost.errors import NoSpaceError
from selfhost.messages import word
from selfhost.records import dataclass
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SCHEMA_VERSION = 2
"""The newest version of `bundle.json` that is understood."""
_UNCUT_VERSION = 1

START_NAME = "START-HERE.txt"
VERIFY_NAME = "verify.py"
SUMS_NAME = "SHA256SUMS"
SIGNATURE_NAME = "SHA256SUMS.sig"
INFO_NAME = "bundle.json"
OCI_NAME = "oci-layout"
INDEX_NAME = "index.json"
BLOBS = "blobs/sha256"
CHUNKS = "chunks"
PART = ".part"
"""After the name of what is not written completely yet; no volume that is done has one."""
UNSUMMED = (SUMS_NAME, SIGNATURE_NAME)
"""What SHA256SUMS does not list."""
TOP = (START_NAME, VERIFY_NAME, SUMS_NAME, SIGNATURE_NAME, INFO_NAME, OCI_NAME, INDEX_NAME)
OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'

MAX_BLOBS = 100_000
MAX_VOLUMES = 1000
MAX_MODELS = 1000
MAX_CHUNK_BYTES = (4 << 30) - 1
"""The largest file of FAT32."""
FAT = ("vfat", "msdos", "fat")
NO_LINKS = (*FAT, "exfat")
"""Names of file systems where no file has two names."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(rf"{BLOBS}/[0-9a-f]{{64}}|{CHUNKS}/[0-9a-f]{{64}}/[0-9]{{5}}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkInfo:
    """One piece of a content."""

    sha256: str
    size: int
    """Bytes."""
    volume: int | None = None
    """Number of the volume it is on; None: on the one that lists the content, with all other pieces."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlobInfo:
    """One content."""

    sha256: str
    size: int
    """Bytes."""
    chunks: tuple[ChunkInfo, ...] = ()
    """Its pieces in order; empty: it lies whole under `blobs/`."""

    @property
    def is_cut(self) -> bool:
        """Whether its pieces are on several volumes."""
        return any(chunk.volume is not None for chunk in self.chunks)

    @property
    def files(self) -> tuple[tuple[str, str, int], ...]:
        """(path in its volume, sha256, size) of each file it lies in, on whichever volume."""
        if not self.chunks:
            return ((blob_path(self.sha256), self.sha256, self.size),)
        return tuple((chunk_path(self.sha256, n), c.sha256, c.size) for n, c in enumerate(self.chunks))

    def files_on(self, volume: int) -> tuple[tuple[str, str, int], ...]:
        """Of `files`, those on a volume that lists it."""
        if not self.is_cut:
            return self.files
        return tuple(file for file, chunk in zip(self.files, self.chunks, strict=True) if chunk.volume == volume)


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeInfo:
    """One directory on one medium."""

    number: int
    label: str
    """The directory's name."""
    blobs: tuple[BlobInfo, ...]

    @property
    def files(self) -> tuple[tuple[str, str, int], ...]:
        """(path, sha256, size) of the files of its contents."""
        return tuple(file for blob in self.blobs for file in blob.files_on(self.number))

    @property
    def size_bytes(self) -> int:
        """Its contents; the few small files beside them not counted."""
        return sum(size for _, _, size in self.files)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRef:
    """One model of a bundle."""

    name: str
    variant: str
    manifest: str
    """sha256 of its manifest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleInfo:
    """What `bundle.json` says."""

    id: str
    """32 hex digits, new for each bundle."""
    serial: int
    """Higher for a later bundle of the same sender."""
    created: str
    """ISO 8601, UTC."""
    label: str
    tool: str
    volume: int
    """Number of this volume, from 1."""
    volumes: tuple[VolumeInfo, ...]
    models: tuple[ModelRef, ...]
    base: tuple[str, ...] = ()
    """Ids of the bundles that a delta builds on."""
    have: tuple[str, ...] = ()
    """sha256 of contents that were left out because the receiver has them."""

    @property
    def this(self) -> VolumeInfo:
        """The volume that this file lies on."""
        return self.volumes[self.volume - 1]

    @property
    def blobs(self) -> dict[str, BlobInfo]:
        """Every content once, by sha256."""
        return {blob.sha256: blob for volume in self.volumes for blob in volume.blobs}

    @property
    def cut(self) -> tuple[BlobInfo, ...]:
        """Contents whose pieces are on several volumes, each once."""
        return tuple(blob for blob in self.blobs.values() if blob.is_cut)

    @property
    def size_bytes(self) -> int:
        """All contents, each once."""
        return sum(blob.size for blob in self.blobs.values())

    @property
    def schema_version(self) -> int:
        """The oldest version that can say this."""
        return SCHEMA_VERSION if self.cut else _UNCUT_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of `bundle.json`."""
        return {
            "schema_version": self.schema_version,
            **{name: getattr(self, name) for name in ("id", "serial", "created", "label", "tool", "volume")},
            "volumes": [
                {"number": v.number, "label": v.label, "blobs": [_blob_dict(blob) for blob in v.blobs]}
                for v in self.volumes
            ],
            "models": [{"name": m.name, "variant": m.variant, "manifest": m.manifest} for m in self.models],
            "base": list(self.base),
            "have": list(self.have),
        }

    def encode(self) -> bytes:
        """The bytes of `bundle.json`."""
        return canonical.encode(self.as_dict())


def _blob_dict(blob: BlobInfo) -> dict[str, Any]:
    chunks = [
        {"sha256": chunk.sha256, "size": chunk.size} | ({} if chunk.volume is None else {"volume": chunk.volume})
        for chunk in blob.chunks
    ]
    return {"sha256": blob.sha256, "size": blob.size, "chunks": chunks or None}


# Names


def blob_path(sha256: str) -> str:
    """Where a content lies in a volume. Raises ValueError for what is no digest: it would lead elsewhere."""
    if not is_sha256(sha256):
        raise ValueError(ascii(sha256))
    return f"{BLOBS}/{sha256}"


def chunk_path(sha256: str, number: int) -> str:
    """Where a piece of a content lies, counted from 0. Raises ValueError for what is no digest."""
    if not is_sha256(sha256):
        raise ValueError(ascii(sha256))
    return f"{CHUNKS}/{sha256}/{number:05}"


def is_sha256(text: object) -> bool:
    """Whether this is a digest as bundles write it."""
    return isinstance(text, str) and bool(_SHA256.fullmatch(text))


def is_volume_path(path: str) -> bool:
    """Whether a volume may have a file of this path: nothing else belongs there."""
    return path in TOP or bool(_FILE.fullmatch(path))


def volume_name(label: str, number: int, count: int) -> str:
    """The directory of a volume.

    >>> volume_name("qwen", 1, 2)
    'qwen-vol1of2'
    """
    return f"{label}-vol{number}of{count}"


# Volumes


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A content on one volume, or what of it is there."""

    sha256: str
    size: int
    """Bytes on this volume."""
    cut: bool = False
    """Whether the rest is on other volumes: what was before it on those before."""


def pack_volumes(
    blobs: Iterable[BlobInfo], capacities: Sequence[int], *, repeat: bool = False
) -> tuple[tuple[Share, ...], ...]:
    """What goes on each volume: the largest content first, each on the first volume that has room for it.

    A content is cut only when it is larger than every volume; then it takes what is left on one after the other.
    capacities: bytes for contents on each; with `repeat` there are as many of the last as it takes. Raises
    NoSpaceError. Worked: sizes 6, 5, 4, 3 on volumes of 9 -> (6, 3), (5, 4); sizes 12, 4 -> (9 of 12), (3 of 12, 4).
    """
    volumes: list[list[Share]] = [[] for _ in capacities]
    room = list(capacities)
    more = capacities[-1] if repeat else 0
    for blob in sorted(blobs, key=lambda blob: (-blob.size, blob.sha256)):
        sizes = _sizes(blob.size, room, more, cut=blob.size > max(capacities))
        if not sizes or max(sizes) >= MAX_VOLUMES:
            shown = format_bytes(blob.size)
            raise NoSpaceError("bundle.no_room", size=shown, rooms=", ".join(map(format_bytes, room)) or word("none"))
        for number, part in sizes.items():
            while number >= len(room):
                room.append(more)
                volumes.append([])
            room[number] -= part
            volumes[number].append(Share(sha256=blob.sha256, size=part, cut=len(sizes) > 1))
    return tuple(tuple(sorted(volume, key=lambda share: share.sha256)) for volume in volumes)


def _sizes(size: int, room: Sequence[int], more: int, *, cut: bool) -> dict[int, int]:
    """How much of a content goes on which volume, by its index; empty when there is no place."""
    if not cut:
        place = next((n for n, free in enumerate(room) if free >= size), None)
        if place is None:
            return {len(room): size} if more >= size > 0 else {}
        return {place: size}
    found, left = {}, size
    for number, free in enumerate(room):
        if left and free > 0:
            found[number] = min(free, left)
            left -= found[number]
    if left and more <= 0:
        return {}
    for number in range(len(room), len(room) + (-(-left // more) if left else 0)):
        found[number] = min(more, left)
        left -= found[number]
    return found
