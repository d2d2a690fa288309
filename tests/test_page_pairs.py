"""A page and its Chinese one stay one: sections, commands, literals, figures, links; and links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.page_commands import FROM_THE_TOP, REPOSITORY
from tests.page_shape import OTHER, blocks, differences

if TYPE_CHECKING:
    from pathlib import Path

GENERATED = {"troubleshooting"}  # both by one program: tests/test_failure_reference.py
DOCS = REPOSITORY / "docs"
PAIRS = [REPOSITORY / "README.md", *(DOCS / f"{name}.md" for name in FROM_THE_TOP)]
PAGES = [*REPOSITORY.glob("*.md"), *DOCS.glob("*.md")]
CHANGES = {
    "a paragraph more": (r"\n\n(?=\w)", "\n\nOne more.\n\n"),
    "a paragraph less": (r"\n\n\w[^\n]+\n(?:[^\n]+\n)*(?=\n## )", "\n\n"),
    "another option": (r"\$ selfhost (\w+)", r"$ selfhost \1 --json"),
    "a command less": (r"\$ selfhost [^\n]+\n", ""),
    "another level": (r"\n## ", "\n### "),
    "another figure": (r"(?<=[ (])(\d+)(?= |,|$)", r"1\1"),
    "another literal": (r"`(--?\w[\w-]*)", r"`\1-x"),
    "another name": (r"(?<= )(?:[A-Z]{2,}\d*|v[A-Z]{2,}\w*)(?=[ ,.])", "Z9Z"),
    "another link": (r"\]\((docs/|\.\./)?(\w+)", r"](\1other\2"),
}


def twin(page: Path) -> Path:
    return page.with_name(page.stem + OTHER)


def ids(page: Path) -> str:
    return page.stem


@pytest.mark.parametrize("page", PAIRS, ids=ids)
def test_the_page_is_the_same_in_both_languages(page):
    assert differences(page.read_text(), twin(page).read_text()) == []


def test_every_chinese_page_has_its_english_one_and_is_compared():
    chinese = {path.name.removesuffix(OTHER) for path in PAGES if path.name.endswith(OTHER)}
    assert chinese - GENERATED == {page.stem for page in PAIRS}


@pytest.mark.parametrize("page", PAIRS, ids=ids)
def test_both_begin_with_a_link_to_each_other(page):
    for here, there in ((page, twin(page)), (twin(page), page)):
        assert f"]({there.name})" in "".join(here.read_text().splitlines()[:4])


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("page", PAIRS, ids=ids)
def test_a_change_of_one_alone_is_noticed(page, change):
    pattern, put_in = CHANGES[change]
    before = page.read_text()
    places = list(re.finditer(pattern, before))
    assert places or change in {"another figure", "a paragraph less"}, page.stem
    for place in places:
        changed = before[: place.start()] + place.expand(put_in) + before[place.end() :]
        assert differences(changed, twin(page).read_text()), before[place.start() - 40 : place.end() + 40]


def test_comments_of_commands_may_be_translated():
    one, other = "```console\n$ a b   # what\n```\n", "```console\n$ a b   # 什么\n```\n"
    assert differences(one, other) == []
    assert differences(one, other.replace("a b", "a c"))


def test_words_may_stand_in_another_order():
    assert differences("`a` before `b`, 3 of 4\n", "4 个中的 3 个 `b` 在 `a` 之后\n") == []
    assert [block.kind for block in blocks("# T\n\ntext\nmore\n\n- a\n- b\n  c\n\n| x | y |\n")] == [
        *("heading 1", "paragraph", "item 0", "item 0", "row 2")
    ]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.is_file(), target
        if anchor:
            assert anchor in {slug(line) for line in there.read_text().splitlines() if line.startswith("#")}, target


@pytest.mark.parametrize("page", [page for page in PAGES if page.name.endswith(OTHER)], ids=ids)
def test_a_chinese_page_leads_to_chinese_pages_where_there_are_any(page):
    for target in re.findall(r"\]\(([^)\s#]+\.md)", page.read_text()):
        there = page.parent / target
        assert there.name.endswith(OTHER) or not twin(there).exists() or there.resolve() == english(page), target


def english(page: Path) -> Path:
    return page.with_name(page.name.replace(OTHER, ".md")).resolve()


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower()).replace(" ", "-")


def test_the_page_of_the_architecture_names_what_there_is():
    page = (DOCS / "architecture.md").read_text()
    table = page.partition("## Dependencies")[2]
    named = set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert named == {re.split(r"[\[><=]", one)[0] for one in project["dependencies"]}
    for path in re.findall(r"`([\w/]+(?:/|\.py|\.md|\.toml))`", page):
        assert (REPOSITORY / path).exists() or (REPOSITORY / "selfhost" / path).exists() or path == "LEAVING.md", path


def test_the_architecture_fits_on_a_screen():
    assert len((DOCS / "architecture.md").read_text().splitlines()) <= 100
