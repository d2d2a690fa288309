"""Contents that are cut across volumes, when these come one at a time: each piece waits in the store for the others.

A piece is kept as a content of its own, under its own digest: an import that was killed knows what it has, as it does
of all else. The one that brings the last piece puts them together; the pieces are removed after that, and until then
such a content takes its place twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost import files
from selfhost.bundle.medium import Medium
from selfhost.bundle.take import Piece, Source
from selfhost.weights import inventory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from selfhost.bundle.layout import BlobInfo, VolumeInfo
    from selfhost.bundle.read import Bundle
    from selfhost.weights.blobs import Blobs


def digests(bundle: Bundle) -> set[str]:
    """sha256 of all pieces."""
    return {chunk.sha256 for blob in bundle.info.cut for chunk in blob.chunks}


def kept(bundle: Bundle, blobs: Blobs) -> set[str]:
    """sha256 of the pieces that wait in the store."""
    return {
        chunk.sha256 for blob in bundle.info.cut for chunk in blob.chunks if blobs.is_right(chunk.sha256, chunk.size)
    }


def absent(volume: VolumeInfo, wanted: Collection[str], here: Collection[str]) -> list[int]:
    """Sizes of the files of a volume that are still needed of it."""
    return [
        size
        for blob in volume.blobs
        if blob.sha256 in wanted
        for _, digest, size in blob.files_on(volume.number)
        if not (blob.is_cut and digest in here)
    ]


def lacking_bytes(wanted: Iterable[BlobInfo], here: Collection[str]) -> int:
    """Of these contents, without the pieces that wait in the store."""
    return sum(
        sum(chunk.size for chunk in blob.chunks if chunk.sha256 not in here) if blob.is_cut else blob.size
        for blob in wanted
    )


def sources(bundle: Bundle, wanted: Collection[str], blobs: Blobs) -> list[Source]:
    """What is to be copied of contents of which some volumes are not at hand.

    The content itself where media and store have all of it together, else the pieces that the store does not have.
    """
    here, found = kept(bundle, blobs), {}
    for blob in bundle.info.cut:
        pieces = bundle.pieces(blob)
        if blob.sha256 not in wanted or all(pieces):
            continue
        both = [
            piece or (_waiting(blobs, chunk.sha256, chunk.size) if chunk.sha256 in here else None)
            for piece, chunk in zip(pieces, blob.chunks, strict=True)
        ]
        if all(both):
            every = tuple(piece for piece in both if piece)
            found[blob.sha256] = Source(sha256=blob.sha256, size=blob.size, pieces=every)
            continue
        for piece in pieces:
            if piece and piece.sha256 not in here:
                found[piece.sha256] = Source(sha256=piece.sha256, size=piece.size, pieces=(piece,))
    return list(found.values())


def _waiting(blobs: Blobs, sha256: str, size: int) -> Piece:
    path = blobs.path(sha256)
    return Piece(medium=Medium(path.parent), path=path.name, sha256=sha256, size=size)


def forget_damaged(source: Source, blobs: Blobs) -> None:
    """Remove pieces that went bad while they waited, so that they come from their medium once more."""
    for piece in source.pieces:
        path = blobs.path(piece.sha256)
        if piece.shown == path and path.exists() and files.sha256_file(path) != piece.sha256:
            path.unlink()


def remove_pieces(bundle: Bundle, blobs: Blobs, models: Path) -> None:
    """Remove pieces of contents that are whole now; where others use the store, `gc` does so later."""
    pieces = digests(bundle)
    if not pieces:
        return
    with blobs.sole_use() as got:
        if got:
            for sha256 in pieces & inventory.unused(models, blobs, 0.0).keys():
                blobs.remove(sha256)
