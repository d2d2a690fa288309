"""Chinese in the columns of a terminal."""

from __future__ import annotations

import textwrap

import pytest

from selfhost import columns


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("weights", 7), ("权重", 4), ("KV 缓存", 7), ("（A）", 5), ("é", 1), ("e\u0301", 1), ("…", 1), ("█", 1)],
)
def test_how_wide_a_line_is(text, width):
    assert columns.columns(text) == width


def test_cells_stand_under_each_other():
    rows = [("项目", "需要", ""), ("driver", "25.5.1", "ok"), ("固件版本", "1", "")]
    assert columns.table(rows) == ["项目      需要", "driver    25.5.1  ok", "固件版本  1"]
    assert [columns.columns(line[: line.index("1")]) for line in columns.table(rows)[2:]] == [10]
    assert columns.table([]) == []


def test_padding_and_cutting_count_columns():
    assert (columns.ljust("权重", 6), columns.rjust("权重", 6), columns.ljust("权重", 2)) == (
        "权重  ",
        "  权重",
        "权重",
    )
    assert columns.cut("权重放不下", 10) == "权重放不下"
    assert columns.cut("权重放不下", 9) == "权重放不…"
    assert columns.cut("权重放不下", 8) == "权重放…"
    assert columns.cut("weights", 6) == "weigh…"
    assert columns.cut("权重", 3, "") == "权"


TEXT = "放不下：权重需要 79.6 GiB，可用 72.9 GiB；尝试 `selfhost plan deepseek-v3 --on 2x8xH100`（两个节点）"


@pytest.mark.parametrize("width", [20, 21, 37, 40, 60, 100])
def test_chinese_is_wrapped_without_spaces_and_no_word_is_cut(width):
    lines = columns.wrap(TEXT, width, subsequent_indent="  ")
    longest = max(columns.columns(word) for word in TEXT.split())
    assert all(columns.columns(line) <= max(width, longest) for line in lines)
    assert "".join(lines).replace(" ", "") == TEXT.replace(" ", "")
    assert all(line.startswith("  ") for line in lines[1:])
    assert all(line.strip()[0] not in "，。；：）" and line[-1] != "（" for line in lines)
    for word in ("`selfhost", "deepseek-v3", "2x8xH100`", "79.6", "GiB，"):
        assert any(word in line for line in lines), word
    assert columns.fill(TEXT, width, subsequent_indent="  ") == "\n".join(lines)


def test_lines_are_as_full_as_they_can_be():
    assert columns.wrap("一二三四五六七八", 8) == ["一二三四", "五六七八"]
    assert columns.wrap("一二三四，五六", 8) == ["一二三", "四，五六"]
    assert columns.wrap("  空 格", 4, initial_indent="- ", subsequent_indent="  ") == ["- 空", "  格"]
    assert columns.wrap("　", 4) == []


@pytest.mark.parametrize("text", ["", "one two three four", "a-long-hyphenated word", "x" * 50, "bar █████ é … 5"])
def test_other_text_is_wrapped_as_ever(text):
    assert columns.wrap(text, 10, subsequent_indent="  ") == textwrap.wrap(text, 10, subsequent_indent="  ")
