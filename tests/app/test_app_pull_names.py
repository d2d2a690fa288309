"""What MODEL means to `pull`: a recipe, a hub id of one, any repository; never a path."""

from __future__ import annotations

import pytest

from selfhost.app import wanted
from selfhost.errors import MissingError, UsageError
from selfhost.home import find_home
from tests.pull_support import bring, write_recipe
from tests.standins.hub import Hub


@pytest.fixture
def recipe(home):
    awq = [{"kind": "huggingface", "id": "Org/Tiny-AWQ"}]
    variants = [
        {"name": "bf16", "scheme": "bf16", "source": [{"kind": "huggingface", "id": "org/tiny"}]},
        {"name": "awq-int4", "scheme": "awq-int4", "source": awq},
    ]
    write_recipe(home, hub_id="org/Tiny", variant=variants)


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("tiny", None, ("tiny", "bf16")),
        ("TINY", None, ("tiny", "bf16")),
        ("org/tiny", None, ("tiny", "bf16")),
        ("org/Tiny", "awq-int4", ("tiny", "awq-int4")),
        ("org/tiny-awq", None, ("tiny", "awq-int4")),
        ("tiny", "awq-int4", ("tiny", "awq-int4")),
        ("other/model.1_x", None, ("other/model.1_x", None)),
        ("Qwen/Qwen2.5-0.5B-Instruct-AWQ", None, ("qwen2.5-0.5b", "awq-int4")),
    ],
)
def test_names(name, variant, expected):
    found = wanted.find(name, find_home(), variant=variant)
    assert (found.name, found.variant) == expected


@pytest.mark.parametrize(
    ("name", "variant", "part"),
    [
        ("qwen2.5-0.5", None, "qwen2.5-0.5b"),
        ("/srv/model", None, "/srv/model"),
        ("./model", None, "./model"),
        ("~/model", None, "~/model"),
        ("", None, "organisation/name"),
        ("  ", None, "organisation/name"),
        ("a/b/c", None, "organisation/name"),
        ("../../etc/x", None, "../../etc/x"),
        ("org/..", None, "organisation/name"),
        ("org/.x", None, "organisation/name"),
        ("https://hub.invalid/org/tiny", None, "organisation/name"),
        ("other/model", "awq-int4", "awq-int4"),
        ("qwen2.5-0.5b", "absent", "absent"),
    ],
)
def test_names_that_are_none(name, variant, part):
    with pytest.raises(UsageError) as refused:
        bring(name, variant=variant)
    message = refused.value.message
    assert (refused.value.code, part in f"{message.what}\n{message.why}\n{message.hint}") == (2, True)


def test_a_directory_that_is_there_is_named_as_one(tmp_path, monkeypatch):
    (tmp_path / "org" / "tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as refused:
        bring()
    assert "`selfhost serve org/tiny`" in refused.value.message.hint


def test_what_the_hub_does_not_have(tmp_path, monkeypatch):
    (tmp_path / "hub").mkdir()
    with Hub(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises((UsageError, MissingError)) as refused:
            bring("org/absent")
    assert "org/absent" in refused.value.message.what
