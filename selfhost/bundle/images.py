"""Container images as OCI has them: what belongs to one, which platforms it is for. Bytes in, values out.

An image is a manifest, or an index of manifests, one for each platform; nothing of it is changed on its way, so that
its digest stays the one that its publisher signed. Source: OCI image-spec 1.1 (manifest.md, image-index.md,
annotations.md) and the two media types of Docker that mean the same.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost.bundle import canonical, layout
from selfhost.bundle.modelpack import INDEX, MANIFEST, REF_NAME, IndexEntry, Layer
from selfhost.errors import IntegrityError, UsageError
from selfhost.messages import word
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Fetch = Callable[[Layer], bytes]
    """Gets a descriptor, gives the bytes that it names; whoever gives them has compared the digest."""

_MANIFESTS = (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
_INDEXES = (INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
CONFIG = "application/vnd.oci.image.config.v1+json"
_CONFIGS = (CONFIG, "application/vnd.docker.container.image.v1+json")
_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"
FOREIGN_LAYERS = (
    _LAYER,
    f"{_LAYER}+gzip",
    f"{_LAYER}+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
)
"""Layers that no registry need have: their publisher names another place for them, by `urls`."""
FULL_NAME = "io.containerd.image.name"
"""Annotation of an entry: the whole name, where `REF_NAME` may be the tag alone."""
_NO_PLATFORM = "unknown/unknown"
_MAX_PARTS = 1000
"""Layers of one manifest, and manifests of one index."""
_REFERENCE = re.compile(r"[a-z0-9](?:[a-z0-9._/-]|:(?=\d+/))*(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?", re.ASCII)
_MAX_NAME = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """One image, and every content that belongs to it."""

    entry: IndexEntry
    platforms: tuple[str, ...]
    """`linux/amd64`, ..., sorted; attestations are of none."""
    small: tuple[Layer, ...]
    """Its manifests and configurations, the one that the entry names first."""
    layers: tuple[Layer, ...]
    manifests: Mapping[str, tuple[Layer, tuple[Layer, ...]]]
    """Configuration and layers of each platform."""

    @property
    def contents(self) -> dict[str, int]:
        """Sizes in bytes by sha256, each content once."""
        return {one.sha256: one.size for one in (*self.small, *self.layers)}

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return sum(self.contents.values())

    def as_dict(self) -> dict[str, Any]:
        """One of `images` in JSON."""
        return {
            "name": self.entry.name,
            "digest": f"sha256:{self.entry.sha256}",
            "platforms": list(self.platforms),
            "size_bytes": self.size_bytes,
        }


def is_image(entry: IndexEntry) -> bool:
    """Whether an entry of an index is a container image; artifacts say what they are."""
    return not entry.artifact_type


def is_reference(name: str) -> bool:
    """Whether an image can be called so everywhere: `docker.io/vllm/vllm-openai:v0.32.0`."""
    return len(name) <= _MAX_NAME and bool(_REFERENCE.fullmatch(name))


def read_image(entry: IndexEntry, fetch: Fetch, where: str) -> Image:
    """What belongs to an image. Raises IntegrityError, naming `where`, for what is none, and what `fetch` raises."""
    root = _root(entry)
    small, layers = [root], list[Layer]()
    manifests: dict[str, tuple[Layer, tuple[Layer, ...]]] = {}
    try:
        for child, named in _children(root, fetch, where):
            config, its_layers = _manifest(child, fetch, where, beside=named == _NO_PLATFORM)
            platform = named or _platform(canonical.decode(fetch(config), where))
            small += [child, config]
            layers += its_layers
            manifests[platform] = (config, its_layers)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError("image.bad", path=where, detail=f"{type(error).__name__}: {error}") from error
    platforms = tuple(sorted(name for name in manifests if not name.startswith("unknown/")))
    return Image(
        entry=entry,
        platforms=platforms,
        small=tuple(dict.fromkeys(small)),
        layers=tuple(dict.fromkeys(layers)),
        manifests={name: manifests[name] for name in platforms},
    )


def pick(entry: IndexEntry, platform: str, fetch: Fetch, where: str) -> IndexEntry:
    """The entry of one platform of an image. Raises UsageError where the image is for others."""
    image = read_image(entry, fetch, where)
    found = _for_platform(image, platform.lower())
    if found is None:
        listed = ", ".join(image.platforms) or word("none")
        raise UsageError("image.no_platform", name=entry.name, platform=platform, listed=listed)
    if entry.media_type not in _INDEXES:
        return entry
    child = next(
        child
        for child, named in _children(_root(entry), fetch, where)
        if named == found
        or (not named and _manifest(child, fetch, where, beside=False)[0] == image.manifests[found][0])
    )
    return replace(entry, sha256=child.sha256, size=child.size, media_type=child.media_type)


def _root(entry: IndexEntry) -> Layer:
    return Layer(path="", sha256=entry.sha256, size=entry.size, media_type=entry.media_type)


def _for_platform(image: Image, platform: str) -> str | None:
    """The image's own name of a platform: whoever names no variant takes any."""
    return next((one for one in image.platforms if one == platform or one.startswith(f"{platform}/")), None)


