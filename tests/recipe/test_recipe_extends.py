"""Files that add variants to a built-in recipe, and the TOML that is written for them."""

from __future__ import annotations

import tomllib

import pytest

from selfhost.errors import UsageError
from selfhost.home import find_home
from selfhost.recipe import write
from selfhost.recipe.load import load_recipe, parse_recipe, read_recipe

MINE = {
    "name": "fp8-local",
    "scheme": "fp8",
    "bytes_on_disk": 7,
    "summary": 'made "here": \x7f 模型 \\ \n',
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "dynamic": False, "x": None}}},
        "ignore": ["lm_head", "re:.*gate$"],
        "kv.cache": 0.5,
        "empty": {},
        "nothing": None,
    },
    "source": [{"kind": "quantized", "id": "smollm2-135m/bf16", "revision": "a" * 64}],
    "notes": [],
}


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value


def put(home, *variants, name="smollm2-135m", folder="") -> None:
    path = home / "recipes" / folder / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(write.extension(name, variants))


def test_what_is_written_is_read_back():
    document = tomllib.loads(write.extension("tiny", [MINE, {"name": "x", "scheme": "bf16"}]))
    assert document == {
        "schema_version": 1,
        "name": "tiny",
        "extends": True,
        "variant": [without_nulls(MINE), {"name": "x", "scheme": "bf16"}],
    }


@pytest.mark.parametrize("folder", ["", "smollm2-135m"], ids=["as quantize puts it", "as a bundle puts it"])
def test_variants_come_after_those_of_the_built_in_recipe(home, folder):
    plain = load_recipe("smollm2-135m", find_home())
    put(home, MINE, folder=folder)
    recipe = load_recipe("smollm2-135m", find_home())
    assert [variant.name for variant in recipe.variants] == ["bf16", "fp8-local"]
    assert (recipe.extends, recipe.title, recipe.config) == (True, plain.title, plain.config)
    made = recipe.variant("fp8-local")
    assert made.sources[0].kind.value == "quantized"
    assert recipe.config_of(made)["quantization_config"]["ignore"] == ["lm_head", "re:.*gate$"]


def test_a_variant_of_a_later_release_gives_way_to_the_users_own(home):
    put(home, {**MINE, "name": "bf16"})
    (only,) = load_recipe("smollm2-135m", find_home()).variants
    assert only.scheme == "fp8"


def test_the_text_of_a_variant_may_stand_at_the_end_of_any_recipe():
    from tests.recipe.test_recipe_load import SMOL

    data = SMOL.read_bytes() + write.variant(MINE).encode()
    assert [variant.name for variant in parse_recipe(data, SMOL).variants] == ["bf16", "fp8-local"]


def test_there_is_nothing_to_extend(home):
    put(home, MINE, name="unheard-of")
    with pytest.raises(UsageError) as caught:
        load_recipe("unheard-of", find_home())
    assert caught.value.message.what.endswith("extends a built-in recipe that this selfhost does not have")
    assert "built-in recipe `unheard-of`" in caught.value.message.why


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('title = "x"\n', "title: not a known key"),
        ("", "variant: missing, a list is wanted"),
        ('[[variant]]\nname = "a"\nscheme = "fp8"\n[[variant]]\nname = "a"\nscheme = "fp8"\n', "variant[1].name: `a`"),
        ('[[variant]]\nname = "a"\nschem = "fp8"\n', "variant[0].schem: not a known key"),
    ],
    ids=["another key", "no variant", "twice", "misspelt"],
)
def test_mistakes_are_told_with_their_place(home, more, problem):
    put(home)
    path = home / "recipes" / "smollm2-135m.toml"
    path.write_text(path.read_text() + more)
    with pytest.raises(UsageError) as caught:
        read_recipe(path)
    assert problem in caught.value.message.why


def test_an_editor_is_told_the_same():
    import jsonschema

    from selfhost.recipe.json_schema import recipe_schema

    validator = jsonschema.Draft7Validator(recipe_schema())
    good = tomllib.loads(write.extension("tiny", [MINE]))
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "title": "x"})
    assert not validator.is_valid({**good, "extends": False})
    assert not validator.is_valid({key: value for key, value in good.items() if key != "variant"})


def test_a_variant_without_files_is_planned_on_those_of_another(home):
    from selfhost.app.plan import plan_for
    from selfhost.app.wanted import of_recipe
    from selfhost.planner.plan import PlanRequest

    bnb = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    put(home, {"name": "nf4-load", "scheme": "nf4", "files_of": "bf16", "quantization_config": bnb})
    plan = plan_for("smollm2-135m", on="RTX4090", request=PlanRequest(), variant="nf4-load")
    plain = plan_for("smollm2-135m", on="RTX4090", request=PlanRequest(), variant="bf16")
    assert plan.fits
    assert plan.model_path == plain.model_path == str(home / "models/smollm2-135m/bf16")
    place = plan.argv.index("--quantization")
    assert plan.argv[place : place + 2] == ("--quantization", "bitsandbytes")
    assert "--quantization" not in plain.argv
    assert plan.memory.weight_bytes < 0.6 * plain.memory.weight_bytes
    recipe = load_recipe("smollm2-135m", find_home())
    assert of_recipe(recipe, find_home(), "nf4-load").directory == home / "models/smollm2-135m/bf16"


OTHER = {"name": "other", "scheme": "bf16"}


@pytest.mark.parametrize("names", [["fp8-local"], ["other"], ["fp8-local", "other"], ["unheard-of"]], ids=str)
def test_variants_are_cut_out_of_a_file_that_somebody_wrote_and_nothing_else(names):
    from tests.recipe.test_recipe_load import SMOL

    before = "# Mine.\n" + SMOL.read_text()
    note = "# Not to be lost.\n"
    parts = {"fp8-local": write.variant(MINE), "other": write.variant(OTHER).replace("[[", note + "[[", 1)}
    left = write.without(before + "".join(parts.values()), names)
    document = tomllib.loads(before + "".join(text for name, text in parts.items() if name not in names))
    assert tomllib.loads(left) == document
    assert left.startswith(before.rstrip("\n"))
    assert note in left


@pytest.mark.parametrize(
    "text",
    [
        'variant = [{name = "mine"}, {name = "other"}]\n',
        '[[variant]]\nname = "mine"\nnotes = ["""\n[[variant]]\n"""]\n[[variant]]\nname = "other"\n',
        '[["variant"]]\nname = "mine"\n[[variant]]\nname = "other"\n',
    ],
    ids=["in a line", "a header in a string", "a quoted header"],
)
def test_what_cannot_be_cut_out_is_left_to_its_writer(text):
    left = write.without(text, {"mine"})
    assert left is None or tomllib.loads(left) == {"variant": [{"name": "other"}]}
    assert write.without(text, {"other"}) in (None, text.partition('[[variant]]\nname = "other"')[0])


def test_the_last_variant_can_be_cut_out():
    assert write.without('x = 1\n\n[[variant]]\nname = "mine"\n', {"mine"}) == "x = 1\n"
