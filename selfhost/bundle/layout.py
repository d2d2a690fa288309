"""Every path and name of a bundle, and what its `bundle.json` says. Values only: nothing here reads a medium.

    <label>-vol<n>of<N>/
      START-HERE.txt  verify.py  SHA256SUMS  SHA256SUMS.sig
      bundle.json  oci-layout  index.json
      blobs/sha256/<64 hex>              a content, whole
      chunks/<64 hex>/<00000>            pieces of one that the medium takes no file for

A content that is metadata (manifests, configurations) is on every volume; any other is on one. `bundle.json` is the
same on all volumes but for `volume`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from selfhost.bundle import canonical
from selfhost.errors import NoSpaceError
from selfhost.records import dataclass
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SCHEMA_VERSION = 1

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

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(rf"{BLOBS}/[0-9a-f]{{64}}|{CHUNKS}/[0-9a-f]{{64}}/[0-9]{{5}}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkInfo:
    """One piece of a content."""

    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlobInfo:
    """One content."""

    sha256: str
    size: int
    """Bytes."""
    chunks: tuple[ChunkInfo, ...] = ()
    """Its pieces in order; empty: it lies whole under `blobs/`."""

    @property
    def files(self) -> tuple[tuple[str, str, int], ...]:
        """(path in the volume, sha256, size) of each file it lies in."""
        if not self.chunks:
            return ((blob_path(self.sha256), self.sha256, self.size),)
        return tuple((chunk_path(self.sha256, n), c.sha256, c.size) for n, c in enumerate(self.chunks))


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeInfo:
    """One directory on one medium."""

    number: int
    label: str
    """The directory's name."""
    blobs: tuple[BlobInfo, ...]

    @property
    def size_bytes(self) -> int:
        """Its contents; the few small files beside them not counted."""
        return sum(blob.size for blob in self.blobs)


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
    def size_bytes(self) -> int:
        """All contents, each once."""
        return sum(blob.size for blob in self.blobs.values())

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of `bundle.json`."""
        return {
            "schema_version": SCHEMA_VERSION,
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
    chunks = [{"sha256": chunk.sha256, "size": chunk.size} for chunk in blob.chunks]
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


def pack_volumes(
    blobs: Iterable[BlobInfo], capacities: Sequence[int], *, repeat: bool = False
) -> tuple[tuple[BlobInfo, ...], ...]:
    """What goes on each volume: whole contents, the largest first, each on the first volume that has room for it.

    capacities: bytes for contents on each; with `repeat` there are as many of the last as it takes. Raises
    NoSpaceError. Worked: sizes 6, 5, 4, 3 on volumes of 9 -> (6, 3), (5, 4).
    """
    volumes: list[list[BlobInfo]] = [[] for _ in capacities]
    room = list(capacities)
    for blob in sorted(blobs, key=lambda blob: (-blob.size, blob.sha256)):
        place = next((n for n, free in enumerate(room) if free >= blob.size), None)
        if place is None and repeat and capacities[-1] >= blob.size:
            place = len(room)
            room.append(capacities[-1])
            volumes.append([])
        if place is None:
            size = format_bytes(blob.size)
            raise NoSpaceError("bundle.no_room", size=size, rooms=", ".join(map(format_bytes, room)) or "none")
        room[place] -= blob.size
        volumes[place].append(blob)
    return tuple(tuple(sorted(volume, key=lambda blob: blob.sha256)) for volume in volumes)
