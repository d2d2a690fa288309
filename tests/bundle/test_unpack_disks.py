"""Disks that are full, refuse or go away while an import reads and writes; processes that are killed."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from selfhost.app import servers
from selfhost.bundle import layout, medium, take
from selfhost.errors import ExitCode, IntegrityError
from selfhost.home import find_home
from selfhost.weights.blobs import Blobs
from tests.bundle.fault_support import (
    check_refused,
    check_store,
    flip,
    shard_of,
)
from tests.bundle.unpack_support import (
    NAME,
    VARIANT,
    files_of,
    import_bundle,
    make_bundle,
    run,
    snapshot,
)


def test_too_little_space_is_told_before_bytes_move(volume, monkeypatch):
    monkeypatch.setattr("selfhost.files.free_bytes", lambda _path: 1000)
    check_refused([volume], ExitCode.NO_SPACE, said="needed")
    assert not list(Blobs(find_home().blobs).digests())


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@pytest.mark.parametrize(
    ("call", "number", "code"),
    [
        *((call, number, ExitCode.NO_SPACE) for call in ("fsync", "posix_fallocate", "replace") for number in FULL),
        *((call, number, ExitCode.MISSING) for call in ("fsync", "replace") for number in (errno.EROFS, errno.EACCES)),
    ],
)
def test_a_disk_that_refuses_while_it_is_written_to(volume, monkeypatch, number, code, call):
    whole, calls = getattr(os, call), []

    def refuse(first, *args, **options):
        where = Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else first
        calls.append(where)
        if len(calls) >= 3 and "blobs" in str(where):
            raise OSError(number, os.strerror(number))
        return whole(first, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse)
        before = snapshot(volume)
        found, _, err = run("bundle", "import", volume)
    assert found == code, err
    assert snapshot(volume) == before
    check_store()
    import_bundle([volume], find_home())


def test_a_limit_on_the_size_of_files(volume):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        check_refused([volume], ExitCode.NO_SPACE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    import_bundle([volume], find_home())


class Failing:
    """A file of a disk that stops giving bytes back."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()

    def readinto(self, _buffer):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_medium_that_does_not_give_bytes_back(volume, monkeypatch):
    shard, whole = shard_of(volume).name, medium.Medium.open

    def open_failing(self, path):
        stream = whole(self, path)
        return Failing(stream) if shard in path else stream

    monkeypatch.setattr(medium.Medium, "open", open_failing)
    for command in ("verify", "import"):
        check_refused([volume], ExitCode.INTEGRITY, command=command, said=shard)


