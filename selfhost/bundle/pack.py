"""Makes the volumes of a bundle: contents first, then what describes them, SHA256SUMS last.

A volume that is being made has a file `creating.part`, which goes when everything else is on the medium. Another run
takes up what an earlier one with the same label left, and removes what does not belong there; a directory without that
file is somebody else's and is not touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.bundle import layout, write
from selfhost.bundle.layout import BlobInfo, BundleInfo, ModelRef, VolumeInfo
from selfhost.bundle.sums import format_sums
from selfhost.bundle.write import Content, How, LinkMode, Writing
from selfhost.errors import IntegrityError, NoError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MARKER = f"creating{layout.PART}"


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

    @property
    def total_bytes(self) -> int:
        """What is read."""
        return sum(content.size for volume in self.volumes for content in volume.contents)


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
        for volume in plan.volumes:
            stack.enter_context(_hold(volume.path))
        identity = _identity(plan)
        for volume in plan.volumes:
            _begin(volume, identity)
        written = _write(plan, finishing)
        read_back = _read_back(plan, written, finishing) if finishing.read_back else 0
        infos = [_info(plan, identity, written, number) for number in range(1, len(plan.volumes) + 1)]
        for volume, info in zip(plan.volumes, infos, strict=True):
            _finish(volume.path, info, plan.index, finishing)
        return Packed(
            info=infos[0],
            volumes=tuple(_told(v, w) for v, w in zip(plan.volumes, written, strict=True)),
            signed=finishing.sign is not None,
            read_back_bytes=read_back,
        )


def _told(volume: VolumePlan, written: list[write.Written]) -> PackedVolume:
    how: Counter[str] = Counter()
    for one in written:
        how[one.how.value] += one.blob.size
    return PackedVolume(path=volume.path, blobs=len(written), size_bytes=how.total(), how=dict(sorted(how.items())))


# Beginning


def is_unfinished(path: Path) -> bool:
    """Whether a directory is a volume whose making was interrupted, or is empty."""
    if path.is_symlink() or not path.is_dir():
        return False
    # Power that went while the marker was written leaves only its temporary file.
    return (path / MARKER).is_file() or all(one.name.startswith(f".{MARKER}.") for one in path.iterdir())


@contextlib.contextmanager
def _hold(path: Path) -> Iterator[None]:
    """Make the directory of a volume, or take it up, and keep others from doing so."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise NoError("pack.in_the_way", path=path)
    if path.exists() and not is_unfinished(path):
        raise NoError("pack.exists", path=path)
    files.make_directory(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NoError("pack.busy", path=path) from None
        except OSError:  # a network file system that has no locks on directories
            pass
        yield
    finally:
        os.close(descriptor)


def _identity(plan: BundlePlan) -> dict[str, Any]:
    """Id, serial and time: those of the interrupted run when it made the same bundle, else new ones."""
    now = datetime.now(UTC)
    made = {
        "id": secrets.token_hex(16),
        "serial": int(now.timestamp()) if plan.serial is None else plan.serial,
        "created": now.isoformat(timespec="seconds"),
        "index": hashlib.sha256(plan.index).hexdigest(),
    }
    for volume in plan.volumes:
        found = files.read_json(volume.path / MARKER) or {}
        if (
            found.get("index") == made["index"]
            and plan.serial in (None, found.get("serial"))
            and made.keys() <= found.keys()
        ):
            return {name: found[name] for name in made}
    return made


def _begin(volume: VolumePlan, identity: dict[str, Any]) -> None:
    files.write_json(volume.path / MARKER, identity)
    wanted, pieces = set(), set()
    for content in volume.contents:
        if write.in_pieces(content, volume.max_file_bytes):
            pieces.add(f"{layout.CHUNKS}/{content.sha256}")
        else:
            wanted.add(layout.blob_path(content.sha256))
    for folder, _, names in os.walk(volume.path):
        for name in names:
            path = Path(folder, name)
            inside = path.relative_to(volume.path)
            is_piece = str(inside.parent) in pieces and layout.is_volume_path(str(inside))
            if str(inside) != MARKER and str(inside) not in wanted and not is_piece:
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
    written = []
    for volume in plan.volumes:
        writing = Writing(link=plan.link, max_file_bytes=volume.max_file_bytes, tick=tick)
        written.append([write.put(content, volume.path, writing) for content in volume.contents])
    return written


def _read_back(plan: BundlePlan, written: list[list[write.Written]], finishing: Finishing) -> int:
    """What is linked was read already, from where it lies; what was found as well. Raises IntegrityError."""
    copied = [
        (volume.path, blob)
        for volume, done in zip(plan.volumes, written, strict=True)
        for blob in (one.blob for one in done if one.how is How.COPY)
    ]
    tick = _Counter("read back", sum(blob.size for _, blob in copied), finishing.progress)
    for path, blob in copied:
        for name, sha256, _ in blob.files:
            file = path / name
            if write.digest_of(file, tick, from_medium=True) != sha256:
                file.unlink()
                raise IntegrityError("pack.bad_medium", path=file)
    return tick.done


def _info(
    plan: BundlePlan, identity: dict[str, Any], written: Iterable[list[write.Written]], number: int
) -> BundleInfo:
    volumes = tuple(
        VolumeInfo(number=n, label=volume.path.name, blobs=_sorted(one.blob for one in done))
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


def _sorted(blobs: Iterable[BlobInfo]) -> tuple[BlobInfo, ...]:
    return tuple(sorted(blobs, key=lambda blob: blob.sha256))


# The end


def _finish(path: Path, info: BundleInfo, index: bytes, finishing: Finishing) -> None:
    small = {
        layout.OCI_NAME: layout.OCI_LAYOUT,
        layout.INDEX_NAME: index,
        layout.INFO_NAME: info.encode(),
        **finishing.texts(info),
    }
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in small.items()}
    for blob in info.this.blobs:
        sums |= {name: sha256 for name, sha256, _ in blob.files}
    listed = format_sums(sums)
    # The signature comes before what it signs: whoever sees the sums of a signed bundle sees that it is signed.
    last = {layout.SIGNATURE_NAME: finishing.sign(listed)} if finishing.sign else {}
    for name, data in {**small, **last, layout.SUMS_NAME: listed}.items():
        with files.atomic_write(path / name) as stream:
            stream.write(data)
    files.sync(path)
    (path / MARKER).unlink()
    files.sync(path)
