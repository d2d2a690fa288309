"""Bytes that are not what was written: found, named, never imported."""

from __future__ import annotations

import json
import random

import pytest

from selfhost.bundle import layout, take
from selfhost.errors import ExitCode
from selfhost.home import find_home
from tests.bundle.fault_support import PLACES, check_refused, flip, shard_of
from tests.bundle.unpack_support import import_bundle, make_bundle, run


@pytest.mark.parametrize("place", PLACES)
def test_a_flipped_bit_is_found_and_named(volume, place):
    path = PLACES[place](volume)
    flip(path)
    err = check_refused([volume], ExitCode.INTEGRITY, command="verify")
    assert place == "SHA256SUMS" or path.name in err


@pytest.mark.parametrize("place", [place for place in PLACES if place != "START-HERE.txt"])
def test_a_flipped_bit_is_never_imported(volume, place):
    flip(PLACES[place](volume))
    check_refused([volume], ExitCode.INTEGRITY)


def test_any_single_flipped_bit_anywhere_is_found(volume):
    """Any: as many as there is time for, in files of all sizes alike."""
    chance = random.Random(6)
    paths = [path for path in sorted(volume.rglob("*")) if path.is_file()]
    for _ in range(60):
        path = chance.choice(paths)
        whole = path.read_bytes()
        data = bytearray(whole)
        at = chance.randrange(len(data))
        data[at] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        code, _, err = run("bundle", "verify", volume)
        assert code in (ExitCode.INTEGRITY, ExitCode.INCOMPLETE), (path, at, err)
        path.write_bytes(whole)
    assert run("bundle", "verify", volume)[0] == 0


def test_damage_is_named_with_the_bytes_it_is_in(tmp_path, monkeypatch):
    piece = 4096
    for module in ("selfhost.weights.digest", "selfhost.bundle.check"):
        monkeypatch.setattr(f"{module}.PIECE_BYTES", piece)
    [volume] = make_bundle(tmp_path)
    shard = shard_of(volume)
    marks = take.Digest()
    marks.update(shard.read_bytes())
    monkeypatch.setattr("selfhost.bundle.unpack.marks_of", lambda *_: {shard.name: marks.marks})
    flip(shard, 3 * piece + 5)
    code, out, _ = run("bundle", "verify", volume, "--json")
    [wrong] = [one for one in json.loads(out)["files"] if one["status"] != "ok"]
    assert code == ExitCode.INTEGRITY
    assert (wrong["begin"], wrong["end"]) == (3 * piece, 4 * piece)


@pytest.mark.parametrize("change", [-1, 1], ids=["truncated", "grown"])
def test_another_size_is_found_without_hashing(volume, change, monkeypatch):
    shard = shard_of(volume)
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] if change < 0 else data + b"\0")
    read = []
    whole = take._read
    monkeypatch.setattr(take, "_read", lambda piece, tick: read.append(piece.path) or whole(piece, tick))
    err = check_refused([volume], ExitCode.INTEGRITY, command="verify")
    assert shard.name in err
    assert read
    assert not [path for path in read if shard.name in path]
    check_refused([volume], ExitCode.INTEGRITY)


def test_the_repair_list_has_what_is_wrong_and_nothing_else(volume):
    shard, start = shard_of(volume), volume / layout.START_NAME
    flip(shard)
    flip(start)
    code, out, _ = run("bundle", "repair-list", volume)
    body = json.loads(out)
    assert code == 0
    assert body["lacking"] == [{"sha256": shard.name, "size": shard.stat().st_size}]
    assert shard.name not in {one["sha256"] for one in body["blobs"]}
    assert {one["path"] for one in body["files"]} == {f"{layout.BLOBS}/{shard.name}", layout.START_NAME}


def test_what_is_damaged_here_may_be_whole_on_another_copy(volume, single):
    flip(shard_of(volume))
    check_refused([volume], ExitCode.INTEGRITY)
    imported = import_bundle([single], find_home())
    assert imported.brought.copied == 1, "all but the damaged one had been brought"
