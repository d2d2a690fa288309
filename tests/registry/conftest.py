"""No login of the developer's leaks in."""

from __future__ import annotations

import functools
import subprocess

import pytest

from tests.registry.registry_support import run_registry
from tests.standins.registry import Registry


@pytest.fixture(autouse=True)
def logins(tmp_path, monkeypatch):
    """The file of logins; absent."""
    path = tmp_path / "auth.json"
    path.write_text("{}")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
    return path


@pytest.fixture
def docker_registry(debian_tool):
    """`with docker_registry(folder) as port`: a real one."""
    return functools.partial(run_registry, debian_tool("docker-registry", "docker-registry"))


@pytest.fixture(params=["stand-in", "docker-registry"])
def upstream(request, tmp_path):
    """The port of a registry: our own, and a real one."""
    if request.param == "stand-in":
        with Registry() as registry:
            yield registry.port
    else:
        with request.getfixturevalue("docker_registry")(tmp_path / "registry") as port:
            yield port


@pytest.fixture
def skopeo(debian_tool):
    tool = debian_tool("skopeo", "skopeo")

    def ask(*argv: object) -> str:
        ran = subprocess.run([tool, "--insecure-policy", *map(str, argv)], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return ask
