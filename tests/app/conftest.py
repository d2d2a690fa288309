"""A hub with one model; for tests of `pull`."""

from __future__ import annotations

import pytest

from tests.pull_support import write_repository
from tests.standins.hub import Hub


@pytest.fixture
def root(tmp_path):
    return tmp_path / "hub"


@pytest.fixture
def tiny(root, needed):
    """`org/tiny` as the hub has it."""
    return root / "org" / "tiny"


@pytest.fixture
def needed(root) -> set[str]:
    """The files of `org/tiny` that serving needs, by name."""
    return set(write_repository(root / "org" / "tiny", shard_bytes=100_000))


@pytest.fixture
def hub(root, tiny, monkeypatch):
    with Hub(root) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub
