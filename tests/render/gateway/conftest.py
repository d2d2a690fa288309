"""A gateway in front of a stand-in engine, for a whole file; what the engine saw starts anew with each test."""

from __future__ import annotations

import contextlib

import pytest

from selfhost.serve.ports import free_port
from tests.render.gateway.gateway_support import StandInEngine, running


@pytest.fixture(scope="module")
def nginx(debian_tool):
    return debian_tool("nginx", "nginx-light")


@pytest.fixture(scope="module")
def engine_of_all():
    with contextlib.closing(StandInEngine(free_port("127.0.0.1"))) as engine:
        yield engine


@pytest.fixture
def engine(engine_of_all):
    engine_of_all.seen.clear()
    engine_of_all.go_on.clear()
    engine_of_all.gone.clear()
    engine_of_all.held.clear()
    yield engine_of_all
    engine_of_all.go_on.set()


@pytest.fixture(scope="module")
def door_of_all(nginx, engine_of_all):
    with running(nginx, engine_of_all.server_address[1], body_mib=8) as door:
        yield door


@pytest.fixture
def door(door_of_all, engine):
    return door_of_all
