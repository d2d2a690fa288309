"""`bundle import --run-acceptance`: a model that came is asked, and stopped, whatever it says."""

from __future__ import annotations

import pytest

from selfhost.app import bundle_accept, servers
from selfhost.errors import ExitCode, NoError
from tests.serve.serve_support import make_plan
from tests.serve.tls_support import make_pair


class Talk:
    def __init__(self) -> None:
        self.lines = []

    def note(self, line):
        self.lines.append(line)


def ask(here, fakes, how=None, name="smollm2-135m", **more):
    talk, told = Talk(), []
    begin = lambda _name, _variant, server: fakes.detached(how, name=server, **more)  # noqa: E731
    try:
        bundle_accept.run([here.models / name / "bf16"], here, talk, told, begin)
    finally:
        assert not any(server.state.running for server in servers.list_servers(here)[0])
    return talk, told


def test_a_model_that_answers_as_its_recipe_says_is_accepted(here, fakes):
    talk, [told] = ask(here, fakes)
    assert told["accepted"]
    assert told["prompt"] == "Complete the sentence: The capital of France is"
    assert "Paris" in told["answer"]
    assert {check["name"]: check["outcome"] for check in told["checks"]} == {
        **dict.fromkeys(("template", "answer", "stop", "same", "stream"), "passed"),
        **dict.fromkeys(("key", "tool", "reasoning"), "not_shown"),
    }
    assert "answers as expected" in talk.lines[-1]


def test_a_server_with_a_certificate_of_another_name_is_asked_as_any(here, fakes, tmp_path):
    _, [told] = ask(here, fakes, tls=make_pair(tmp_path))
    assert told["accepted"]


@pytest.mark.parametrize("expected_by_the_start", [True, False])
def test_another_answer_is_exit_code_3(here, fakes, expected_by_the_start):
    more = {} if expected_by_the_start else {"plan": make_plan(check=None)}
    with pytest.raises(NoError) as caught:
        ask(here, fakes, {"answer": "I do not know"}, **more)
    assert caught.value.code is ExitCode.NO
    assert "expected: Paris" in caught.value.message.why
    assert "I do not know" in caught.value.message.why


def test_what_else_is_wrong_is_said_beside_a_right_answer(here, fakes):
    with pytest.raises(NoError) as caught:
        ask(here, fakes, {"finish_reason": "length"})
    assert "smollm2-135m (bf16): stop: the answer ended by: length" in caught.value.message.why
    assert "expected" not in caught.value.message.why


def test_a_model_without_a_recipe_has_to_say_something(here, fakes):
    _, [told] = ask(here, fakes, {"answer": "Hi"}, name="org", plan=make_plan(check=None))
    assert (told["accepted"], told["prompt"]) == (True, "Hello")


def test_somebodys_own_server_of_that_name_goes_on(here, fakes):
    fakes.detached(None, name="acceptance")
    try:
        with pytest.raises(NoError) as caught:
            bundle_accept.run([here.models / "smollm2-135m" / "bf16"], here, Talk(), [], pytest.fail)
        assert caught.value.message.id == "serve.name_taken"
        assert servers.find_server(here, "acceptance").state.running
    finally:
        servers.stop(here, "acceptance", 10)


def test_an_interruption_right_after_the_start_leaves_nothing_running(here, fakes):
    def begin(_name, _variant, server):
        fakes.detached(None, name=server)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bundle_accept.run([here.models / "smollm2-135m" / "bf16"], here, Talk(), [], begin)
    assert not any(server.state.running for server in servers.list_servers(here)[0])
