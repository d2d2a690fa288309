"""Headers, layout and what is copied, by the quantizer's own reader of safetensors."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "selfhost" / "inside"))

import selfhost_quantize_files as files
import selfhost_quantize_state as state
from selfhost_quantize_events import Refused


def write(path: Path, header: object, data: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_a_layout_is_read_back_and_aligned(tmp_path):
    outs = [
        files.Out("a", "F8_E4M3", (3, 5)),
        files.Out("b", "F32", (7,)),
        files.Out("c", "BF16", (3,)),
        files.Out("d", "U8", ()),
    ]
    header, begins = files.layout(outs)
    path = tmp_path / "x.safetensors"
    path.write_bytes(header + bytes(28 + 6 + 15 + 1))
    found = files.read_header(path)
    assert list(found) == ["b", "c", "a", "d"], "wide items first"
    for out in outs:
        assert found[out.name] == files.Tensor(out.name, out.dtype, out.shape, path, begins[out.name], out.size)
        assert begins[out.name] % (files.ITEM_BITS[out.dtype] // 8) == 0


ENTRY = {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "data", "detail"),
    [
        ({"w": ENTRY}, bytes(7), "inside w"),
        ({"w": {**ENTRY, "data_offsets": [0, 7]}}, bytes(8), "w has 7 bytes"),
        ({"w": {"shape": [2]}}, bytes(8), "data_offsets"),
        (["w"], b"", "list"),
    ],
)
def test_broken_files_are_named(tmp_path, header, data, detail):
    path = write(tmp_path / "x.safetensors", header, data)
    with pytest.raises(Refused) as refused:
        files.read_header(path)
    assert refused.value.id == "quantize.broken_file"
    assert refused.value.params["path"] == str(path)
    assert detail in refused.value.params["detail"]


def test_no_file_and_no_header(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"\xff" * 20)
    for name, wanted in (("a.safetensors", "quantize.broken_file"), ("b.safetensors", "quantize.unreadable")):
        with pytest.raises(Refused) as refused:
            files.read_header(tmp_path / name)
        assert refused.value.id == wanted


def test_which_files_hold_the_weights(tmp_path):
    with pytest.raises(Refused, match=r"quantize\.no_weights"):
        files.weight_files(tmp_path)
    for name in ("model-2.safetensors", "model-1.safetensors", "consolidated.safetensors"):
        (tmp_path / name).touch()
    assert [path.name for path in files.weight_files(tmp_path)] == ["model-1.safetensors", "model-2.safetensors"]
    (tmp_path / files.INDEX).write_text('{"weight_map": {"a": "model-2.safetensors"}}')
    assert [path.name for path in files.weight_files(tmp_path)] == ["model-2.safetensors"]
    (tmp_path / files.INDEX).write_text('{"weight_map": {"a": "../model-2.safetensors"}}')
    with pytest.raises(Refused, match=r"quantize\.broken_file"):
        files.weight_files(tmp_path)


def test_what_goes_along(tmp_path):
    for name in (
        "config.json",
        "tokenizer.json",
        "LICENSE",
        "a/chat.jinja",
        "a/model.pth",
        ".git/x",
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "selfhost-model.json",
        "hf_quant_config.json",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path) for path in files.others(tmp_path)] == ["LICENSE", "tokenizer.json", "a/chat.jinja"]


def test_what_is_kept_of_an_earlier_run(tmp_path):
    first = state.State(tmp_path, "job")
    for name in ("a", "b"):
        first.part(name).write_text(name)
        first.finished(name, 1, state.sha256_of(first.part(name)))
    first.part("c").write_text("unfinished")
    (tmp_path / "b").write_text("x")
    again = state.State(tmp_path, "job")
    assert again.has("a")
    assert not again.has("b"), "its bytes are others"
    assert not again.part("c").exists()
    assert not state.State(tmp_path, "another job").has("a")


def test_a_job_is_another_when_its_source_or_scheme_is(tmp_path):
    path = tmp_path / "w"
    path.write_text("1")
    digests = {state.job_digest("fp8", None, (), [path]), state.job_digest("nf4", None, (), [path])}
    digests |= {state.job_digest("fp8", 64, (), [path]), state.job_digest("fp8", None, ("gate",), [path])}
    path.write_text("12")
    digests.add(state.job_digest("fp8", None, (), [path]))
    assert len(digests) == 5