def _children(root: Layer, fetch: Fetch, where: str) -> list[tuple[Layer, str]]:
    """The manifests of an image, with their platforms where an index names them."""
    if root.media_type in _MANIFESTS:
        return [(root, "")]
    if root.media_type not in _INDEXES:
        _refuse(f"{root.media_type!r} is no image")
    body = _body(root, fetch, where)
    # Who names no platform has it in the configuration.
    listed = [(one, one.get("platform")) for one in _capped(body["manifests"])]
    found = [(_part(one), _platform(said) if said else "") for one, said in listed]
    if not found or (odd := next((child for child, _ in found if child.media_type not in _MANIFESTS), None)):
        _refuse(f"an index of {odd.media_type!r}" if found and odd else "an index of nothing")
    return found


def _manifest(child: Layer, fetch: Fetch, where: str, *, beside: bool) -> tuple[Layer, tuple[Layer, ...]]:
    """Configuration and layers. beside: of no platform, as an attestation is, which may be an artifact."""
    body = _body(child, fetch, where)
    config = _part(body["config"])
    if not beside and (config.media_type not in _CONFIGS or body.get("artifactType")):
        _refuse(f"an artifact of {body.get('artifactType') or config.media_type!r}, no container image")
    return config, tuple(_part(one) for one in _capped(body["layers"]))


def _body(part: Layer, fetch: Fetch, where: str) -> Mapping[str, Any]:
    body = canonical.decode(fetch(part), where)
    # Bytes that are an index to one program and a manifest to another are two images under one digest: CVE-2021-41190.
    if body.get("mediaType", part.media_type) != part.media_type:
        _refuse(f"{part.media_type!r} says of itself that it is {ascii(body['mediaType'])[:80]}")
    return body


def _part(body: Mapping[str, Any]) -> Layer:
    digest, size, media = body["digest"], body["size"], body["mediaType"]
    if not isinstance(digest, str) or not digest.startswith("sha256:") or not layout.is_sha256(digest[7:]):
        _refuse(f"{ascii(digest)[:80]} is no sha256 digest")
    if type(size) is not int or not 0 <= size < 1 << 62:
        _refuse(f"{ascii(size)[:80]} is no size")
    if not isinstance(media, str) or not media.isprintable():
        _refuse(f"{ascii(media)[:80]} is no media type")
    return Layer(path="", sha256=digest[7:], size=size, media_type=media)


def _platform(body: Mapping[str, Any]) -> str:
    """`linux/arm64/v8`; `unknown/unknown` for what is for none."""
    words = [body.get("os"), body.get("architecture"), body.get("variant")]
    said = [word for word in words if isinstance(word, str) and word.isprintable()]
    return "/".join(said).lower() or _NO_PLATFORM


def _capped(value: list[Any]) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MAX_PARTS:
        _refuse(f"not a list of at most {_MAX_PARTS:,}")
    return value


def _refuse(problem: str) -> None:
    raise ValueError(problem)


def own_layout(entry: IndexEntry) -> dict[str, bytes]:
    """The files of a layout that has this image alone, but its blobs: named as other tools look for it."""
    listed = {
        "mediaType": entry.media_type,
        "digest": f"sha256:{entry.sha256}",
        "size": entry.size,
        "annotations": {REF_NAME: entry.name, FULL_NAME: entry.name},
    }
    index = canonical.encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]})
    return {layout.OCI_NAME: layout.OCI_LAYOUT, layout.INDEX_NAME: index}


def docker_list(image: Image, platform: str) -> bytes | None:
    """`manifest.json` as `docker save` writes it, for Docker without containerd's store; None: for others."""
    name = _for_platform(image, platform)
    if name is None:
        return None
    config, layers = image.manifests[name]
    body = {
        "Config": f"blobs/sha256/{config.sha256}",
        "RepoTags": [image.entry.name],
        "Layers": [f"blobs/sha256/{one.sha256}" for one in layers],
    }
    return b"[" + canonical.encode(body).strip() + b"]\n"
