"""Container images on disk: a layout that somebody made (`oci:DIR`), and those that bundles brought.

    images/<name>/                 an OCI image layout of one image: `skopeo copy oci:DIR ...` reads it
        selfhost-model.json        its lock, as models and wheelhouses have one
        index.json  oci-layout  blobs/sha256/...

Contents are hard links to those of the store: `gc` leaves them, and who removes the folder frees them.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.bundle import canonical, images, layout, modelpack, wheelhouse
from selfhost.errors import IncompleteError, IntegrityError, UsageError
from selfhost.messages import word
from selfhost.records import dataclass
from selfhost.weights import store
from selfhost.weights.lock import LockedFile, ModelLock, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selfhost.bundle.images import Image
    from selfhost.bundle.modelpack import IndexEntry, Layer
    from selfhost.bundle.read import Bundle
    from selfhost.weights.blobs import Blobs

SCHEME = "oci:"
_ODD_NAME = re.compile(r"[^A-Za-z0-9._+-]+")
_HASH_SHOWN = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalImage:
    """An image in a layout that somebody made."""

    root: Path
    image: Image

    def path(self, part: Layer) -> Path:
        """The file of a part of it."""
        return self.root / layout.blob_path(part.sha256)

    def read(self, part: Layer) -> bytes:
        """A small part of it. Raises IncompleteError, IntegrityError."""
        return read_part(self.root, self.image.entry.name, part)


# A layout that somebody made


def open_image(given: str, platform: str | None) -> LocalImage:
    """The image that `oci:DIR` or `oci:DIR:NAME` means; with `platform` that one of its manifests.

    Reads its manifests and looks whether all else is there. Raises UsageError where it is not clear which, or it is for
    other platforms; IncompleteError for parts that are not there, IntegrityError for what is damaged.
    """
    root, wanted = _split(given)
    entry = _choose(root, _entries(root), wanted)

    def fetch(part: Layer) -> bytes:
        return read_part(root, entry.name, part)

    if platform is not None:
        entry = images.pick(entry, platform, fetch, str(root))
    found = LocalImage(root=root, image=images.read_image(entry, fetch, str(root)))
    for part in (*found.image.small, *found.image.layers):
        _check_there(found.path(part), entry.name, root, part)
    return found


def _split(given: str) -> tuple[Path, str]:
    """The directory is what is one, up to a colon: names of images have colons, too."""
    rest = given.removeprefix(SCHEME)
    if not given.startswith(SCHEME) or not rest:
        raise UsageError("image.bad_source", given=given)
    words = rest.split(":")
    for count in range(len(words), 0, -1):
        path = Path(":".join(words[:count])).expanduser()
        if path.is_dir():
            return path.absolute(), ":".join(words[count:])
    raise UsageError("image.not_a_layout", path=words[0], detail="no such directory")


def _entries(root: Path) -> list[tuple[IndexEntry, str]]:
    """Every entry of the index, and the name that it has there."""
    try:
        data = (root / layout.INDEX_NAME).read_bytes()
        if not (root / layout.OCI_NAME).is_file():
            raise UsageError("image.not_a_layout", path=root, detail=f"no `{layout.OCI_NAME}`")
    except OSError as error:
        raise UsageError("image.not_a_layout", path=root, detail=f"`{layout.INDEX_NAME}`: {error.strerror}") from error
    listed = canonical.decode(data, str(root / layout.INDEX_NAME)).get("manifests")
    if not isinstance(listed, list):
        raise UsageError("image.not_a_layout", path=root, detail=f"`{layout.INDEX_NAME}` lists no manifests")
    found = []
    for one in listed:
        # One at a time: names need not differ here, and `parse_index` wants them to.
        (entry,) = modelpack.parse_index(canonical.encode({"manifests": [one]}), str(root / layout.INDEX_NAME))
        full = (one.get("annotations") or {}).get(images.FULL_NAME)
        found.append((entry, full if isinstance(full, str) else entry.name))
    return found


def _choose(root: Path, entries: list[tuple[IndexEntry, str]], wanted: str) -> IndexEntry:
    found = [(entry, name) for entry, name in entries if not wanted or wanted in (name, entry.name)]
    if len({entry.sha256 for entry, _ in found}) != 1:
        listed = ", ".join(sorted({name for _, name in entries if name})) or "none with a name"
        raise UsageError("image.not_there", path=root, wanted=wanted or "several", listed=listed)
    entry, name = found[0]
    if name and "/" not in name and ":" not in name:
        name = f"{root.name}:{name}"  # a tag alone, as skopeo writes it for `oci:DIR:TAG`
    if not images.is_reference(name):
        raise UsageError("image.no_name", path=root, name=name or word("none"))
    # The index may say what type an image's configuration is (image-spec 1.1, descriptor.md): in ours that makes it an
    # artifact. What is one says so itself, and is refused.
    return replace(entry, name=name, artifact_type="")


def read_part(root: Path, name: str, part: Layer) -> bytes:
    """A manifest or a configuration of a layout. Raises IncompleteError, IntegrityError, naming the image."""
    path = root / layout.blob_path(part.sha256)
    _check_there(path, name, root, part)
    if part.size > canonical.MAX_JSON_BYTES:
        raise IntegrityError("image.bad", path=root, detail=f"a manifest or configuration of {part.size:,} bytes")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != part.sha256:
        raise IntegrityError("image.part_damaged", path=root, name=name, sha256=part.sha256)
    return data


def _check_there(path: Path, name: str, root: Path, part: Layer) -> None:
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError:
        size = None
    if size is None and part.media_type in images.FOREIGN_LAYERS:
        raise IncompleteError("image.foreign", path=root, name=name, sha256=part.sha256)
    if size is None:
        raise IncompleteError("image.part_absent", path=root, name=name, sha256=part.sha256)
    if size != part.size:
        raise IntegrityError("image.part_damaged", path=root, name=name, sha256=part.sha256)


# Those that bundles brought


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredImage:
    """An image of the store."""

    directory: Path
    image: Image

    def as_dict(self) -> dict[str, Any]:
        """One of `images` in JSON."""
        return {**self.image.as_dict(), "path": str(self.directory)}


def folder_name(name: str) -> str:
    """The folder of an image; two names never have one.

    >>> folder_name("vllm"), folder_name("docker.io/vllm/vllm-openai:v1")
    ('vllm', 'docker.io-vllm-vllm-openai-v1-c7da7c74')
    """
    plain = _ODD_NAME.sub("-", name)
    return name if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:_HASH_SHOWN]}"


def publish(bundle: Bundle, root: Path, blobs: Blobs, waiting: Callable[[], None]) -> list[StoredImage]:
    """Make the folders of the images of a bundle; those that are there as they should be stay.

    Raises IntegrityError for a name that would lead elsewhere.
    """
    made = []
    for image in bundle.images:
        name = image.entry.name
        if not images.is_reference(name):
            raise IntegrityError("image.bad", path=bundle.info.label, detail=f"{name!r} is no name of an image")
        directory = root / folder_name(name)
        lock = ModelLock(
            recipe=root.name,
            variant=directory.name,
            source=Origin(kind="bundle", id=bundle.info.label, revision=None),
            files=tuple(
                LockedFile(path=layout.blob_path(sha256), size=size, sha256=sha256)
                for sha256, size in sorted(image.contents.items())
            ),
        )
        with store.hold(directory, waiting):
            if not wheelhouse.is_there(directory, lock.files):
                store.publish(directory, lock, blobs, partial(_describe, image), symbolic=False)
        made.append(StoredImage(directory=directory, image=image))
    return made


def _describe(image: Image, made: Path) -> None:
    for name, data in images.own_layout(image.entry).items():
        with files.atomic_write(made / name) as stream:
            stream.write(data)
    files.sync(made)


def stored(root: Path) -> Iterator[StoredImage]:
    """Every image that a bundle brought; one that was damaged since is left out."""
    for directory, _ in wheelhouse.stored(root):
        with contextlib.suppress(IntegrityError, IncompleteError, UsageError):
            yield StoredImage(directory=directory, image=open_image(f"{SCHEME}{directory}", None).image)
