"""Terms of weights, from the metadata of a README and the beginning of a licence file."""

from __future__ import annotations

import pytest

from selfhost.recipe.draft_licence import front_matter, licence_of

PAGE, FILE = "https://hub.example/org/x", "https://hub.example/org/x/blob/main/LICENSE"
APACHE = "                                 Apache License\n                           Version 2.0, January 2004\n"
MIT = "MIT License\n\nCopyright (c) 2025 X\n\nPermission is hereby granted, free of charge, to any person obtaining"


def told(card, text=None):
    return licence_of(card, text, page=PAGE, file=FILE if text is not None else None)


@pytest.mark.parametrize(
    ("readme", "found"),
    [
        ("---\nlicense: mit\n---\n# Title", {"license": "mit"}),
        ("---\r\nlicense: mit\r\n---\r\n", {"license": "mit"}),
        ("\ufeff---\nlicense: mit\n---", {"license": "mit"}),
        ("# Title\n---\nlicense: mit\n---\n", {}),
        ("---\nlicense: [unclosed\n---\n", {}),
        ("---\n- a list\n---\n", {}),
        ("---\nlicense: mit\n", {}),
        ("", {}),
    ],
    ids=["plain", "windows", "mark", "not at the head", "no YAML", "no mapping", "no end", "empty"],
)
def test_front_matter(readme, found):
    assert front_matter(readme) == found


def test_metadata_and_text_that_agree_leave_no_doubt():
    found = told({"license": "apache-2.0"}, APACHE)
    assert (found.id, found.url) == ("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0")
    assert found.doubts == ()
    assert (found.own_terms, found.research_only) == (False, False)


def test_a_text_that_was_not_read_is_a_doubt():
    assert told({"license": "MIT"}).doubts == ("licence: MIT by the metadata of the README; its text was not read",)
    assert told({"license": "mit"}, "Our own terms").doubts == told({"license": "mit"}).doubts


def test_a_text_of_another_licence_is_a_doubt():
    (doubt,) = told({"license": "apache-2.0"}, MIT).doubts
    assert doubt == "licence: Apache-2.0 by the metadata of the README, but its licence file looks like MIT"


def test_a_text_without_metadata():
    found = told({}, MIT)
    assert (found.id, found.is_known) == ("MIT", True)
    assert found.doubts == ("licence: MIT by the beginning of the licence file; no metadata names it",)


def test_terms_of_the_vendor_are_to_be_read():
    card = {"license": "other", "license_name": "glm-4 terms", "license_link": "https://example.org/terms"}
    found = told(card)
    assert (found.id, found.url) == ("LicenseRef-glm-4-terms", "https://example.org/terms")
    assert found.own_terms
    assert not found.research_only


@pytest.mark.parametrize(
    ("card", "url"),
    [({"license_link": "LICENSE"}, FILE), ({"license_link": "javascript:alert(1)"}, FILE), ({}, FILE)],
)
def test_a_link_that_is_no_address_is_the_licence_file(card, url):
    assert told({"license": "other", "license_name": "x", **card}, "Terms").url == url
    assert told({"license": "other", "license_name": "x", **card}).url == PAGE


@pytest.mark.parametrize(
    ("card", "research_only"),
    [
        ({"license": "other", "license_name": "qwen-research"}, True),
        ({"license": "other", "license_name": "xyz-nc-1.0"}, True),
        ({"license": "other", "license_name": "Non-Commercial"}, True),
        ({"license": "cc-by-nc-4.0"}, True),
        ({"license": "cc-by-4.0"}, False),
        ({"license": "other", "license_name": "researcher-friendly"}, False),
        ({"license": "other", "license_name": "encore"}, False),
    ],
)
def test_not_for_commercial_use(card, research_only):
    assert told(card).research_only is research_only


@pytest.mark.parametrize("card", [{}, {"license": "unknown"}, {"license": 7}, {"license": []}, {"license": "a\nb"}])
def test_nothing_tells(card):
    found = told(card)
    assert (found.id, found.is_known, found.url) == ("LicenseRef-unknown", False, PAGE)
    assert found.doubts == ("licence: nothing that was read tells it",)


def test_the_first_of_several():
    assert told({"license": ["mit", "apache-2.0"]}).id == "MIT"


def test_a_name_of_odd_characters_makes_an_id():
    assert told({"license": "other", "license_name": "模型 terms!"}).id == "LicenseRef-terms"
    assert told({"license": "other", "license_name": "模型"}).id == "LicenseRef-other"
