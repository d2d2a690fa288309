"""A model in a store, and a medium to put it on."""

from __future__ import annotations

import pytest

from tests.bundle.unpack_support import copied, make_bundle
from tests.weights.storage_support import big, put, tiny_files

WEIGHTS = big(size=200_000)


@pytest.fixture
def content():
    return {**tiny_files(WEIGHTS), "LICENSE": b"terms", "sub/x.json": b"{}"}


@pytest.fixture
def model(home, content):
    return put(home, content)


@pytest.fixture
def medium(tmp_path):
    folder = tmp_path / "medium"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle on three volumes; tests spoil a copy."""
    return make_bundle(tmp_path_factory.mktemp("made"), volumes=3)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("single"))[0]


@pytest.fixture
def volume(single, tmp_path):
    return copied([single], tmp_path / "media")[0]
