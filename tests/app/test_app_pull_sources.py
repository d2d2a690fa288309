"""`pull` from ModelScope, a mirror, a directory: the same model, recognised by its content."""

from __future__ import annotations

import hashlib
import shutil

import pytest

from selfhost.errors import IncompleteError, IntegrityError, MissingError, NoError, UsageError
from selfhost.home import find_home
from selfhost.weights import store
from selfhost.weights.blobs import Blobs
from selfhost.weights.places import hub as hub_place
from tests.pull_support import (
    SHARD,
    SMALL_BYTES,
    Silent,
    assert_blobs_are_whole,
    assert_same,
    bring,
    safetensors,
    sha256_of,
    write_recipe,
)
from tests.standins.hub import Hub
from tests.standins.mirror import Mirror
from tests.standins.modelscope import ModelScope


@pytest.fixture
def scope(root, tiny, monkeypatch):
    with ModelScope(root) as scope:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", scope.url)
        yield scope


def remove(pulled) -> None:
    """The model; what it was made of stays."""
    with store.hold(pulled.wanted.directory, lambda: None):
        store.remove(pulled.wanted.directory)


def test_modelscope(scope, tiny, needed):
    pulled = bring(source="modelscope")
    assert_same(pulled.wanted.directory, tiny, needed)
    assert (pulled.lock.source.kind, pulled.lock.source.id) == ("modelscope", "org/tiny")
    sent = scope.sent_bytes
    assert bring().downloaded_bytes == 0
    assert scope.sent_bytes == sent


@pytest.mark.parametrize("digests", ["none", "of_nothing"])
def test_modelscope_without_digests(digests, tiny, needed, home, monkeypatch):
    with ModelScope(tiny.parent.parent, digests=digests) as scope:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", scope.url)
        pulled = bring(source="modelscope")
        assert_same(pulled.wanted.directory, tiny, needed)
        assert {file.path: file.sha256 for file in pulled.lock.files} == {n: sha256_of(tiny / n) for n in needed}
        assert_blobs_are_whole(home)
        talk = Silent()
        bring(source="modelscope", talk=talk)
        assert talk.warned == []


@pytest.mark.parametrize("digests", ["right", "none", "of_nothing"])
def test_the_same_content_at_another_hub_is_nothing_to_report(digests, hub, root, monkeypatch):
    first = bring()
    with ModelScope(root, digests=digests) as scope:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", scope.url)
        talk = Silent()
        assert bring(source="modelscope", talk=talk).lock == first.lock
        assert (scope.sent_bytes, talk.warned) == (0, [])


def test_other_content_at_another_hub_is_told(hub, tiny, root, tmp_path, monkeypatch):
    bring()
    shutil.copytree(root, tmp_path / "other")
    (tmp_path / "other" / "org" / "tiny" / SHARD).write_bytes(safetensors("tensor.2", 100_002, 5))
    with ModelScope(tmp_path / "other") as scope:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", scope.url)
        talk = Silent()
        bring(source="modelscope", talk=talk)
        assert [SHARD in line for line in talk.warned] == [True]


def test_weights_that_are_here_do_not_come_again_from_another_hub(hub, scope):
    remove(bring())
    pulled = bring(source="modelscope")
    assert pulled.lock.source.kind == "modelscope"
    assert [request.file for request in scope.requests if (request.file or "").endswith(".safetensors")] == []
    assert pulled.downloaded_bytes < SMALL_BYTES


def test_the_second_source_is_taken_when_the_first_is_away(home, scope, tiny, needed, monkeypatch):
    with Hub(tiny.parent.parent) as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.url)
    sources = [{"kind": kind, "id": "org/tiny"} for kind in ("huggingface", "modelscope")]
    write_recipe(home, variant=[{"name": "bf16", "scheme": "bf16", "source": sources}])
    talk = Silent()
    pulled = bring("tiny", talk=talk)
    assert_same(pulled.wanted.directory, tiny, needed)
    assert pulled.lock.source.kind == "modelscope"
    (line,) = (line for line in talk.said if line.startswith("from ModelScope"))
    assert "(Hugging Face: " in line


