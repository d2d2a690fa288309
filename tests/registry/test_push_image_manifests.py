"""Images go out as they are, whatever their manifests say; names that are given twice are refused."""

from __future__ import annotations

import json

import pytest

from selfhost.app import bundle_push, bundle_ship
from selfhost.bundle import modelcar, modelpack, read
from selfhost.bundle.take import Piece, Source
from selfhost.errors import IntegrityError, UsageError
from selfhost.registry.reference import parse_reference
from tests.bundle.unpack_support import make_bundle
from tests.registry.registry_support import REPOSITORY, bytes_of, client


def tar_source(tmp_path, medium, data: bytes) -> Source:
    sha256 = modelpack.sha256_of(data)
    (tmp_path / sha256).write_bytes(data)
    piece = Piece(medium=medium, path=sha256, size=len(data), sha256=sha256)
    return Source(sha256=sha256, size=len(data), pieces=(piece,))


def image_of(tmp_path):
    """An index of two images that share a layer, and where their contents are."""
    medium = read.Medium(tmp_path)
    contents = [bytes_of(70_000, seed) for seed in range(3)]
    layers = [
        [modelcar.Digested(sha256=modelpack.sha256_of(one), size=len(one)) for one in (contents[0], contents[n])]
        for n in (1, 2)
    ]
    built = [modelcar.build_image("x", one) for one in layers]
    manifests = [built[0].manifests[0], built[1].manifests[1]]
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": modelpack.INDEX,
            "manifests": [
                {"mediaType": modelpack.MANIFEST, "digest": f"sha256:{modelpack.sha256_of(m)}", "size": len(m)}
                for m in manifests
            ],
        }
    ).encode()
    small = {modelpack.sha256_of(one): one for one in (index, *manifests)}
    stored = [*contents, built[0].configs[0], built[1].configs[1]]
    sources = {modelpack.sha256_of(one): tar_source(tmp_path, medium, one) for one in stored}
    return index, small, sources


@pytest.mark.slow
def test_an_image_for_several_platforms_keeps_its_index(upstream, skopeo, tmp_path):
    host, made = f"127.0.0.1:{upstream}", make_bundle(tmp_path / "made")
    index, small, sources = image_of(tmp_path)
    to = parse_reference(f"{host}/{REPOSITORY}/engine:1.0")
    shipped = bundle_ship.image("engine:1.0", modelpack.sha256_of(index), sources, small.__getitem__, to)
    bundle = read.open_bundle(made, lambda *_: "")
    with client(host) as registry:
        how, _ = bundle_push.push(bundle, [shipped], registry, lambda _line: None, lambda *_: None)
    assert how == {"sent": len(sources)}
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{to}")
    assert raw.encode() == index
    skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{to}", f"dir:{tmp_path}/back")


def test_an_image_that_lies_about_itself_is_refused(tmp_path):
    body = b'{"schemaVersion":2,"layers":[{"digest":"sha256:../../etc","size":1}],"config":{}}'
    with pytest.raises(IntegrityError):
        bundle_ship.image("x", "0" * 64, {}, lambda _digest: body, parse_reference("localhost/a:b"))


def test_one_tag_names_one_thing():
    reference = parse_reference("localhost/a:v1")
    with pytest.raises(UsageError):
        bundle_ship._named(reference, "m/bf16", alone=False)
    with pytest.raises(UsageError):
        bundle_ship._check_distinct([reference, parse_reference("localhost/b:v1"), reference])
    assert str(bundle_ship._place(parse_reference("localhost/a"), "r.example/x/Engine:1", alone=False)) == (
        "localhost/a/engine:1"
    )
