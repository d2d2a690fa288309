"""A store with a model in it, and what a volume must look like."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from selfhost.app import bundle_create
from selfhost.app.bundle_request import CreateRequest
from selfhost.bundle import modelpack
from selfhost.bundle.info import parse_info
from selfhost.bundle.pack import Finishing, Packed
from selfhost.home import Home


def make(home: Path, to: Path | list[Path], finishing: Finishing | None = None, **asked) -> Packed:
    """A bundle of the model `tiny`."""
    folders = (to,) if isinstance(to, Path) else tuple(to)
    request = CreateRequest(**{"models": ("tiny",), "to": folders, "label": "b", **asked})
    planned = bundle_create.plan(request, Home(home))
    finishing = finishing or Finishing(texts=lambda info: planned.texts(info, signed=False))
    return bundle_create.create(planned.bundle, Home(home), finishing)


class Stop(BaseException):
    """As if the power went."""


def stopped(home: Path, to: Path, **asked) -> None:
    """Make a bundle until all contents are there, and nothing that describes them."""

    def stop(_info):
        raise Stop

    with pytest.raises(Stop):
        make(home, to, Finishing(texts=stop), **asked)


def tree(volume: Path) -> dict[str, bytes]:
    """Every file by its path, whatever its name."""
    return {str(path.relative_to(volume)): path.read_bytes() for path in volume.rglob("*") if not path.is_dir()}


def check_volume(volume: Path) -> None:
    """What is there is what is listed, as a person without selfhost would check it."""
    ran = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=volume, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran
    listed = {line.split("  ", 1)[1] for line in (volume / "SHA256SUMS").read_text().splitlines()}
    assert set(tree(volume)) - {"SHA256SUMS", "SHA256SUMS.sig"} == listed
    info = parse_info((volume / "bundle.json").read_bytes())
    assert info.this.label == volume.name
    assert {path for path, _, _ in info.this.files} == {p for p in listed if "/" in p}


def files_of(volumes: list[Path]) -> dict[str, bytes]:
    """The files of all models of a bundle, by what the manifests say."""
    info = parse_info((volumes[0] / "bundle.json").read_bytes())
    contents = {}
    for blob in info.blobs.values():
        # The first that has it: what is cut has each piece on one volume only.
        where = [next(v / path for v in volumes if (v / path).exists()) for path, _, _ in blob.files]
        contents[blob.sha256] = b"".join(path.read_bytes() for path in where)
    found = {}
    for model in info.models:
        manifest = modelpack.parse_manifest(contents[model.manifest], "manifest")
        found |= {layer.path: contents[layer.sha256] for layer in manifest.layers}
    return found
