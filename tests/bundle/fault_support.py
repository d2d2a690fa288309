"""What faults are done to, and what must be so after each."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from selfhost.bundle import layout, modelpack
from selfhost.home import find_home
from selfhost.weights.blobs import Blobs
from tests.bundle.unpack_support import NAME, VARIANT, reseal, run, snapshot

if TYPE_CHECKING:
    from pathlib import Path


def info_of(volume: Path) -> dict:
    return json.loads((volume / layout.INFO_NAME).read_bytes())


def artifact(volume: Path, kind: str = modelpack.MODEL) -> dict:
    index = json.loads((volume / layout.INDEX_NAME).read_bytes())
    return next(one for one in index["manifests"] if one["artifactType"] == kind)


def blob(volume: Path, sha256: str) -> Path:
    return volume / layout.blob_path(sha256.removeprefix("sha256:"))


def manifest_of(volume: Path, kind: str = modelpack.MODEL) -> Path:
    return blob(volume, artifact(volume, kind)["digest"])


def shard_of(volume: Path) -> Path:
    return max((volume / layout.BLOBS).iterdir(), key=lambda path: path.stat().st_size)


def config_of(volume: Path) -> Path:
    return blob(volume, json.loads(manifest_of(volume).read_bytes())["config"]["digest"])


def lock_of(volume: Path) -> Path:
    return blob(volume, json.loads(manifest_of(volume, modelpack.LOCK).read_bytes())["layers"][0]["digest"])


def flip(path: Path, at: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 4
    path.write_bytes(data)


PLACES = {
    "a shard": shard_of,
    "a manifest": manifest_of,
    "a configuration": config_of,
    "a lock": lock_of,
    "bundle.json": lambda v: v / layout.INFO_NAME,
    "index.json": lambda v: v / layout.INDEX_NAME,
    "oci-layout": lambda v: v / layout.OCI_NAME,
    "SHA256SUMS": lambda v: v / layout.SUMS_NAME,
    "START-HERE.txt": lambda v: v / layout.START_NAME,
}


def check_refused(volumes, code: int, *, command: str = "import", said: str = "") -> str:
    """The exit code, an unchanged medium, no model, and a store in which everything is what its name says."""
    before = snapshot(*volumes)
    found, _, err = run("bundle", command, *volumes)
    assert found == code, err
    assert said in err
    assert snapshot(*volumes) == before
    check_store()
    assert run("ls")[0] == 0
    return err


def check_store() -> None:
    home = find_home()
    assert not (home.models / NAME / VARIANT).exists()
    blobs = Blobs(home.blobs)
    for sha256 in blobs.digests():
        assert hashlib.sha256(blobs.path(sha256).read_bytes()).hexdigest() == sha256
    assert not list(home.blobs.glob("partial/*.part"))


def rewrite(volume: Path, change, kind: str = modelpack.MODEL) -> None:
    """A volume whose manifest somebody changed who can change everything that hangs on it."""
    old = manifest_of(volume, kind)
    body = json.loads(old.read_bytes())
    change(body)
    data = json.dumps(body).encode()
    replace_blob(volume, old, data)


def replace_blob(volume: Path, old: Path, data: bytes) -> None:
    sha256, size = modelpack.sha256_of(data), len(data)
    was, was_size = old.name, old.stat().st_size
    old.unlink()
    (old.parent / sha256).write_bytes(data)
    index = json.loads((volume / layout.INDEX_NAME).read_bytes())
    for one in index["manifests"]:
        if one["digest"] == f"sha256:{was}":
            one |= {"digest": f"sha256:{sha256}", "size": size}
    (volume / layout.INDEX_NAME).write_text(json.dumps(index))
    info = info_of(volume)
    for one in info["volumes"][0]["blobs"]:
        if one["sha256"] == was:
            one |= {"sha256": sha256, "size": size}
    for one in info["models"]:
        if one["manifest"] == was:
            one["manifest"] = sha256
    assert was_size
    (volume / layout.INFO_NAME).write_text(json.dumps(info))
    reseal(volume)
