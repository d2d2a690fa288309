"""`ls`, `rm`, `gc` as a user types them."""

from __future__ import annotations

import io
import json
import shutil
from types import SimpleNamespace

import pytest

from selfhost.app import servers
from selfhost.weights.blobs import Blobs
from tests.cli.test_cli_complete import offered
from tests.weights.storage_support import ORIGIN, put, put_old, sha


@pytest.fixture
def blobs(home):
    return Blobs(home / "blobs")


def test_an_empty_store(selfhost):
    assert selfhost("ls")[:2] == (0, "")
    code, out, _ = selfhost("ls", "--json")
    assert json.loads(out) == {
        "schema_version": 1,
        "models": [],
        "partials": [],
        "blobs": {"count": 0, "bytes": 0},
        "reclaimable_bytes": 0,
        "images": [],
    }
    assert code == 0


def test_ls(selfhost, home):
    put(home, {"a": b"x" * 2048, "b": b"same"})
    put(home, {"b": b"same"}, variant="fp8")
    damaged = put_old(home, {"a": b"1"})
    (damaged / "a").unlink()
    _, out, err = selfhost("ls")
    assert [line.split() for line in out.splitlines()] == [
        ["NAME", "VARIANT", "SIZE", "UNIQUE", "FILES", "STATE", "SOURCE", "REVISION"],
        ["old", "bf16", "0", "B", "0", "B", "0", "damaged", "huggingface", "org/tiny", "0123456789ab"],
        ["tiny", "bf16", "2.0", "KiB", "2.0", "KiB", "2", "whole", "huggingface", "org/tiny", "0123456789ab"],
        ["tiny", "fp8", "4", "B", "0", "B", "1", "whole", "huggingface", "org/tiny", "0123456789ab"],
    ]
    assert "warning: `old` (bf16) is damaged: " in err
    assert "2 contents take 2.0 KiB; `selfhost gc` would free 0 B\n" in err


def test_ls_of_one_model_as_json(selfhost, home):
    directory = put(home, {"a": b"123"})
    put(home, {"a": b"1"}, name="other")
    (found,) = json.loads(selfhost("ls", "tiny", "--json")[1])["models"]
    assert found == {
        "name": "tiny",
        "variant": "bf16",
        "path": str(directory),
        "state": "whole",
        "problem": None,
        "size_bytes": 3,
        "unique_bytes": 3,
        "files": 1,
        "source": {"kind": "huggingface", "id": "org/tiny", "revision": ORIGIN.revision},
    }


@pytest.mark.parametrize("command", ["ls", "rm"])
def test_what_is_not_there(selfhost, home, command):
    put(home, {"a": b"1"})
    code, _, err = selfhost(command, "tin")
    assert code == 3
    assert "error: the store has no model `tin`\n  stored: tiny (bf16)\n" in err


def test_rm_without_a_terminal_wants_yes(selfhost, home):
    directory = put(home, {"a": b"1"})
    code, _, err = selfhost("rm", "tiny")
    assert (code, directory.exists()) == (2, True)
    assert f"it would remove: `{directory}`" in err


def test_rm(selfhost, home, blobs):
    one, two = put(home, {"a": b"x" * 5000, "b": b"same"}), put(home, {"b": b"same"}, variant="fp8")
    code, out, err = selfhost("rm", "tiny", "--variant", "bf16", "--dry-run")
    assert (code, one.exists(), out.splitlines()[0]) == (0, True, f"would remove `{one}`")
    planned = json.loads(selfhost("rm", "tiny", "--variant", "bf16", "--dry-run", "--json")[1])
    code, out, _ = selfhost("rm", "tiny", "--variant", "bf16", "--yes", "--json")
    done = json.loads(out)
    assert (code, one.exists(), two.exists()) == (0, False, True)
    assert (planned.pop("dry_run"), done.pop("dry_run")) == (True, False)
    assert done == planned
    assert done["blobs"] == [sha(b"x" * 5000)]
    assert 5000 < done["freed_bytes"] < 7000
    assert "would be freed" in err
    assert list(blobs.digests()) == [sha(b"same")]


class Typed(io.StringIO):
    """What somebody types."""

    def isatty(self):
        return True


@pytest.mark.parametrize(("answer", "stays"), [("y", False), ("n", True), ("", True)])
def test_rm_asks_on_a_terminal(selfhost, home, monkeypatch, answer, stays):
    directory = put(home, {"a": b"1"})
    monkeypatch.setattr("selfhost.cli.output.is_terminal", lambda: True)
    code, _, err = selfhost("rm", "tiny", stdin=Typed(answer + "\n"))
    assert (directory.exists(), code) == (stays, 1 if stays else 0)
    assert f"remove `{directory}` and free " in err


@pytest.mark.parametrize("how", ["model", "draft"])
def test_rm_of_a_model_that_is_served_is_refused(selfhost, home, monkeypatch, how):
    directory = put(home, {"a": b"1"})
    config = json.dumps({"model": str(directory), "num_speculative_tokens": 3})
    record = SimpleNamespace(
        name="mine",
        plan={"model_path": str(directory) if how == "model" else "/elsewhere"},
        argv=("vllm", "serve", "--speculative-config", config if how == "draft" else "{}"),
    )
    running = SimpleNamespace(record=record, state=SimpleNamespace(running=True))
    monkeypatch.setattr(servers, "list_servers", lambda _home: ([running], []))
    code, _, err = selfhost("rm", "tiny", "--yes")
    assert (code, directory.exists()) == (3, True)
    assert "`selfhost stop mine`" in err


def test_gc(selfhost, home, blobs):
    shutil.rmtree(put(home, {"a": b"123"}))
    part = blobs.part("k")
    part.write_bytes(b"x")
    found = json.loads(selfhost("ls", "--json")[1])
    assert (found["reclaimable_bytes"], len(found["partials"])) == (3, 1)
    assert "downloads are not complete: 1, `k` 1 B of 1 B" in selfhost("ls")[2]
    assert json.loads(selfhost("gc", "--dry-run", "--json")[1])["freed_bytes"] == 3
    code, out, err = selfhost("gc")
    assert (code, out, err) == (0, f"removed `{sha(b'123')}`\n", "3 B freed\n")
    assert part.exists()
    assert selfhost("gc", "--partial")[0] == 0
    assert not part.exists()


def test_gc_beside_a_download(selfhost, blobs):
    with blobs.in_use():
        assert selfhost("gc")[0] == 3


def test_what_a_shell_is_offered(home):
    put(home, {"a": b"1"})
    put(home, {"a": b"1"}, name="Qwen", variant="Qwen3-8B")
    assert offered("selfhost", "rm", "ti") == ["tiny", "tiny/bf16"]
    assert offered("selfhost", "verify", "Qwen/") == ["Qwen/Qwen3-8B"]
    assert offered("selfhost", "ls", "x") == []