@pytest.mark.parametrize("with_recipe", [True, False])
def test_the_main_branch_by_name_where_the_first_source_is_away(with_recipe, home, scope, tiny, monkeypatch):
    """`main` is what one hub calls it; the other says `master`."""
    with Hub(tiny.parent.parent) as gone:
        monkeypatch.setattr(hub_place, "DEFAULT_ENDPOINT", gone.url)
    name = "org/tiny"
    if with_recipe:
        pinned = [{"kind": kind, "id": "org/tiny", "revision": "c" * 40} for kind in ("huggingface", "modelscope")]
        write_recipe(home, variant=[{"name": "bf16", "scheme": "bf16", "source": pinned}])
        name = "tiny"
    pulled = bring(name, revision="main")
    assert pulled.lock.source.kind == "modelscope"
    assert bring(name, revision="main").lock == pulled.lock


def test_no_source_answers(home, root, monkeypatch):
    root.mkdir()
    with Hub(root) as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", gone.url)
    sources = [{"kind": kind, "id": "org/tiny"} for kind in ("huggingface", "modelscope")]
    write_recipe(home, variant=[{"name": "bf16", "scheme": "bf16", "source": sources}])
    with pytest.raises(IncompleteError) as refused:
        bring("tiny")
    assert refused.value.message.id == "places.none_reachable"
    assert not (home / "models" / "tiny" / "bf16").exists()


# Mirrors


def test_a_mirror_with_sums(root, tiny, needed):
    with Mirror(root, sums=True) as mirror:
        pulled = bring(source=mirror.url)
        assert_same(pulled.wanted.directory, tiny, needed)
        assert (pulled.lock.source.kind, pulled.lock.source.id) == ("mirror", f"{mirror.url}/org/tiny")
        assert {request.file for request in mirror.requests if request.file and request.method == "GET"} == {
            *needed,
            "SHA256SUMS",
        }


def test_a_mirror_of_the_model_itself(root, tiny, needed):
    with Mirror(root, sums=True) as mirror:
        assert_same(bring(source=f"{mirror.url}/org/tiny/").wanted.directory, tiny, needed)


def test_a_mirror_with_a_lock_has_the_revision(hub, root, tiny, needed, tmp_path):
    first = bring()
    shutil.copytree(first.wanted.directory, tmp_path / "mirrored" / "org" / "tiny")
    remove(first)
    shutil.rmtree(find_home().blobs)
    with Mirror(tmp_path / "mirrored") as mirror:
        pulled = bring(source=mirror.url)
        assert pulled.lock.source.revision == first.lock.source.revision
        assert pulled.lock.files == first.lock.files
        assert_same(pulled.wanted.directory, tiny, needed)
        talk = Silent()
        bring(source=mirror.url, talk=talk)
        assert talk.warned == []


def test_a_mirror_without_a_list(root, tiny):
    with Mirror(root) as mirror, pytest.raises(MissingError) as refused:
        bring(source=mirror.url)
    assert f"{mirror.url}/org/tiny/SHA256SUMS" in refused.value.message.why


def test_a_mirror_that_has_other_bytes_than_its_list_says(root, tiny, home):
    sums = "".join(f"{sha256_of(path)}  {path.name}\n" for path in tiny.iterdir() if path.is_file())
    (tiny / "SHA256SUMS").write_text(sums)
    (tiny / SHARD).write_bytes(safetensors("tensor.2", 100_002, 5))
    with Mirror(root) as mirror, pytest.raises(IntegrityError):
        bring(source=mirror.url)
    assert not (home / "models" / "org" / "tiny").exists()
    assert_blobs_are_whole(home)


def test_a_password_of_a_mirror_is_not_written_down(root, tiny):
    with Mirror(root, sums=True) as mirror:
        talk = Silent()
        pulled = bring(source=mirror.url.replace("http://", "http://me:hidden@"), talk=talk)
        written = (pulled.wanted.directory / "selfhost-model.json").read_text()
        assert "hidden" not in written + "\n".join(talk.said)


# Directories


