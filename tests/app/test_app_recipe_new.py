"""A recipe that is begun from what a hub or a directory says; the hub is a real local server."""

from __future__ import annotations

import json
import shutil
import tomllib
from typing import TYPE_CHECKING

import pytest

from selfhost.app import model, recipe_new
from selfhost.app.plan import plan_for
from selfhost.errors import (
    ExitCode,
    IncompleteError,
    IntegrityError,
    MissingError,
    NoError,
    SelfhostError,
    TrustError,
    UsageError,
)
from selfhost.home import find_home
from selfhost.planner.plan import PlanRequest
from selfhost.recipe import write
from selfhost.recipe.load import builtin_directory, load_recipe, read_recipe
from selfhost.recipe.schema import SourceKind
from tests.app.test_app_repository import write_model
from tests.pull_support import bring, recipe_document
from tests.standins.faults import Fault
from tests.standins.hub import Hub
from tests.standins.mirror import Mirror
from tests.standins.modelscope import ModelScope
from tests.tiny_models import config_of
from tests.toml_text import as_toml

if TYPE_CHECKING:
    from pathlib import Path

CARD = "---\nlicense: apache-2.0\n---\n# A model"
APACHE = "Apache License\nVersion 2.0, January 2004\n"
SAMPLING = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "do_sample": True}


def begin(what="org/Tiny-Instruct", **options) -> recipe_new.Begun:
    return recipe_new.begin(recipe_new.NewRequest(what=str(what), **options))


@pytest.fixture
def directory(tmp_path) -> Path:
    path = tmp_path / "hub" / "org" / "Tiny-Instruct"
    write_model(path)
    (path / "README.md").write_text(CARD)
    (path / "LICENSE").write_text(APACHE)
    (path / "generation_config.json").write_text(json.dumps(SAMPLING))
    return path


@pytest.fixture
def hub(tmp_path, directory, monkeypatch):
    with Hub(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def recipes_of(home) -> list[str]:
    return sorted(path.name for path in (home / "recipes").glob("*.toml"))


def weights_of(directory) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))


# From a hub


def test_from_a_hub(hub, home, directory):
    begun = begin()
    assert begun.path == home / "recipes" / "tiny.toml"
    recipe = read_recipe(begun.path)
    assert (recipe.name, recipe.title, recipe.hub_id) == ("tiny", "Tiny-Instruct", "org/Tiny-Instruct")
    assert (recipe.context, recipe.parameters, recipe.active_parameters) == (4096, 1_378_304, None)
    assert (recipe.licence.id, recipe.unverified) == ("Apache-2.0", ())
    assert recipe.serving.sampling.as_dict() == {"temperature": 0.6, "top_p": 0.95, "top_k": 20}
    (variant,) = recipe.variants
    assert (variant.name, variant.scheme, variant.bytes_on_disk) == ("bf16", "bf16", weights_of(directory))
    (source,) = variant.sources
    assert (source.kind, source.id, source.revision) == (SourceKind.HUGGINGFACE, "org/Tiny-Instruct", commit(hub))
    page = f"{hub.url}/org/Tiny-Instruct"
    assert [fact.url for fact in recipe.facts] == [
        f"{page}/blob/{commit(hub)}/config.json",
        f"{page}/tree/{commit(hub)}",
        f"{page}/blob/{commit(hub)}/generation_config.json",
        f"{page}/blob/{commit(hub)}/README.md",
    ]
    assert (begun.linted.unreadable, begun.linted.findings) == (None, ())


def commit(hub) -> str:
    return hub.models.find("org/Tiny-Instruct", "main").commit


def test_no_weights_are_read(hub, directory):
    begin()
    weights = [request for request in hub.requests if (request.file or "").endswith(".safetensors")]
    assert all(request.range is not None for request in weights)
    assert sum(request.sent_bytes for request in weights) < weights_of(directory)
    assert not any(path.suffix == ".safetensors" for path in directory.parents[2].glob("selfhost-home/**/*"))


def test_what_was_begun_is_planned_and_pulled(hub, home, directory):
    begin()
    plan = plan_for("tiny", on="1xL20", request=PlanRequest())
    assert plan.fits
    assert plan.weight_bytes_total == weights_of(directory)
    found = model.resolve("org/Tiny-Instruct")
    assert (found.name, found.variant) == ("tiny", "bf16")
    done = bring("tiny")
    assert (home / "models" / "tiny" / "bf16" / "config.json").is_file()
    assert done.lock.source.revision == commit(hub)


