"""Headers read in pieces: from a directory and from a server, long ones, damaged ones, and no more than is allowed."""

from __future__ import annotations

import json

import pytest

from selfhost.errors import IncompleteError
from selfhost.models.headers import Tensor
from selfhost.weights.headers import in_directory, read_headers


def file_of(tensors: dict[str, tuple[str, list[int], int]], data: int = 64) -> bytes:
    header = {
        name: {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}
        for name, (dtype, shape, size) in tensors.items()
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"\0" * data


FILES = {
    "model-00001-of-00002.safetensors": file_of({"model.embed_tokens.weight": ("BF16", [8, 4], 64)}),
    "model-00002-of-00002.safetensors": file_of(
        {f"model.layers.{n}.self_attn.q_proj.weight": ("BF16", [4, 4], 32) for n in range(2000)}, data=96
    ),
}
NAMES = sorted(FILES)


@pytest.fixture
def directory(tmp_path):
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def check(headers) -> None:
    assert headers.files == headers.read == 2
    assert headers.is_complete
    assert headers.tensors["model.embed_tokens.weight"] == Tensor("BF16", (8, 4))
    assert len(headers.names) == len(headers.tensors) == 2001
    assert headers.data_bytes == 64 + 96


def test_headers_of_a_directory(directory):
    check(read_headers(NAMES, in_directory(directory)))


def test_names_of_an_index_are_known_and_headers_beyond_the_limit_are_left(directory):
    headers = read_headers(NAMES, in_directory(directory), known_names=["a", "b"], limit_bytes=1000, absent=1)
    assert (headers.files, headers.read, headers.is_complete) == (3, 1, False)
    assert headers.names == {"model.embed_tokens.weight", "a", "b"}


def refusal(names, open_range) -> tuple[str, str]:
    with pytest.raises(IncompleteError) as caught:
        read_headers(names, open_range)
    return caught.value.message.what, caught.value.message.why


def test_what_cannot_be_read_is_named(directory):
    what, why = refusal(["absent.safetensors"], in_directory(directory))
    assert (what, why) == ("the header of `absent.safetensors` could not be read", "No such file or directory")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "header of 0 bytes in a file of 0"),
        (b"\x10", "header of 16 bytes in a file of 1"),
        ((500).to_bytes(8, "little") + b"{}", "header of 500 bytes in a file of 10"),
        ((2).to_bytes(8, "little") + b"[]", "no header of tensors"),
        (b"version https://git-lfs.github.com/spec/v1\n", "header of "),
    ],
)
def test_damaged_files_are_named(tmp_path, data, why):
    (tmp_path / "model.safetensors").write_bytes(data)
    what, found = refusal(["model.safetensors"], in_directory(tmp_path))
    assert what == "the header of `model.safetensors` could not be read"
    assert found.startswith(why)
