"""Bundles come in whole or not at all: in any order, again, interrupted, from several media."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import replace

import pytest

from selfhost.app import bundle_known, licence
from selfhost.app.bundle_inventory import LICENCES_NAME
from selfhost.bundle import devices, layout, modelpack, take
from selfhost.bundle.modelpack import Layer
from selfhost.errors import IncompleteError, NoError
from selfhost.home import find_home
from selfhost.recipe import load
from selfhost.recipe.load import builtin_directory
from selfhost.recipe.schema import Licence
from selfhost.weights import store
from selfhost.weights.blobs import Blobs
from tests.bundle.unpack_support import (
    NAME,
    VARIANT,
    content,
    files_of,
    import_bundle,
    make_bundle,
    run,
    snapshot,
)


def model_of(home):
    return home.models / NAME / VARIANT


def sent(tmp_path) -> dict[str, bytes]:
    found = files_of(tmp_path / "source")
    return {name: data for name, data in found.items() if name.endswith((".safetensors", ".json", "LICENSE"))}


def test_a_bundle_on_one_volume_becomes_the_same_model(tmp_path):
    [volume] = make_bundle(tmp_path)
    before = snapshot(volume)
    imported = import_bundle([volume], find_home())
    assert files_of(model_of(find_home())) == sent(tmp_path)
    assert store.read_lock(model_of(find_home())).source.id == "org/tiny-test"
    assert imported.activated == (model_of(find_home()),)
    assert snapshot(volume) == before


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_volumes_come_in_any_order_one_at_a_time(tmp_path, order):
    volumes = make_bundle(tmp_path, volumes=3)
    home = find_home()
    for number in order[:-1]:
        with pytest.raises(IncompleteError) as caught:
            import_bundle([volumes[number]], home)
        assert caught.value.message.id == "unpack.volumes_absent"
        assert volumes[order[-1]].name in caught.value.message.why
        assert volumes[number].name not in caught.value.message.why
        assert not model_of(home).exists()
    import_bundle([volumes[order[-1]]], home)
    assert files_of(model_of(home)) == sent(tmp_path)


def test_a_drive_that_holds_volumes_is_named_as_well(tmp_path):
    make_bundle(tmp_path, volumes=2)
    (tmp_path / "media" / "lost+found").mkdir()
    import_bundle([tmp_path / "media"], find_home())
    assert files_of(model_of(find_home())) == sent(tmp_path)


def test_contents_in_pieces_become_whole(tmp_path):
    [volume] = make_bundle(tmp_path, max_file_bytes=7_000)
    assert len(list((volume / layout.CHUNKS).rglob("0*"))) > 10
    assert run("bundle", "verify", volume)[0] == 0
    import_bundle([volume], find_home())
    assert files_of(model_of(find_home())) == sent(tmp_path)


def test_again_it_copies_nothing_and_changes_nothing(tmp_path):
    [volume] = make_bundle(tmp_path)
    home = find_home()
    import_bundle([volume], home)
    before = snapshot(home.models)
    again = import_bundle([volume], home)
    assert (again.brought.copied_bytes, again.activated) == (0, ())
    assert snapshot(home.models) == before


def test_what_an_interrupted_import_has_copied_is_not_read_again(tmp_path, monkeypatch):
    [volume] = make_bundle(tmp_path)
    home, taken = find_home(), []
    whole = take.take

    def break_off(source, blobs, tick, **options):
        if len(taken) == 2:
            raise KeyboardInterrupt
        whole(source, blobs, tick, **options)
        taken.append(source.sha256)

    monkeypatch.setattr("selfhost.bundle.devices.readers", lambda _device: 1)
    monkeypatch.setattr("selfhost.bundle.unpack.take", break_off)
    with pytest.raises(KeyboardInterrupt):
        import_bundle([volume], home)
    assert not model_of(home).exists()
    kept = set(Blobs(home.blobs).digests())
    assert kept == set(taken)
    again = []

    def count(source, blobs, tick, **options):
        again.append(source.sha256)
        whole(source, blobs, tick, **options)

    monkeypatch.setattr("selfhost.bundle.unpack.take", count)
    import_bundle([volume], home)
    assert kept
    assert not kept & set(again)
    assert files_of(model_of(home)) == sent(tmp_path)


def test_contents_without_a_model_yet_are_kept_by_gc(tmp_path):
    volumes = make_bundle(tmp_path, volumes=2)
    with pytest.raises(IncompleteError):
        import_bundle([volumes[0]], find_home())
    before = set(Blobs(find_home().blobs).digests())
    assert run("gc")[0] == 0
    assert set(Blobs(find_home().blobs).digests()) == before
    import_bundle([volumes[1]], find_home())


def test_a_content_of_the_store_that_went_bad_is_copied_again(tmp_path):
    [volume] = make_bundle(tmp_path)
    home = find_home()
    import_bundle([volume], home)
    shard = model_of(home) / "model-00001-of-00003.safetensors"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    imported = import_bundle([volume], home)
    assert imported.brought.copied == 1
    assert files_of(model_of(home)) == sent(tmp_path)


# Deltas


def test_a_delta_brings_what_the_inventory_lacks(tmp_path):
    [first] = make_bundle(tmp_path / "first")
    home = find_home()
    import_bundle([first], home)
    code, out, _ = run("bundle", "inventory")
    assert code == 0
    said = json.loads(out)
    have = {one["sha256"] for one in said["blobs"]}
    [second] = make_bundle(tmp_path / "second", have=have, base=said["bundles"], serial=6, shard_bytes=30_100)
    whole = sum(path.stat().st_size for path in first.rglob("*") if path.is_file())
    delta = sum(path.stat().st_size for path in second.rglob("*") if path.is_file())
    assert delta > whole / 2  # every shard is another one
    [third] = make_bundle(tmp_path / "third", have=have, base=said["bundles"], serial=7)
    assert sum(path.stat().st_size for path in third.rglob("*") if path.is_file()) < whole / 5
    import_bundle([second], home)
    assert files_of(model_of(home)) == sent(tmp_path / "second")


def test_a_delta_for_somebody_else_names_what_it_builds_on(tmp_path):
    [first] = make_bundle(tmp_path / "first")
    have = {one.name for one in (first / layout.BLOBS).iterdir()}
    [delta] = make_bundle(tmp_path / "delta", have=have, base=["b" * 32])
    with pytest.raises(IncompleteError) as caught:
        import_bundle([delta], find_home())
    assert caught.value.message.id == "unpack.base_absent"
    assert "b" * 32 in caught.value.message.why
    assert not model_of(find_home()).exists()
    import_bundle([first], find_home())
    import_bundle([delta], find_home())


# What else a bundle brings


def wheelhouse(*wheels: bytes):
    contents = {f"pkg{n}-1.0-py3-none-any.whl": content(data) for n, data in enumerate(wheels)}
    layers = [Layer(path=name, sha256=one.sha256, size=one.size) for name, one in contents.items()]
    built = modelpack.build(modelpack.WHEELHOUSE, "wheelhouse/cpu", {"engine": "vllm"}, layers)
    return built, [], list(contents.values())


def test_wheels_become_a_folder_that_gc_leaves_alone_and_an_inventory_has(tmp_path):
    [volume] = make_bundle(tmp_path, more=[wheelhouse(b"one", b"two")])
    home = find_home()
    [folder] = import_bundle([volume], home).wheelhouses
    assert sorted(files_of(folder).values()) == [b"one", b"two"]
    assert run("gc")[0] == 0
    assert sorted(files_of(folder).values()) == [b"one", b"two"]
    digests = {one["sha256"] for one in bundle_known.inventory(home)["blobs"]}
    assert modelpack.sha256_of(b"one") in digests
    have = {modelpack.sha256_of(b"one"), modelpack.sha256_of(b"two")}
    assert have <= digests


def recipe(data: bytes):
    one = content(data)
    layers = [Layer(path="tiny-test.toml", sha256=one.sha256, size=one.size)]
    return modelpack.build(modelpack.RECIPE, f"{NAME}/recipe", {}, layers), [], [one]


def test_a_recipe_that_is_none_is_refused_before_the_model_appears(tmp_path):
    [volume] = make_bundle(tmp_path, more=[recipe(b"not a recipe")])
    code, _, said = run("bundle", "import", volume)
    assert code == 5, said
    assert not model_of(find_home()).exists()
    assert not list(find_home().recipes.glob("*"))


RECIPE_FILE = next(path for path in sorted(builtin_directory().rglob("*.toml")))


def test_a_recipe_that_is_not_known_here_comes_along_and_one_that_is_stays(tmp_path):
    name = RECIPE_FILE.stem
    data = RECIPE_FILE.read_bytes() + b"\n# another one\n"
    one, template = content(data), content(b"{{ messages }}")
    layers = [
        Layer(path=f"{name}.toml", sha256=one.sha256, size=one.size),
        Layer(path="chat.jinja", sha256=template.sha256, size=template.size),
    ]
    built = modelpack.build(modelpack.RECIPE, f"{NAME}/recipe", {}, layers)
    [volume] = make_bundle(tmp_path, more=[(built, [], [one, template])])
    home = find_home()
    [made] = import_bundle([volume], home).recipes
    assert load.find_recipes(home)[name] == made
    assert (made.read_bytes(), (made.parent / "chat.jinja").read_bytes()) == (data, b"{{ messages }}")
    made.write_bytes(data + b"# mine\n")
    assert import_bundle([volume], home).recipes == ()
    assert made.read_bytes().endswith(b"# mine\n")


def test_what_was_accepted_where_the_bundle_was_made_is_accepted_here(tmp_path):
    said = {"models": [{"id": "Odd-1.0", "url": "https://example.org/terms", "accepted_at": "2026-01-01"}, {"id": "B"}]}
    one = content(json.dumps(said).encode())
    layer = Layer(path=LICENCES_NAME, sha256=one.sha256, size=one.size)
    built = modelpack.build(modelpack.INVENTORY, "inventory", {}, [layer])
    [volume] = make_bundle(tmp_path, more=[(built, [], [one])])
    home = find_home()
    import_bundle([volume], home)
    terms = Licence(id="Odd-1.0", url="https://example.org/terms", conditions=(), research_only=True)
    assert licence.is_accepted(home, terms)
    assert not licence.is_accepted(home, replace(terms, url="https://example.org/other"))


def test_another_model_of_that_name_stays(tmp_path):
    [volume] = make_bundle(tmp_path)
    home = find_home()
    import_bundle([volume], home)
    lock = model_of(home) / "selfhost-model.json"
    body = json.loads(lock.read_text())
    body["source"]["id"] = "other/model"
    body["files"] = body["files"][1:]
    lock.write_text(json.dumps(body))
    with pytest.raises(NoError):
        import_bundle([volume], home)
    assert json.loads(lock.read_text()) == body


# Commands


def test_verify_import_inspect_and_audit_lines(tmp_path):
    volumes = make_bundle(tmp_path, volumes=2)
    code, out, said = run("bundle", "verify", *volumes)
    assert code == 0, said
    assert "whole" in out
    code, out, said = run("bundle", "verify", volumes[0], "--json")
    body = json.loads(out)
    assert (code, body["ok"], body["complete"]) == (7, False, False)
    assert f"{volumes[1].name}: " in said.partition("\n")[2]
    code, out, said = run("bundle", "verify", volumes[0], "--partial", "--json")
    body = json.loads(out)
    assert (code, body["ok"], body["complete"]) == (0, True, False), said
    code, out, _ = run("bundle", "inspect", *volumes, "--json")
    body = json.loads(out)
    assert code == 0
    assert body["models"][0]["licences"] == ["Apache-2.0"]
    assert NAME in run("bundle", "inspect", *volumes)[1]
    code, out, said = run("bundle", "import", *volumes, "--json")
    assert code == 0, said
    assert json.loads(out)["models"][0]["new"] is True
    lines = [json.loads(line) for line in (find_home().root / "audit.jsonl").read_text().splitlines()]
    assert [(line["operation"], line["exit_code"]) for line in lines] == [
        ("bundle verify", 0),
        ("bundle verify", 7),
        ("bundle verify", 0),
        ("bundle inspect", 0),
        ("bundle inspect", 0),
        ("bundle import", 0),
    ]
    assert "volumes of `crossing` are not here" in lines[1]["found"]
    assert lines[3]["bundle"] == body["id"]
    assert lines[-1]["bundle"] == body["id"]


def test_the_reason_to_inspect_what_nobody_signed_is_logged(tmp_path):
    volumes = make_bundle(tmp_path)
    assert run("bundle", "inspect", *volumes, "--allow-unsigned", "ticket 7")[0] == 0
    assert run("bundle", "inspect", tmp_path / "absent")[0] == 7
    lines = [json.loads(line) for line in find_home().audit.read_text().splitlines()]
    assert [(line["reason"], line["exit_code"]) for line in lines] == [("ticket 7", 0), (None, 7)]


def test_what_a_bundle_says_makes_no_lines_and_obeys_no_terminal(tmp_path, monkeypatch):
    build = modelpack.build_model
    monkeypatch.setattr(modelpack, "build_model", lambda lock, _: build(lock, ["MIT\nsigners: vendor\x1b[2J"]))
    code, out, _ = run("bundle", "inspect", *make_bundle(tmp_path))
    assert (code, "MIT signers: vendor" in out, "\x1b" in out) == (0, True, False)
    assert not any(line.startswith("signers") for line in out.splitlines())


@pytest.mark.parametrize("workers", [1, 3])
def test_as_many_readers_as_asked_for(tmp_path, monkeypatch, workers):
    [volume] = make_bundle(tmp_path)
    asked = []
    pool = devices.ThreadPoolExecutor

    def make(count, **options):
        asked.append(count)
        return pool(count, **options)

    monkeypatch.setattr(devices, "ThreadPoolExecutor", make)
    assert run("bundle", "verify", volume, "--workers", workers)[0] == 0
    assert run("bundle", "import", volume, "--workers", workers)[0] == 0
    assert asked == [workers, workers]


def test_inspect_reads_no_contents(tmp_path):
    [volume] = make_bundle(tmp_path)
    for path in (volume / layout.BLOBS).iterdir():
        if path.stat().st_size > 20_000:
            os.truncate(path, 0)
    assert run("bundle", "inspect", volume)[0] == 0


def test_a_difference_names_the_files_that_changed(tmp_path):
    [old] = make_bundle(tmp_path / "old")
    [new] = make_bundle(tmp_path / "new", shard_bytes=30_100)
    code, out, said = run("bundle", "inspect", new, "--diff", old, "--json")
    assert code == 0, said
    assert len([one for one in json.loads(out)["changed"] if ".safetensors" in one]) == 3
