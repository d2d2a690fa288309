"""The store: a model is whole under its final name, or not there."""

from __future__ import annotations

import json
import os
import threading

import pytest

from selfhost.errors import IntegrityError, MissingError
from selfhost.weights import store
from selfhost.weights.lock import LOCK_NAME, LockedFile, Origin

ORIGIN = Origin(kind="wheel", id="x", revision="1", sha256="0" * 64)


@pytest.fixture
def directory(home):
    path = store.model_directory(home / "models", "tiny", "bf16")
    path.parent.mkdir(parents=True)
    return path


def made(directory):
    with store.hold(directory, pytest.fail), store.prepare(directory, ORIGIN) as (work, model):
        (work / "scratch").write_text("x")
        (model / "weights").write_bytes(b"abc")
        (model / "weights").chmod(0o600)
    return directory


def test_a_prepared_model_has_its_lock_and_nothing_beside_it(directory):
    made(directory)
    lock = store.look_up(directory)
    assert lock is not None
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert lock.files == (LockedFile(path="weights", size=3, sha256=abc),)
    assert (lock.recipe, lock.variant, lock.source, lock.total_bytes) == ("tiny", "bf16", ORIGIN, 3)
    assert sorted(path.name for path in directory.parent.iterdir()) == [".bf16.lock", "bf16"]
    body = json.loads((directory / LOCK_NAME).read_text())
    assert body["schema_version"] == 1


def test_every_user_may_read_it(directory):
    made(directory)
    assert oct((directory / "weights").stat().st_mode & 0o777) == "0o644"
    assert oct(directory.stat().st_mode & 0o777) == "0o755"


def test_a_failure_leaves_nothing(directory):
    def interrupted():
        with store.prepare(directory, ORIGIN) as (work, _):
            (work / "half").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(directory.parent.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(directory):
    left = directory.parent / ".bf16.part-killed"
    (left / "model").mkdir(parents=True)
    other = directory.parent / ".fp8.part-alive"
    other.mkdir()
    made(directory)
    assert not left.exists()
    assert other.exists()


def test_absent_is_none(directory):
    assert store.look_up(directory) is None


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda d: (d / "weights").write_bytes(b"ab"), "`{d}/weights` has 2 bytes, 3 were written"),
        (lambda d: (d / "weights").unlink(), "`{d}/weights`: No such file or directory"),
        (lambda d: (d / LOCK_NAME).unlink(), "`{d}/selfhost-model.json` is missing or damaged"),
    ],
    ids=["other size", "missing", "no lock"],
)
def test_a_damaged_copy_is_refused_with_what_to_remove(directory, change, detail):
    change(made(directory))
    with pytest.raises(IntegrityError) as caught:
        store.look_up(directory)
    message = caught.value.message
    assert message.what == "the copy of `tiny (bf16)` in the store is damaged"
    assert message.why == detail.format(d=directory)
    assert message.hint == f"remove it and run the same command again: `rm -r {directory}`"


def test_a_copy_of_a_newer_selfhost_is_not_touched(directory):
    made(directory)
    (directory / LOCK_NAME).write_text('{"schema_version": 2}')
    with pytest.raises(IntegrityError) as caught:
        store.look_up(directory)
    assert caught.value.message.id == "model.newer_store"


def test_a_second_process_waits_and_says_so(directory):
    said, entered = [], threading.Event()

    def second():
        with store.hold(directory, lambda: said.append("waiting")):
            entered.set()

    with store.hold(directory, pytest.fail):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
    thread.join(5)
    assert (said, entered.is_set()) == (["waiting"], True)


def test_a_store_that_cannot_be_written():
    # Nobody, not even root, can make a file there.
    directory = store.model_directory(store.Path("/sys/selfhost"), "tiny", "bf16")
    with pytest.raises(MissingError) as caught, store.hold(directory, pytest.fail):
        pass
    assert int(caught.value.code) == 4
    assert caught.value.message.what.startswith("cannot write to `/sys/selfhost")
    assert f"uid {os.getuid()}" in caught.value.message.hint
