"""`pull` as a user types it: what goes to stdout and stderr, exit codes, options, a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from selfhost.app import pull
from tests.cli.test_cli_complete import offered
from tests.pull_support import sha256_of, write_recipe, write_repository
from tests.standins.hub import Hub

REPOSITORY = Path(__file__).resolve().parents[2]
SHARD = "model-00001-of-00003.safetensors"


@pytest.fixture
def tiny(tmp_path):
    write_repository(tmp_path / "hub" / "org" / "tiny", shard_bytes=100_000)
    return tmp_path / "hub" / "org" / "tiny"


@pytest.fixture
def hub(tiny, monkeypatch):
    with Hub(tiny.parent.parent) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_json(selfhost, hub, home, tiny):
    code, out, err = selfhost("pull", "org/tiny", "--json")
    found = json.loads(out)
    directory = home / "models" / "org" / "tiny"
    files = [path for path in sorted(directory.iterdir()) if path.name != "selfhost-model.json"]
    listed = [{"path": p.name, "size": p.stat().st_size, "sha256": sha256_of(tiny / p.name)} for p in files]
    total = sum(file["size"] for file in listed)
    assert code == 0
    assert found == {
        "schema_version": 1,
        "model": "org/tiny",
        "variant": None,
        "path": str(directory),
        "source": {"kind": "huggingface", "id": "org/tiny"},
        "revision": hub.models.find("org/tiny", "main").commit,
        "files": listed,
        "bytes_total": total,
        "bytes_downloaded": total,
    }
    assert "9 files, 293.9 KiB" in err
    again = json.loads(selfhost("pull", "org/tiny", "--json")[1])
    assert again == found | {"bytes_downloaded": 0}


def test_what_is_said_without_a_terminal(selfhost, hub, home):
    code, out, err = selfhost("pull", "org/tiny")
    directory = home / "models" / "org" / "tiny"
    assert (code, out) == (0, f"{directory}\n")
    lines = err.splitlines()
    assert lines[0] == f"from Hugging Face at {hub.url}"
    commit = hub.models.find("org/tiny", "main").commit[:12]
    assert lines[1].startswith("org/tiny: 9 files, 293.9 KiB; 293.9 KiB still to come, ")
    assert lines[1].endswith(f"revision {commit}, into {directory}")
    assert lines[2].startswith("9 of 9 files, ")
    assert "(100 %)" in lines[2]
    assert len(lines) == 3
    assert "\x1b" not in err


def test_quiet(selfhost, hub, home):
    assert selfhost("pull", "org/tiny", "--quiet") == (0, f"{home / 'models' / 'org' / 'tiny'}\n", "")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["qwen2.5-0.5"], 2),
        (["./here"], 2),
        (["org/tiny", "--revision", "absent"], 2),
        (["org/tiny", "--source", "nowhere"], 2),
        (["org/tiny", "--source", "wheel"], 2),
        (["org/tiny", "--accept-license", "X"], 2),
        (["org/tiny", "--source", "http://127.0.0.1:9"], 7),
        (["qwen2.5-3b"], 6),
    ],
)
def test_errors_are_json_too(arguments, code, selfhost, hub, home):
    found, out, err = selfhost("pull", *arguments, "--json")
    body = json.loads(out)
    assert (found, body["schema_version"], body["error"]["code"]) == (code, 1, code)
    assert {"id", "what", "why", "hint"} <= set(body["error"])
    assert f"error: {body['error']['what']}\n" in err
    assert not (home / "blobs" / "sha256").exists()


@pytest.mark.parametrize("value", ["", "fast", "0", "-5M", "50MB/h", "MB/s", "1e9", "0.1"])
def test_a_rate_that_is_none(value, selfhost):
    code, out, err = selfhost("pull", "org/tiny", "--limit-rate", value)
    assert (code, out) == (2, "")
    assert "is no rate" in err


@pytest.mark.parametrize(
    ("value", "rate"), [("50MB/s", 50_000_000), ("200M", 200 << 20), ("1.5GiB/s", 3 << 29), ("4096", 4096)]
)
def test_options_arrive(value, rate, selfhost, monkeypatch):
    class StopError(Exception):
        pass

    seen = []

    def stop(wanted, request, home, options, talk):
        seen.append((request, options))
        raise StopError

    monkeypatch.setattr(pull, "pull", stop)
    arguments = ["--limit-rate", value, "--connections", "3", "--update", "--revision", "v1", "--source", "modelscope"]
    selfhost("pull", "org/tiny", *arguments, "--accept-license", "A", "--accept-license", "B")
    ((request, options),) = seen
    assert (options.limit_bytes_per_s, options.connections) == (rate, 3)
    assert (request.update, request.revision, request.source) == (True, "v1", "modelscope")
    assert request.accept_licence == ("A", "B")


@pytest.mark.parametrize("connections", ["0", "65", "x"])
def test_connections_that_are_none(connections, selfhost):
    assert selfhost("pull", "org/tiny", "--connections", connections)[0] == 2


@pytest.mark.parametrize("arguments", [(), ("--source", "http://me:hf_secret@127.0.0.1:9/x"), ("--revision", "absent")])
def test_secrets_are_never_printed(arguments, selfhost, tiny, home, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    for token in ("hf_right", "hf_secret"):
        with Hub(tiny.parent.parent, token=token) as hub:
            monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("http://", "http://me:hf_secret@"))
            for more in ((), ("--json",)):
                code, out, err = selfhost("pull", "org/tiny", *arguments, *more)
                assert "hf_secret" not in out + err
            assert code != 0 or (token == "hf_secret" and not arguments)
    written = [path for path in home.rglob("*") if path.is_file()] if home.exists() else []
    assert not any(b"hf_secret" in path.read_bytes() for path in written)


def test_offline(selfhost, hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    code, _, err = selfhost("pull", "org/tiny", "--offline")
    assert code == 7
    assert "error: `org/tiny` is not on this machine, and no connection may be opened\n" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--source", "mod"], ["modelscope"]),
        (["--source", "h"], ["huggingface", "http://", "https://"]),
        (["--source", "x"], []),
    ],
)
@pytest.mark.slow
def test_sources_are_completed(words, expected):
    assert offered("selfhost", "pull", "org/tiny", *words) == expected


# A terminal


def on_terminal(*arguments, typed: bytes = b"") -> tuple[int, str, str]:
    """(exit code, stdout, what the terminal shows), with stdin and stderr on a terminal of 100 columns."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm", "NO_COLOR": "1"}
    argv = [sys.executable, "-m", "selfhost", "pull", *arguments]
    with subprocess.Popen(
        argv, cwd=REPOSITORY, env=environment, stdin=slave, stderr=slave, stdout=subprocess.PIPE, text=True
    ) as child:
        os.close(slave)
        os.write(master, typed)
        shown = b""
        while True:
            try:
                shown += os.read(master, 65536)
            except OSError:  # its last writer is gone
                break
        out = child.stdout.read()
    os.close(master)
    return child.returncode, out, shown.decode()


@pytest.mark.slow
def test_on_a_terminal_files_are_drawn(tiny, home, monkeypatch):
    with Hub(tiny.parent.parent, limit_bytes_per_s=200_000) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        code, out, shown = on_terminal("org/tiny")
    assert (code, out) == (0, f"{home / 'models' / 'org' / 'tiny'}\n")
    assert f"{SHARD}  " in shown
    assert "[#" in shown
    assert "\x1b[2K" in shown  # lines are redrawn
    last = [line for line in shown.replace("\r", "").split("\n") if line][-1]
    assert "9 of 9 files, " in last
    assert "(100 %)" in last


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "code"), [(b"y\n", 0), (b"n\n", 6), (b"\n", 6)])
def test_on_a_terminal_terms_are_asked_for(typed, code, hub, home):
    terms = {"id": "Tiny-Research", "url": "https://example.org", "research_only": True, "conditions": ["No trade."]}
    write_recipe(home, licence=terms)
    found, out, shown = on_terminal("tiny", typed=typed)
    assert "accept the terms of Tiny-Research? [y/N]" in shown
    assert (found, bool(out)) == (code, code == 0)
    assert (home / "accepted").exists() == (code == 0)
