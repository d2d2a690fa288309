"""Fixtures every test may use. Each test has its own home directory; nothing here opens a network connection."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LONG = bool(os.environ.get("SELFHOST_TEST_LONG"))
"""`make long`: all of what `make test` tries a sample of."""
APT = Path(tempfile.gettempdir()) / "selfhost-tests-apt.lock"
"""Tests run several at a time, and apt does one thing at a time."""

sys.dont_write_bytecode = False  # of the tests: what pytest makes of their asserts takes as long as to run many of them


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A fresh `$SELFHOST_HOME`; and no setting of the developer's leaks in."""
    for name in list(os.environ):
        if name.startswith(("SELFHOST_", "HF_", "VLLM_", "MODELSCOPE_")) and not name.startswith("SELFHOST_TEST_"):
            monkeypatch.delenv(name)
    if constants := sys.modules.get("huggingface_hub.constants"):
        # What the first test that used it had in its environment.
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("SELFHOST_LANG", "en")  # whatever the locale here
    root = tmp_path / "selfhost-home"
    monkeypatch.setenv("SELFHOST_HOME", str(root))
    return root


@pytest.fixture(autouse=True, scope="session")
def _interrupts_arrive():
    """Shells start what they put in the background with interrupts ignored, and `nohup` anything with hang-ups.

    Tests send some, to children, too.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _signals_as_before():
    """A command that runs in the process of a test leaves no handler for the tests after it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def engine_python() -> Path:
    """Python of the CPU engine environment; `make test` installs it and names it in SELFHOST_TEST_ENGINE_PYTHON."""
    python = os.environ.get("SELFHOST_TEST_ENGINE_PYTHON")
    if not python:
        missing("the CPU engine environment", "run `make test`, or set SELFHOST_TEST_ENGINE_PYTHON")
    assert Path(python).exists(), f"SELFHOST_TEST_ENGINE_PYTHON names nothing: {python}"
    return Path(python)


@pytest.fixture(scope="session")
def quantize_python() -> Path:
    """Python of the `quantize` environment, named in SELFHOST_TEST_QUANTIZE_PYTHON."""
    python = os.environ.get("SELFHOST_TEST_QUANTIZE_PYTHON")
    if not python:
        missing("the `quantize` environment", "set SELFHOST_TEST_QUANTIZE_PYTHON")
    assert Path(python).exists(), f"SELFHOST_TEST_QUANTIZE_PYTHON names nothing: {python}"
    return Path(python)


@pytest.fixture
def engine_home(home, engine_python) -> Path:
    """A fresh home that has the CPU engine installed (a link to the one `make test` made)."""
    engine = engine_python.parent.parent
    target = home / "engines" / engine.parent.name
    target.mkdir(parents=True)
    (target / engine.name).symlink_to(engine)
    return home


@pytest.fixture(scope="session")
def debian_tool():
    """`debian_tool("ip", "iproute2")`: the path of a tool, installed from Debian's packages when we are root."""

    def find(tool: str, package: str) -> str:
        if path := shutil.which(tool):
            return path
        if os.geteuid() == 0 and shutil.which("apt-get"):
            with APT.open("w") as turn:
                fcntl.flock(turn, fcntl.LOCK_EX)
                if not shutil.which(tool):
                    install(package)
        if path := shutil.which(tool):
            return path
        missing(f"`{tool}`", f"install the Debian package {package}")
        return ""

    return find


def install(package: str) -> None:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["apt-get", "update", "-q"], check=False, **quiet)
    subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", package], check=False, **quiet)


def missing(what: str, how: str) -> None:
    """Skip, naming what is missing; in continuous integration a skip for that reason is a failure."""
    reason = f"{what} is missing: {how}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def long_run() -> None:
    """For what takes minutes by itself and is no part of `make test`."""
    if not LONG:
        pytest.skip("takes minutes: `make long`")
