"""What the store holds, what removing something frees, and that nothing needed is ever removed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from selfhost import files
from selfhost.errors import MissingError, NoError
from selfhost.weights import inventory, reclaim, store
from selfhost.weights.blobs import Blobs
from selfhost.weights.inventory import State
from selfhost.weights.lock import LOCK_NAME
from tests.weights.storage_support import big, put, put_old, sha

NOW = 1_000_000_000.0


@pytest.fixture
def blobs(home):
    return Blobs(home / "blobs")


@pytest.fixture
def models(home):
    return home / "models"


def collect(models, blobs, *, before=NOW, dry_run=False):
    return reclaim.collect(models, blobs, reclaim.GcOptions(partials_before=before, dry_run=dry_run))


def part(blobs, key, *, age_s=0.0, size=10):
    path = blobs.part(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    path.with_suffix(".json").write_text(json.dumps({"path": "model.safetensors", "size": 100}))
    os.utime(path, (NOW - age_s, NOW - age_s))
    return path


def test_an_empty_store(models, blobs):
    found = inventory.take(models, blobs)
    assert (found.models, found.partials, found.blob_count, found.reclaimable_bytes) == ((), (), 0, 0)


def test_sizes_count_what_is_shared_once_for_each_and_unique_for_none(home, models, blobs):
    put(home, {"a": b"12345", "same": b"123"})
    put(home, {"b": b"1234567", "same": b"123"}, variant="fp8")
    bf16, fp8 = inventory.take(models, blobs).models
    assert (bf16.name, bf16.variant, bf16.size_bytes, bf16.unique_bytes, bf16.file_count) == ("tiny", "bf16", 8, 5, 2)
    assert (fp8.size_bytes, fp8.unique_bytes) == (10, 7)
    assert (bf16.state, bf16.problem) == (State.WHOLE, "")
    found = inventory.take(models, blobs)
    assert (found.blob_count, found.blob_bytes, found.reclaimable_bytes) == (3, 15, 0)


def test_models_of_an_older_selfhost_and_of_somebody_else(home, models, blobs):
    put_old(home, {"a": b"12345"})
    (models / "mine" / "own").mkdir(parents=True)
    (models / "mine" / "own" / "config.json").write_text("{}")
    damaged = put(home, {"a": b"123"})
    (damaged / "a").unlink()
    own, old, tiny = inventory.take(models, blobs).models
    assert (own.name, own.state, own.lock, own.size_bytes) == ("mine", State.UNLOCKED, None, 2)
    assert (old.state, old.size_bytes, old.unique_bytes) == (State.WHOLE, 5, 5)
    assert (tiny.state, tiny.problem) == (State.DAMAGED, f"`{damaged}/a`: No such file or directory")


def test_partial_downloads_tell_how_much_is_there(models, blobs):
    path = blobs.part("k" * 64)
    path.parent.mkdir(parents=True)
    with path.open("wb") as stream:
        stream.truncate(1 << 20)
        stream.seek(1 << 19)
        stream.write(b"x" * 4096)
    (found,) = inventory.take(models, blobs).partials
    assert (found.name, found.size_bytes, found.there_bytes) == ("k" * 12, 1 << 20, 4096)


# rm


def remove(models, blobs, *directories, dry_run=False):
    return reclaim.remove_models(directories, models, blobs, pytest.fail, dry_run=dry_run)


def test_removing_a_model_keeps_what_another_one_has(home, models, blobs):
    one = put(home, {"a": b"12345", "same": b"123"})
    two = put(home, {"same": b"123"}, variant="fp8")
    lock_bytes = (one / LOCK_NAME).stat().st_size
    planned = remove(models, blobs, one, dry_run=True)
    assert one.exists()
    done = remove(models, blobs, one)
    assert done == planned
    assert (done.blobs, done.freed_bytes) == ((sha(b"12345"),), 5 + lock_bytes)
    assert not one.exists()
    assert (two / "same").read_bytes() == b"123"
    assert list(blobs.digests()) == [sha(b"123")]


def test_removing_both_frees_what_they_share(home, models, blobs):
    one, two = put(home, {"same": b"x" * 9999}), put(home, {"same": b"x" * 9999}, variant="fp8")
    done = remove(models, blobs, one, two)
    assert 9999 < done.freed_bytes < 9999 + 2000
    assert list(blobs.digests()) == []


def test_a_model_with_files_of_its_own_frees_them(home, models, blobs):
    old = put_old(home, {"a": b"x" * 9999})
    assert remove(models, blobs, old).freed_bytes > 9999


def test_while_a_download_runs_contents_stay(home, models, blobs):
    one = put(home, {"a": b"12345"})
    with blobs.in_use():
        done = remove(models, blobs, one)
    assert (done.blobs_kept, done.freed_bytes, one.exists()) == (True, 0, False)
    assert blobs.has(sha(b"12345"))
    assert collect(models, blobs).freed_bytes == 5


# gc


def test_gc_removes_what_no_model_has_and_nothing_else(home, models, blobs):
    one, two = put(home, {"a": big()}), put(home, {"b": b"b"}, variant="fp8")
    shutil.rmtree(one)
    planned = collect(models, blobs, dry_run=True)
    assert blobs.has(sha(big()))
    done = collect(models, blobs)
    assert done == planned
    assert (done.blobs, done.freed_bytes) == ((sha(big()),), len(big()))
    assert list(blobs.strays()) == []
    assert store.look_up(two) is not None
    assert collect(models, blobs) == reclaim.Reclaimed()


def test_gc_while_a_download_runs_is_refused(models, blobs):
    with blobs.in_use(), pytest.raises(NoError) as caught:
        collect(models, blobs)
    assert (caught.value.message.id, int(caught.value.code)) == ("storage.pull_runs", 3)


@pytest.mark.parametrize("how", ["no lock", "damaged lock", "newer lock"])
def test_a_damaged_lock_does_not_cost_the_contents_it_names(home, models, blobs, how):
    path = put(home, {"a": b"a"}) / LOCK_NAME
    if how == "no lock":
        path.unlink()
    else:
        path.write_text('{"schema_version": 99}' if how == "newer lock" else "{")
    assert collect(models, blobs).blobs == ()
    assert blobs.has(sha(b"a"))


def test_a_content_whose_file_is_damaged_in_a_model_is_kept_for_repair(home, models, blobs):
    directory = put(home, {"a": b"a"})
    (directory / "a").unlink()
    assert collect(models, blobs).blobs == ()


def test_gc_takes_old_partials_and_leaves_new_ones_and_those_in_use(models, blobs):
    old, new, used = part(blobs, "old", age_s=100), part(blobs, "new"), part(blobs, "used", age_s=100)
    with files.hold_lock(used):
        done = collect(models, blobs, before=NOW - 50)
    assert done.partials == (old,)
    assert (old.exists(), old.with_suffix(".json").exists(), new.exists(), used.exists()) == (False, False, True, True)
    assert new.with_suffix(".json").exists()


def test_gc_tidies_up_after_killed_processes_and_leaves_those_alive(home, models, blobs):
    directory = put(home, {"a": b"a"})
    dead, alive = directory.parent / ".bf16.part-x", directory.parent / ".fp8.part-x"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "file").write_bytes(b"12345")
    with store.hold(directory.parent / "other", pytest.fail), files.hold_lock(directory.parent / ".fp8.lock"):
        planned = collect(models, blobs, dry_run=True)
        assert (planned.leftovers, dead.exists()) == ((dead,), True)
        done = collect(models, blobs)
    assert (done.leftovers, done.freed_bytes) == ((dead,), 5)
    assert (dead.exists(), alive.exists()) == (False, True)


def test_gc_keeps_the_contents_of_a_model_that_was_being_replaced(home, models, blobs):
    directory = put(home, {"a": b"a"})
    directory.rename(directory.parent / ".bf16.old-killed")
    collect(models, blobs)
    assert store.look_up(directory) is not None
    assert blobs.has(sha(b"a"))


def test_a_model_that_is_gone_already_is_no_error(home, models, blobs):
    directory = put(home, {"a": b"a"})
    shutil.rmtree(directory)
    with store.hold(directory, pytest.fail):
        store.remove(directory)
    assert sorted(path.name for path in directory.parent.iterdir()) == [".bf16.lock"]


def test_a_link_that_somebody_put_into_the_store_goes_and_its_files_stay(home, models, blobs, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(put(home, {"a": b"x" * 9999}), mine)
    link = models / "tiny" / "linked"
    link.symlink_to(mine)
    done = remove(models, blobs, link)
    assert (done.freed_bytes, link.is_symlink()) == (0, False)
    assert (mine / "a").exists()


@pytest.mark.slow
def test_gc_beside_downloads_that_begin_and_end_loses_nothing(home, models, blobs):
    """What a download found in the store, or put there, is there when its model is published; over and over."""
    failed: list[BaseException] = []

    def download(name):
        try:
            for _ in range(60):
                directory = put(home, {"a": b"shared", "b": name.encode()}, name=name)
                assert store.look_up(directory) is not None
                with store.hold(directory, lambda: None):
                    store.remove(directory)
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    threads = [threading.Thread(target=download, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    collected = 0
    while any(thread.is_alive() for thread in threads):
        with contextlib.suppress(NoError):
            collect(models, blobs)
            collected += 1
    for thread in threads:
        thread.join()
    assert failed == []
    assert collected


@pytest.mark.parametrize("how", ["gone", "empty", "link into nowhere", "unreadable"])
def test_nothing_is_removed_where_models_cannot_be_seen(home, blobs, tmp_path, monkeypatch, how):
    """A share that is not mounted, a folder of another user: what their models have is no waste."""
    put(home, {"a": b"12345"})
    models, hidden = home / "models", tmp_path / "hidden"
    if how == "unreadable":
        iterdir = Path.iterdir

        def refusing(path):
            if path.name == "tiny":
                raise PermissionError(13, "Permission denied", str(path))
            return iterdir(path)

        monkeypatch.setattr(Path, "iterdir", refusing)
    else:
        models.rename(hidden)
    if how == "empty":
        models.mkdir()
    if how == "link into nowhere":
        models.symlink_to(tmp_path / "nowhere")
    with pytest.raises(MissingError) as caught:
        collect(models, blobs)
    assert caught.value.message.id == "storage.unseen"
    assert blobs.has(sha(b"12345"))


def test_locks_of_parts_that_are_gone_go_too(models, blobs):
    path = part(blobs, "old", age_s=10)
    path.with_suffix(".lock").touch()
    collect(models, blobs)
    assert list((blobs.root / "partial").iterdir()) == []