def test_the_commit_of_a_branch_is_written(tmp_path, directory, monkeypatch):
    shutil.copytree(directory, tmp_path / "other")
    (tmp_path / "other" / "README.md").write_text("---\nlicense: mit\n---\n")
    with Hub(tmp_path / "hub", revisions={"org/Tiny-Instruct@v2": tmp_path / "other"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        recipe = read_recipe(begin(revision="v2").path)
        assert recipe.variants[0].sources[0].revision == hub.models.find("org/Tiny-Instruct", "v2").commit
        assert recipe.licence.id == "MIT"


def test_from_modelscope(tmp_path, directory, monkeypatch):
    with ModelScope(tmp_path / "hub") as hub:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        begun = begin(source="modelscope")
    recipe = read_recipe(begun.path)
    (source,) = recipe.variants[0].sources
    assert (source.kind, source.id) == (SourceKind.MODELSCOPE, "org/Tiny-Instruct")
    assert recipe.hub_id is None
    assert any(todo.startswith("hub_id: ") for todo in begun.todos)
    assert recipe.facts[0].url == f"{hub.url}/models/org/Tiny-Instruct"
    assert '# kind = "huggingface"' in begun.content


def test_from_a_mirror(tmp_path, home, directory, hub):
    bring("org/Tiny-Instruct")
    stored = home / "models" / "org" / "Tiny-Instruct"
    with Mirror(stored.parents[1]) as mirror:
        begun = begin(source=mirror.url)
        (source,) = read_recipe(begun.path).variants[0].sources
        assert (source.kind, source.id) == (SourceKind.MIRROR, f"{mirror.url}/org/Tiny-Instruct")
        assert source.revision == commit(hub)


def test_a_readme_that_is_not_given_leaves_the_terms_unknown(hub, directory):
    (directory / "LICENSE").unlink()
    hub.add(Fault("status", path="README.md", status=403))
    begun = begin()
    assert read_recipe(begun.path).licence.id == "LicenseRef-unknown"
    assert [finding.message.id for finding in begun.linted.findings] == ["lint.licence_unknown"]
    assert read_recipe(begun.path).licence.conditions == (
        "Its terms were not read when this recipe was begun: read them before use",
    )


def test_files_that_contradict_the_config_are_told(hub, directory):
    write_model(directory, vocab_size=1024)
    begun = begin()
    told = [todo for todo in begun.todos if todo.startswith("variant: ")]
    assert "`model.embed_tokens.weight` is [512, 256] in the files, the config leads" in told[0]


def test_a_tokenizer_of_code_is_noted(hub, directory):
    (directory / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["tokenization_x.X", null]}}')
    (directory / "tokenization_x.py").write_text("")
    (note,) = read_recipe(begin().path).notes
    assert note.startswith("Its tokenizer is Python code")


def test_an_architecture_that_is_not_known_is_written_and_the_linter_tells(hub, directory):
    (directory / "config.json").write_text(json.dumps({"architectures": ["NobodyForCausalLM"], "widths": [1, 2]}))
    begun = begin()
    assert begun.linted.unreadable is not None
    assert "context: missing" in begun.linted.unreadable.why
    assert tomllib.loads(begun.content)["config"] == {"architectures": ["NobodyForCausalLM"], "widths": [1, 2]}
    assert any(todo.startswith("context: ") for todo in begun.todos)


# Refused


def test_offline_names_what_can_be_done(hub, home, directory, monkeypatch):
    bring("org/Tiny-Instruct")
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    with pytest.raises(IncompleteError) as refused:
        begin("org/other")
    assert refused.value.code == ExitCode.INCOMPLETE
    assert refused.value.message.id == "draft.offline"
    assert "selfhost recipe new DIRECTORY" in refused.value.message.hint
    with pytest.raises(IncompleteError) as refused:
        begin()
    stored = home / "models" / "org" / "Tiny-Instruct"
    assert f"`selfhost recipe new {stored}`" in refused.value.message.hint
    begun = begin(stored)
    recipe = read_recipe(begun.path)
    assert (recipe.name, recipe.hub_id) == ("tiny", "org/Tiny-Instruct")
    assert recipe.variants[0].sources[0].revision == commit(hub)
    assert recipe.facts[0].url == f"https://huggingface.co/org/Tiny-Instruct/blob/{commit(hub)}/config.json"


def test_a_hub_on_this_machine_is_asked_offline_too(hub, monkeypatch):
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    assert begin().name == "tiny"


def test_a_gated_repository(tmp_path, directory, home, monkeypatch):
    with Hub(tmp_path / "hub", gated={"org/Tiny-Instruct"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(TrustError) as refused:
            begin()
    assert refused.value.message.id == "places.gated"
    assert not home.exists()


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        (["config.json", "pytorch_model.bin"], TrustError, "model.only_pickle"),
        (["config.json", "model.gguf"], NoError, "model.only_gguf"),
        (["model.safetensors"], UsageError, "places.no_config"),
        (["config.json"], UsageError, "places.no_weights"),
    ],
    ids=["pickles", "GGUF", "no config", "no weights"],
)
@pytest.mark.parametrize("local", [True, False], ids=["directory", "hub"])
def test_what_is_no_model(hub, directory, home, files, error, message, local):  # noqa: PLR0917
    for path in directory.iterdir():
        path.unlink()
    for name in files:
        (directory / name).write_text("{}")
    with pytest.raises(error) as refused:
        begin(directory if local else "org/Tiny-Instruct")
    assert refused.value.message.id == message
    assert not home.exists()


def test_what_a_hub_does_not_have(hub):
    with pytest.raises(UsageError, match="org/none"):
        begin("org/none")


def test_a_config_that_is_no_json(hub, directory):
    (directory / "config.json").write_text("{")
    with pytest.raises(IntegrityError):
        begin()


@pytest.mark.parametrize("what", ["just-a-name", "a/b/c", " "])
def test_what_is_neither(what, home):
    with pytest.raises(UsageError) as refused:
        begin(what)
    assert refused.value.message.id == "draft.not_a_model"


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(SelfhostError) as refused:
        begin(tmp_path / "none")
    assert refused.value.code == ExitCode.USAGE


# From a directory


def test_from_a_directory(directory, home):
    begun = begin(directory)
    recipe = read_recipe(begun.path)
    (source,) = recipe.variants[0].sources
    assert (source.kind, source.id, source.revision) == (SourceKind.DIRECTORY, str(directory), None)
    assert (recipe.name, recipe.licence.id, recipe.facts) == ("tiny", "Apache-2.0", ())
    assert recipe.serving.sampling.as_dict() == {"temperature": 0.6, "top_p": 0.95, "top_k": 20}
    assert [finding.message.id for finding in begun.linted.findings] == ["lint.no_facts"]


def test_a_folder_without_a_model_at_its_top_is_not_searched(tmp_path, home):
    (tmp_path / "top" / "a" / "b").mkdir(parents=True)
    (tmp_path / "top" / "a" / "b" / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError) as refused:
        begin(tmp_path / "top")
    assert (refused.value.message.id, "found: a" in refused.value.message.why) == ("places.no_config", True)


def test_from_the_cache_of_the_hubs_client(directory, tmp_path, home):
    revision = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "models--org--Tiny-Instruct"
    snapshot = cache / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    for number, path in enumerate(sorted(directory.iterdir())):
        shutil.copy(path, cache / "blobs" / str(number))
        (snapshot / path.name).symlink_to(cache / "blobs" / str(number))
    for place in (snapshot, cache):
        recipe = read_recipe(begin(place, force=True).path)
        (source,) = recipe.variants[0].sources
        assert (recipe.name, recipe.hub_id) == ("tiny", "org/Tiny-Instruct")
        assert (source.kind, source.revision) == (SourceKind.HUGGINGFACE, revision)
        assert recipe.variants[0].bytes_on_disk == weights_of(directory)


def test_headers_of_a_directory_are_read(directory, home):
    write_model(directory, vocab_size=1024)
    assert any("model.embed_tokens.weight" in todo for todo in begin(directory).todos)


@pytest.mark.parametrize("option", ["source", "revision"])
def test_options_of_a_hub_do_not_go_with_a_directory(directory, option):
    with pytest.raises(UsageError) as refused:
        begin(directory, **{option: "x"})
    assert refused.value.message.params["option"] == f"--{option}"


# Files


def test_nothing_is_written_over(hub, home):
    path = begin().path
    path.write_text("# mine\n")
    with pytest.raises(UsageError) as refused:
        begin()
    assert refused.value.message.id == "draft.exists"
    assert path.read_text() == "# mine\n"
    begin(force=True)
    assert read_recipe(path).name == "tiny"


def test_a_hub_id_that_a_recipe_has(hub, home):
    begin()
    with pytest.raises(UsageError) as refused:
        begin(name="another")
    assert refused.value.message.id == "draft.hub_id_known"
    assert recipes_of(home) == ["tiny.toml"]
    begun = begin(name="another", output="-")
    assert "lint.hub_id_twice" in [finding.message.id for finding in begun.linted.findings]


def test_the_repository_of_a_variant_of_a_builtin_recipe(hub):
    with pytest.raises(UsageError) as refused:
        begin("Qwen/Qwen2.5-7B-Instruct-AWQ")
    assert "in recipe `qwen2.5-7b` already, as its variant `awq-int4`" in refused.value.message.what
    assert hub.requests == []


def test_the_name_of_a_builtin_recipe(hub, home):
    with pytest.raises(UsageError) as refused:
        begin(name="qwen2.5-7b")
    assert "`--variant-of qwen2.5-7b`" in refused.value.message.hint
    assert not home.exists()


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "-x", "ä"])
def test_names_that_cannot_be(name):
    with pytest.raises(UsageError) as refused:
        begin(name=name)
    assert refused.value.message.id == "draft.bad_name"


