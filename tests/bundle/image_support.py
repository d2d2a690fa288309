"""Container images in OCI layouts, made here: layers are real tars, digests are theirs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

NAME = "registry.example/team/engine:1.0"
PLATFORMS = (("linux", "amd64", ""), ("linux", "arm64", "v8"))
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def layer(files: dict[str, bytes]) -> tuple[bytes, str]:
    """A compressed layer, and the digest of what is in it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0), sha(out.getvalue())


class Layout:
    """A layout that is being made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.entries: list[dict[str, Any]] = []

    def put(self, media: str, data: bytes, **more: Any) -> dict[str, Any]:
        (self.root / "blobs/sha256" / sha(data)).write_bytes(data)
        return {"mediaType": media, "digest": f"sha256:{sha(data)}", "size": len(data), **more}

    def json(self, media: str, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        return self.put(media, json.dumps(body).encode(), **more)

    def manifest(self, platform: tuple[str, str, str], files: dict[str, bytes], **config: Any) -> dict[str, Any]:
        system, machine, variant = platform
        data, diff = layer(files)
        said = {"os": system, "architecture": machine, **({"variant": variant} if variant else {})}
        body = {**said, "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]}, "config": {}, **config}
        small = self.json("application/vnd.oci.image.config.v1+json", body)
        listed = self.put("application/vnd.oci.image.layer.v1.tar+gzip", data)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": small, "layers": [listed]}
        return self.json(MANIFEST, manifest, platform=said)

    def add(self, entry: dict[str, Any], name: str) -> None:
        entry.pop("platform", None)
        self.entries.append({**entry, **({"annotations": {"org.opencontainers.image.ref.name": name}} if name else {})})
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.entries}
        (self.root / "index.json").write_text(json.dumps(body))


def shared_file(size: int = 50_000) -> bytes:
    return hashlib.shake_128(b"shared").digest(size)


def make_image(root: Path, name: str = NAME, platforms=PLATFORMS, more: bytes = b"") -> Layout:
    """A layout with one image: an index of manifests, or one manifest for a single platform."""
    made = Layout(root)
    manifests = [made.manifest(one, {"bin/engine": shared_file() + more + "".join(one).encode()}) for one in platforms]
    if len(manifests) == 1:
        made.add(manifests[0], name)
    else:
        made.add(made.json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}), name)
    return made
