"""No login of the developer's leaks in."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def logins(tmp_path, monkeypatch):
    """The file of logins; absent."""
    path = tmp_path / "auth.json"
    path.write_text("{}")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
    return path
