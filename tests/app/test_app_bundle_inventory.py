"""What a bundle says of its contents, from a store with a model in it; and the commands that selfhost renders."""

from __future__ import annotations

import json
import sys

import pytest

from selfhost.app import bundle_inventory, licence
from selfhost.app.bundle_inventory import PackedModel, PackedWheels
from selfhost.bundle.layout import BlobInfo, BundleInfo, VolumeInfo
from selfhost.bundle.profile import Needs
from selfhost.cli.main import main
from selfhost.engines import specs
from selfhost.engines.install import this_machine
from selfhost.engines.wheel_file import describe
from selfhost.errors import MissingError, UsageError
from selfhost.home import Home
from selfhost.recipe.load import load_recipe
from selfhost.weights import store
from tests.tiny_wheels import make_wheel
from tests.weights.storage_support import put, tiny_files


class Agreeing:
    def note(self, line):
        pass

    def agrees(self, question):
        return True


@pytest.fixture
def packed(home):
    """Makes models of the store as they go into a bundle: `packed(files, recipe)`."""

    def make(content, recipe=None):
        directory = put(home, {**tiny_files(), **content})
        return PackedModel(directory, store.read_lock(directory), "d" * 64, recipe)

    return make


def documents(made):
    return {name: json.loads(data) for name, data in made.documents.items()}


def test_documents_and_findings_of_a_model_and_an_engine(home, packed, tmp_path):
    make_wheel(tmp_path, "tiny-one", "1.0")
    wheel = describe(tmp_path / "tiny_one-1.0-py3-none-any.whl")
    model = packed({"LICENSE": b"terms", "convert.py": b"1"})
    made = bundle_inventory.inventory(
        "b", [model], [PackedWheels(specs.CUDA, (wheel,)), PackedWheels(None, ())], Home(home)
    )
    assert [finding.message.id for finding in made.findings] == ["risk.code_unnamed", "closure.cubin"]
    found = documents(made)
    assert {c["bom-ref"].partition(":")[0] for c in found["bom.cdx.json"]["components"]} == {"model", "engine", "wheel"}
    (risk,) = found["risks.json"]["models"][0]["risks"]
    assert risk["files"][0]["path"] == "convert.py"
    assert found["licences.json"]["models"][0]["texts"] == {"LICENSE": "terms"}
    assert found["licences.json"]["models"][0]["needs_review"] is True
    again = bundle_inventory.inventory(
        "b", [model], [PackedWheels(specs.CUDA, (wheel,)), PackedWheels(None, ())], Home(home)
    )
    assert again.documents == made.documents


@pytest.mark.parametrize("odd", ["\ud800", "a\x1bb", 5, None, ["x"], {}])
def test_a_configuration_may_say_anything(home, packed, odd):
    model = packed({"LICENSE": b"", "config.json": json.dumps({"architectures": [odd], "model_type": odd}).encode()})
    made = bundle_inventory.inventory("b", [model], [], Home(home))
    (component,) = documents(made)["bom.cdx.json"]["components"]
    assert component["modelCard"]["modelParameters"] == {"task": "text-generation"}


def test_an_acceptance_travels_with_the_terms_it_was_given_for(home, packed):
    recipe = load_recipe("qwen2.5-3b", Home(home))
    assert recipe.licence.research_only
    model = packed({"LICENSE": b"terms"}, recipe)

    def listed():
        return documents(bundle_inventory.inventory("b", [model], [], Home(home)))["licences.json"]["models"][0]

    before = listed()
    assert (before["id"], before["accepted_at"], before["needs_review"]) == (recipe.licence.id, None, True)
    licence.check(recipe.name, recipe.licence, Home(home), (), Agreeing())
    after = listed()
    assert after["accepted_at"] == licence.accepted_at(Home(home), recipe.licence) > "2026"
    assert after["needs_review"] is False


def test_a_model_that_asks_for_another_is_fine_once_that_is_in_the_bundle(home, packed):
    config = {"architectures": ["X"], "speculators_config": {"verifier": {"name_or_path": "org/tiny"}}}
    drafter = packed({"LICENSE": b"", "config.json": json.dumps(config).encode()})
    alone = drafter._replace(lock=drafter.lock.__class__(**{**lock_values(drafter.lock), "source": other_source()}))
    ids = [f.message.id for f in bundle_inventory.inventory("b", [alone], [], Home(home)).findings]
    assert ids == ["closure.verifier"]
    both = [alone, drafter]
    assert bundle_inventory.inventory("b", both, [], Home(home)).findings == ()


def lock_values(lock):
    return {name: getattr(lock, name) for name in ("recipe", "variant", "source", "files")}


def other_source():
    from selfhost.weights.lock import Origin

    return Origin(kind="huggingface", id="org/drafter", revision=None)


def test_the_profile_of_this_machine_takes_the_cpu_engine_and_not_the_cuda_engine(home, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["detect", "--json"])
    assert not caught.value.code
    target = tmp_path / "target.json"
    body = json.loads(capsys.readouterr().out)
    body["accelerators"] = []
    target.write_text(json.dumps(body))
    assert bundle_inventory.check_target(target, Needs(model_bytes=1)) == []
    with pytest.raises(MissingError) as refused:
        bundle_inventory.check_target(target, Needs(engine=specs.CUDA))
    assert "no device there runs engine `cuda`" in refused.value.message.why
    for text in ("{", "[]", "{}"):
        target.write_text(text)
        with pytest.raises(UsageError):
            bundle_inventory.check_target(target, Needs())
    with pytest.raises(UsageError):
        bundle_inventory.check_target(tmp_path / "nowhere", Needs())


def test_start_here_names_the_volume_of_each_wheel_of_selfhost(tmp_path):
    wheels = []
    for name in ("selfhost-llm", "tiny-one"):
        make_wheel(tmp_path, name, "0.1.0")
        wheels.append(describe(next(tmp_path.glob(f"{name.replace('-', '_')}*"))))
    volumes = tuple(
        VolumeInfo(number=n, label=f"b-vol{n}of2", blobs=(BlobInfo(sha256=wheel.sha256, size=wheel.size),))
        for n, wheel in enumerate(wheels, 1)
    )
    info = BundleInfo(
        id="ab" * 16, serial=1, created="2026-11-27T10:00:00+00:00", label="b", tool="selfhost 0.1.0", volume=2,
        volumes=volumes, models=(), base=(), have=(),
    )  # fmt: skip
    said = bundle_inventory.start_text(info, wheels, "cpu", signed=False, machine=this_machine()).decode()
    assert f"python{sys.version_info[0]}.{sys.version_info[1]} -m venv" in said
    parts = ["# in b-vol1of2", wheels[0].sha256, "# in b-vol2of2", wheels[1].sha256]
    assert [said.index(part) for part in parts] == sorted(said.index(part) for part in parts)
