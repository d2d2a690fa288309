"""Reads `bundle.json`: bytes in, values out, nothing in between believed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from selfhost.bundle import canonical
from selfhost.bundle.layout import (
    INFO_NAME,
    MAX_BLOBS,
    MAX_MODELS,
    MAX_VOLUMES,
    SCHEMA_VERSION,
    BlobInfo,
    BundleInfo,
    ChunkInfo,
    ModelRef,
    VolumeInfo,
    is_sha256,
    volume_name,
)
from selfhost.bundle.names import is_label
from selfhost.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ID = re.compile(r"[0-9a-f]{32}")
_MAX_TEXT = 255
_MAX_INT = 1 << 62
_T = TypeVar("_T")


def parse_info(data: bytes, where: str = INFO_NAME) -> BundleInfo:
    """What a `bundle.json` says. Raises IntegrityError when it is damaged, contradicts itself or is of a newer tool."""
    body = canonical.decode(data, where, canonical.MAX_INFO_BYTES)
    found = body.get("schema_version")
    if isinstance(found, int) and found > SCHEMA_VERSION:
        raise IntegrityError("bundle.newer", path=where, found=found, known=SCHEMA_VERSION)
    try:
        info = _info(body)
        if problem := _contradiction(info) or _contradicting_version(info, found):
            _refuse(problem)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError("bundle.bad_info", path=where, detail=f"{type(error).__name__}: {error}") from error
    return info


def _info(body: Mapping[str, Any]) -> BundleInfo:
    return BundleInfo(
        id=_text(body["id"]),
        serial=_count(body["serial"]),
        created=_text(body["created"]),
        label=_text(body["label"]),
        tool=_text(body["tool"]),
        volume=_count(body["volume"]),
        volumes=tuple(_volume(v) for v in _list(body["volumes"], MAX_VOLUMES)),
        models=tuple(
            ModelRef(name=_text(m["name"]), variant=_text(m["variant"]), manifest=_digest(m["manifest"]))
            for m in _list(body["models"], MAX_MODELS)
        ),
        base=tuple(_text(one) for one in _list(body["base"], MAX_BLOBS)),
        have=tuple(_digest(one) for one in _list(body["have"], MAX_BLOBS)),
    )


def _volume(body: Mapping[str, Any]) -> VolumeInfo:
    blobs = tuple(_blob(blob) for blob in _list(body["blobs"], MAX_BLOBS))
    return VolumeInfo(number=_count(body["number"]), label=_text(body["label"]), blobs=blobs)


def _blob(body: Mapping[str, Any]) -> BlobInfo:
    chunks = tuple(_chunk(chunk) for chunk in _list(body["chunks"] or [], MAX_BLOBS))
    return BlobInfo(sha256=_digest(body["sha256"]), size=_count(body["size"]), chunks=chunks)


def _chunk(body: Mapping[str, Any]) -> ChunkInfo:
    volume = _count(body["volume"]) if "volume" in body else None
    return ChunkInfo(sha256=_digest(body["sha256"]), size=_count(body["size"]), volume=volume)


def _contradicting_version(info: BundleInfo, found: object) -> str:
    if type(found) is not int or found < info.schema_version:
        return f"version {ascii(found)[:80]} cannot say what it says"
    return ""


def _contradiction(info: BundleInfo) -> str:
    if not _ID.fullmatch(info.id) or not is_label(info.label):
        return f"id {info.id!r}, label {info.label!r}"
    if not 1 <= info.volume <= len(info.volumes):
        return f"volume {info.volume} of {len(info.volumes)}"
    for number, volume in enumerate(info.volumes, 1):
        if volume.number != number or volume.label != volume_name(info.label, number, len(info.volumes)):
            return f"volume {number} is called {volume.number} and {volume.label!r}"
    names = {f"{model.name}/{model.variant}".casefold() for model in info.models}
    if len(names) != len(info.models):
        return "two models have one name"
    there = {*info.blobs, *info.have}
    if lost := next((model for model in info.models if model.manifest not in there), None):
        return f"the manifest of {lost.name} ({lost.variant}) is on no volume"
    return _contradicting_blob(info)


def _contradicting_blob(info: BundleInfo) -> str:
    seen: dict[str, BlobInfo] = {}
    for volume in info.volumes:
        if len({blob.sha256 for blob in volume.blobs}) != len(volume.blobs):
            return f"volume {volume.number} lists a content twice"
        for blob in volume.blobs:
            if seen.setdefault(blob.sha256, blob) != blob:
                return f"{blob.sha256} is not the same on all volumes"
            if blob.chunks and sum(chunk.size for chunk in blob.chunks) != blob.size:
                return f"the pieces of {blob.sha256} are not {blob.size} bytes"
            if blob.is_cut and not blob.files_on(volume.number):
                return f"volume {volume.number} has no piece of {blob.sha256}, and lists it"
    return _lost_piece(info, seen.values())


def _lost_piece(info: BundleInfo, blobs: Iterable[BlobInfo]) -> str:
    """A piece on a volume that does not list its content would be asked for and checked by nobody."""
    listed = {volume.number: {blob.sha256 for blob in volume.blobs} for volume in info.volumes}
    for blob in blobs:
        if blob.is_cut and any(blob.sha256 not in listed.get(chunk.volume or 0, ()) for chunk in blob.chunks):
            return f"pieces of {blob.sha256} are on no volume that lists it"
    return ""


def _refuse(problem: str) -> NoReturn:
    raise ValueError(problem)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value.encode()) <= _MAX_TEXT:
        _refuse(f"{ascii(value)[:80]} is no short text")
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < _MAX_INT:
        _refuse(f"{ascii(value)[:80]} is no count")
    return value


def _digest(value: object) -> str:
    if not is_sha256(value):
        _refuse(f"{ascii(value)[:80]} is no sha256")
    return str(value)


def _list(value: list[_T], most: int) -> list[_T]:
    if not isinstance(value, list) or len(value) > most:
        _refuse(f"not a list of at most {most:,}")
    return value
