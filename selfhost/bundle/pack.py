"""Makes the volumes of a bundle: contents first, then what describes them, SHA256SUMS last.

A volume that is being made has a file `creating.part`, which goes when everything else is on the medium. Another run
takes up what an earlier one with the same label left, and removes what does not belong there; a directory without that
file is somebody else's and is not touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.bundle import layout, pieces, unfinished, write
from selfhost.bundle.layout import BundleInfo, ModelRef, VolumeInfo
from selfhost.bundle.sums import format_sums
from selfhost.bundle.unfinished import MARKER
from selfhost.bundle.write import Content, How, LinkMode, Writing
from selfhost.errors import IntegrityError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from selfhost.bundle.pieces import CutPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumePlan:
    """What goes where."""

    path: Path
    """The directory of the volume."""
    contents: tuple[Content, ...]
    max_file_bytes: int | None = None
    """The largest file that its file system takes; None: any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BundlePlan:
    """A bundle that is to be made."""

    label: str
    serial: int | None
    """None: seconds since 1970, so that a later bundle has a higher one."""
    tool: str
    models: tuple[ModelRef, ...]
    base: tuple[str, ...]
    have: tuple[str, ...]
    index: bytes
    volumes: tuple[VolumePlan, ...]
    link: LinkMode
    cut: tuple[CutPlan, ...] = ()

    @property
    def total_bytes(self) -> int:
        """What is read."""
        whole = sum(content.size for volume in self.volumes for content in volume.contents)
        return whole + sum(one.content.size for one in self.cut)

    def sizes_on(self, number: int) -> list[int]:
        """Bytes of each content on a volume, or of what of it is there."""
        cut = [size for one in self.cut for volume, size in one.shares if volume == number]
        return [*(content.size for content in self.volumes[number - 1].contents), *cut]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finishing:
    """What others have to do with a bundle."""

    texts: Callable[[BundleInfo], dict[str, bytes]] = lambda _info: {}
    """START-HERE.txt, verify.py; by name."""
    sign: Callable[[bytes], bytes] | None = None
    """The signature of a SHA256SUMS; None: not signed."""
    read_back: bool = True
    """Read from the medium what was copied to it."""
    progress: Callable[[str, int, int], None] = lambda _phase, _done, _total: None
    """Gets a phase (`write`, `read back`), bytes done and bytes altogether."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedVolume:
    """A volume that was made."""

    path: Path
    blobs: int
    size_bytes: int
    how: dict[str, int]
    """Bytes by how they came there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """A bundle that was made."""

    info: BundleInfo
    volumes: tuple[PackedVolume, ...]
    signed: bool
    read_back_bytes: int


def create(plan: BundlePlan, finishing: Finishing) -> Packed:
    """Make the bundle, or go on where an earlier run was.

    Raises NoError for a directory that is in the way, IntegrityError for a source or a medium that gives other bytes.
    """
    with contextlib.ExitStack() as stack:
        unfinished.take_up([volume.path for volume in plan.volumes], plan.label)
        found = unfinished.left([volume.path for volume in plan.volumes])
        for volume in plan.volumes:
            stack.enter_context(unfinished.hold(volume.path, found))
        identity = unfinished.identity(found, hashlib.sha256(plan.index).hexdigest(), plan.serial)
        for volume in plan.volumes:
            _begin(volume, paths(plan, volume), identity)
        written = _write(plan, finishing)
        read_back = _read_back(plan, written, finishing) if finishing.read_back else 0
        infos = [_info(plan, identity, written, number) for number in range(1, len(plan.volumes) + 1)]
        for volume, info in zip(plan.volumes, infos, strict=True):
            _finish(volume.path, info, plan.index, finishing)
        # Not before all of them are done: another run would take up a marker, and leave what has none alone.
        for volume in plan.volumes:
            (volume.path / MARKER).unlink()
            files.sync(volume.path)
        return Packed(
            info=infos[0],
            volumes=tuple(
                _told(volume, n, done) for n, (volume, done) in enumerate(zip(plan.volumes, written, strict=True), 1)
            ),
            signed=finishing.sign is not None,
            read_back_bytes=read_back,
        )


def _told(volume: VolumePlan, number: int, written: list[write.Written]) -> PackedVolume:
    how: Counter[str] = Counter()
    for one in written:
        how[one.how.value] += sum(size for _, _, size in one.blob.files_on(number))
    return PackedVolume(path=volume.path, blobs=len(written), size_bytes=how.total(), how=dict(sorted(how.items())))


