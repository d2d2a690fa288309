"""`bundle create` and `bundle import` stopped at any change to a disk: another run completes them.

By default every STRIDE-th point is tried, and some of these once more by a real SIGKILL; `SELFHOST_TEST_CRASHES=all`
tries every point in both ways. `-s` prints how many there were, by kind.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import shutil
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest

from selfhost.app import bundle_gate, bundle_import
from selfhost.bundle import modelpack, pack, read, unfinished, unpack
from selfhost.bundle.pack import Finishing
from selfhost.bundle.sign import open_signer
from selfhost.bundle.write import LinkMode
from selfhost.errors import IncompleteError
from selfhost.home import Home, find_home
from selfhost.recipe.load import builtin_directory
from selfhost.weights.blobs import Blobs
from tests.bundle.crash_support import crashed, emptied, killed, points
from tests.bundle.pack_support import check_volume, files_of, make, tree
from tests.bundle.trust_support import make_key
from tests.bundle.unpack_support import Talk, content, make_bundle, run, snapshot
from tests.weights.storage_support import big, put, tiny_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALL = os.environ.get("SELFHOST_TEST_CRASHES") == "all"
STRIDE, KILL_STRIDE, USE_STRIDE = 4, 20, 16
FLOOR = 600
"""Points that a run tries at least, all ways of making and importing together; one that is tried twice is one."""
tried: Counter[str] = Counter()


class Try(NamedTuple):
    """A point, and how it ends there."""

    number: int
    stop: Callable[..., bool]


def tries(count: int) -> list[Try]:
    """What is tried of that many points: the first and the last ones, too."""
    stride, kills = (1, 1) if ALL else (STRIDE, KILL_STRIDE)
    chosen = sorted({*range(1, count + 1, stride), *range(max(count - 5, 1), count + 1)})
    return [Try(n, crashed) for n in chosen] + [Try(n, killed) for n in range(1, count + 1, kills)]


def told(name: str, kinds: Counter[str], chosen: list[Try]) -> None:
    tried[name] = len({one.number for one in chosen})
    by_kill = sum(one.stop is killed for one in chosen)
    said = f"tried: {tried[name]}, of these {by_kill} by SIGKILL, too"
    print(f"\n{name}: {kinds.total()} points ({dict(kinds.most_common())}); {said}")


def check_usable(number: int) -> None:
    """Another model of the store can be listed and read."""
    if ALL or number % USE_STRIDE == 1:
        code, out, said = run("ls")
        assert code == 0, said
        assert "other" in out
        assert run("verify", "other")[0] == 0


def check_names(blobs: Blobs) -> None:
    for sha256 in blobs.digests():
        assert hashlib.sha256(blobs.path(sha256).read_bytes()).hexdigest() == sha256


# Making


SMALL = {**tiny_files(big(1, size=30_000)), "LICENSE": b"terms", "sub/x.json": b"{}"}
LARGE = {**SMALL, "model.safetensors": tiny_files(big(2, size=2_500_000))["model.safetensors"]}
MAKING = {
    "copy": (SMALL, {"link": LinkMode.COPY}),
    "hard link": (SMALL, {"link": LinkMode.HARD}),
    "shared blocks": (SMALL, {"link": LinkMode.REFLINK}),
    "pieces": (SMALL, {"link": LinkMode.COPY, "max_file_bytes": 8_000}),
    "two volumes": ({**SMALL, **{f"{n}.bin": big(n, size=300_000) for n in range(3)}}, {"volume_size": "1700K"}),
    "cut over volumes": (LARGE, {"volume_size": "2400K"}),
    "signed": (SMALL, {"link": LinkMode.COPY, "sign": True}),
}


class Clock(dt.datetime):
    """The same for all runs, so that the same bytes come out."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 11, 27, tzinfo=tz)


@pytest.fixture
def same_bytes(monkeypatch):
    monkeypatch.setattr(unfinished, "datetime", Clock)
    monkeypatch.setattr(unfinished.secrets, "token_hex", lambda count: "ab" * count)


def volumes_in(medium: Path) -> list[Path]:
    return sorted(medium.glob("b-vol*"))


def is_made(medium: Path) -> bool:
    """Only that the marker of the last volume went was not on the disk yet, or the line of the log."""
    found = volumes_in(medium)
    return bool(found) and all((v / "SHA256SUMS").exists() and not (v / pack.MARKER).exists() for v in found)


def check_contents(medium: Path, wanted: dict[str, bytes]) -> None:
    """A final name means complete, for contents and for pieces."""
    for path, data in tree(medium).items():
        if ("/blobs/" in path or "/chunks/" in path) and not path.endswith(".part"):
            assert data == wanted[path], path
    for volume in volumes_in(medium):
        if (volume / "SHA256SUMS").exists():
            listed = {path for path in wanted if path.startswith(f"{volume.name}/")}
            assert listed <= tree(medium).keys(), "all else is there before the sums are"


