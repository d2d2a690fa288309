"""What two pages in different languages must have in common: sections, blocks, commands, literals, figures, links.

A page is headings and, below each, blocks: paragraphs, items of lists, rows of tables, code. Of a block of text its
literals (`in backticks`), its figures and its links count, in any order, as words stand differently in each language;
also its names (`A800`, `GB`, `CUDA`), however often. What the words between them say no program compares: a `not` less.
Anchors of links are headings, and differ.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

OTHER = ".zh-CN.md"
_LITERAL = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<(https?://[^>]+)>")
# `in 8 GB`: 8; not the digits of a word (`qwen2`, `H100`, `RFC-1`).
_FIGURE = re.compile(r"(?<![\w.-])\d[\d,]*(?:\.\d+)*(?![\w-])", re.ASCII)
# `A800`, `GB`, `CUDA`, `vLLM`, `W8A8`: two capitals, or a digit; what is written alike in every language.
_NAME = re.compile(
    r"(?<![\w-])(?=[A-Za-z]*(?:[A-Z][A-Za-z]*[A-Z]|[0-9]))[A-Za-z][A-Za-z0-9]*?(?=s?(?![A-Za-z0-9]))", re.ASCII
)
_COMMENT = re.compile(r"(?:^|\s+)# .*$")
_ITEM = re.compile(r"^( *)([-*]|\d+\.) ")


class Block(NamedTuple):
    """One block, and what must be equal in every language."""

    section: int
    """Of which heading, counted from the top."""
    kind: str
    """`heading 2`, `paragraph`, `item 0`, `row 3`, `code console`."""
    equal: tuple[str, ...]
    line: int
    """Where it starts, for people."""


def blocks(page: str) -> list[Block]:
    """The page, block by block."""
    found: list[Block] = []
    lines = page.splitlines()
    section = number = 0
    while number < len(lines):
        line, start = lines[number], number
        if fence := re.match(r"^ *```(\w*)", line):
            end = next(n for n in range(number + 1, len(lines)) if lines[n].lstrip().startswith("```"))
            found.append(Block(section, f"code {fence[1]}", tuple(map(_code, lines[number + 1 : end])), start + 1))
            number = end + 1
            continue
        if not line.strip():
            number += 1
            continue
        kind, number = _kind(line), number + 1
        if kind.startswith("heading"):
            section += 1
        elif not kind.startswith("row"):
            while number < len(lines) and lines[number].strip() and _kind(lines[number]) == "paragraph":
                number += 1
        text = "\n".join(lines[start:number])
        found.append(Block(section, kind, _equal(text), start + 1))
    return found


def _kind(line: str) -> str:
    if heading := re.match(r"^(#+) ", line):
        return f"heading {len(heading[1])}"
    if line.startswith("|"):
        return f"row {line.count('|') - 1}"
    if item := _ITEM.match(line):
        return f"item {len(item[1])}{'.' if item[2].endswith('.') else ''}"
    return "code" if line.lstrip().startswith("```") else "paragraph"


def _code(line: str) -> str:
    """As it is, but for the words of a comment: of these only literals and figures count."""
    comment = _COMMENT.search(line)
    return line.rstrip() if comment is None else " ".join([line[: comment.start()], "#", *_equal(comment[0])])


def _equal(text: str) -> tuple[str, ...]:
    text = _ITEM.sub("", text)
    links = [
        re.sub("#.*", "#", target).replace(OTHER, ".md") for pair in _LINK.findall(text) for target in pair if target
    ]
    bare = _LINK.sub(" ", text.replace("\n", " "))
    literals = _LITERAL.findall(bare)
    figures = _FIGURE.findall(_LITERAL.sub(" ", bare))
    shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r" \1 ", text.replace("\n", " "))
    names = {f"name {one}" for one in _NAME.findall(_LITERAL.sub(" ", shown))}
    return tuple(sorted([*(f"`{one}`" for one in literals), *figures, *(f"({one})" for one in links), *names]))


def differences(one: str, other: str) -> list[str]:
    """What is not the same in two pages; the first of each section, as what comes later mostly follows from it."""
    mine, theirs = blocks(one), blocks(other)
    told: dict[int, str] = {}
    for here, there in zip(mine, theirs, strict=False):
        if (here.section, here.kind) != (there.section, there.kind):
            told[here.section] = f"line {here.line} is {here.kind}, line {there.line} of the other is {there.kind}"
            break
        if here.equal != there.equal:
            lacking, extra = Counter(here.equal) - Counter(there.equal), Counter(there.equal) - Counter(here.equal)
            said = f"line {here.line}: {sorted(lacking)}, line {there.line} of the other: {sorted(extra)}"
            told.setdefault(here.section, said if lacking or extra else f"line {here.line}: another order")
    if not told and len(mine) != len(theirs):
        told[0] = f"{len(mine)} blocks, the other has {len(theirs)}"
    return list(told.values())