# Beginning


def paths(plan: BundlePlan, volume: VolumePlan) -> dict[str, int]:
    """Sizes of the files of contents on a volume when it is done, by path."""
    found: dict[str, int] = {}
    for content in volume.contents:
        places = enumerate(pieces.on_one(content, volume))
        found |= {layout.chunk_path(content.sha256, n): place.size for n, place in places} or {
            layout.blob_path(content.sha256): content.size
        }
    for one in plan.cut:
        places = enumerate(one.places(plan.volumes))
        found |= {layout.chunk_path(one.content.sha256, n): p.size for n, p in places if p.volume == volume.path}
    return found


def _begin(volume: VolumePlan, wanted: Iterable[str], identity: dict[str, Any]) -> None:
    files.write_json(volume.path / MARKER, identity)
    for folder, _, names in os.walk(volume.path):
        for name in names:
            path = Path(folder, name)
            if str(path.relative_to(volume.path)) not in {MARKER, *wanted}:
                path.unlink()


# Contents


class _Counter:
    """Tells how far it is."""

    def __init__(self, phase: str, total: int, progress: Callable[[str, int, int], None]) -> None:
        self._phase, self._total, self._progress = phase, total, progress
        self.done = 0

    def __call__(self, count: int) -> None:
        self.done += count
        self._progress(self._phase, self.done, self._total)


def _write(plan: BundlePlan, finishing: Finishing) -> list[list[write.Written]]:
    tick = _Counter("write", plan.total_bytes, finishing.progress)
    writing = Writing(link=plan.link, tick=tick)
    written = []
    for volume in plan.volumes:
        done = []
        for content in volume.contents:
            places = pieces.on_one(content, volume)
            done.append(pieces.put(content, places, tick) if places else write.put(content, volume.path, writing))
        written.append(done)
    for one in plan.cut:
        cut = pieces.put(one.content, one.places(plan.volumes), tick)
        for number, _ in one.shares:
            written[number - 1].append(cut)
    return written


def _read_back(plan: BundlePlan, written: list[list[write.Written]], finishing: Finishing) -> int:
    """What is linked was read already, from where it lies; what was found as well. Raises IntegrityError."""
    copied = [
        (volume.path / name, sha256, size)
        for number, (volume, done) in enumerate(zip(plan.volumes, written, strict=True), 1)
        for one in done
        if one.how is How.COPY
        for name, sha256, size in one.blob.files_on(number)
    ]
    tick = _Counter("read back", sum(size for _, _, size in copied), finishing.progress)
    for file, sha256, _ in copied:
        if write.digest_of(file, tick, from_medium=True) != sha256:
            file.unlink()
            raise IntegrityError("pack.bad_medium", path=file)
    return tick.done


def _info(
    plan: BundlePlan, identity: dict[str, Any], written: Iterable[list[write.Written]], number: int
) -> BundleInfo:
    volumes = tuple(
        VolumeInfo(
            number=n, label=volume.path.name, blobs=tuple(sorted((w.blob for w in done), key=lambda b: b.sha256))
        )
        for n, (volume, done) in enumerate(zip(plan.volumes, written, strict=True), 1)
    )
    return BundleInfo(
        id=identity["id"],
        serial=identity["serial"],
        created=identity["created"],
        label=plan.label,
        tool=plan.tool,
        volume=number,
        volumes=volumes,
        models=plan.models,
        base=plan.base,
        have=plan.have,
    )


# The end


def _finish(path: Path, info: BundleInfo, index: bytes, finishing: Finishing) -> None:
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(write.FOLDER_MODE)
    small = {
        layout.OCI_NAME: layout.OCI_LAYOUT,
        layout.INDEX_NAME: index,
        layout.INFO_NAME: info.encode(),
        **finishing.texts(info),
    }
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in small.items()}
    sums |= {name: sha256 for name, sha256, _ in info.this.files}
    listed = format_sums(sums)
    # The signature comes before what it signs: whoever sees the sums of a signed bundle sees that it is signed.
    last = {layout.SIGNATURE_NAME: finishing.sign(listed)} if finishing.sign else {}
    for name, data in {**small, **last, layout.SUMS_NAME: listed}.items():
        with files.atomic_write(path / name) as stream:
            stream.write(data)
    files.sync(path)
