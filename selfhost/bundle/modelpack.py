"""Artifacts of a bundle as OCI manifests; a model is one as CNCF ModelPack has it, every file a raw layer.

The same files always make the same bytes: no time and no name of a machine is in them, so that a later bundle has the
same manifest for a model that did not change. Source: modelpack/model-spec, docs/spec.md and docs/config.md; OCI
image-spec 1.1, manifest.md and image-layout.md.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NoReturn

from selfhost.bundle import canonical
from selfhost.bundle.layout import BlobInfo, is_sha256
from selfhost.bundle.names import check_paths
from selfhost.errors import IntegrityError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from selfhost.weights.lock import ModelLock

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
RAW = "application/octet-stream"

MODEL = "application/vnd.cncf.model.manifest.v1+json"
MODEL_CONFIG = "application/vnd.cncf.model.config.v1+json"
WEIGHT, WEIGHT_CONFIG, DOC, CODE = (
    f"application/vnd.cncf.model.{kind}.v1.raw" for kind in ("weight", "weight.config", "doc", "code")
)
WHEELHOUSE, RECIPE, LOCK, INVENTORY, PROFILE = (
    f"application/vnd.selfhost.{kind}.v1" for kind in ("wheelhouse", "recipe", "lock", "inventory", "profile")
)

SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"
"""Of a model: its `model.sig`."""

TITLE = "org.opencontainers.image.title"
FILEPATH = "org.cncf.model.filepath"
REF_NAME = "org.opencontainers.image.ref.name"

LOCK_FILE = "lock.json"
"""In the artifact of a lock: what the store calls `selfhost-model.json`, a name that no file of a model may have."""
MARKS_FOLDER = "marks"
"""There too: `marks/<sha256 of a content>` are its `Digest.marks`."""

MAX_LAYERS = 20_000
_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5", ".onnx", ".npz")
_DOCS = (".md", ".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".rst", ".html")
_DOC_NAMES = ("license", "licence", "notice", "copying", "usage_policy", "citation", "readme", "authors")
_CODE = (".py", ".sh", ".ipynb", ".cpp", ".cu", ".c", ".h", ".js")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One file of an artifact."""

    path: str
    sha256: str
    size: int
    """Bytes."""
    media_type: str = RAW

    @property
    def blob(self) -> BlobInfo:
        """Its content."""
        return BlobInfo(sha256=self.sha256, size=self.size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """An artifact that was put together: its manifest and configuration are contents of the bundle too."""

    entry: IndexEntry
    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexEntry:
    """One artifact, as `index.json` has it."""

    artifact_type: str
    name: str
    """`qwen2.5-7b/bf16` for a model, `qwen2.5-7b/bf16/lock` for what belongs to it."""
    sha256: str
    """Of its manifest."""
    size: int
    """Bytes of its manifest."""
    media_type: str = MANIFEST
    """Of its manifest; for a container image of several platforms that is an index."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a manifest says."""

    artifact_type: str
    config: Layer
    layers: tuple[Layer, ...]
    subject: str = ""
    """sha256 of the manifest of what this belongs to; empty: stands for itself."""


def media_type(path: str) -> str:
    """What a file of a model is, by its name.

    >>> media_type("model-00001-of-00002.safetensors"), media_type("LICENSE"), media_type("config.json")
    ('application/vnd.cncf.model.weight.v1.raw', 'application/vnd.cncf.model.doc.v1.raw', \
'application/vnd.cncf.model.weight.config.v1.raw')
    """
    name = path.rpartition("/")[2].lower()
    if name.endswith(_WEIGHTS):
        return WEIGHT
    if name.endswith(_CODE):
        return CODE
    if name.endswith(_DOCS) or name.startswith(_DOC_NAMES):
        return DOC
    return WEIGHT_CONFIG


def build_model(lock: ModelLock, licences: Sequence[str] = ()) -> Built:
    """The artifact of a model. Raises IntegrityError for paths that not every system takes."""
    layers = tuple(
        Layer(path=file.path, sha256=file.sha256, size=file.size, media_type=media_type(file.path))
        for file in sorted(lock.files, key=lambda file: file.path)
    )
    origin = lock.source
    described = {
        "name": lock.recipe,
        "version": lock.variant,
        "title": f"{lock.recipe} ({lock.variant})",
        "revision": origin.revision,
        # A folder's path says where it lay on the machine of the sender, which is nobody's business.
        "sourceURL": _source_url(origin.kind, origin.id),
        "licenses": list(licences),
    }
    config = {
        "descriptor": {name: value for name, value in described.items() if value},
        "config": {"format": "gguf" if any(layer.path.endswith(".gguf") for layer in layers) else "safetensors"},
        "modelfs": {"type": "layers", "diffIds": [f"sha256:{layer.sha256}" for layer in layers]},
    }
    return build(MODEL, f"{lock.recipe}/{lock.variant}", config, layers)


def _source_url(kind: str, where: str) -> str:
    hubs = {"huggingface": "https://huggingface.co/", "modelscope": "https://modelscope.cn/models/"}
    return f"{hubs[kind]}{where}" if kind in hubs else ""


def build(
    artifact_type: str, name: str, config: Mapping[str, Any], layers: Sequence[Layer], subject: IndexEntry | None = None
) -> Built:
    """An artifact of these files. Raises IntegrityError for paths that not every system takes.

    config: facts about it, as JSON. subject: what it belongs to.
    """
    check_paths((layer.path for layer in layers), name)
    config_bytes = canonical.encode(config)
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": _descriptor(config_type(artifact_type), sha256_of(config_bytes), len(config_bytes)),
        "layers": [_layer_dict(layer, model=artifact_type == MODEL) for layer in layers],
    }
    if subject is not None:
        manifest["subject"] = _descriptor(MANIFEST, subject.sha256, subject.size)
    data = canonical.encode(manifest)
    entry = IndexEntry(artifact_type=artifact_type, name=name, sha256=sha256_of(data), size=len(data))
    return Built(entry=entry, manifest=data, config=config_bytes, layers=tuple(layers))


