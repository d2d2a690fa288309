"""Which content goes to which medium, and whether there is room for it."""

from __future__ import annotations

import stat
from itertools import chain, cycle
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.bundle import file_system, layout, pack, unfinished, write
from selfhost.bundle.layout import BlobInfo
from selfhost.bundle.pack import BundlePlan, VolumePlan
from selfhost.bundle.pieces import CutPlan
from selfhost.bundle.write import Content, LinkMode
from selfhost.errors import NoSpaceError, UsageError
from selfhost.units import MIB, format_bytes, parse_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from selfhost.app.bundle_request import CreateRequest

_SPARE_BYTES = 64 * MIB
"""Left free on a medium, and one per cent of it: file systems become slow or refuse earlier than they say."""
_UNLIMITED = 1 << 60


def distribute(
    request: CreateRequest,
    label: str,
    metadata: dict[str, Content],
    kept: dict[str, Content],
    overhead: int,
) -> tuple[tuple[VolumePlan, ...], tuple[CutPlan, ...]]:
    """Volumes with their shares of the contents, and what is cut across them.

    metadata, kept: contents by digest, on every volume and on one. overhead: bytes of the rest on each volume. Raises
    UsageError for a size that is none, and as `layout.pack_volumes` does.
    """
    room = _asked_size(request)
    capacities = [
        max((room if room is not None else _room(to, label, kept.values(), request.link)) - overhead, 0)
        for to in request.to
    ]
    blobs = [BlobInfo(sha256=one.sha256, size=one.size) for one in kept.values()]
    repeat = room is not None and len(request.to) == 1
    places = chain(request.to, cycle(request.to[-1:]))
    per_volume = layout.pack_volumes(blobs, capacities, repeat=repeat)
    packed = [(to, listed) for to, listed in zip(places, per_volume, strict=False) if listed] or [(request.to[0], ())]
    made: list[VolumePlan] = []
    shares: dict[str, list[tuple[int, int]]] = {}
    for number, (to, listed) in enumerate(packed, 1):
        limit = request.max_file_bytes or file_system.max_file_bytes(to)
        contents = (*(kept[share.sha256] for share in listed if not share.cut), *metadata.values())
        for share in listed:
            if share.cut:
                shares.setdefault(share.sha256, []).append((number, share.size))
        path = to / layout.volume_name(label, number, len(packed))
        made.append(VolumePlan(path=path, contents=contents, max_file_bytes=limit))
    cut = tuple(CutPlan(content=kept[sha256], shares=tuple(shares[sha256])) for sha256 in sorted(shares))
    return tuple(made), cut


def _asked_size(request: CreateRequest) -> int | None:
    if request.volume_size is None:
        return None
    try:
        size = parse_bytes(request.volume_size)
    except ValueError as error:
        raise UsageError("pack.bad_size", size=request.volume_size) from error
    if size <= 0:
        raise UsageError("pack.bad_size", size=request.volume_size)
    return size


def _room(to: Path, label: str, contents: Iterable[Content], link: LinkMode) -> int:
    """Bytes that a volume may have there: what is free, what an interrupted run left, what can be linked."""
    if all(_links(to, one, link) for one in contents):
        return _UNLIMITED
    left = sum(size for path in unfinished.others(to, label) for size in _files(path).values())
    return _usable(files.free_bytes(to) + left)


def _usable(room: int) -> int:
    """What counts with what an earlier run wrote gives the same for each run."""
    return max(room - room // 100 - _SPARE_BYTES, 0)


def _files(volume: Path) -> dict[str, int]:
    """Sizes of what lies in a volume and has no other name, by path."""
    found = {}
    for path in volume.rglob("*"):
        info = path.lstat()
        if stat.S_ISREG(info.st_mode) and info.st_nlink == 1:
            found[str(path.relative_to(volume))] = info.st_size
    return found


def _links(to: Path, content: Content, link: LinkMode) -> bool:
    if link is LinkMode.COPY or content.source is None:
        return False
    return file_system.same(to, content.source) and file_system.takes_links(to)


def new_bytes(bundle: BundlePlan) -> dict[Path, int]:
    """Bytes that are still to be copied to each volume; what is linked or there already takes none."""
    new = {}
    for volume in bundle.volumes:
        linked = {layout.blob_path(one.sha256) for one in volume.contents if _links(volume.path, one, bundle.link)}
        wanted = pack.paths(bundle, volume)
        new[volume.path] = sum(
            size for path, size in wanted.items() if path not in linked and not write.is_there(volume.path / path, size)
        )
    return new


def _old_bytes(bundle: BundlePlan) -> dict[Path, int]:
    """Bytes that earlier runs left in each volume, or beside it in others, and that go."""
    wanted = [volume.path for volume in bundle.volumes]
    old = dict.fromkeys(wanted, 0)
    for volume in bundle.volumes:
        stays = pack.paths(bundle, volume).items()
        old[volume.path] = sum(size for path, size in _files(volume.path).items() if (path, size) not in stays)
    # Of volumes in one folder it is counted with the last.
    for folder, path in {path.parent: path for path in wanted}.items():
        for left in unfinished.others(folder, bundle.label, wanted):
            old[path] += sum(_files(left).values())
    return old


def check_space(bundle: BundlePlan) -> None:
    """Raises NoSpaceError before anything is written; volumes in several folders may share one file system."""
    needed: dict[int, tuple[Path, int, int]] = {}
    old = _old_bytes(bundle)
    for path, need in new_bytes(bundle).items():
        device = files.existing(path).stat().st_dev
        _, before, freed = needed.get(device, (path, 0, 0))
        needed[device] = (path, before + need, freed + old[path])
    for path, need, freed in needed.values():
        if need > (free := _usable(files.free_bytes(path) + freed)):
            raise NoSpaceError("pack.no_space", path=path, need=format_bytes(need), have=format_bytes(free))
