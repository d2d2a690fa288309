"""What a hostile hub, a squatter of names or a careless neighbour of the store would try against `pull`."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest

from selfhost import files
from selfhost.app import pull, sources, storage, wanted
from selfhost.errors import MissingError, NoError, SelfhostError
from selfhost.home import find_home
from selfhost.recipe.load import load_recipe
from selfhost.weights import store
from selfhost.weights.lock import LOCK_NAME
from selfhost.weights.move.types import MoveOptions
from tests.pull_support import Silent, write_repository
from tests.standins.hub import Hub
from tests.standins.modelscope import ModelScope
from tests.weights.places_server import as_json, serving

OPTIONS = MoveOptions(connections=2, attempts=2, backoff_s=0.01, backoff_max_s=0.05)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
RECIPE = "qwen2.5-0.5b"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    write_repository(tmp_path / "hub" / "org" / "tiny", shard_bytes=40_000)
    with Hub(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def bring(text="org/tiny", *, serving=False, **request):
    home, talk = find_home(), Silent()
    found = wanted.find(text, home)
    return pull.pull(found, pull.PullRequest(**request), home, OPTIONS, talk, serving=serving), talk


def refused(*args, **request):
    with pytest.raises(SelfhostError) as error:
        bring(*args, **request)
    return int(error.value.code), error.value.message


# Names


def test_a_recipe_and_its_variant_is_never_taken_from_a_stranger_of_that_name(hub):
    """`rm` and `verify` complete `recipe/variant`: at a hub anybody may have an organisation of that name."""
    found = wanted.find(f"{RECIPE}/awq-int4", find_home())
    assert (found.name, found.variant) == (RECIPE, "awq-int4")
    assert found.recipe is not None


def test_a_variant_that_a_recipe_has_not_is_no_repository_of_that_name(hub):
    code, message = refused(f"{RECIPE.upper()}/no-such")
    assert (code, "no-such" in message.what + message.why) == (2, True)
    assert hub.requests == []


def test_what_the_store_has_under_a_recipe_s_name_from_another_repository_is_not_served(hub, home):
    pulled, _ = bring()
    there = find_home().models / RECIPE / "bf16"
    there.parent.mkdir(parents=True)
    shutil.copytree(pulled.wanted.directory, there)
    code, message = refused(RECIPE, serving=True)
    assert (code, message.id) == (3, "pull.other_model")
    assert "org/tiny" in message.why
    assert "--update" in message.hint


@pytest.mark.parametrize("text", [f"org/{'a' * 97}", f"{'a' * 97}/b", "a/b/c", "org/\u00fcn"])
def test_what_no_hub_can_have_is_no_hub_id(text):
    assert refused(text)[0] == 2


def test_an_empty_revision_is_not_the_main_branch(hub):
    """An unset variable in a script."""
    code, message = refused(revision="")
    assert (code, message.id, hub.requests) == (2, "pull.empty_revision", [])


def test_the_first_letters_of_a_commit_may_be_a_branch(hub):
    pulled, _ = bring()
    commit = pulled.lock.source.revision
    assert bring(revision=commit[:12])[0].lock == pulled.lock
    assert refused(revision=commit[:1])[0] == 2


@pytest.mark.parametrize("code", [errno.ELOOP, errno.ENAMETOOLONG])
def test_paths_that_the_system_refuses_are_no_defect(code, tmp_path):
    with pytest.raises(MissingError), files.explain_os_errors(tmp_path):
        raise OSError(code, os.strerror(code))


def test_a_name_in_other_letters_is_the_model_that_is_there(hub):
    pulled, _ = bring()
    again, _ = bring("ORG/Tiny")
    assert again.wanted.directory == pulled.wanted.directory
    assert again.wanted.name == "org/tiny"


def test_an_update_stays_with_the_hub_that_the_model_came_from(hub, monkeypatch, tmp_path):
    """At another hub anybody may have registered the name."""
    pulled, _ = bring()
    hub.stop()
    write_repository(tmp_path / "scope" / "org" / "tiny", shard_bytes=50_000)
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.setattr("selfhost.weights.places.hub.DEFAULT_ENDPOINT", hub.url)
    with ModelScope(tmp_path / "scope") as scope:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", scope.url)
        code, _ = refused(update=True)
    assert (code, scope.requests) == (7, [])
    assert store.read_lock(pulled.wanted.directory) == pulled.lock
    hub.start()


# A hub that lies


def lying(**sibling):
    return {
        "id": "org/m",
        "sha": COMMIT,
        "siblings": [
            {"rfilename": "config.json", "size": 2, "blobId": "9e26dfeeb6e641a33dae4961196235bdb965b21b"},
            {"rfilename": "model.safetensors", "size": 7, "blobId": "f" * 40} | sibling,
        ],
    }


@pytest.mark.parametrize(
    "listing",
    [
        lying(lfs={"sha256": "../../../../escaped", "size": 7, "pointerSize": 130}),
        lying(lfs={"sha256": "ab" * 31, "size": 7, "pointerSize": 130}),
        lying(lfs={"sha256": "ab" * 32, "size": -7, "pointerSize": 130}),
        lying(size=-1),
        lying(blobId="../x"),
        lying() | {"sha": "\x1b]0;owned\x07"},
        lying() | {"sha": "a" * 5000},
    ],
    ids=["digest leads out", "short digest", "negative size", "negative plain size", "git digest", "escapes", "long"],
)
def test_a_listing_with_what_cannot_be_is_refused(listing, monkeypatch, home, tmp_path):
    (tmp_path / "escaped.part").write_text("somebody's")
    with serving() as server:
        server.replies["/api/models/org/m"] = as_json(listing)
        server.replies[f"/org/m/resolve/{COMMIT}/config.json"] = as_json({})
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        code, message = refused("org/m")
    assert (code, message.id) == (5, "places.bad_listing")
    assert "\x1b" not in message.what + message.why + message.hint
    assert (tmp_path / "escaped.part").read_text() == "somebody's"


# Contents that somebody wrote to


def test_a_content_that_was_written_to_is_not_given_to_another_model(hub, home, tmp_path):
    """The names in a model directory are links to contents: who edits a file there edits the content."""
    pulled, _ = bring()
    shard = "model-00001-of-00003.safetensors"
    with (pulled.wanted.directory / shard).open("r+b") as stream:
        stream.seek(20_000)
        stream.write(b"edited!!")
    shutil.copytree(tmp_path / "hub" / "org" / "tiny", tmp_path / "hub" / "org" / "twin")
    twin, _ = bring("org/twin")
    right = (tmp_path / "hub" / "org" / "tiny" / shard).read_bytes()
    assert (twin.wanted.directory / shard).read_bytes() == right


def test_a_content_that_nobody_wrote_to_is_not_fetched_again(hub, tmp_path):
    bring()
    shutil.copytree(tmp_path / "hub" / "org" / "tiny", tmp_path / "hub" / "org" / "twin")
    before = len(hub.requests)
    bring("org/twin")
    asked = [request.file for request in hub.requests[before:] if request.file]
    assert not [path for path in asked if path.endswith(".safetensors")]


def test_an_update_puts_right_what_was_written_to(hub, tmp_path):
    pulled, _ = bring()
    shard = "model-00001-of-00003.safetensors"
    with (pulled.wanted.directory / shard).open("r+b") as stream:
        stream.seek(20_000)
        stream.write(b"edited!!")
    bring(update=True)
    assert (pulled.wanted.directory / shard).read_bytes() == (tmp_path / "hub" / "org" / "tiny" / shard).read_bytes()


def test_code_that_a_configuration_names_is_told(hub, tmp_path):
    directory = tmp_path / "hub" / "org" / "code"
    shutil.copytree(tmp_path / "hub" / "org" / "tiny", directory)
    config = json.loads((directory / "config.json").read_text())
    config["auto_map"] = {
        "AutoModel": "modeling.M",
        "AutoConfig": "absent.C",
        "AutoTokenizer": ["evil/other--t.T", None],
    }
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "modeling.py").write_text("print()")
    _, talk = bring("org/code")
    own, other = talk.warned
    assert "modeling.py" in own
    assert "--trust-remote-code" in own
    assert "absent.py" in other
    assert "evil/other" in other


# Stores that others own


def test_what_is_there_is_served_from_a_store_that_may_only_be_read(hub, monkeypatch):
    bring()

    def read_only(*_args, **_more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("selfhost.weights.store.hold", read_only)
    served, _ = bring(serving=True)
    assert served.lock.source.id == "org/tiny"
    again, _ = bring()
    assert again.lock == served.lock


def test_a_lock_whose_revision_is_no_text_is_damaged(hub):
    pulled, _ = bring()
    path = pulled.wanted.directory / LOCK_NAME
    body = json.loads(path.read_text())
    body["source"]["revision"] = {"not": "a text"}
    path.write_text(json.dumps(body))
    assert refused()[0] == 5


@pytest.fixture
def in_use(monkeypatch):
    def refuse(_home, directories):
        raise NoError("storage.in_use", path=directories[0], server="one")

    monkeypatch.setattr(storage, "check_unused", refuse)


def test_a_model_that_a_server_has_open_is_not_replaced(hub, tmp_path, in_use, monkeypatch):
    """An engine that opens shard after shard would get some of the old ones and some of the new."""
    with monkeypatch.context() as patched:
        patched.setattr(storage, "check_unused", lambda *_args: None)
        pulled, _ = bring()
    (tmp_path / "hub" / "org" / "tiny" / "generation_config.json").write_text('{"a": 1}')
    code, message = refused(update=True)
    assert (code, message.id) == (3, "storage.in_use")
    assert store.look_up(pulled.wanted.directory) == pulled.lock


def test_nor_is_one_that_comes_in_a_wheel(in_use, monkeypatch):
    recipe = load_recipe("smollm2-135m", find_home())
    chosen = sources.FromWheel(said="from a wheel", source=recipe.variants[0].sources[0])
    monkeypatch.setattr("selfhost.app.sources.choose", lambda *_args: chosen)
    assert refused("smollm2-135m", update=True)[1].id == "storage.in_use"