def test_a_file_of_its_own_has_the_name_of_the_recipe(hub, tmp_path, home):
    target = tmp_path / "sub" / "my-model.toml"
    begun = begin(output=str(target))
    assert (begun.name, begun.path) == ("my-model", target)
    assert read_recipe(target).name == "my-model"
    assert not home.exists()
    for bad, name in (("model.json", None), ("My.toml", None), ("other.toml", "mine")):
        with pytest.raises(UsageError) as refused:
            begin(output=str(tmp_path / bad), name=name)
        assert refused.value.message.id == "draft.output_name"


def test_to_stdout_nothing_is_written(hub, home):
    begun = begin(output="-")
    assert begun.path is None
    assert tomllib.loads(begun.content)["name"] == "tiny"
    assert not home.exists()


def test_a_folder_that_cannot_be_written(hub, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingError):
        begin(output=str(tmp_path / "file" / "x.toml"))


# Variants

AWQ = {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True}


@pytest.fixture
def base(home):
    """A recipe of the user's, of the tiny model."""
    (home / "recipes").mkdir(parents=True)
    path = home / "recipes" / "tiny.toml"
    document = recipe_document("tiny")
    variants = document.pop("variant")
    path.write_text("# my words\n" + as_toml(document) + "".join(map(write.variant, variants)))
    return path


