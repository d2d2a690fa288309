"""What of a bundle goes to a registry, and under which names; nothing is sent here."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from selfhost.app.bundle_shipment import Absent, Sealed, Shipment, blob_of, data_blob, distinct, lacking
from selfhost.bundle import modelcar, modelpack
from selfhost.bundle.devices import run_by_device
from selfhost.bundle.take import Source, read_range
from selfhost.errors import IntegrityError, NoError, UsageError
from selfhost.registry.client import MANIFEST_TYPES
from selfhost.registry.reference import as_tag, is_repository
from selfhost.registry.types import Blob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from selfhost.bundle.images import Image
    from selfhost.bundle.modelcar import TarLayer
    from selfhost.bundle.modelpack import Layer
    from selfhost.bundle.read import Artifact, Bundle
    from selfhost.registry.reference import Reference

    Progress = Callable[[int, int], None]


class Kind(StrEnum):
    """How models and images are laid out in a registry."""

    MODELPACK = "modelpack"
    """The artifact that the bundle has."""
    MODELCAR = "modelcar"
    """An image with the files below `/models`."""
    IMAGES = "images"
    """The container images of the bundle."""


def shipments(
    bundle: Bundle, reference: Reference, kind: Kind, model: str | None, progress: Progress
) -> list[Shipment]:
    """What goes where. For `modelcar` every content is read once. Raises UsageError, NoError, IncompleteError."""
    if reference.digest:
        raise UsageError("push.digest", given=reference)
    if kind is Kind.IMAGES:
        return _images(bundle, reference)
    chosen = _models(bundle, model)
    named = [(one, _named(reference, one.entry.name, alone=len(chosen) == 1)) for one in chosen]
    _check_distinct([to for _, to in named])
    if kind is Kind.MODELPACK:
        return [_modelpack(bundle, one, to) for one, to in named]
    return [_modelcar(bundle, one, to, progress) for one, to in named]


def _models(bundle: Bundle, model: str | None) -> list[Artifact]:
    found = [one for one in bundle.artifacts if one.entry.artifact_type == modelpack.MODEL]
    if not found:
        raise NoError("push.no_models", label=bundle.info.label)
    if model is None:
        return found
    matching = [one for one in found if model in (one.entry.name, one.entry.name.partition("/")[0])]
    if not matching:
        known = ", ".join(one.entry.name for one in found)
        raise NoError("push.no_model", name=model, label=bundle.info.label, known=known)
    return matching


def _named(reference: Reference, name: str, *, alone: bool) -> Reference:
    """Where one of several goes: the tag that was given names one thing only."""
    if not alone and reference.tag:
        raise UsageError("push.one_tag", tag=reference.tag)
    return replace(reference, tag=reference.tag or as_tag(name))


# As the bundle has it


def _modelpack(bundle: Bundle, model: Artifact, to: Reference) -> Shipment:
    sources = bundle.sources
    belonging = [one for one in bundle.artifacts if one.manifest.subject == model.entry.sha256]
    blobs = [blob_of(sources, one) for artifact in (model, *belonging) for one in _contents(artifact)]
    sealed = [
        Sealed(wanted=f"sha256:{one.entry.sha256}", media_type=modelpack.MANIFEST, data=bundle.read(one.entry.sha256))
        for one in belonging
    ]
    last = Sealed(wanted=to.tag, media_type=modelpack.MANIFEST, data=bundle.read(model.entry.sha256))
    referrers = tuple(
        {
            "mediaType": modelpack.MANIFEST,
            "digest": f"sha256:{one.entry.sha256}",
            "size": one.entry.size,
            "artifactType": one.entry.artifact_type,
        }
        for one in belonging
    )
    return Shipment(
        name=model.entry.name,
        reference=to,
        blobs=distinct(blobs),
        manifests=(*sealed, last),
        referrers=referrers,
    )


def _contents(artifact: Artifact) -> tuple[Layer, ...]:
    return (*artifact.manifest.layers, artifact.manifest.config)


# As an image


def _modelcar(bundle: Bundle, model: Artifact, to: Reference, progress: Progress) -> Shipment:
    sources = bundle.sources
    if absent := [one for one in model.manifest.layers if one.sha256 not in sources]:
        raise lacking(bundle, [Absent(sha256=one.sha256, size=one.size) for one in absent], "push.lacking_here")
    layers = modelcar.layers_of(model.manifest)
    digests = _digests(layers, sources, progress)
    image = modelcar.build_image(model.entry.name, [digests[one.name] for one in layers])
    blobs = [_tar_blob(one, digests[one.name].sha256, sources) for one in layers]
    blobs += [data_blob("config", data) for data in image.configs]
    sealed = [
        Sealed(wanted=f"sha256:{modelpack.sha256_of(data)}", media_type=modelpack.MANIFEST, data=data)
        for data in image.manifests
    ]
    last = Sealed(wanted=to.tag, media_type=modelpack.INDEX, data=image.index)
    return Shipment(name=model.entry.name, reference=to, blobs=distinct(blobs), manifests=(*sealed, last))


def _digests(
    layers: Sequence[TarLayer], sources: dict[str, Source], progress: Progress
) -> dict[str, modelcar.Digested]:
    """The digest of each layer, by its name; its contents are compared with theirs on the way."""

    def work(layer: TarLayer, tick: Callable[[int], None]) -> tuple[str, modelcar.Digested]:
        whole = hashlib.sha256()
        for part in layer.parts:
            if isinstance(part, bytes):
                whole.update(part)
                continue
            own = hashlib.sha256()
            for data in read_range(sources[part.sha256], 0, part.size):
                own.update(data)
                whole.update(data)
                tick(len(data))
            if own.hexdigest() != part.sha256:
                path = sources[part.sha256].pieces[0].shown
                raise IntegrityError("unpack.other_bytes", path=path, wanted=part.sha256, found=own.hexdigest())
        return layer.name, modelcar.Digested(sha256=whole.hexdigest(), size=layer.size)

    todo = [(_root(layer, sources), layer) for layer in layers]
    return dict(run_by_device(todo, work, sum(layer.size for layer in layers), progress))


def _root(layer: TarLayer, sources: dict[str, Source]) -> Any:
    first = next(part for part in layer.parts if not isinstance(part, bytes))
    return sources[first.sha256].pieces[0].medium.root


def _tar_blob(layer: TarLayer, sha256: str, sources: dict[str, Source]) -> Blob:
    def read(begin: int, end: int) -> Iterator[bytes | memoryview]:
        place = 0
        for part in layer.parts:
            size = len(part) if isinstance(part, bytes) else part.size
            first, last = max(begin - place, 0), min(end - place, size)
            if first < last:
                if isinstance(part, bytes):
                    yield part[first:last]
                else:
                    yield from read_range(sources[part.sha256], first, last)
            place += size

    return Blob(name=layer.name, sha256=sha256, size=layer.size, read=read)


# Container images


def _images(bundle: Bundle, reference: Reference) -> list[Shipment]:
    found = bundle.images
    if not found:
        raise NoError("push.no_images", label=bundle.info.label)
    placed = [(one, _place(reference, one.entry.name, alone=len(found) == 1)) for one in found]
    _check_distinct([to for _, to in placed])
    return [_image(bundle, one, to) for one, to in placed]


def _check_distinct(places: Sequence[Reference]) -> None:
    names = [f"{to.repository}:{to.tag}" for to in places]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError("push.same_name", names=", ".join(twice))


def _place(reference: Reference, name: str, *, alone: bool) -> Reference:
    """Where an image goes: the name that was given, or below it, by the last part of its own name."""
    if reference.tag and alone:
        return reference
    if reference.tag:
        raise UsageError("push.one_tag", tag=reference.tag)
    last, _, tag = name.partition("@")[0].rpartition("/")[2].partition(":")
    repository = f"{reference.repository}/{last.lower()}"
    if not is_repository(repository):
        raise UsageError("push.image_name", name=name)
    return replace(reference, repository=repository, tag=as_tag(tag or "latest"))


def _image(bundle: Bundle, image: Image, to: Reference) -> Shipment:
    """An image, or an index of images for several platforms, as it is; the first of what is small has the name."""
    sources = bundle.sources
    root, *below = [one for one in image.small if one.media_type in MANIFEST_TYPES]
    named = [replace(one, path=f"layer {one.sha256[:12]}") for one in image.layers]
    configs = [one for one in image.small if one.media_type not in MANIFEST_TYPES]
    return Shipment(
        name=image.entry.name,
        reference=to,
        blobs=distinct(blob_of(sources, one) for one in (*named, *configs)),
        manifests=tuple(
            Sealed(wanted=wanted, media_type=one.media_type, data=bundle.read(one.sha256))
            for one, wanted in (*((one, f"sha256:{one.sha256}") for one in below), (root, to.tag))
        ),
    )
