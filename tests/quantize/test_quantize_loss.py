"""The loss report: read, refused when it makes no sense, and told."""

from __future__ import annotations

import json

import pytest

from selfhost.app.quantize import report
from selfhost.errors import IntegrityError
from selfhost.home import find_home
from selfhost.quantize.loss import loss_line, loss_lines, read_loss
from selfhost.recipe.load import load_recipe

SCORE = {
    "tokens": 1000,
    "mean_kl": 0.0421,
    "mean_kl_error": 0.0017,
    "top1_agreement": 0.912,
    "perplexity_source": 21.5,
    "perplexity_variant": 22.25,
}
BODY = {
    "schema_version": 1,
    **SCORE,
    "languages": {"en": {**SCORE, "mean_kl": 0.05}, "zh": SCORE, "fi": SCORE},
    "worst_layers": [{"layer": 28, "error": 0.31}, {"layer": 0, "error": 0.1}],
    "dtype": "float32",
}
LINE = (
    "against its source: KL divergence 0.0421 ± 0.0017, same first choice 91.2 %, "
    "perplexity 21.50 -> 22.25 (1000 tokens)"
)


def test_a_report_in_lines():
    assert list(loss_lines(read_loss(BODY, "x"))) == [
        LINE,
        "English: KL divergence 0.0500 ± 0.0017, same first choice 91.2 %, perplexity 21.50 -> 22.25",
        "Chinese: KL divergence 0.0421 ± 0.0017, same first choice 91.2 %, perplexity 21.50 -> 22.25",
        "fi: KL divergence 0.0421 ± 0.0017, same first choice 91.2 %, perplexity 21.50 -> 22.25",
        "layers that are off most, by what they add: 28 (31.0 %), 0 (10.0 %)",
    ]


def test_a_report_without_details_is_one_line():
    assert list(loss_lines(read_loss({"schema_version": 1, **SCORE}, "x"))) == [LINE]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"schema_version": 2}, "its schema_version is 2, known is 1"),
        ({"mean_kl": float("nan")}, "ValueError: nan is no measure"),
        ({"mean_kl": -1}, "ValueError: -1 is no measure"),
        ({"tokens": None}, "TypeError"),
        ({"languages": []}, None),
        ({"languages": ["en"]}, "AttributeError"),
        ({"worst_layers": [{"layer": 1}]}, "KeyError: 'error'"),
    ],
)
def test_what_is_no_report_is_refused(change, detail):
    if detail is None:
        assert read_loss({**BODY, **change}, "x").languages == ()
        return
    with pytest.raises(IntegrityError) as caught:
        read_loss({**BODY, **change}, "/models/x.json")
    assert caught.value.message.why.startswith(detail)


@pytest.fixture
def variant(home):
    directory = home / "models" / "smollm2-135m" / "bf16"
    directory.mkdir(parents=True)
    return directory


def test_plan_and_recipe_show_get_what_lies_beside_the_files(variant):
    recipe = load_recipe("smollm2-135m", find_home())
    assert report.note(variant) == ()
    assert report.of_recipe(recipe, find_home()) == {}
    (variant / "selfhost-loss.json").write_text(json.dumps(BODY))
    assert report.note(variant) == (loss_line(read_loss(BODY, "x")),)
    assert report.of_recipe(recipe, find_home())["bf16"][0] == LINE


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_broken_report_is_told_and_stops_nothing(variant, content):
    path = variant / "selfhost-loss.json"
    path.write_text(content)
    assert report.note(variant) == (f"`{path}` is no report of a loss",)
