"""Headers of safetensors files: sound ones pass, every kind of damage is named."""

from __future__ import annotations

import json

import pytest

from selfhost.models.safetensors import HeaderError, header_findings, index_problems, parse_header

GOOD = {
    "__metadata__": {"format": "pt"},
    "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [16, 28]},
    "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
}


def raw(header: object, data_bytes: int = 28) -> tuple[bytes, int]:
    """The start of a file and the file's size."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text, 8 + len(text) + data_bytes


def test_tensors_come_in_the_order_of_their_offsets():
    entries = parse_header(*raw(GOOD))
    assert [(entry.name, entry.begin, entry.end) for entry in entries] == [("a", 0, 16), ("b", 16, 28)]


def changed(name: str, **values: object) -> dict:
    return {**GOOD, name: {**GOOD[name], **values}}


@pytest.mark.parametrize(
    ("data", "size", "what"),
    [
        (b"", 0, "0 bytes; a header length alone takes 8"),
        (*raw(GOOD, 27), "truncated: tensors need 28 bytes after the header, the file has 27"),
        (*raw(GOOD, 30), "2 bytes after the last tensor belong to nothing"),
        (raw(GOOD)[0], 100, "truncated: header of"),
        (b"\x80\x02}q\x00pickle....", 400, "beyond the format's limit"),
        (*raw(changed("b", data_offsets=[12, 24])), "tensor `b` overlaps `a` by 4 bytes"),
        (*raw(changed("b", data_offsets=[20, 32]), 32), "4 bytes between `a` and `b` belong to no tensor"),
        (*raw(changed("b", shape=[2, 4])), "tensor `b` (BF16 [2, 4]) needs 16 bytes, its offsets give 12"),
        (*raw(changed("b", dtype="F7")), "tensor `b` has the unknown dtype 'F7'"),
        (*raw(changed("b", shape=[-2, -3])), "tensor `b` has no usable dtype, shape and offsets"),
        (*raw({"a": 3}, 0), "tensor `a` has no usable dtype, shape and offsets"),
        (*raw([1], 0), "the header is not a JSON object"),
        ((4).to_bytes(8, "little") + b"{nop", 12, "the header is not JSON"),
        ((100_000).to_bytes(8, "little") + b"[" * 100_000, 100_008, "the header is not JSON"),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, str) else "",
)
def test_damage_is_named(data, size, what):
    with pytest.raises(HeaderError) as raised:
        parse_header(data, size)
    assert what in str(raised.value)
    (finding,) = header_findings("model.safetensors", data, size)
    assert what in finding.message.why


def test_a_sound_file_has_no_findings():
    assert header_findings("model.safetensors", *raw(GOOD)) == []


def test_an_index_must_agree_with_the_files():
    index = {"weight_map": {"a": "one", "b": "two", "c": "one"}}
    assert index_problems(index, {"one": ["a", "c"], "two": ["b"]}) == []
    (absent,) = index_problems(index, {"one": ["a", "c"]})
    assert absent.message.why == "missing: two"
    (lost,) = index_problems(index, {"one": ["a"], "two": ["b"]})
    assert lost.message.why == "1 tensors of the index are not in their files: c"
