"""docs/models.md says what the plans say: all its rows are there, a sample of them is planned, all in a slow test."""

from __future__ import annotations

import re

import pytest

from tests import model_deviations, model_pages
from tests.model_plans import NOTHING, REFUSED, Answer, device_ids, plan_variant, recipes_by_family

EVERY = 17
"""One row in so many is planned in the default run."""
FAMILIES = recipes_by_family()
ROWS = [(recipe, variant) for recipes in FAMILIES.values() for recipe in recipes for variant in recipe.variants]
TEXT = model_pages.PATH.read_text()
CELLS, BEFORE = model_pages.read(TEXT)


def test_every_recipe_and_variant_is_there_and_is_counted():
    assert {*CELLS} == {(recipe.name, variant.name) for recipe, variant in ROWS}
    assert model_pages.counts(FAMILIES) in TEXT
    assert f"| **all** | **{sum(map(len, FAMILIES.values()))}** | **{len(ROWS)}** |" in TEXT


@pytest.mark.parametrize(
    ("recipe", "variant"), ROWS[::EVERY], ids=[f"{recipe.name}-{variant.name}" for recipe, variant in ROWS[::EVERY]]
)
def test_a_sample_of_the_rows_is_what_is_planned(recipe, variant):
    """`make docs` writes them again."""
    row, written = plan_variant(recipe, variant), CELLS[recipe.name, variant.name]
    for device in device_ids():
        if device in written:
            assert written[device] == row.answers[device].text, device
        else:
            assert row.answers[device].text in (NOTHING, REFUSED), device
    if written:
        assert model_pages.row_text(row, []).startswith(
            f"| {recipe.name} | {variant.name} | {' | '.join(BEFORE[recipe.name, variant.name])} |"
        )


def test_no_column_and_no_device_is_missing():
    named = {device for row in CELLS.values() for device in row}
    assert named == {*device_ids()}


@pytest.mark.slow
def test_the_whole_page_is_what_is_planned():
    """`make docs` writes it again."""
    assert model_pages.page() == TEXT


def test_cells_say_how_many_devices_which_layout_and_which_context():
    cells = {cell for row in CELLS.values() for cell in row.values()}
    form = re.compile(r"[+~](1|2|4|8|16)( (TP|PP|DP)=\d.*)?|<(1|2|4|8|16) (.+ )?\d+K|[-x]")
    assert [cell for cell in cells if not form.fullmatch(cell)] == []
    assert {cell[0] for cell in cells} == {*"+~<-x"}
    assert Answer("+1").runs
    assert not Answer(REFUSED).runs


def test_recipes_are_held_against_published_counts():
    found = model_deviations.counted()
    assert len(found) + len(model_deviations.not_counted()) == len(ROWS)
    assert max(abs(row.parameters) for row in found) <= 0.0001
    assert max(abs(row.bytes_loaded) for row in found) <= 0.01
    assert max(abs(row.bytes_said) for row in found) == 0
