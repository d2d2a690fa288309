"""Models for the stand-ins' own tests."""

from __future__ import annotations

import pytest

from tests.standins.sample import FILES, SMALL, write


@pytest.fixture
def root(tmp_path):
    """`org/name` with weights, a configuration and a file two folders down; and `org/other`."""
    root = tmp_path / "models"
    write(root / "org" / "name", FILES)
    write(root / "org" / "other", {SMALL: b"{}"})
    return root
