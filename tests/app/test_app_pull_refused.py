"""What `pull` refuses, and what it leaves then: nothing under a final name that is not whole."""

from __future__ import annotations

import json
import shutil

import pytest

from selfhost import files
from selfhost.errors import IncompleteError, IntegrityError, NoSpaceError, TrustError, UsageError
from tests.pull_support import (
    SHARD,
    assert_blobs_are_whole,
    assert_same,
    bring,
    safetensors,
    sha256_of,
    weights_sent,
    write_recipe,
)


def promised(tiny, needed, wrong=SHARD, **changes):
    """A variant whose files are listed, one of them wrongly."""
    listed = [{"path": n, "size_bytes": (tiny / n).stat().st_size, "sha256": sha256_of(tiny / n)} for n in needed]
    (file,) = (file for file in listed if file["path"] == wrong)
    file.update(changes)
    return [{"name": "bf16", "scheme": "bf16", "source": [{"kind": "huggingface", "id": "org/tiny", "file": listed}]}]


def assert_nothing_here(home, hub):
    assert not (home / "models" / "tiny" / "bf16").exists()
    assert not (home / "models" / "org" / "tiny").exists()
    assert weights_sent(hub) == 0


@pytest.mark.parametrize("changes", [{"sha256": "0" * 64}, {"size_bytes": 5}])
def test_other_content_than_the_recipe_names_is_refused_before_it_moves(changes, hub, home, tiny, needed):
    write_recipe(home, variant=promised(tiny, needed, **changes))
    with pytest.raises(IntegrityError) as refused:
        bring("tiny")
    assert SHARD in refused.value.message.what
    assert_nothing_here(home, hub)


def test_the_content_that_the_recipe_names_is_taken(hub, home, tiny, needed):
    write_recipe(home, variant=promised(tiny, needed - {"LICENSE"}))
    assert_same(bring("tiny").wanted.directory, tiny, needed - {"LICENSE"})


def test_a_promise_holds_for_what_the_hub_has_no_sha256_of(hub, home, tiny, needed):
    write_recipe(home, variant=promised(tiny, needed, "tokenizer.json", sha256="0" * 64))
    with pytest.raises(IntegrityError):
        bring("tiny")
    assert not (home / "models" / "tiny" / "bf16").exists()


def test_a_file_that_the_recipe_names_and_the_hub_lacks(hub, home, tiny, needed):
    write_recipe(home, variant=promised(tiny, needed, path="absent.safetensors"))
    with pytest.raises(UsageError) as refused:
        bring("tiny")
    assert "absent.safetensors" in refused.value.message.what
    assert_nothing_here(home, hub)


def test_pickles_only(hub, home, tiny):
    for path in (*tiny.glob("*.safetensors"), tiny / "model.safetensors.index.json"):
        path.unlink()
    with pytest.raises(TrustError) as refused:
        bring()
    assert (refused.value.code, "pytorch_model.bin" in refused.value.message.what) == (6, True)
    assert_nothing_here(home, hub)


def test_too_little_space_is_told_before_anything_moves(hub, home, monkeypatch):
    monkeypatch.setattr(files, "free_bytes", lambda _path: 64 << 20)
    with pytest.raises(NoSpaceError) as refused:
        bring()
    assert refused.value.code == 8
    assert refused.value.message.why.startswith("293.")  # KiB: three shards of 100,000 bytes and what is beside them
    assert "64.0 MiB is free" in refused.value.message.why
    assert_nothing_here(home, hub)
    monkeypatch.undo()


def test_what_is_here_already_needs_no_space(hub, tiny, monkeypatch):
    bring()
    shutil.copytree(tiny, tiny.parent / "twin")
    monkeypatch.setattr(files, "free_bytes", lambda _path: (64 << 20) + 10_000)
    assert bring("org/twin").downloaded_bytes < 10_000


def test_what_comes_once_takes_space_once(hub, tiny, monkeypatch):
    for name in ("a.model", "b.model", "c.model"):
        (tiny / name).write_bytes(safetensors("x", 300_000, 7))
    monkeypatch.setattr(files, "free_bytes", lambda _path: (64 << 20) + 650_000)
    bring()


def broken_header(tiny):
    (tiny / SHARD).write_bytes((1 << 40).to_bytes(8, "little") + b"{}" + bytes(1000))


def absent_tensor(tiny):
    index = json.loads((tiny / "model.safetensors.index.json").read_text())
    index["weight_map"]["tensor.absent"] = SHARD
    (tiny / "model.safetensors.index.json").write_text(json.dumps(index))


def absent_shard(tiny):
    (tiny / SHARD).unlink()


@pytest.mark.parametrize(("damage", "code"), [(broken_header, 5), (absent_tensor, 5), (absent_shard, 7)])
def test_what_is_damaged_at_its_source_gets_no_name(damage, code, hub, home, tiny):
    damage(tiny)
    with pytest.raises((IntegrityError, IncompleteError)) as refused:
        bring()
    message = refused.value.message
    assert refused.value.code == code
    assert ".org" not in message.what
    assert ".part-" not in f"{message.what}{message.why}{message.hint}"
    assert not (home / "models" / "org" / "tiny").exists()
    assert list((home / "models" / "org").glob(".tiny.part-*")) == []
    assert_blobs_are_whole(home)