@pytest.mark.usefixtures("same_bytes")
@pytest.mark.parametrize("name", MAKING)
def test_made_again_after_any_crash(home, tmp_path, name):
    held, asked = MAKING[name]
    put(home, held)
    put(home, SMALL, name="other")
    asked = dict(asked)
    if asked.pop("sign", False):
        signer = open_signer(make_key(tmp_path / "key"), lambda _path: None)
        finishing = Finishing(sign=signer.sign)
    else:
        finishing = Finishing()
    how = {"clones": asked.get("link") is LinkMode.REFLINK}
    medium = tmp_path / "medium"

    def work():
        make(home, medium, finishing, **asked)

    for _ in range(2):  # the first run also makes what a store has once, its log for one
        emptied(medium)
        kinds = points(work, **how)
    wanted = tree(medium)
    assert files_of(volumes_in(medium)) == held
    chosen = tries(kinds.total())
    for number, stop in chosen:
        emptied(medium)
        assert stop(work, number, **how), number
        check_contents(medium, wanted)
        check_usable(number)
        if not is_made(medium):
            assert not crashed(work, 0, **how)
        assert tree(medium) == wanted, number
        for volume in volumes_in(medium) if number % USE_STRIDE == 1 else ():
            check_volume(volume)
    told(f"create, {name}", kinds, chosen)


# Bringing in


def recipe():
    path = next(iter(sorted(builtin_directory().rglob("*.toml"))))
    one = content(path.read_bytes() + b"\n# another one\n")
    layers = [modelpack.Layer(path=path.name, sha256=one.sha256, size=one.size)]
    return modelpack.build(modelpack.RECIPE, "tiny-test/recipe", {}, layers), [], [one]


def wheels():
    named = {f"pkg{n}-1.0-py3-none-any.whl": content(bytes([n]) * 500) for n in range(3)}
    layers = [modelpack.Layer(path=name, sha256=one.sha256, size=one.size) for name, one in named.items()]
    return modelpack.build(modelpack.WHEELHOUSE, "wheelhouse/cpu", {"engine": "vllm"}, layers), [], list(named.values())


def simple(where: Path, **options) -> list[Path]:
    return make_bundle(where, shard_bytes=20_000, **options)


def cut(where: Path) -> list[Path]:
    put(where / "sender", LARGE, name="tiny-test")
    return [v.path for v in make(where / "sender", where / "media", models=("tiny-test",), volume_size="2400K").volumes]


BRINGING = {
    "clone": (simple, {"clones": True}),
    "copy": (simple, {}),
    "two volumes, one by one": (lambda where: simple(where, volumes=2), {}),
    "pieces": (lambda where: simple(where, max_file_bytes=7_000), {}),
    "wheels": (lambda where: simple(where, more=[wheels()]), {}),
    "recipe": (lambda where: simple(where, more=[recipe()]), {}),
    "cut over volumes, one by one": (cut, {}),
}


def bring(volumes: list[Path], home: Home, *, clones: bool) -> None:
    """Each volume by itself, as from one drive after the other."""
    for volume in volumes:
        gate = bundle_gate.Gate(home, bundle_gate.GateOptions(), lambda _line: None)
        bundle = read.open_bundle([volume], gate.trusted)
        with contextlib.suppress(IncompleteError):
            bundle_import.run(bundle, gate, home, Talk(), bundle_import.Choices(copying=unpack.Copying(clone=clones)))


def brought(home: Home) -> dict[str, bytes]:
    """What counts of a store: its contents and what lies in its folders for others; not marks, locks and logs."""
    found = {}
    for folder in (home.models, home.wheelhouses, home.recipes):
        for path, data in tree(folder).items() if folder.exists() else ():
            if not any(part.startswith(".") for part in path.split("/")):
                found[f"{folder.name}/{path}"] = data
    blobs = Blobs(home.blobs)
    return found | {sha256: blobs.path(sha256).read_bytes() for sha256 in blobs.digests()}


@pytest.mark.parametrize("name", BRINGING)
def test_imported_after_any_crash(tmp_path, name, monkeypatch):
    built, how = BRINGING[name]
    volumes = built(tmp_path / "bundle")
    monkeypatch.setattr("selfhost.bundle.devices.readers", lambda _device: 1)
    home, fresh = find_home(), tmp_path / "fresh"
    put(fresh, SMALL, name="other")

    def anew():
        shutil.rmtree(home.root, ignore_errors=True)
        shutil.copytree(fresh, home.root, symlinks=True)

    def work():
        bring(volumes, home, clones=how.get("clones", False))

    before = snapshot(*volumes)
    anew()
    kinds = points(work, **how)
    wanted = brought(home)
    assert (home.models / "tiny-test").is_dir()
    chosen = tries(kinds.total())
    for number, stop in chosen:
        anew()
        assert stop(work, number, **how), number
        check_names(Blobs(home.blobs))
        check_usable(number)
        for model in (home.models / "tiny-test").glob("[!.]*"):
            inside = f"models/tiny-test/{model.name}/"
            there = {f"{inside}{path}": data for path, data in tree(model).items()}
            assert there == {path: data for path, data in wanted.items() if path.startswith(inside)}, "whole or not"
        assert not crashed(work, 0, **how)
        assert brought(home) == wanted, number
    assert snapshot(*volumes) == before
    told(f"import, {name}", kinds, chosen)


def test_enough_points_were_tried():
    """Of those above; alone it has nothing to say."""
    if len(tried) < len(MAKING) + len(BRINGING):
        pytest.skip("not all of this file ran")
    print(f"\naltogether {sum(tried.values())} points tried")
    assert sum(tried.values()) >= FLOOR
    assert all(count >= 20 for count in tried.values())
