"""`pull`: what is asked of whom, what is taken, what stays as it is."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import replace

import pytest

from selfhost import files
from selfhost.app import storage
from selfhost.errors import (
    IncompleteError,
    IntegrityError,
    NoError,
    SelfhostError,
    UsageError,
)
from selfhost.home import find_home
from selfhost.weights.blobs import Blobs
from tests.pull_support import (
    OPTIONS,
    SHARD,
    SMALL_BYTES,
    Silent,
    assert_blobs_are_whole,
    assert_same,
    bring,
    safetensors,
    sha256_of,
    weights_sent,
    write_recipe,
    write_repository,
)
from tests.standins.faults import Fault
from tests.standins.hub import Hub
from tests.standins.mirror import Mirror


def commit_of(hub, model="org/tiny") -> str:
    return hub.models.find(model, "main").commit


def change(directory, seed=99) -> int:
    """Another second shard; its bytes."""
    (directory / SHARD).write_bytes(safetensors("tensor.2", 100_002, seed))
    return (directory / SHARD).stat().st_size


# What is taken


def test_only_what_serving_needs_is_taken(hub, tiny, needed):
    pulled = bring()
    assert_same(pulled.wanted.directory, tiny, needed)
    asked = {request.file for request in hub.requests if request.file}
    assert asked == needed
    assert pulled.lock.source.revision == commit_of(hub)
    # Configurations are read before anything is chosen, and come once more with the rest.
    assert pulled.lock.total_bytes <= hub.sent_bytes <= pulled.lock.total_bytes + SMALL_BYTES


def test_a_second_pull_fetches_nothing(hub):
    bring()
    sent, asked = hub.sent_bytes, len(hub.requests)
    talk = Silent()
    pulled = bring(talk=talk)
    assert (hub.sent_bytes, pulled.downloaded_bytes, talk.warned) == (sent, 0, [])
    assert len(hub.requests) - asked <= 2  # one listing, whatever pages it has


def test_a_pinned_model_that_is_there_asks_nobody(hub, home):
    pinned = {"kind": "huggingface", "id": "org/tiny", "revision": commit_of(hub)}
    write_recipe(home, variant=[{"name": "bf16", "scheme": "bf16", "source": [pinned]}])
    bring("tiny")
    asked = list(hub.requests)
    assert (bring("tiny").downloaded_bytes, hub.requests) == (0, asked)


def test_offline_a_model_that_is_there_asks_nobody(hub, monkeypatch):
    bring()
    asked = len(hub.requests)
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    assert bring().downloaded_bytes == 0
    assert len(hub.requests) == asked


def test_offline_a_model_that_is_not_there(monkeypatch):
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    for endpoint in ("", "https://hub.invalid"):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        with pytest.raises(IncompleteError) as refused:
            bring()
        assert refused.value.message.id == "pull.offline"
        assert "`selfhost pull` without `--offline`" in refused.value.message.hint


def test_offline_a_directory_is_taken_from(tiny, needed, monkeypatch):
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    assert_same(bring(source=str(tiny)).wanted.directory, tiny, needed)


def test_a_hub_that_is_away_is_no_reason_to_fail_for_what_is_there(hub):
    bring()
    hub.stop()
    talk = Silent()
    assert bring(talk=talk).downloaded_bytes == 0
    assert any("org/tiny is in the store; not compared with its source" in line for line in talk.said)


def test_files_with_the_same_content_come_once(hub, tiny):
    content = safetensors("x", 300_000, 7)
    for name in ("a.model", "b.model", "c.model"):
        (tiny / name).write_bytes(content)
    pulled = bring()
    sent = sum(request.sent_bytes for request in hub.requests if (request.file or "").endswith(".model"))
    assert sent == len(content)
    assert (pulled.wanted.directory / "c.model").read_bytes() == content


def test_what_two_models_share_comes_once(hub, root, tiny):
    shutil.copytree(tiny, root / "org" / "twin")
    (root / "org" / "twin" / "generation_config.json").write_text('{"temperature": 0.5}')
    bring()
    sent = weights_sent(hub)
    pulled = bring("org/twin")
    assert weights_sent(hub) == sent
    assert pulled.downloaded_bytes < SMALL_BYTES
    shard = pulled.wanted.directory / SHARD
    assert shard.samefile(bring().wanted.directory / SHARD)


# Revisions


def test_a_branch_that_moved_is_told_and_nothing_changes(hub, tiny):
    first = bring()
    before = {path.name: sha256_of(path) for path in first.wanted.directory.iterdir()}
    change(tiny)
    sent, talk = hub.sent_bytes, Silent()
    again = bring(talk=talk)
    (warning,) = talk.warned
    assert first.lock.source.revision[:12] in warning
    assert commit_of(hub)[:12] in warning
    assert (SHARD in warning, "config.json" in warning, "--update" in warning) == (True, False, True)
    assert (again.lock, hub.sent_bytes) == (first.lock, sent)
    assert {path.name: sha256_of(path) for path in first.wanted.directory.iterdir()} == before


def test_a_file_that_serving_does_not_need_may_change(hub, tiny):
    bring()
    (tiny / "README.md").write_text("other")
    talk = Silent()
    bring(talk=talk)
    (warning,) = talk.warned
    assert "the files that are kept here are the same" in warning


def test_another_revision_than_the_stored_one_is_refused(hub, tiny):
    first = bring()
    change(tiny)
    with pytest.raises(NoError) as refused:
        bring(revision="main")
    message = refused.value.message
    assert (refused.value.code, "--update" in message.hint) == (3, True)
    assert first.lock.source.revision[:12] in message.why
    assert commit_of(hub)[:12] in message.why
    assert SHARD in message.why
    # The stored one, by its name or the start of it, is what is asked for.
    for revision in (first.lock.source.revision, first.lock.source.revision[:10]):
        assert bring(revision=revision).lock == first.lock


def test_a_revision_that_does_not_exist(hub):
    with pytest.raises(UsageError):
        bring(revision="absent")
    bring()
    with pytest.raises(UsageError):
        bring(revision="absent")


def test_a_branch_by_name(root, tiny, tmp_path, monkeypatch):
    write_repository(tmp_path / "v2", shard_bytes=50_000)
    with Hub(root, revisions={"org/tiny@v2": tmp_path / "v2"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        pulled = bring(revision="v2")
        assert pulled.lock.source.revision == hub.models.find("org/tiny", "v2").commit
        assert (pulled.wanted.directory / SHARD).read_bytes() == (tmp_path / "v2" / SHARD).read_bytes()
        assert bring(revision="v2").downloaded_bytes == 0


def test_an_update_replaces_and_fetches_what_changed(hub, home, tiny, needed):
    first = bring()
    old = (first.wanted.directory / SHARD).read_bytes()
    changed = change(tiny)
    (tiny / "generation_config.json").unlink()
    sent = weights_sent(hub)
    with (first.wanted.directory / SHARD).open("rb") as opened:
        second = bring(update=True)
        assert opened.read() == old  # an engine that has it open keeps it
    assert weights_sent(hub) - sent == changed
    assert second.lock.source.revision == commit_of(hub) != first.lock.source.revision
    assert_same(second.wanted.directory, tiny, needed - {"generation_config.json"})
    # What only the older one had stays until `gc`.
    digest = next(file.sha256 for file in first.lock.files if file.path == SHARD)
    assert Blobs(home / "blobs").has(digest)
    storage.gc(find_home(), partials=False, dry_run=False)
    assert not Blobs(home / "blobs").has(digest)
    assert_same(second.wanted.directory, tiny, needed - {"generation_config.json"})
    assert_blobs_are_whole(home)


def test_an_update_of_what_has_not_changed(hub):
    first, talk = bring(), Silent()
    sent = weights_sent(hub)
    assert bring(update=True, talk=talk).lock == first.lock
    assert weights_sent(hub) == sent
    assert "org/tiny is what its source has" in talk.said


def test_a_recipe_that_moved_on_is_told(hub, home, tiny):
    def pin():
        pinned = {"kind": "huggingface", "id": "org/tiny", "revision": commit_of(hub)}
        write_recipe(home, variant=[{"name": "bf16", "scheme": "bf16", "source": [pinned]}])

    pin()
    first = bring("tiny")
    change(tiny)
    pin()
    asked, talk = len(hub.requests), Silent()
    assert bring("tiny", talk=talk).lock == first.lock
    (warning,) = talk.warned
    assert commit_of(hub)[:12] in warning
    assert len(hub.requests) == asked
    assert bring("tiny", update=True).lock.source.revision == commit_of(hub)


def test_an_update_puts_a_damaged_copy_right(hub, tiny, needed):
    first = bring()
    shard = first.wanted.directory / SHARD
    with shard.open("r+b") as stream:
        stream.truncate(1000)
    with pytest.raises(IntegrityError) as refused:
        bring()
    assert SHARD in refused.value.message.why
    sent = weights_sent(hub)
    assert bring(update=True).lock == first.lock
    assert_same(first.wanted.directory, tiny, needed)
    assert weights_sent(hub) - sent == shard.stat().st_size


@pytest.mark.parametrize("what", ["away", "no space", "other content"])
def test_an_update_that_fails_changes_nothing(what, hub, home, tiny, monkeypatch):
    first = bring()
    before = {path.name: sha256_of(path) for path in first.wanted.directory.iterdir()}
    change(tiny)
    if what == "away":
        hub.stop()
    elif what == "no space":
        monkeypatch.setattr(files, "free_bytes", lambda _path: 0)
    else:
        hub.add(Fault("flip", path=SHARD, offset=50_000))
    with pytest.raises(SelfhostError) as refused:
        bring(update=True)
    assert refused.value.code == {"away": 7, "no space": 8, "other content": 5}[what]
    assert {path.name: sha256_of(path) for path in first.wanted.directory.iterdir()} == before
    assert_blobs_are_whole(home)


def test_a_revision_is_taken_from_who_has_revisions(root, hub, home, tiny):
    with Mirror(root, sums=True) as mirror:
        sources = [{"kind": "mirror", "id": mirror.url}, {"kind": "huggingface", "id": "org/tiny"}]
        write_recipe(home, variant=[{"name": "bf16", "scheme": "bf16", "source": sources}])
        assert bring("tiny", revision="main").lock.source.kind == "huggingface"
        assert mirror.requests == []


def test_what_a_recipe_says_of_its_files_is_of_its_own_revision(hub, home, tiny, needed):
    pinned = {"kind": "huggingface", "id": "org/tiny", "revision": commit_of(hub)}
    pinned["file"] = [{"path": name, "sha256": sha256_of(tiny / name)} for name in sorted(needed)]
    write_recipe(home, variant=[{"name": "bf16", "scheme": "bf16", "source": [pinned]}])
    change(tiny)
    (tiny / "chat_template.jinja").write_text("{{ messages }}")
    assert_same(bring("tiny", revision="main").wanted.directory, tiny, needed | {"chat_template.jinja"})


def test_nothing_is_cleaned_away_meanwhile(hub, tiny, needed):
    refused = []

    class Cleaning(Silent):
        @contextlib.contextmanager
        def moving(self, sizes, have_bytes):
            with super().moving(sizes, have_bytes) as progress:
                yield progress
            # Everything is there, and no model has it yet.
            with pytest.raises(NoError) as error:
                storage.gc(find_home(), partials=True, dry_run=False)
            refused.append(error.value)

    assert_same(bring(talk=Cleaning()).wanted.directory, tiny, needed)
    assert refused


def test_what_an_interrupted_pull_has_brought_is_kept_until_it_is_old(hub, home, tiny, monkeypatch):
    hub.add(Fault("status", path=SHARD, status=404))
    # One after the other: the first shard is there when the second one fails.
    monkeypatch.setattr("tests.pull_support.OPTIONS", replace(OPTIONS, connections=1))
    with pytest.raises(IncompleteError):
        bring()
    blobs = Blobs(home / "blobs")
    have = set(blobs.digests())
    assert sha256_of(tiny / "model-00001-of-00003.safetensors") in have
    wanted = blobs.wanted()

    storage.gc(find_home(), partials=False, dry_run=False)
    assert set(blobs.digests()) == have & wanted != set()
    (note,) = (home / "blobs" / "partial").glob("*.wanted")
    os.utime(note, (0, 0))
    assert storage.gc(find_home(), partials=False, dry_run=True).blobs == tuple(sorted(have & wanted))
    storage.gc(find_home(), partials=False, dry_run=False)
    assert (list(blobs.digests()), note.exists()) == ([], False)

    hub.clear()
    bring()
    assert list((home / "blobs" / "partial").glob("*.wanted")) == []
