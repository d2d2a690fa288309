"""Whose language is spoken where: people's on the terminal, English everywhere else."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from selfhost import messages
from selfhost.errors import MissingError
from selfhost.messages import Message, Text, speaking, text, word

GIVEN = {"path": "/x", "detail": "why", "user": "me"}
ENGLISH = "cannot write to `/x`"
CHINESE = "无法写入 `/x`"


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_SG.utf8"}, "zh"),
        ({"LANG": "zh"}, "zh"),
        ({"LANG": "zh_CN.GBK"}, "zh"),
        ({"LANG": "zha_CN.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "POSIX"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "zh"),
        ({"LC_MESSAGES": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_CTYPE": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "zh_CN:en"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "de:en:zh"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "de"}, "zh"),
        ({"LANG": "C.UTF-8", "LANGUAGE": "zh_CN"}, "en"),
        ({"LANGUAGE": "zh_CN"}, "en"),
        ({"SELFHOST_LANG": "zh", "LC_ALL": "C"}, "zh"),
        ({"SELFHOST_LANG": "zh-Hans"}, "zh"),
        ({"SELFHOST_LANG": "en", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"SELFHOST_LANG": "", "LANG": "zh_CN.UTF-8"}, "zh"),
    ],
    ids=str,
)
def test_the_environment_chooses_as_for_any_program(environ, language):
    assert messages.chosen(environ, "utf-8", None) == language


@pytest.mark.parametrize(
    ("encoding", "language"), [("ascii", "en"), ("latin-1", "en"), ("gbk", "zh"), ("nosuch", "en")]
)
def test_no_language_is_chosen_that_an_output_cannot_show(encoding, language):
    assert messages.chosen({"LANG": "zh_CN.UTF-8"}, "utf-8", encoding) == language


def test_a_language_that_is_not_here_is_refused():
    with pytest.raises(KeyError, match="klingon"):
        messages.chosen({"SELFHOST_LANG": "klingon"})


def test_a_sentence_is_english_until_it_is_said_to_people():
    error = MissingError("cli.not_writable", **GIVEN)
    what = error.message.what
    assert (str(error), what, f"{what}", json.dumps(what)) == (ENGLISH, ENGLISH, ENGLISH, json.dumps(ENGLISH))
    with speaking("zh"):
        assert (str(error), error.message.what, str(what), f"{what}") == (CHINESE,) * 4
        assert (what, json.dumps(what)) == (ENGLISH, json.dumps(ENGLISH))  # what was said stays said
    assert str(what) == ENGLISH


def test_a_sentence_in_a_sentence_is_said_in_the_same_language():
    outer = Message("doctor.not_told", {"what": Message("cli.not_writable", GIVEN).what})
    assert outer.what == f"not told: {ENGLISH}"
    with speaking("zh"):
        assert outer.what == f"未能得知：{CHINESE}"


def test_copies_of_a_sentence_are_plain_text():
    what = text("cli.interrupted")
    for copied in (copy.copy(what), copy.deepcopy(what), pickle.loads(pickle.dumps(what))):
        assert (copied, type(copied)) == ("interrupted", str)


def test_what_a_language_lacks_is_said_in_english(monkeypatch):
    whole = messages._area
    monkeypatch.setattr(messages, "_area", lambda language, area: {} if language == "zh" else whole(language, area))
    with speaking("zh"):
        assert text("cli.interrupted") == "interrupted"
    assert isinstance(messages.lookup("cli.interrupted", "zh"), Text)


def test_an_area_that_a_language_lacks_is_empty():
    assert messages._area("zh", "no_such_area") == {}
    with pytest.raises(ModuleNotFoundError):
        messages._area("en", "no_such_area")
    with pytest.raises(KeyError):
        messages.lookup("cli.no_such_message", "zh")


def test_a_word_of_records_is_said_to_people_only():
    said = word("does_not_fit")
    assert (said, f"{said}", json.dumps(said)) == ("does_not_fit", "does_not_fit", '"does_not_fit"')
    with speaking("zh"):
        assert (str(word("does_not_fit")), f"{said}", word("qwen")) == ("放不下", "放不下", "qwen")


def test_the_words_of_english_are_those_of_the_records():
    from selfhost.findings import Severity
    from selfhost.planner.plan import Confidence, Verdict
    from selfhost.serve.lifecycle import State
    from selfhost.weights.inventory import State as Stored

    for value in (*Severity, *Confidence, *Verdict, *State, *Stored):
        said = word(value.value)
        assert said == value.value
        with speaking("zh"):
            assert str(said) != value.value, "has no Chinese"
