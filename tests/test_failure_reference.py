"""docs/troubleshooting.md says what the doctor and its fingerprints say."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from selfhost.doctor.examine import RULES as DOCTOR
from selfhost.doctor.links import LINKS
from selfhost.messages.en import diagnose, diagnose_ascend, doctor_ascend, doctor_cuda
from selfhost.serve.diagnose import CLUES, RULES
from tests import failure_reference
from tests.failure_rules import DETECTING, detected
from tests.failure_words import WORDS
from tests.pattern_text import shown

LANGUAGES = [one for one in WORDS if failure_reference.exists(one)]
# What may stand where a shown line has a name or `…`.
VALUES = ("7", "777", "x", "", " ", "libhccl.so", "vllm.x", "tool call", "_x")


def told() -> dict[str, str]:
    """The sections a message stands in, by its id."""
    return {one.message_id: name for name, all_of in failure_reference.sections().items() for one in all_of}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_what_the_rules_are(language):
    """`make docs` writes it again."""
    assert failure_reference.PATHS[language].read_text() == failure_reference.reference(language)


def test_everything_that_is_said_of_accelerators_and_logs_is_on_the_page():
    known = {*diagnose.MESSAGES, *diagnose_ascend.MESSAGES, *doctor_cuda.MESSAGES, *doctor_ascend.MESSAGES}
    assert known - set(told()) == set()


def test_every_message_of_the_modules_of_rules_is_on_the_page():
    """Also one that is handed on in a way that nobody thought of."""
    modules = {rule.__module__.rpartition(".")[2] for rule in DOCTOR}
    folder = Path(failure_reference.__file__).parent.parent / "selfhost" / "doctor"
    sources = "\n".join((folder / f"{name}.py").read_text() for name in modules)
    assert set(re.findall(r'Message\("([a-z_.]+)"', sources)) - set(told()) == set()
    assert len(modules) == 5


def test_what_has_a_link_is_on_the_page_or_is_said_of_a_device_alone():
    assert set(LINKS) - set(told()) == set()


def test_detection_is_judged_by_the_rule_itself():
    bad = {one.message_id: one.severities[0].value for one in detected()}
    assert bad["hardware.nvidia_hangs"] == "error"
    assert bad["hardware.npu_none"] == "warning"
    assert bad["hardware.hidden"] == "note"
    assert "hardware.busy" not in bad  # told with the processes: doctor.memory_held
    assert len(DETECTING) == 7


def test_severities_are_those_of_the_code():
    bad = {one.message_id: one.severities for one in failure_reference.sections()["host"]}
    assert [s.value for s in bad["doctor.small_shm"]] == ["error", "warning"]
    assert [s.value for s in bad["doctor.clock"]] == ["error"]
    assert [s.value for s in bad["doctor.disk_speed"]] == ["note"]


@pytest.mark.parametrize("rule", [*RULES, *CLUES], ids=lambda rule: rule.message_id)
def test_every_line_that_the_page_shows_is_one_that_the_rule_finds(rule):
    names = sorted((name.upper() for name in rule.pattern.groupindex), key=len, reverse=True)
    varies = re.compile("|".join([*names, r"\bN\b", "…"]))
    lines = shown(rule.pattern.pattern)
    assert lines
    for line in lines:
        count = len(varies.findall(line))
        filled = (_filled(varies, line, values) for values in product(VALUES, repeat=count))
        assert any(rule.pattern.search(text + end) for text in filled for end in ("", " ")), line


def _filled(varies, line, values):
    rest = iter(values)
    return varies.sub(lambda _: next(rest), line)


def test_a_pattern_with_many_choices_shows_the_first_of_each():
    assert shown("(?:a1|b2|c3)(?:d4|e5|f6)") == ["a1d4"]
    assert shown(r"(?:a1|b2)x|y+ \d+") == ["a1x", "b2x", "y N"]
