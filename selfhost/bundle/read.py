"""Volumes as they are on media: the signature first, then what it covers, each file checked before it is believed.

    SHA256SUMS + signature -> trusted -> bundle.json, index.json, oci-layout by their digests -> manifests by theirs

Nothing is read of a volume but SHA256SUMS and its signature before somebody said that they are to be trusted, and
nothing is ever written to it.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from typing import TYPE_CHECKING, Any

from selfhost.bundle import canonical, images, layout, modelpack
from selfhost.bundle.info import parse_info
from selfhost.bundle.medium import Medium, find_volumes
from selfhost.bundle.sums import format_sums
from selfhost.bundle.take import Piece, Source
from selfhost.errors import IncompleteError, IntegrityError
from selfhost.records import dataclass
from selfhost.weights.places.sums import parse_sums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from selfhost.bundle.images import Image
    from selfhost.bundle.layout import BlobInfo, BundleInfo, VolumeInfo
    from selfhost.bundle.modelpack import IndexEntry, Layer, Manifest

    Trusting = Callable[[Path, bytes, bytes | None], str]
    """Gets a volume, its SHA256SUMS and the signature, None where there is none; says who signed, empty for nobody.

    Raises TrustError.
    """

MAX_SUMS_BYTES = 32 << 20
MAX_SIGNATURE_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Volume:
    """One volume that is at hand."""

    medium: Medium
    sums: Mapping[str, str]
    """sha256 of each of its files, by path."""
    info: BundleInfo
    signer: str
    """Empty: it is not signed."""

    @property
    def root(self) -> Path:
        """Its directory."""
        return self.medium.root

    @property
    def number(self) -> int:
        """From 1."""
        return self.info.volume


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """One entry of the index, with what its manifest says."""

    entry: IndexEntry
    manifest: Manifest
    config: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """The volumes of one bundle that are at hand."""

    volumes: tuple[Volume, ...]
    """By number."""
    artifacts: tuple[Artifact, ...]
    images: tuple[Image, ...] = ()

    @property
    def info(self) -> BundleInfo:
        """What every volume says."""
        return self.volumes[0].info

    @property
    def arguments(self) -> str:
        """The volumes at hand, as a command line takes them."""
        return shlex.join(str(volume.root) for volume in self.volumes)

    @property
    def absent(self) -> tuple[VolumeInfo, ...]:
        """Volumes that are not at hand."""
        here = {volume.number for volume in self.volumes}
        return tuple(volume for volume in self.info.volumes if volume.number not in here)

    @property
    def sources(self) -> dict[str, Source]:
        """Contents that are at hand as a whole, each from the first volume that has it, by sha256."""
        found: dict[str, Source] = {}
        for volume in self.volumes:
            for blob in volume.info.this.blobs:
                pieces = self.pieces(blob) if blob.is_cut else source_of(volume, blob).pieces
                here = tuple(piece for piece in pieces if piece)
                if len(here) == len(pieces):
                    found.setdefault(blob.sha256, Source(sha256=blob.sha256, size=blob.size, pieces=here))
        return found

    def pieces(self, blob: BlobInfo) -> tuple[Piece | None, ...]:
        """The pieces of a content that is cut, in order; None for those on volumes that are not at hand."""
        here = {volume.number: volume.medium for volume in self.volumes}
        return tuple(
            Piece(medium=medium, path=path, sha256=digest, size=size)
            if (medium := here.get(chunk.volume or 0))
            else None
            for (path, digest, size), chunk in zip(blob.files, blob.chunks, strict=True)
        )

    def read(self, sha256: str) -> bytes:
        """A small content. Raises IncompleteError when it is not at hand, IntegrityError when it is damaged."""
        for volume in self.volumes:
            if layout.blob_path(sha256) in volume.sums:
                return read_checked(volume, layout.blob_path(sha256), canonical.MAX_JSON_BYTES)
        raise IncompleteError("unpack.content_absent", label=self.info.label, sha256=sha256)


def source_of(volume: Volume, blob: BlobInfo) -> Source:
    """The files of a volume that make a content, or what of it is there."""
    files = blob.files_on(volume.number)
    pieces = tuple(Piece(medium=volume.medium, path=p, sha256=d, size=s) for p, d, s in files)
    return Source(sha256=blob.sha256, size=blob.size, pieces=pieces)


def read_checked(volume: Volume, path: str, limit: int) -> bytes:
    """A small file of a volume. Raises IntegrityError when it is not the one that SHA256SUMS lists."""
    return _checked(volume.medium, volume.sums, path, limit)


def _checked(medium: Medium, sums: Mapping[str, str], path: str, limit: int) -> bytes:
    wanted = sums.get(path)
    if wanted is None:
        raise IntegrityError("unpack.not_listed", path=medium.root / path, sums=layout.SUMS_NAME)
    data = medium.read(path, limit)
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise IntegrityError("unpack.other_bytes", path=medium.root / path, wanted=wanted, found=found)
    return data


# Opening


def open_bundle(paths: Sequence[Path], trusted: Trusting) -> Bundle:
    """The bundle of these volumes.

    Raises TrustError before anything but SHA256SUMS and its signature is read of a volume; IntegrityError for
    metadata that is damaged, volumes of several bundles, a volume that is there twice and not the same;
    IncompleteError where there is no volume.
    """
    by_number: dict[int, Volume] = {}
    for path in find_volumes(paths):
        volume = _open_volume(path, trusted)
        same = by_number.setdefault(volume.number, volume)
        _check_same(next(iter(by_number.values())), volume)
        if same.sums != volume.sums:
            raise IntegrityError("unpack.two_of_one", one=same.root, other=volume.root, number=volume.number)
    volumes = tuple(by_number[number] for number in sorted(by_number))
    first, entries = volumes[0], _index(volumes[0])
    known = _Known(blobs=first.info.blobs, have=frozenset(first.info.have))
    return Bundle(
        volumes=volumes,
        artifacts=_artifacts(first, [entry for entry in entries if not images.is_image(entry)], known),
        images=tuple(_image(first, entry, known) for entry in entries if images.is_image(entry)),
    )


def _open_volume(path: Path, trusted: Trusting) -> Volume:
    medium = Medium(path)
    sums_bytes = medium.read(layout.SUMS_NAME, MAX_SUMS_BYTES)
    signature = None
    if os.path.lexists(path / layout.SIGNATURE_NAME):
        signature = medium.read(layout.SIGNATURE_NAME, MAX_SIGNATURE_BYTES)
    signer = trusted(path, sums_bytes, signature)
    sums = _sums(path / layout.SUMS_NAME, sums_bytes)
    info = parse_info(_checked(medium, sums, layout.INFO_NAME, canonical.MAX_INFO_BYTES), str(path / layout.INFO_NAME))
    volume = Volume(medium=medium, sums=sums, info=info, signer=signer)
    _check_listed(volume)
    return volume


def _sums(path: Path, data: bytes) -> dict[str, str]:
    try:
        sums = parse_sums(data.decode())
    except ValueError as error:
        raise IntegrityError("unpack.bad_sums", path=path, detail=error) from error
    if format_sums(sums) != data:
        # Other spellings of the same list (upper case, other ends of lines, a name twice) are read differently by
        # different programs, and would be places to change something unnoticed.
        raise IntegrityError("unpack.bad_sums", path=path, detail="it is not written as `sha256sum` and selfhost do")
    if odd := next((one for one in sums if not layout.is_volume_path(one) or one in layout.UNSUMMED), None):
        raise IntegrityError("unpack.bad_sums", path=path, detail=f"{odd!r} is no file of a volume")
    return sums


def _check_listed(volume: Volume) -> None:
    """SHA256SUMS and bundle.json speak of the same files: what is in one only would be checked by nobody."""
    described = {path: digest for path, digest, _ in volume.info.this.files}
    listed = {path: digest for path, digest in volume.sums.items() if path not in layout.TOP}
    if described != listed:
        one = min(set(described.items()) ^ set(listed.items()))[0]
        raise IntegrityError(
            "unpack.lists_differ", path=volume.root, sums=layout.SUMS_NAME, info=layout.INFO_NAME, file=one
        )
    if volume.sums.get(layout.OCI_NAME) is None or volume.sums.get(layout.INDEX_NAME) is None:
        raise IntegrityError("unpack.not_listed", path=volume.root / layout.INDEX_NAME, sums=layout.SUMS_NAME)


def _check_same(first: Volume, volume: Volume) -> None:
    if first.info.id != volume.info.id:
        raise IntegrityError(
            "unpack.foreign", one=first.root, other=volume.root, label=first.info.label, found=volume.info.label
        )
    if {**first.info.as_dict(), "volume": 0} != {**volume.info.as_dict(), "volume": 0}:
        raise IntegrityError("unpack.not_same", one=first.root, other=volume.root, info=layout.INFO_NAME)
    shared = (layout.INDEX_NAME, layout.OCI_NAME)
    if any(first.sums[name] != volume.sums[name] for name in shared) or first.signer != volume.signer:
        raise IntegrityError("unpack.not_same", one=first.root, other=volume.root, info=layout.INDEX_NAME)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What a bundle says that there is."""

    blobs: Mapping[str, BlobInfo]
    have: frozenset[str]