def config_type(artifact_type: str) -> str:
    """Media type of the configuration of an artifact."""
    if artifact_type == SIGNATURE:
        return "application/vnd.oci.empty.v1+json"
    return MODEL_CONFIG if artifact_type == MODEL else artifact_type.removesuffix(".v1") + ".config.v1+json"


def _descriptor(media: str, sha256: str, size: int) -> dict[str, Any]:
    return {"mediaType": media, "digest": f"sha256:{sha256}", "size": size}


def _layer_dict(layer: Layer, *, model: bool) -> dict[str, Any]:
    names = {TITLE: layer.path, **({FILEPATH: layer.path} if model else {})}
    return {**_descriptor(layer.media_type, layer.sha256, layer.size), "annotations": names}


def sha256_of(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def build_index(entries: Iterable[IndexEntry]) -> bytes:
    """`index.json` of these artifacts."""
    listed = [
        {
            **_descriptor(entry.media_type, entry.sha256, entry.size),
            # A container image has none.
            **({"artifactType": entry.artifact_type} if entry.artifact_type else {}),
            "annotations": {REF_NAME: entry.name},
        }
        for entry in entries
    ]
    return canonical.encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})


def parse_index(data: bytes, where: str = "index.json") -> tuple[IndexEntry, ...]:
    """The artifacts of an `index.json`; entries of other kinds too. Raises IntegrityError."""
    body = canonical.decode(data, where)
    try:
        entries = tuple(
            IndexEntry(
                artifact_type=str(one.get("artifactType", "")),
                name=_name(one.get("annotations", {}).get(REF_NAME, "")),
                sha256=_sha256(one["digest"]),
                size=_size(one["size"]),
                media_type=_name(one.get("mediaType", MANIFEST)),
            )
            for one in _capped(body["manifests"])
        )
        if len({entry.name for entry in entries}) != len(entries):
            _refuse("two artifacts have one name")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad(where, error) from error
    return entries


def parse_manifest(data: bytes, where: str) -> Manifest:
    """What a manifest says; the paths of its files are safe to write. Raises IntegrityError.

    Where a layer has both names (title and ModelPack's) they must be one.
    """
    body = canonical.decode(data, where)
    try:
        config = body["config"]
        subject = body.get("subject")
        manifest = Manifest(
            artifact_type=str(body.get("artifactType", "")),
            config=Layer(
                path="", sha256=_sha256(config["digest"]), size=_size(config["size"]), media_type=config["mediaType"]
            ),
            layers=tuple(_layer(one) for one in _capped(body["layers"])),
            subject=_sha256(subject["digest"]) if subject else "",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad(where, error) from error
    check_paths((layer.path for layer in manifest.layers), where)
    return manifest


def _layer(body: Mapping[str, Any]) -> Layer:
    names = body["annotations"]
    title, path = names.get(TITLE), names.get(FILEPATH)
    if title is not None and path is not None and title != path:
        _refuse(f"a layer is called {title!r} and {path!r}")
    return Layer(
        path=_name(path if path is not None else title),
        sha256=_sha256(body["digest"]),
        size=_size(body["size"]),
        media_type=_name(body["mediaType"]),
    )


def _bad(where: str, error: Exception) -> IntegrityError:
    return IntegrityError("bundle.bad_manifest", path=where, detail=f"{type(error).__name__}: {error}")


def _refuse(problem: str) -> NoReturn:
    raise ValueError(problem)


def _sha256(digest: object) -> str:
    if not isinstance(digest, str) or not digest.startswith("sha256:") or not is_sha256(digest[7:]):
        _refuse(f"{ascii(digest)[:80]} is no sha256 digest")
    return digest[7:]


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 62:
        _refuse(f"{ascii(value)[:80]} is no size")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        _refuse(f"{ascii(value)[:80]} is no name")
    return value


def _capped(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not isinstance(value, list) or len(value) > MAX_LAYERS:
        _refuse(f"not a list of at most {MAX_LAYERS:,}")
    return value
