"""From one store into another, byte for byte: ten thousand files, odd names, files of no bytes, one with a hole."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest

from selfhost.home import Home, find_home
from selfhost.weights import store
from selfhost.weights.blobs import Blobs
from selfhost.weights.lock import LockedFile, ModelLock
from tests.bundle.unpack_support import run
from tests.conftest import LONG
from tests.weights.storage_support import ORIGIN, put, tiny_files

ODD_NAMES = (
    "模型/权重.json",
    "é.txt",
    "a b c",
    ".gitattributes",
    "-x",
    "'quoted'",
    "deep/er/and/deeper",
    "x" * 200,
    "%41",
)


def tree_hash(directory: Path) -> str:
    """Of names, modes and bytes; not of the lock, which says when."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != "selfhost-model.json":
            with path.open("rb") as stream:
                inside = hashlib.file_digest(stream, "sha256").hexdigest()
            mode = stat.S_IMODE(path.stat().st_mode)
            digest.update(f"{path.relative_to(directory)}\0{mode:o}\0{inside}\n".encode())
    return digest.hexdigest()


def crossed(sender: Home, tmp_path: Path, monkeypatch, *words: str) -> None:
    monkeypatch.setenv("SELFHOST_HOME", str(sender.root))
    media = tmp_path / "media"
    media.mkdir()
    code, _, said = run("bundle", "create", "--model", "tiny", "--to", media, "--label", "b", *words)
    assert code == 0, said
    wanted = tree_hash(sender.models / "tiny" / "bf16")
    monkeypatch.setenv("SELFHOST_HOME", str(tmp_path / "receiver"))
    for command in ("verify", "import"):
        code, _, said = run("bundle", command, *media.iterdir())
        assert code == 0, said
    assert tree_hash(find_home().models / "tiny" / "bf16") == wanted


@pytest.mark.parametrize("words", [(), ("--link", "copy"), ("--volume-size", "1200K")], ids=str)
def test_names_of_all_sorts_and_files_of_no_bytes(tmp_path, monkeypatch, words):
    content = {**tiny_files(), **{name: name.encode() for name in ODD_NAMES}}
    content |= {"empty": b"", "empty.json": b"", "one": b"\0", "twice": b"same", "again": b"same"}
    content |= {f"{n}.bin": bytes([n]) * 100_000 for n in range(4)}
    sender = Home(tmp_path / "sender")
    put(sender.root, content)
    crossed(sender, tmp_path, monkeypatch, *words)


@pytest.fixture
def quick(tmp_path):
    """A folder whose `fsync` costs nothing, where there is one."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    folder = shared / f"selfhost-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
def test_thousands_of_small_files(quick, monkeypatch):
    sender = Home(quick / "sender")
    put(sender.root, {**tiny_files(), **{f"d{n % 100}/{n}.txt": b"%d" % n for n in range(10_000 if LONG else 2_000)}})
    crossed(sender, quick, monkeypatch, "--link", "copy")


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("SELFHOST_TEST_LARGE"), reason="writes 18 GB: SELFHOST_TEST_LARGE=1")
def test_six_gigabytes_with_a_hole(tmp_path, monkeypatch):
    """More than 4 GiB: FAT's limit and that of 32 bits."""
    sender = Home(tmp_path / "sender")
    source = tmp_path / "sparse.bin"
    with source.open("wb") as stream:
        stream.write(b"begin")
        stream.truncate(6_000_000_000)
        stream.seek(0, os.SEEK_END)
        stream.write(b"end")
    directory = put(sender.root, tiny_files())
    blobs, lock = Blobs(sender.blobs), store.read_lock(directory)
    sha256, size = blobs.copy_in(source)
    source.unlink()
    files = (*lock.files, LockedFile(path="sparse.bin", size=size, sha256=sha256))
    store.publish(directory, ModelLock(recipe="tiny", variant="bf16", source=ORIGIN, files=files), blobs)
    crossed(sender, tmp_path, monkeypatch, "--link", "hard", "--volume-size", "2500M")
