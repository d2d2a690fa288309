"""Questions over HTTP, against a server of a few lines that says what the test wants."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from selfhost.serve.health import (
    Answer,
    Endpoint,
    Health,
    Piece,
    RefusedError,
    ask_health,
    ask_metrics,
    base_url,
    check_answer,
    reachable_host,
    stream,
)

QUESTION = [{"role": "user", "content": "?"}]


@pytest.fixture
def serving():
    """`serving(replies)`: path -> (status, body); returns the endpoint and the list of requests."""
    servers = []

    def serve(replies, **more):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def reply(self):
                length = int(self.headers.get("Content-Length") or 0)
                asked.append((self.path, dict(self.headers), json.loads(self.rfile.read(length) or b"null")))
                status, body = replies[self.path]
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = reply  # noqa: N815

            def log_message(self, *_args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return Endpoint(host="127.0.0.1", port=server.server_port, model="m", **more), asked

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def events(*deltas, usage=0, done=True) -> bytes:
    lines = [{"choices": [{"delta": delta}]} for delta in deltas]
    lines += [{"choices": [], "usage": {"completion_tokens": usage}}] if usage else []
    text = "".join(f"data: {json.dumps(line)}\n\n" for line in lines)
    return (text + ("data: [DONE]\n\n" if done else "")).encode()


@pytest.mark.parametrize(
    ("status", "health"), [(200, Health.OK), (503, Health.DEAD), (500, Health.SILENT), (404, Health.SILENT)]
)
def test_health(serving, status, health):
    endpoint, _ = serving({"/health": (status, b"")})
    assert ask_health(endpoint, 2) is health


def test_nobody_there_is_silence():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert ask_health(Endpoint(host="127.0.0.1", port=probe.getsockname()[1], model="m"), 1) is Health.SILENT


def test_an_answer_streams_with_reasoning_apart(serving):
    body = events({"reasoning": "hm"}, {"reasoning_content": "!"}, {"content": "Pa"}, {"content": "ris"}, usage=4)
    endpoint, asked = serving({"/v1/chat/completions": (200, body)}, key="sk-1")
    pieces = list(stream(endpoint, QUESTION, {"temperature": 0}, 2))
    assert pieces == [Piece("hm", True), Piece("!", True), Piece("Pa"), Piece("ris"), Piece("")]
    _, headers, sent = asked[0]
    assert headers["Authorization"] == "Bearer sk-1"
    assert sent["model"] == "m"
    assert sent["messages"] == QUESTION
    assert sent["temperature"] == 0


@pytest.mark.parametrize(
    ("expect", "answer", "right"),
    [("Paris", "The capital is Paris.", True), ("Paris", "zzz", False), ("", "anything", True)],
)
def test_checked_answers(serving, expect, answer, right):
    endpoint, _ = serving({"/v1/chat/completions": (200, events(*({"content": word} for word in answer), usage=9))})
    found = check_answer(endpoint, "?", expect, max_tokens=99, timeout_s=2)
    assert found.right is right
    assert answer.startswith(found.text)


def test_the_check_reads_the_thoughts_too_and_stops_early(serving):
    body = events({"reasoning": "It is Par"}, {"reasoning": "is, "}, {"content": "never read"})
    endpoint, _ = serving({"/v1/chat/completions": (200, body)})
    assert check_answer(endpoint, "?", "Paris", max_tokens=99, timeout_s=2) == Answer(True, "It is Paris, ", True)


def test_tokens_that_spell_nothing_are_an_answer_when_any_will_do(serving):
    endpoint, asked = serving({"/v1/chat/completions": (200, events(usage=1))})
    assert check_answer(endpoint, "?", "", max_tokens=99, timeout_s=2).right
    assert asked[0][2]["max_tokens"] == 8
    endpoint, _ = serving({"/v1/chat/completions": (200, events())})
    assert not check_answer(endpoint, "?", "", max_tokens=99, timeout_s=2).right


def test_a_model_without_a_chat_template_is_asked_by_completion(serving):
    refusal = json.dumps({"error": {"message": "you must provide a chat template if the tokenizer"}}).encode()
    body = b'data: {"choices": [{"text": "Paris"}]}\n\ndata: [DONE]\n\n'
    endpoint, asked = serving({"/v1/chat/completions": (400, refusal), "/v1/completions": (200, body)})
    assert check_answer(endpoint, "Capital?", "Paris", max_tokens=99, timeout_s=2) == Answer(True, "Paris", False)
    assert asked[1][2]["prompt"] == "Capital?"


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (404, b'{"error": {"message": "The model `m` does not exist."}}', "The model `m` does not exist."),
        (500, b"Internal Server Error", "Internal Server Error"),
        (200, events({"content": "cut"}, done=False), "the stream was cut off"),
        (200, b"data: nonsense\n\n", "not JSON: nonsense"),
        (200, b'data: {"error": {"message": "EngineCore died"}}\n\n', "EngineCore died"),
    ],
)
def test_refusals_say_what_the_server_said(serving, status, body, detail):
    endpoint, _ = serving({"/v1/chat/completions": (status, body)})
    with pytest.raises(RefusedError) as caught:
        list(stream(endpoint, QUESTION, {}, 2))
    assert caught.value.detail == detail
    assert caught.value.status == (None if status == 200 else status)


def test_a_server_that_never_answers_times_out():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        endpoint = Endpoint(host="127.0.0.1", port=listener.getsockname()[1], model="m")
        with pytest.raises(RefusedError, match="timed out") as caught:
            list(stream(endpoint, QUESTION, {}, 0.1))
    assert caught.value.late


def test_the_page_of_metrics_is_read_with_the_key_and_is_empty_where_there_is_none(serving):
    endpoint, asked = serving({"/metrics": (200, b"vllm:prompt_tokens_total 1.0\n")}, key="k")
    assert ask_metrics(endpoint, 1) == "vllm:prompt_tokens_total 1.0\n"
    assert asked[0][1]["Authorization"] == "Bearer k"
    assert ask_metrics(serving({"/metrics": (404, b"no")})[0], 1) == ""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert ask_metrics(Endpoint(host="127.0.0.1", port=nobody.getsockname()[1], model="m"), 1) == ""


def test_addresses():
    assert reachable_host("0.0.0.0") == "127.0.0.1"
    assert base_url("0.0.0.0", 8000) == "http://127.0.0.1:8000"
    assert base_url("::", 8000) == "http://[::1]:8000"
    assert base_url("10.0.0.5", 8000) == "http://10.0.0.5:8000"
