"""`accept`: each check passes, fails, or is not shown, against a server that gets one thing wrong at a time."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from selfhost.app import acceptance
from selfhost.errors import NoError
from selfhost.home import Home
from selfhost.serve import process, records
from selfhost.serve.lifecycle import Phase, State
from selfhost.serve.records import Record

KEY = "control"
PARIS = "The capital of France is Paris."
CALL = {"function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}


class Wrong:
    """What the server does; each test changes one thing."""

    keys = True
    template = "<s>{}</s>"
    answers = (PARIS,)
    """Taken in turn; the last one for ever."""
    thought = ""
    reason = "stop"
    streamed = None
    calls = (CALL,)
    asked = 0


@pytest.fixture
def wrong():
    return Wrong()


class Handler(BaseHTTPRequestHandler):
    """vLLM's API as far as it is asked, but for what is wrong."""

    def reply(self, status, value):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        right = not self.server.wrong.keys or self.headers["Authorization"] == f"Bearer {KEY}"
        self.reply(200 if right else 401, {"data": []} if right else {"error": {"message": "no"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/tokenize":
            text = self.server.wrong.template.format(body["messages"][0]["content"])
            self.reply(200, {"tokens": [*map(ord, text)]})
        elif self.path == "/detokenize":
            self.reply(200, {"prompt": "".join(map(chr, body["tokens"]))})
        else:
            assert body["temperature"] == 0
            self.reply(200, self.answer(body))

    def answer(self, body):
        wrong = self.server.wrong
        said = wrong.answers[min(wrong.asked, len(wrong.answers) - 1)]
        wrong.asked += 1
        chat = self.path == "/v1/chat/completions"
        if body.get("stream"):
            parts = [{"delta": {"reasoning": wrong.thought}}] if chat else []
            parts.append({"delta": {"content": wrong.streamed or said}} if chat else {"text": said})
            parts[-1]["finish_reason"] = wrong.reason
            return b"".join(map(event, parts)) + b"data: [DONE]\n\n"
        if not chat:
            return {"choices": [{"text": said, "finish_reason": wrong.reason}]}
        message = {"content": said, "reasoning": wrong.thought}
        if body.get("tools") and wrong.calls:
            message = {"content": None, "tool_calls": list(wrong.calls)}
        return {"choices": [{"message": message, "finish_reason": wrong.reason}]}

    def log_message(self, *_):
        pass


def event(choice):
    return b"data: %s\n\n" % json.dumps({"choices": [choice]}).encode()


@pytest.fixture
def server(home, wrong):
    """A server in this process, and its record."""
    here = Home(home)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.wrong = wrong
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def known(**changes):
        port = listening.server_address[1]
        values = {
            "name": "tiny",
            "mark": "tiny:1",
            "model": "smollm2-135m",
            "target": "smollm2-135m",
            "variant": "bf16",
            "served_model_name": "smollm2-135m",
            "host": "127.0.0.1",
            "port": port,
            "url": f"http://127.0.0.1:{port}",
            "argv": ("python", "--tool-call-parser", "hermes", "--reasoning_parser=qwen3"),
            "plan": {"settings": {"max_model_len": 512}},
            "state": State.READY,
            "phase": Phase.SERVING,
            "started_at": "2026-01-01T00:00:00+00:00",
            "supervisor": process.identify(os.getpid()),
            "require_key": True,
        }
        record = Record(**{**values, **changes})
        records.make_folder(here, record.name)
        records.write(here, record)
        records.write_control_key(here, record.name, KEY)
        return here

    yield known
    listening.shutdown()
    thread.join()
    listening.server_close()


def outcomes(found):
    return {check.name: check.outcome.value for check in found.checks}


ALL = ("key", "template", "answer", "stop", "same", "stream", "tool", "reasoning")


def test_a_server_that_gets_everything_right_is_accepted(server, wrong):
    wrong.thought = "France, so Paris"
    found = acceptance.accept(server(), "tiny")
    assert outcomes(found) == dict.fromkeys(ALL, "passed")
    assert found.accepted
    value = found.as_dict()
    assert (value["prompt"], value["expect"], value["answer"]) == (
        "Complete the sentence: The capital of France is",
        "Paris",
        PARIS,
    )


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("key", {"keys": False}, "was taken although keys are required"),
        ("template", {"template": "{}"}, "47 tokens: Complete the sentence: The capital of France is"),
        ("template", {"template": "<s>no place for it</s>"}, "no place for it"),
        ("answer", {"answers": ("I do not know",)}, "expected: Paris"),
        ("answer", {"answers": ("",)}, "expected: Paris"),
        ("stop", {"reason": "length"}, "ended by: length"),
        ("same", {"answers": (PARIS, PARIS, "The capital is Paris.", PARIS)}, "from character 12 on: of France"),
        ("stream", {"streamed": "The capital of France is Paris"}, "from character 30 on: ."),
        ("tool", {"calls": (), "answers": ('Paris <tool_call>{"name": "get_weather"}</tool_call>',)}, "did not read"),
        ("tool", {"calls": ({"function": {"name": "get_weather", "arguments": '{"city": '}},)}, "hermes"),
        ("tool", {"calls": ({"function": {"name": "other", "arguments": '{"city": "Paris"}'}},)}, "other("),
        ("reasoning", {"answers": ("<think>France</think>Paris",)}, "left thoughts in the answer"),
    ],
)
def test_what_is_wrong_is_the_one_thing_that_fails(name, change, said, server, wrong):
    for key, value in change.items():
        setattr(wrong, key, value)
    found = acceptance.accept(server(), "tiny")
    assert [check.name for check in found.failed] == [name]
    assert said in found.failed[0].detail
    assert not found.accepted


@pytest.mark.parametrize(
    ("name", "change", "record"),
    [
        ("key", {"keys": False}, {"require_key": False}),
        ("template", {}, {"chat": False, "argv": ("python",)}),
        ("tool", {}, {"argv": ("python",)}),
        ("tool", {"calls": ()}, {}),
        ("reasoning", {}, {"argv": ("python",)}),
        ("reasoning", {"thought": ""}, {}),
    ],
)
def test_what_nothing_can_be_said_about_is_not_shown_and_does_not_fail(name, change, record, server, wrong):
    for key, value in change.items():
        setattr(wrong, key, value)
    found = acceptance.accept(server(**record), "tiny")
    assert outcomes(found)[name] == "not_shown"
    assert found.accepted


def test_a_model_without_a_recipe_has_to_say_something(server, wrong):
    wrong.answers = ("Hi",)
    found = acceptance.accept(server(model="mine"), None)
    assert (found.prompt, found.expect, found.accepted) == ("Hello", "", True)


@pytest.mark.parametrize("state", [State.STARTING, State.STOPPED])
def test_only_a_server_that_is_ready_is_asked(state, server):
    with pytest.raises(NoError) as caught:
        acceptance.accept(server(state=state), "tiny")
    assert caught.value.message.id == "serve.not_ready"