def _index(volume: Volume) -> tuple[IndexEntry, ...]:
    where = str(volume.root / layout.INDEX_NAME)
    read_checked(volume, layout.OCI_NAME, canonical.MAX_JSON_BYTES)
    return modelpack.parse_index(read_checked(volume, layout.INDEX_NAME, canonical.MAX_JSON_BYTES), where)


def _image(volume: Volume, entry: IndexEntry, known: _Known) -> Image:
    def fetch(part: Layer) -> bytes:
        return read_checked(volume, layout.blob_path(part.sha256), canonical.MAX_JSON_BYTES)

    image = images.read_image(entry, fetch, str(volume.root / layout.blob_path(entry.sha256)))
    _check_parts(volume, entry.name, (*image.small, *image.layers), known)
    return image


def _artifacts(volume: Volume, entries: Sequence[IndexEntry], known: _Known) -> tuple[Artifact, ...]:
    found = []
    for entry in entries:
        path = layout.blob_path(entry.sha256)
        manifest = modelpack.parse_manifest(
            read_checked(volume, path, canonical.MAX_JSON_BYTES), str(volume.root / path)
        )
        _check_known(volume, entry, manifest, known)
        config = layout.blob_path(manifest.config.sha256)
        body = canonical.decode(read_checked(volume, config, canonical.MAX_JSON_BYTES), str(volume.root / config))
        found.append(Artifact(entry=entry, manifest=manifest, config=body))
    return tuple(found)


def _check_known(volume: Volume, entry: IndexEntry, manifest: Manifest, known: _Known) -> None:
    if entry.artifact_type != manifest.artifact_type:
        raise IntegrityError("unpack.other_type", path=volume.root, name=entry.name)
    _check_parts(volume, entry.name, (manifest.config, *manifest.layers), known)


def _check_parts(volume: Volume, name: str, parts: Iterable[Layer], known: _Known) -> None:
    """Every content of an artifact is one of the bundle in that size, or one that the receiver is said to have."""
    for layer in parts:
        blob = known.blobs.get(layer.sha256)
        if blob is None and layer.sha256 in known.have:
            continue
        if blob is None or blob.size != layer.size:
            raise IntegrityError(
                "unpack.content_unknown", path=volume.root, name=name, file=layer.path or layer.media_type
            )
