"""A model in a store, and a medium to put it on."""

from __future__ import annotations

import pytest

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