@pytest.fixture
def sibling(directory):
    """The same model, quantized by somebody: the config says so, the tensors do not matter here."""
    path = directory.parent / "Tiny-AWQ"
    write_model(path, quantization_config=AWQ, torch_dtype="float16")
    (path / "README.md").write_text("---\nlicense: mit\nbase_model: org/tiny\n---\n")
    return path


def test_a_variant_of_a_recipe_of_the_users(hub, sibling, base, home):
    begun = begin("org/Tiny-AWQ", variant_of="tiny")
    assert (begun.name, begun.variant, begun.path) == ("tiny", "awq-int4", base)
    assert base.read_text().startswith("# my words\n")
    recipe = read_recipe(base)
    assert [variant.name for variant in recipe.variants] == ["bf16", "awq-int4"]
    made = recipe.variants[1]
    assert (made.quantization_config, made.config) == (AWQ, {"torch_dtype": "float16"})
    assert made.bytes_on_disk == weights_of(sibling)
    assert made.sources[0].revision == hub.models.find("org/Tiny-AWQ", "main").commit
    assert model.resolve("org/Tiny-AWQ").variant == "awq-int4"


def test_a_file_that_takes_no_more_variants_stays_as_it_is(sibling, base):
    base.write_text(before := as_toml(recipe_document("tiny")))
    with pytest.raises(UsageError) as refused:
        begin(sibling, variant_of="tiny")
    assert refused.value.message.id == "draft.cannot_add"
    assert base.read_text() == before


def test_a_variant_that_is_there(hub, sibling, base):
    begin("org/Tiny-AWQ", variant_of="tiny")
    with pytest.raises(UsageError) as refused:
        begin("org/Tiny-AWQ", variant_of="tiny", name="awq-int4", output="-")
    assert refused.value.message.id == "draft.variant_taken"
    write_model(sibling, quantization_config=AWQ | {"group_size": 32}, torch_dtype="float16")
    begin(sibling, variant_of="tiny", force=True)
    recipe = read_recipe(base)
    assert [variant.name for variant in recipe.variants] == ["bf16", "awq-int4"]
    assert recipe.variants[1].quantization_config["group_size"] == 32
    begin(sibling, variant_of="tiny", name="awq-two")
    assert [variant.name for variant in read_recipe(base).variants] == ["bf16", "awq-int4", "awq-two"]


def test_a_quantized_copy_of_a_known_model_is_said_to_be_a_variant(hub, sibling, base):
    (note,) = begin("org/Tiny-AWQ", output="-").notes
    assert "made of `org/tiny`, which recipe `tiny` has: `--variant-of tiny`" in note


