"""A damaged file of a pulled model is put right with one range, from wherever the model can be had."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace

import pytest

from selfhost.app import pieces, verify
from selfhost.errors import IncompleteError, IntegrityError, SelfhostError, UsageError
from selfhost.home import find_home
from selfhost.weights.digest import PIECE_BYTES
from selfhost.weights.lock import Origin
from selfhost.weights.store import read_lock
from tests.pull_support import bring, flip, safetensors, write_recipe, write_repository
from tests.standins.hub import Hub
from tests.standins.mirror import Mirror
from tests.standins.modelscope import ModelScope

NAME = "model-00001-of-00001.safetensors"
RANGE = (PIECE_BYTES, 2 * PIECE_BYTES)
TOLD = verify.Told(progress=lambda *_: None, note=lambda _message: None)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    write_repository(root / "org" / "tiny", shard_bytes=33 << 20, shards=1)
    return root


@pytest.fixture
def places(root, monkeypatch):
    """Everything that has `org/tiny`, by what `--source` calls it."""
    with contextlib.ExitStack() as stack:
        hub, scope = stack.enter_context(Hub(root)), stack.enter_context(ModelScope(root))
        mirror = stack.enter_context(Mirror(root, sums=True))
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", scope.url)
        yield {"huggingface": hub, "modelscope": scope, mirror.url: mirror, str(root / "org" / "tiny"): None}


def source_of(places, kind: str) -> str:
    of_url = {"mirror": "http", "directory": "/"}
    return next(name for name in places if name.startswith(of_url.get(kind, kind)))


def damage(directory) -> None:
    flip(directory / NAME, PIECE_BYTES + 4321)


def checked(model="org/tiny"):
    home = find_home()
    return verify.run(verify.find_target(model, None, home), home, None, TOLD)


def put_right(source=None, model="org/tiny"):
    return verify.put_right(checked(model), find_home(), lambda lock: pieces.open_source(lock, source), TOLD)


def weights_asked(server) -> list:
    return [request for request in server.requests if request.file == NAME and request.method == "GET"]


KINDS = ["huggingface", "modelscope", "mirror", "directory"]


@pytest.mark.parametrize("kind", KINDS)
def test_one_byte_takes_one_range_from_where_the_model_came_from(kind, places, root):
    source = source_of(places, kind)
    directory = bring(source=source).wanted.directory
    damage(directory)
    (bad,) = checked().damaged
    assert (bad.path, bad.begin, bad.end) == (NAME, *RANGE)
    server = places[source]
    before = len(weights_asked(server)) if server else 0
    report = put_right()
    assert report.problem is None
    assert [(one.path, list(one.fetched)) for one in report.repaired] == [(NAME, [RANGE])]
    if server:
        (asked,) = weights_asked(server)[before:]
        assert (asked.range, asked.sent_bytes) == (RANGE, PIECE_BYTES)
    assert (directory / NAME).read_bytes() == (root / "org" / "tiny" / NAME).read_bytes()
    assert checked().problem is None


@pytest.mark.parametrize(
    ("came_from", "kind"),
    [
        ("huggingface", "modelscope"),
        ("huggingface", "mirror"),
        ("mirror", "huggingface"),
        ("directory", "modelscope"),
    ],
)
def test_another_place_has_the_same_range(came_from, kind, places):
    directory = bring(source=source_of(places, came_from)).wanted.directory
    damage(directory)
    source = source_of(places, kind)
    server = places[source]
    assert put_right(source).problem is None
    if server:
        assert [asked.range for asked in weights_asked(server)] == [RANGE]


@pytest.mark.parametrize("kind", ["huggingface", "mirror"])
def test_a_recipes_model_that_came_from_a_directory(kind, places, home, root):
    write_recipe(home)
    directory = bring("tiny", source=str(root / "org" / "tiny")).wanted.directory
    damage(directory)
    assert put_right(source_of(places, kind), "tiny").problem is None


def test_the_revision_of_the_lock_is_asked_for(tmp_path, root, places, monkeypatch):
    """The hub's branch has moved on since."""
    old = root / "org" / "tiny"
    shutil.copytree(old, tmp_path / "moved" / "org" / "tiny")
    (tmp_path / "moved" / "org" / "tiny" / NAME).write_bytes(safetensors("tensor.1", (33 << 20) + 1, 77))
    directory = bring().wanted.directory
    damage(directory)
    with Hub(tmp_path / "moved", revisions={"org/tiny@old": old}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert put_right().problem is None
        damage(directory)
        assert put_right("huggingface").problem is None


def test_a_place_with_other_content_changes_nothing(tmp_path, places, root):
    directory = bring().wanted.directory
    damage(directory)
    damaged = (directory / NAME).read_bytes()
    other = tmp_path / "other" / "org" / "tiny"
    shutil.copytree(root / "org" / "tiny", other)
    (other / NAME).write_bytes(safetensors("tensor.1", (33 << 20) + 1, 77))
    with pytest.raises(IntegrityError):
        put_right(str(other))
    assert (directory / NAME).read_bytes() == damaged
    assert put_right().problem is None


def test_a_directory_that_is_too_short(tmp_path, places, root):
    directory = bring().wanted.directory
    damage(directory)
    other = tmp_path / "other" / "org" / "tiny"
    shutil.copytree(root / "org" / "tiny", other)
    with (other / NAME).open("r+b") as stream:
        stream.truncate(PIECE_BYTES + 10)
    with pytest.raises(SelfhostError) as refused:
        put_right(str(other))
    assert int(refused.value.code) in (5, 7)
    assert str(other) in refused.value.message.what + refused.value.message.why


def test_what_came_in_a_wheel_has_no_pieces(places):
    lock = read_lock(bring().wanted.directory)
    for kind in ("wheel", "unheard-of"):
        with pytest.raises(IncompleteError) as refused:
            pieces.open_source(replace(lock, source=Origin(kind=kind, id="x", revision="1")))
        assert refused.value.message.id == "pull.no_pieces"
    with pytest.raises(UsageError):
        pieces.open_source(lock, "nowhere")
