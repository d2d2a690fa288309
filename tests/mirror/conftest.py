"""A store with models in it, and a mirror that serves it."""

from __future__ import annotations

import pytest

from selfhost.app import mirror
from selfhost.home import Home
from tests.mirror.mirror_support import ask
from tests.weights.storage_support import put, tiny_files


@pytest.fixture
def files() -> dict[str, bytes]:
    return {**tiny_files(), "inner/vocab.json": b'{"a": 1}', "名字 +&.txt": b"text", "empty.txt": b""}


@pytest.fixture
def stored(home, files):
    """The directory of `org/tiny`, recipe `tiny`."""
    return put(home, files)


@pytest.fixture
def start(home):
    """`start(**request)`: a running mirror; all are stopped at the end."""
    servers = []

    def begin(root=home, **request):
        lines: list[str] = []
        server, _ = mirror.listen(
            Home(root), mirror.MirrorRequest(**({"host": "127.0.0.1", "port": 0} | request)), lines.append
        )
        servers.append(server)
        server.__enter__()
        server.lines = lines
        return server

    yield begin
    for server in servers:
        server.stop(0.0)


@pytest.fixture
def served(start, stored):
    return start()


@pytest.fixture
def get(served):
    """`get(path, **headers)`: status, headers and body."""
    return lambda path, method="GET", body=None, **headers: ask(served.url, path, method, body, headers)