def test_a_medium_that_is_pulled_out_while_it_is_read(volume, monkeypatch):
    whole, calls = take.take, []

    def pull_out(*args, **options):
        calls.append(args)
        if len(calls) == 2:
            volume.rename(volume.with_name("gone"))
        whole(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr("selfhost.bundle.unpack.take", pull_out)
        patched.setattr("selfhost.bundle.devices.readers", lambda _device: 1)
        code, _, err = run("bundle", "import", volume)
    assert code == ExitCode.INCOMPLETE, err
    check_store()
    volume.with_name("gone").rename(volume)
    import_bundle([volume], find_home())


def test_a_medium_that_goes_on_growing_is_not_read_for_ever(volume, monkeypatch):
    shard = shard_of(volume)
    piece = take.Piece(medium=medium.Medium(volume), path=f"{layout.BLOBS}/{shard.name}", size=10, sha256="0" * 64)
    monkeypatch.setattr(take, "_check_size", lambda *_: None)
    assert sum(len(data) for data in take._read(piece, lambda _count: None)) == 10


def test_a_read_only_medium_is_enough(volume):
    for path in [volume, *volume.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = snapshot(volume)
    import_bundle([volume], find_home())
    assert snapshot(volume) == before


def test_a_content_that_is_changed_between_verify_and_import(volume):
    assert run("bundle", "verify", volume)[0] == 0
    shard = shard_of(volume)
    info = shard.stat()
    flip(shard)
    os.utime(shard, ns=(info.st_atime_ns, info.st_mtime_ns))
    check_refused([volume], ExitCode.INTEGRITY)


# Processes


@pytest.mark.slow
def test_two_imports_at_once(volume):
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                import_bundle([volume], find_home())
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert len(files_of(find_home().models / NAME / VARIANT)) == 9


def test_contents_are_on_the_disk_before_their_names(volume, monkeypatch):
    """Synced, then renamed, then the folder synced: for each content, in that order."""
    seen: list[tuple[str, str]] = []
    sync, replace = os.fsync, Path.replace

    def fsync(descriptor):
        seen.append(("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        sync(descriptor)

    def renamed(self, target):
        seen.append(("rename", f"{self} {target}"))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    import_bundle([volume], find_home())
    shard = shard_of(volume).name
    at = next(n for n, (what, where) in enumerate(seen) if what == "rename" and where.endswith(f"/{shard}"))
    part = seen[at][1].split()[0]
    assert ("sync", part) in seen[:at]
    assert any(what == "sync" and where.endswith(f"/sha256/{shard[:2]}") for what, where in seen[at:])


def test_what_take_says_of_other_bytes(volume, tmp_path):
    shard = shard_of(volume)
    piece = take.Piece(
        medium=medium.Medium(volume), path=f"{layout.BLOBS}/{shard.name}", size=shard.stat().st_size, sha256="0" * 64
    )
    blobs = Blobs(tmp_path / "blobs")
    with pytest.raises(IntegrityError) as caught:
        take.take(take.Source(sha256="0" * 64, size=piece.size, pieces=(piece,)), blobs, lambda _count: None)
    assert shard.name in caught.value.message.why + caught.value.message.what
    assert not list(blobs.digests())


@pytest.mark.slow
def test_killed_by_a_signal_at_any_time_the_next_run_completes(tmp_path):
    """Not at a call, but in the middle of whatever it does: 30 times, each a little later."""
    [volume] = make_bundle(tmp_path, shard_bytes=2_000_000)
    home = find_home()
    source = {p.name: p.read_bytes() for p in (tmp_path / "source").iterdir() if p.suffix == ".safetensors"}
    for attempt in range(30):
        child = os.fork()
        if child == 0:
            # Its own clock ends it: `ITIMER_PROF` counts what this process computes, so load elsewhere does not matter.
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, 0.002 * (attempt + 1))
            code = 1
            try:
                import_bundle([volume], home)
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, -signal.SIGPROF)
        blobs = Blobs(home.blobs)
        for sha256 in blobs.digests():
            assert hashlib.sha256(blobs.path(sha256).read_bytes()).hexdigest() == sha256, attempt
        if attempt % 3 == 2:
            import_bundle([volume], home)
            there = files_of(home.models / NAME / VARIANT)
            assert {name: there[name] for name in source} == source
            shutil.rmtree(home.root)


def test_a_model_that_is_served_is_not_replaced(volume, tmp_path, monkeypatch):
    home = find_home()
    import_bundle([volume], home)
    directory = home.models / NAME / VARIANT
    record = SimpleNamespace(name="mine", plan={"model_path": str(directory)}, argv=())
    running = SimpleNamespace(record=record, state=SimpleNamespace(running=True))
    [newer] = make_bundle(tmp_path / "newer", serial=6, shard_bytes=30_100)
    before = files_of(directory)
    with monkeypatch.context() as patched:
        patched.setattr(servers, "list_servers", lambda _home: ([running], []))
        assert run("bundle", "import", volume)[0] == 0, "what is there already is left as it is"
        code, _, said = run("bundle", "import", newer)
        assert (code, "mine" in said) == (ExitCode.NO, True)
        assert files_of(directory) == before
    assert run("bundle", "import", newer)[0] == 0
    assert files_of(directory) != before
