"""A pulled model that lost a byte, as a user sees it."""

from __future__ import annotations

import json

import pytest

from selfhost.weights.digest import PIECE_BYTES
from tests.pull_support import flip, write_repository
from tests.standins.hub import Hub
from tests.standins.modelscope import ModelScope

NAME = "model-00001-of-00001.safetensors"
RANGE = (PIECE_BYTES, 2 * PIECE_BYTES)


@pytest.fixture
def places(tmp_path, monkeypatch):
    write_repository(tmp_path / "hub" / "org" / "tiny", shard_bytes=40 << 20, shards=1)
    with Hub(tmp_path / "hub") as hub, ModelScope(tmp_path / "hub") as scope:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", scope.url)
        yield


def damage(directory) -> None:
    flip(directory / NAME, PIECE_BYTES + 4321)


@pytest.mark.usefixtures("places")
def test_one_byte_is_found_and_put_right(selfhost, home):
    assert selfhost("pull", "org/tiny", "--quiet")[0] == 0
    damage(home / "models" / "org" / "tiny")
    code, out, err = selfhost("verify", "org/tiny")
    assert (code, out) == (5, "")
    assert f"`{NAME}`: wrong bytes, the first in {RANGE[0]}-{RANGE[1]} of " in err
    code, out, _ = selfhost("verify", "org/tiny", "--repair", "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["bytes_downloaded"]) == (0, True, PIECE_BYTES)
    assert selfhost("verify", "org/tiny")[0] == 0
    damage(home / "models" / "org" / "tiny")
    assert selfhost("verify", "org/tiny", "--repair", "--source", "modelscope")[0] == 0
    damage(home / "models" / "org" / "tiny")
    assert selfhost("verify", "org/tiny", "--repair", "--source", "nowhere")[0] == 2
