"""Headers read in pieces: from a directory and from a server, long ones, damaged ones, and no more than is allowed."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from selfhost.errors import IncompleteError
from selfhost.models.headers import Tensor
from selfhost.weights.header_http import over_http
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


class Server:
    """What was asked of it, and how it answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.knows_ranges = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name, wanted = self.path.rpartition("/")[2], self.headers.get("Range", "")
                outer.asked.append((name, wanted, self.headers.get("Authorization", "")))
                if name not in FILES:
                    self.send_error(404)
                    return
                data, span = FILES[name], re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
                if outer.knows_ranges and span:
                    begin, end = int(span[1]), min(int(span[2]) + 1, len(data))
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
                    data = data[begin:end]
                else:
                    self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/some/model"


@pytest.fixture
def server():
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


def check(headers) -> None:
    assert headers.files == headers.read == 2
    assert headers.is_complete
    assert headers.tensors["model.embed_tokens.weight"] == Tensor("BF16", (8, 4))
    assert len(headers.names) == len(headers.tensors) == 2001
    assert headers.data_bytes == 64 + 96


def test_headers_of_a_directory(directory):
    check(read_headers(NAMES, in_directory(directory)))


def test_headers_over_http_take_one_request_and_a_second_for_the_rest_of_a_long_one(server):
    check(read_headers(NAMES, over_http(server.url, {"Authorization": "Bearer t"})))
    first, second = NAMES
    length = 8 + int.from_bytes(FILES[second][:8], "little")
    assert length > 65536
    assert server.asked == [
        (first, "bytes=0-65535", "Bearer t"),
        (second, "bytes=0-65535", "Bearer t"),
        (second, f"bytes=65536-{length - 1}", "Bearer t"),
    ]


def test_names_of_an_index_are_known_and_headers_beyond_the_limit_are_left(directory):
    headers = read_headers(NAMES, in_directory(directory), known_names=["a", "b"], limit_bytes=1000, absent=1)
    assert (headers.files, headers.read, headers.is_complete) == (3, 1, False)
    assert headers.names == {"model.embed_tokens.weight", "a", "b"}


def refusal(names, open_range) -> tuple[str, str]:
    with pytest.raises(IncompleteError) as caught:
        read_headers(names, open_range)
    return caught.value.message.what, caught.value.message.why


def test_a_server_without_ranges_is_not_waited_for(server):
    server.knows_ranges = False
    what, why = refusal(NAMES, over_http(server.url))
    assert what == f"`{server.url}/{NAMES[0]}` cannot be read in pieces"
    assert why == "the server does not answer range requests"


def test_what_cannot_be_read_is_named(directory, server):
    what, why = refusal(["absent.safetensors"], in_directory(directory))
    assert (what, why) == ("the header of `absent.safetensors` could not be read", "No such file or directory")
    what, why = refusal(["absent.safetensors"], over_http(server.url))
    assert "404" in why
    with pytest.raises(IncompleteError) as caught:
        over_http("file:///etc")
    assert caught.value.message.why == "not an address of HTTP"


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
