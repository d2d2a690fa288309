"""docs/measured.md is what the cases give; every case is in it once, compared or not."""

from __future__ import annotations

from tests import measured_page
from tests.bench.fit_cases import read_cases


def test_the_page_is_what_the_cases_give():
    """`make docs` writes it again."""
    assert measured_page.PATH.read_text() == measured_page.page()


def test_every_case_is_there():
    text = measured_page.PATH.read_text()
    for case in read_cases():
        assert case.id in text or case.source in text, case.id
