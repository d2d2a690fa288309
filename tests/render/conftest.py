"""Commands run in the process of the test, as in tests/cli."""

from __future__ import annotations

from tests.cli.conftest import selfhost  # noqa: F401 - a fixture
