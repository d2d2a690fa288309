"""Terms: those of research-only weights are accepted before anything is asked of anybody, and remembered."""

from __future__ import annotations

import json

import pytest

from selfhost.errors import TrustError, UsageError
from tests.pull_support import Silent, bring, write_recipe, write_repository
from tests.standins.hub import Hub

URL = "https://example.org/terms"
RESEARCH = {"id": "Tiny-Research", "url": URL, "research_only": True, "conditions": ["Not for commercial use."]}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    write_repository(tmp_path / "hub" / "org" / "tiny", shard_bytes=10_000)
    with Hub(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.mark.parametrize("answer", [None, False])
def test_terms_that_nobody_accepted(answer, hub, home):
    write_recipe(home, licence=RESEARCH)
    with pytest.raises(TrustError) as refused:
        bring("tiny", talk=Silent(answer))
    message = refused.value.message
    assert refused.value.code == 6
    assert "`--accept-license Tiny-Research`" in message.hint
    assert URL in message.why
    assert (hub.requests, (home / "models").exists(), (home / "accepted").exists()) == ([], False, False)
    with pytest.raises(TrustError):
        bring("tiny", talk=Silent(None))


def test_conditions_do_not_run_into_one_another(hub, home):
    write_recipe(home, licence=RESEARCH | {"conditions": ["Not for use at sea", "Not for sale.", "Show the name"]})
    talk = Silent(None)
    with pytest.raises(TrustError) as refused:
        bring("tiny", talk=talk)
    told = "Not for use at sea. Not for sale. Show the name."
    assert told in refused.value.message.why
    assert any(told in line for line in talk.said)


def test_terms_accepted_by_the_flag_are_remembered(hub, home):
    write_recipe(home, licence=RESEARCH)
    bring("tiny", accept_licence=("tiny-research",))
    talk = Silent(None)
    bring("tiny", talk=talk)
    assert [line for line in talk.said if "accept" in line] == []
    (written,) = (home / "accepted").iterdir()
    assert json.loads(written.read_text())["id"] == "Tiny-Research"


def test_terms_accepted_on_a_terminal_are_remembered(hub, home):
    write_recipe(home, licence=RESEARCH)
    talk = Silent(answer=True)
    bring("tiny", talk=talk)
    assert "accept the terms of Tiny-Research?" in talk.said
    bring("tiny", talk=Silent(None))


def test_other_terms_under_the_same_name_are_asked_for_again(hub, home):
    write_recipe(home, licence=RESEARCH)
    bring("tiny", accept_licence=("Tiny-Research",))
    write_recipe(home, licence=RESEARCH | {"url": f"{URL}/2"})
    with pytest.raises(TrustError):
        bring("tiny")


def test_the_flag_of_another_licence(hub, home):
    write_recipe(home, licence=RESEARCH)
    with pytest.raises(UsageError) as refused:
        bring("tiny", accept_licence=("Tiny-Reserach",))
    assert (refused.value.code, "Tiny-Research" in refused.value.message.hint) == (2, True)
    assert hub.requests == []


def test_conditions_are_one_line(hub, home):
    write_recipe(home, licence={"id": "Tiny", "url": URL, "conditions": ["Above 100 M users ask.", "Say its name."]})
    talk = Silent()
    bring("tiny", talk=talk)
    assert f"licence Tiny: Above 100 M users ask. Say its name. {URL}" in talk.said


def test_terms_without_conditions_are_no_line(hub, home):
    write_recipe(home)
    talk = Silent()
    bring("tiny", talk=talk)
    assert [line for line in talk.said if line.startswith("licence")] == []


def test_a_repository_without_a_recipe_has_no_terms_to_accept(hub):
    with pytest.raises(UsageError) as refused:
        bring("org/tiny", accept_licence=("Tiny-Research",))
    assert (refused.value.message.id, hub.requests) == ("pull.no_terms", [])
