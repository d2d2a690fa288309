"""A model as an ordinary container image: its files below `/models`, for what mounts images and no artifacts.

Each weight file is a layer of its own, the small files are one; a layer is a plain tar, so that its digest is that of
its content, too. No time, no user and no name of a machine is in it: the same model makes the same image, byte for
byte. It has no shell and no program: it is mounted (Kubernetes image volumes, KServe `oci+native://`), not run.
Source: OCI image-spec 1.1, config.md, layer.md; POSIX.1-2001 pax.
"""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Any

from selfhost.bundle import canonical, modelpack
from selfhost.bundle.images import CONFIG
from selfhost.bundle.modelpack import INDEX, MANIFEST, WEIGHT, Layer, sha256_of
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from selfhost.bundle.modelpack import Manifest

TAR_LAYER = "application/vnd.oci.image.layer.v1.tar"
ROOT = "models"
PLATFORMS = ("amd64", "arm64")
_BLOCK = 512
_END = bytes(2 * _BLOCK)


@dataclass(frozen=True, kw_only=True, slots=True)
class TarLayer:
    """One layer: bytes that are known, and between them contents of the model."""

    name: str
    parts: tuple[bytes | Layer, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(part) if isinstance(part, bytes) else part.size for part in self.parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Digested:
    """A layer whose digest is known."""

    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """Configurations and manifests, one each for a platform, and the index over them."""

    configs: tuple[bytes, ...]
    manifests: tuple[bytes, ...]
    index: bytes


def layers_of(model: Manifest) -> tuple[TarLayer, ...]:
    """The layers of a model's image: its small files together, then one for each weight file, by path."""
    files = sorted(model.layers, key=lambda layer: layer.path)
    small = [one for one in files if one.media_type != WEIGHT]
    groups = [(f"small files of /{ROOT}", small)] if small else []
    groups += [(one.path, [one]) for one in files if one.media_type == WEIGHT]
    return tuple(TarLayer(name=name, parts=_tar(group)) for name, group in groups)


def _tar(files: Sequence[Layer]) -> tuple[bytes | Layer, ...]:
    folders = {ROOT}
    for file in files:
        parts = f"{ROOT}/{file.path}".split("/")[:-1]
        folders |= {"/".join(parts[:end]) for end in range(1, len(parts) + 1)}
    found: list[bytes | Layer] = [b"".join(_header(folder, tarfile.DIRTYPE, 0, 0o755) for folder in sorted(folders))]
    for file in files:
        found.append(_header(f"{ROOT}/{file.path}", tarfile.REGTYPE, file.size, 0o644))
        found += [file, bytes(-file.size % _BLOCK)]
    return tuple(part for part in (*found, _END) if isinstance(part, Layer) or part)


def _header(path: str, kind: bytes, size: int, mode: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.type, info.size, info.mode = kind, size, mode
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def build_image(name: str, layers: Iterable[Digested]) -> Image:
    """The image of these layers; `name` is shown as its title."""
    listed = [_descriptor(TAR_LAYER, one.sha256, one.size) for one in layers]
    configs, manifests, entries = [], [], []
    for architecture in PLATFORMS:
        platform = {"architecture": architecture, "os": "linux"}
        rootfs = {"type": "layers", "diff_ids": [one["digest"] for one in listed]}
        config = canonical.encode({**platform, "config": {}, "rootfs": rootfs})
        manifest = canonical.encode(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _descriptor(CONFIG, sha256_of(config), len(config)),
                "layers": listed,
            }
        )
        configs.append(config)
        manifests.append(manifest)
        entries.append({**_descriptor(MANIFEST, sha256_of(manifest), len(manifest)), "platform": platform})
    annotations = {modelpack.TITLE: name}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": annotations}
    return Image(configs=tuple(configs), manifests=tuple(manifests), index=canonical.encode(index))


def _descriptor(media_type: str, sha256: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{sha256}", "size": size}
