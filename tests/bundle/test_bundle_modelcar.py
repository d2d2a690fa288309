"""Layers of modelcars are tars as everybody reads them."""

from __future__ import annotations

import tarfile

import pytest

from selfhost.bundle import modelcar, modelpack
from selfhost.bundle.modelpack import Layer
from tests.registry.registry_support import bytes_of


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 100_000])
def test_a_layer_is_the_tar_that_python_reads(tmp_path, size):
    weights, small = bytes_of(size), {"config.json": b"{}", "sub/目录/" + "n" * 150: b"x" * 600}
    layers = [
        Layer(path="a.safetensors", sha256=modelpack.sha256_of(weights), size=size, media_type=modelpack.WEIGHT),
        *(Layer(path=path, sha256=modelpack.sha256_of(data), size=len(data)) for path, data in small.items()),
    ]
    manifest = modelpack.Manifest(artifact_type=modelpack.MODEL, config=layers[0], layers=tuple(layers))
    contents = {modelpack.sha256_of(data): data for data in (weights, *small.values())}
    found = {}
    for layer in modelcar.layers_of(manifest):
        path = tmp_path / "layer.tar"
        path.write_bytes(b"".join(part if isinstance(part, bytes) else contents[part.sha256] for part in layer.parts))
        assert path.stat().st_size == layer.size
        with tarfile.open(path) as tar:
            for member in tar:
                assert (member.uid, member.gid, member.mtime, member.uname) == (0, 0, 0, "")
                assert member.mode == (0o755 if member.isdir() else 0o644)
                if member.isfile():
                    found[member.name.removeprefix("models/")] = tar.extractfile(member).read()
    assert found == {"a.safetensors": weights, **small}


def test_a_file_beyond_what_old_tars_can_say():
    size = 9 << 30
    layer = Layer(path="big.safetensors", sha256="0" * 64, size=size, media_type=modelpack.WEIGHT)
    manifest = modelpack.Manifest(artifact_type=modelpack.MODEL, config=layer, layers=(layer,))
    [tar] = modelcar.layers_of(manifest)
    header = b"".join(part for part in tar.parts[:2] if isinstance(part, bytes))
    assert str(size).encode() in header
    assert tar.size % 512 == 0
