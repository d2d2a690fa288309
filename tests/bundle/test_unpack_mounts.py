"""Real small file systems under a store or as a medium: full, without inodes, read-only. They need root."""

from __future__ import annotations

import subprocess

import pytest

from selfhost import files
from selfhost.errors import ExitCode
from selfhost.home import find_home
from selfhost.weights.blobs import Blobs
from tests.bundle.fault_support import check_store
from tests.bundle.unpack_support import NAME, VARIANT, files_of, make_bundle, run, snapshot

pytestmark = pytest.mark.slow


@pytest.fixture
def mounted(tmp_path):
    """Mounts, and takes away at the end; skips where this user may not."""
    done = []

    def mount(*argv):
        ran = subprocess.run(["mount", *argv], check=False, capture_output=True, text=True)
        if ran.returncode:
            pytest.skip(f"cannot be mounted here: {ran.stderr}")
        done.append(argv[-1])

    yield mount
    for path in reversed(done):
        subprocess.run(["umount", path], check=True)


def remount(path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", path], check=True)


@pytest.fixture
def volume(tmp_path):
    """About 12 MB in three shards."""
    return make_bundle(tmp_path / "bundle", shard_bytes=4_000_000)[0]


@pytest.fixture
def root(monkeypatch):
    """The store's folder; what is free there is not looked at before bytes move."""
    monkeypatch.setattr(files, "free_bytes", lambda _path: 1 << 40)
    path = find_home().root
    path.mkdir(exist_ok=True)
    return path


def check_completes(volume) -> None:
    code, _, said = run("bundle", "import", volume)
    assert code == 0, said
    assert len(files_of(find_home().models / NAME / VARIANT)) == 9
    check_names = Blobs(find_home().blobs)
    assert all(check_names.is_right(sha256) for sha256 in check_names.digests())


def check_stopped(volume, code: int) -> None:
    before = snapshot(volume)
    found, _, said = run("bundle", "import", volume)
    assert found == code, said
    assert snapshot(volume) == before
    check_store()
    assert run("ls")[0] == 0


def test_8_mib_are_told_before_bytes_move(volume, mounted):
    root = find_home().root
    root.mkdir(exist_ok=True)
    mounted("-t", "tmpfs", "-o", "size=8m", "none", root)
    check_stopped(volume, ExitCode.NO_SPACE)
    assert not list(Blobs(find_home().blobs).digests())


def test_a_disk_that_is_full_in_the_middle(volume, mounted, root):
    mounted("-t", "tmpfs", "-o", "size=8m", "none", root)
    check_stopped(volume, ExitCode.NO_SPACE)
    kept = set(Blobs(find_home().blobs).digests())
    assert kept, "what was copied stays"
    remount(root, "size=64m")
    check_completes(volume)
    assert kept <= set(Blobs(find_home().blobs).digests())


def test_a_disk_without_inodes(volume, mounted, root):
    mounted("-t", "tmpfs", "-o", "size=64m,nr_inodes=24", "none", root)
    check_stopped(volume, ExitCode.NO_SPACE)
    remount(root, "nr_inodes=1000")
    check_completes(volume)


def test_a_store_that_is_read_only(volume, mounted, root):
    mounted("--bind", root, root)
    remount(root, "bind,ro")
    check_stopped(volume, ExitCode.MISSING)
    remount(root, "bind,rw")
    check_completes(volume)


def test_a_medium_that_is_read_only(volume, mounted):
    mounted("--bind", volume, volume)
    remount(volume, "bind,ro")
    for command in ("verify", "inspect", "import"):
        code, _, said = run("bundle", command, volume)
        assert code == 0, said


def test_create_on_a_medium_that_is_read_only(volume, mounted, tmp_path):
    assert run("bundle", "import", volume)[0] == 0
    medium = tmp_path / "medium"
    medium.mkdir()
    mounted("--bind", medium, medium)
    remount(medium, "bind,ro")
    assert run("bundle", "create", "--model", NAME, "--to", medium)[0] == ExitCode.MISSING
