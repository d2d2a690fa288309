"""Images from a registry, for `bundle create --image`: into one OCI layout, `$SELFHOST_HOME/fetched`; they stay there.

A content that is there was verified; one that was interrupted is fetched anew. Nothing here is what an import brings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost import files
from selfhost.bundle import canonical, image_store, images, layout, modelpack
from selfhost.bundle.image_store import LocalImage
from selfhost.bundle.modelpack import IndexEntry, Layer
from selfhost.errors import IntegrityError, NoError, UsageError
from selfhost.registry.client import MANIFEST_TYPES, Registry
from selfhost.registry.reference import Reference, parse_reference
from selfhost.registry.types import Options

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from selfhost.app.bundle_request import CreateRequest
    from selfhost.home import Home

_HASH_SHOWN = 12


def fetch(given: str, request: CreateRequest, home: Home) -> LocalImage:
    """An image of a registry, with all its contents here; without `request.download` with what is small only.

    Raises UsageError for what is no name, NoError where there is no such image, and what the registry gives reason for.
    """
    reference = parse_reference(given)
    in_use = home.fetched / ".in-use.lock"
    _clean(home.fetched / layout.BLOBS, in_use)
    options = Options(plain_http=request.plain_http)
    with files.hold_lock(in_use, shared=True), Registry(reference, options) as registry:
        work = _Fetching(registry, reference, home.fetched, request)
        return work.image(request.platform, whole=request.download)


def _clean(blobs: Path, in_use: Path) -> None:
    """Remove what killed processes left half-written, unless somebody fetches now: layers have gigabytes."""
    with files.hold_lock(in_use, blocking=False) as alone:
        for path in blobs.glob(".*") if alone else ():
            path.unlink(missing_ok=True)


def name_of(reference: Reference) -> str:
    """What it is called in a bundle: a digest alone makes a tag of it. Raises UsageError."""
    tag = reference.tag or (f"sha256-{reference.digest[7:][:_HASH_SHOWN]}" if reference.digest else "latest")
    # A host is the same in capitals, a name of an image has none.
    name = f"{reference.host.lower()}/{reference.repository}:{tag}"
    if not images.is_reference(name):
        raise UsageError("image.unnameable", name=name)
    return name


class _Fetching:
    """One image on its way."""

    def __init__(self, registry: Registry, reference: Reference, root: Path, request: CreateRequest) -> None:
        self._registry, self._reference, self._root = registry, reference, root
        self._progress, self.note = request.fetching, request.note
        self._name = name_of(reference)
        self._done = self._total = 0

    def moved(self, n_bytes: int) -> None:
        """So many more bytes are here."""
        self._done += n_bytes
        if self._total:  # what is small comes before it is known
            self._progress(self._name, self._done, self._total)

    def image(self, platform: str | None, *, whole: bool) -> LocalImage:
        """Fetch it."""
        repository, wanted = self._reference.repository, self._reference.wanted
        pulled = self._registry.manifest(repository, wanted, self)
        if pulled is None:
            raise NoError("image.not_in_registry", name=self._reference)
        root = Layer(path="", sha256=pulled.sha256, size=len(pulled.data), media_type=pulled.media_type)
        self._put(root, [pulled.data])
        entry = IndexEntry(
            artifact_type="", name=self._name, sha256=root.sha256, size=root.size, media_type=root.media_type
        )
        if platform is not None:
            entry = images.pick(entry, platform, self._small, str(self._reference))
        image = images.read_image(entry, self._small, str(self._reference))
        for one in image.small:  # an index names its platforms: their configurations were not needed yet
            self._small(one)
        if whole:
            lacking = [one for one in image.layers if not self._has(one)]
            self._done, self._total = 0, sum(one.size for one in lacking)
            for one in lacking:
                self._put(one, self._registry.read_blob(repository, one.sha256, one.size, self))
            self._list(entry)
        return LocalImage(root=self._root, image=image)

    def _path(self, part: Layer) -> Path:
        return self._root / layout.blob_path(part.sha256)

    def _has(self, part: Layer) -> bool:
        path = self._path(part)
        return path.is_file() and path.stat().st_size == part.size

    def _small(self, part: Layer) -> bytes:
        if part.size > canonical.MAX_JSON_BYTES:
            raise IntegrityError("image.bad", path=self._reference, detail=f"{part.size:,} bytes of metadata")
        if not self._has(part):
            repository = self._reference.repository
            if part.media_type in MANIFEST_TYPES:
                pulled = self._registry.manifest(repository, f"sha256:{part.sha256}", self)
                if pulled is None:
                    raise NoError("image.not_in_registry", name=f"{self._name}@sha256:{part.sha256}")
                self._put(part, [pulled.data])
            else:
                self._put(part, self._registry.read_blob(repository, part.sha256, part.size, self))
        return image_store.read_part(self._root, self._name, part)

    def _put(self, part: Layer, pieces: Iterable[bytes | memoryview]) -> None:
        """What is under its final name was hashed by the registry's client."""
        path = self._path(part)
        files.make_directory(path.parent)
        with files.atomic_write(path) as stream:
            for piece in pieces:
                stream.write(piece)

    def _list(self, entry: IndexEntry) -> None:
        """Name the image in the layout's index, in the place of an older one of that name."""
        with files.hold_lock(self._root / ".lock"):
            path = self._root / layout.INDEX_NAME
            before = modelpack.parse_index(path.read_bytes()) if path.is_file() else ()
            entries = {one.name: one for one in (*before, entry)}
            for name, data in {
                layout.OCI_NAME: layout.OCI_LAYOUT,
                layout.INDEX_NAME: modelpack.build_index(entries.values()),
            }.items():
                with files.atomic_write(self._root / name) as stream:
                    stream.write(data)
