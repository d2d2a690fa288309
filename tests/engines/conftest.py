"""What pip goes by in these tests: nothing of the developer's."""

from __future__ import annotations

import os

import pytest

PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})


@pytest.fixture
def plain_pip(monkeypatch):
    """No settings of pip and no proxy, from wherever."""
    for name in list(os.environ):
        if name.startswith("PIP_") or name.lower() in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
