"""An interrupted verification goes on where it was, and never takes for read what has changed since."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from selfhost.weights import store, verify
from selfhost.weights.ledger import MAX_AGE_S, Ledger
from selfhost.weights.verify import Reading, Status, Wanted
from tests.weights.storage_support import big, flip, put

NOW = 1_000_000_000.0


def wanted_of(directory):
    return [Wanted(path=f.path, sha256=f.sha256, size=f.size) for f in store.read_lock(directory).files]


def checked(directory, ledger, progress):
    reading = Reading(workers=2, progress=progress, ledger=ledger)
    return {one.path: one for one in verify.verify_files(directory, wanted_of(directory), reading)}


class Interrupted(Exception):  # noqa: N818
    pass


@pytest.fixture
def interrupted(home, monkeypatch):
    """A run that ends when file `at` is to be read, once `after` was found whole."""
    real = verify._read

    def run(directory, *, at, after):
        whole = threading.Event()

        def read(stream, digest, tick):
            if Path(stream.name).name == at:
                assert whole.wait(10)
                raise Interrupted
            real(stream, digest, tick)

        monkeypatch.setattr(verify, "_read", read)
        wanted = wanted_of(directory)
        reading = Reading(
            workers=1,
            progress=lambda _done, _total: None,
            on_whole=lambda sha256, _marks: whole.set() if sha256 == digests[after] else None,
            ledger=Ledger(home / "verify", directory, lambda: NOW),
        )
        digests = {one.path: one.sha256 for one in wanted}
        with pytest.raises(Interrupted):
            verify.verify_files(directory, wanted, reading)
        monkeypatch.setattr(verify, "_read", real)

    return run


def read_again(directory, home, now=NOW + 60):
    """Bytes that the next run reads."""
    seen = [0]
    ledger = Ledger(home / "verify", directory, lambda: now)
    found = checked(directory, ledger, lambda _done, total: seen.append(total))
    return seen[-1], {one.status for one in found.values()}, ledger.goes_on


@pytest.fixture
def several(home):
    """The largest is read first."""
    return put(home, {"a": big(1, 3_000_000), "b": big(2, 2_000_000), "c": big(3, 1_000_000)})


def test_an_interrupted_run_goes_on(several, home, interrupted):
    interrupted(several, at="c", after="b")
    total, statuses, went_on = read_again(several, home)
    assert (total, statuses, went_on) == (1_000_000, {Status.OK}, True)
    assert list((home / "verify").iterdir()) == []
    assert read_again(several, home)[0] == 6_000_000, "a run that ended is not gone on with"


def touch(path):
    os.utime(path, ns=(0, 0))


def replace(path):
    data = path.read_bytes()
    info = path.stat()
    path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


@pytest.mark.parametrize("change", [touch, replace], ids=["written to", "replaced"])
def test_a_file_that_changed_since_is_read_again(several, home, change, interrupted):
    interrupted(several, at="c", after="b")
    other = several.parent / "keeps-the-inode"
    os.link(several / "a", other)
    change(several / "a")
    assert read_again(several, home)[0] == 4_000_000


def test_an_interrupted_run_of_yesterday_is_forgotten(several, home, interrupted):
    interrupted(several, at="c", after="b")
    assert read_again(several, home, NOW + MAX_AGE_S + 1)[0] == 6_000_000


def test_another_model_under_the_same_name_is_read(several, home, interrupted):
    interrupted(several, at="c", after="b")
    put(home, {"a": big(9, 3_000_000)})
    assert read_again(several, home)[0] == 3_000_000


def test_a_damaged_file_is_not_remembered(several, home, interrupted):
    flip(several / "a", 5)
    interrupted(several, at="c", after="b")
    total, statuses, _ = read_again(several, home)
    assert total == 4_000_000
    assert statuses == {Status.OK, Status.DIGEST}


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 1, "files": 3}', '{"schema_version": 2}'])
def test_a_broken_ledger_is_none(several, home, text):
    ledger = Ledger(home / "verify", several, lambda: NOW)
    ledger.path.parent.mkdir(parents=True)
    ledger.path.write_text(text)
    assert read_again(several, home) == (6_000_000, {Status.OK}, False)