def of_builtin(path, name, **changes):
    """A directory with the config of a built-in recipe, and weights that are none."""
    recipe = read_recipe(path)
    write_model(name)
    config = {**recipe.config, **changes}
    name.joinpath("config.json").write_text(json.dumps({key: v for key, v in config.items() if v is not None}))
    return name


@pytest.fixture
def builtin_sibling(tmp_path):
    path = builtin_directory() / "qwen" / "qwen2.5-0.5b.toml"
    section = {"quant_method": "fp8", "activation_scheme": "dynamic"}
    return of_builtin(path, tmp_path / "fp8", quantization_config=section)


def test_a_variant_of_a_builtin_recipe(builtin_sibling, home):
    begun = begin(builtin_sibling, variant_of="qwen2.5-0.5b")
    assert begun.path == home / "recipes" / "qwen2.5-0.5b.toml"
    document = tomllib.loads(begun.content)
    assert document.keys() == {"schema_version", "name", "extends", "variant"}
    assert "selfhost quantize" not in begun.content
    recipe = load_recipe("qwen2.5-0.5b", find_home())
    assert [variant.name for variant in recipe.variants] == ["bf16", "awq-int4", "gptq-int4", "gptq-int8", "fp8"]
    assert recipe.variants[-1].config is None
    assert plan_for("qwen2.5-0.5b", variant="fp8", on="1xL20", request=PlanRequest()).variant == "fp8"
    begin(builtin_sibling, variant_of="qwen2.5-0.5b", name="fp8-mine")
    assert [v["name"] for v in tomllib.loads(begun.path.read_text())["variant"]] == ["fp8", "fp8-mine"]


def test_a_variant_in_a_file_of_its_own(builtin_sibling, home, tmp_path, base):
    begun = begin(builtin_sibling, variant_of="qwen2.5-0.5b", output=str(tmp_path / "qwen2.5-0.5b.toml"))
    assert read_recipe(begun.path).variants[-1].name == "fp8"
    with pytest.raises(UsageError) as refused:
        begin(builtin_sibling, variant_of="qwen2.5-0.5b", output=str(tmp_path / "qwen2.5-0.5b.toml"))
    assert refused.value.message.id == "draft.exists"
    with pytest.raises(UsageError) as refused:
        begin(builtin_sibling, variant_of="qwen2.5-0.5b", output=str(tmp_path / "x.toml"))
    assert refused.value.message.id == "draft.output_name"
    with pytest.raises(UsageError) as refused:
        begin(builtin_sibling, variant_of="tiny", output=str(tmp_path / "tiny.toml"))
    assert refused.value.message.id == "draft.only_builtin"


def test_another_model_is_no_variant(directory, home):
    with pytest.raises(UsageError) as refused:
        begin(directory, variant_of="qwen2.5-7b")
    assert refused.value.message.why == "hidden_size: recipe 3584, repository 256"


def test_a_config_that_is_not_understood_is_no_variant(directory, home):
    (directory / "config.json").write_text('{"architectures": ["NobodyForCausalLM"]}')
    with pytest.raises(UsageError) as refused:
        begin(directory, variant_of="qwen2.5-7b")
    assert refused.value.message.id == "draft.not_understood"


def test_layers_that_a_copy_left_out_are_told(tmp_path, home):
    """The recipe has a layer of multi-token prediction, the copy has none: that key is emptied."""
    path = builtin_directory() / "deepseek" / "deepseek-v3.toml"
    copy = of_builtin(path, tmp_path / "copy", num_nextn_predict_layers=None)
    document = tomllib.loads(begin(copy, variant_of="deepseek-v3", output="-").content)
    assert document["variant"][0]["config"] == {"num_nextn_predict_layers": 0}


def test_a_recipe_that_lies_elsewhere(directory, tmp_path, home):
    (tmp_path / "recipes").mkdir()
    path = tmp_path / "recipes" / "far.toml"
    path.write_text(as_toml(recipe_document("far")))
    with pytest.raises(UsageError) as refused:
        begin(directory, variant_of="far", recipe_paths=[path])
    assert refused.value.message.id == "draft.recipe_elsewhere"


@pytest.mark.parametrize("option", ["family", "title"])
def test_options_of_a_recipe_do_not_go_with_a_variant(directory, option):
    with pytest.raises(UsageError) as refused:
        begin(directory, variant_of="qwen2.5-7b", **{option: "x"})
    assert refused.value.message.id == "draft.variant_options"


def test_the_config_of_a_copy_is_that_of_the_tests(directory):
    assert json.loads((directory / "config.json").read_text()) == config_of("qwen2")