def test_a_directory(tiny, needed, home):
    pulled = bring(source=str(tiny))
    assert_same(pulled.wanted.directory, tiny, needed)
    assert (pulled.lock.source.kind, pulled.lock.source.id) == ("directory", str(tiny))
    assert pulled.lock.source.revision is None
    (tiny / SHARD).write_bytes(b"gone bad")  # a copy: what happens there is no matter here
    assert_blobs_are_whole(home)
    assert (pulled.wanted.directory / SHARD).stat().st_size > 100_000


def as_cache(tiny, needed, cache, commit="a" * 40):
    """The hub's own cache with the files that a client fetched."""
    model = cache / "models--org--tiny"
    (model / "blobs").mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    snapshot = model / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for name in needed:
        data = (tiny / name).read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        blob = hashlib.sha256(data).hexdigest() if name.endswith(".safetensors") else git
        (model / "blobs" / blob).write_bytes(data)
        (snapshot / name).symlink_to(f"../../blobs/{blob}")
    return model


@pytest.mark.parametrize("inside", ["", "models--org--tiny", f"models--org--tiny/snapshots/{'a' * 40}"])
def test_the_hubs_cache(inside, tiny, needed, tmp_path):
    as_cache(tiny, needed, tmp_path / "cache")
    pulled = bring(source=str(tmp_path / "cache" / inside))
    assert_same(pulled.wanted.directory, tiny, needed)
    assert pulled.lock.source.revision == "a" * 40
    assert not any(path.is_symlink() for path in pulled.wanted.directory.iterdir())


def test_a_cache_that_went_bad(tiny, needed, tmp_path, home):
    model = as_cache(tiny, needed, tmp_path / "cache")
    shard = (model / "snapshots" / ("a" * 40) / SHARD).resolve()
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(IntegrityError) as refused:
        bring(source=str(model))
    assert shard.name in refused.value.message.why + refused.value.message.what
    assert not (home / "models" / "org" / "tiny").exists()
    assert not Blobs(home / "blobs").has(shard.name)


def test_a_directory_with_sums_that_do_not_hold(tiny, home):
    (tiny / "SHA256SUMS").write_text(f"{'0' * 64}  {SHARD}\n")
    with pytest.raises(IntegrityError):
        bring(source=str(tiny))
    assert not (home / "models" / "org" / "tiny").exists()


def test_a_directory_that_is_not_what_the_recipe_names(tiny, needed, home):
    listed = [{"path": name, "sha256": sha256_of(tiny / name)} for name in sorted(needed)]
    source = {"kind": "huggingface", "id": "org/tiny", "file": listed}
    write_recipe(home, variant=[{"name": "bf16", "scheme": "bf16", "source": [source]}])
    (tiny / SHARD).write_bytes(safetensors("tensor.2", 100_002, 5))
    with pytest.raises(IntegrityError) as refused:
        bring("tiny", source=str(tiny))
    assert SHARD in refused.value.message.what
    assert not (home / "models" / "tiny" / "bf16").exists()


def test_a_directory_of_many_models(root, tiny, needed):
    assert_same(bring(source=str(root)).wanted.directory, tiny, needed)


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(UsageError) as refused:
        bring(source=str(tmp_path / "absent"))
    assert str(tmp_path / "absent") in refused.value.message.what


def test_a_source_that_is_none(hub):
    with pytest.raises(UsageError) as refused:
        bring(source="nowhere")
    assert "modelscope" in refused.value.message.why + refused.value.message.hint


def test_a_wheel_of_what_has_none(hub):
    with pytest.raises(UsageError):
        bring(source="wheel")


@pytest.mark.parametrize("kind", ["mirror", "directory"])
def test_a_revision_that_a_place_does_not_have_is_refused(kind, root, tiny, home):
    with Mirror(root, sums=True) as mirror:
        source = mirror.url if kind == "mirror" else str(tiny)
        with pytest.raises((UsageError, NoError)) as refused:
            bring(source=source, revision="v2")
    assert "v2" in refused.value.message.what
    assert not (home / "models" / "org" / "tiny").exists()


def test_the_revision_that_a_place_has_is_taken(tiny, needed, tmp_path):
    as_cache(tiny, needed, tmp_path / "cache")
    pulled = bring(source=str(tmp_path / "cache"), revision="a" * 12)
    assert pulled.lock.source.revision == "a" * 40
