"""`bundle gc`: what imports that were given up have left goes; what a model, a wheelhouse or an image has stays."""

from __future__ import annotations

import json
import multiprocessing

import pytest

from selfhost.errors import ExitCode
from selfhost.home import find_home
from selfhost.weights.blobs import Blobs
from tests.bundle.image_support import NAME as IMAGE
from tests.bundle.image_support import make_image
from tests.bundle.unpack_support import NAME, VARIANT, files_of, import_bundle, make_bundle, run, snapshot


def blobs() -> set[str]:
    return set(Blobs(find_home().blobs).digests())


def gc(*words: object) -> dict:
    code, out, said = run("bundle", "gc", "--json", *words)
    assert code == 0, said
    return json.loads(out)


@pytest.fixture
def waiting(tmp_path):
    """One of two volumes was imported."""
    volumes = make_bundle(tmp_path, volumes=2)
    assert run("bundle", "import", volumes[0])[0] == ExitCode.INCOMPLETE
    assert blobs()
    return volumes


def test_nothing_here_is_nothing_to_do():
    assert gc()["freed_bytes"] == 0


def test_while_an_import_waits_nothing_is_removed(waiting):
    before = snapshot(find_home().blobs)
    code, _, said = run("bundle", "gc")
    assert code == ExitCode.NO
    assert "crossing (" in said
    assert "--forget" in said
    assert snapshot(find_home().blobs) == before
    # It goes on as if nothing had been asked.
    assert run("bundle", "import", waiting[1])[0] == 0
    gc()
    assert run("verify", NAME)[0] == 0


def test_an_import_that_is_given_up_leaves_nothing(waiting):
    [name] = Blobs(find_home().blobs).downloads()
    _, bundle, label = name.split()
    would = gc("--forget", bundle, "--dry-run")
    assert (would["dry_run"], len(would["blobs"])) == (True, len(blobs()))
    assert blobs()
    assert gc("--forget", label)["blobs"] == would["blobs"]
    assert would["freed_bytes"] > 0
    assert blobs() == set()
    assert gc()["freed_bytes"] == 0
    import_bundle(waiting, find_home())
    assert (find_home().models / NAME / VARIANT).is_dir()


def test_what_other_models_have_stays_with_them(tmp_path, waiting):
    [whole] = make_bundle(tmp_path / "other", name="other-test", label="whole")
    assert run("bundle", "import", whole)[0] == 0
    wanted = files_of(find_home().models / "other-test" / VARIANT)
    gc("--forget", "crossing")
    assert files_of(find_home().models / "other-test" / VARIANT) == wanted
    assert run("verify", "other-test")[0] == 0


def test_a_name_that_does_not_wait(waiting):
    code, _, said = run("bundle", "gc", "--forget", "nobody")
    assert (code, "crossing" in said) == (ExitCode.NO, True)
    assert blobs()


def test_a_model_that_was_replaced_leaves_its_contents(tmp_path):
    import_bundle(make_bundle(tmp_path / "one"), find_home())
    first = blobs()
    import_bundle(make_bundle(tmp_path / "two", shard_bytes=30_100, serial=6), find_home())
    freed = gc()
    assert first - blobs() <= set(freed["blobs"])
    assert freed["freed_bytes"] > 80_000  # the shards of the first one
    assert run("verify", NAME)[0] == 0


def test_an_image_is_removed_by_its_name(tmp_path, home, monkeypatch):
    made = make_image(tmp_path / "engine")
    (tmp_path / "medium").mkdir()
    words = ("bundle", "create", "--image", f"oci:{made.root}", "--to", tmp_path / "medium", "--label", "b")
    assert run(*words)[0] == 0
    monkeypatch.setenv("SELFHOST_HOME", str(tmp_path / "far"))
    assert run("bundle", "import", tmp_path / "medium")[0] == 0
    size = sum(path.stat().st_size for path in (made.root / "blobs/sha256").iterdir())
    # A bundle without a model: nothing says that models are on a share that is not there.
    assert run("gc")[0] == 0
    assert run("bundle", "import", tmp_path / "medium")[0] == 0
    assert gc("--remove", IMAGE, "--dry-run")["leftovers"]
    assert len(list(find_home().images.glob("[!.]*"))) == 1
    freed = gc("--remove", IMAGE)
    assert not list(find_home().images.glob("[!.]*"))
    assert freed["freed_bytes"] >= size
    assert blobs() == set()
    code, _, said = run("bundle", "gc", "--remove", IMAGE)
    assert (code, "selfhost rm" in said) == (ExitCode.NO, True)


def test_what_a_killed_process_left_beside_an_image_goes(tmp_path):
    left = find_home().images / ".engine.part-abc"
    left.mkdir(parents=True)
    (left / "x").write_bytes(b"x" * 5000)
    assert gc()["leftovers"] == [str(left)]
    assert not left.exists()


def _hold(root, got, done):
    with Blobs(root).in_use():
        got.set()
        done.wait(30)


def test_not_while_somebody_counts_on_contents(tmp_path):
    import_bundle(make_bundle(tmp_path), find_home())
    context = multiprocessing.get_context("fork")
    got, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(find_home().blobs, got, done))
    other.start()
    try:
        assert got.wait(30)
        assert run("bundle", "gc")[0] == ExitCode.NO
    finally:
        done.set()
        other.join()
    gc()


def test_it_is_written_down(waiting):
    run("bundle", "gc")
    gc("--forget", "crossing")
    lines = [json.loads(line) for line in find_home().audit.read_text().splitlines()]
    assert [(one["operation"], one["exit_code"]) for one in lines[-2:]] == [("bundle gc", 3), ("bundle gc", 0)]
    assert lines[-1]["forget"] == ["crossing"]
