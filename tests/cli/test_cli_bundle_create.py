"""`bundle create` as a user types it."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.bundle.pack_support import check_volume
from tests.weights.storage_support import put, tiny_files


@pytest.fixture
def medium(tmp_path):
    folder = tmp_path / "medium"
    folder.mkdir()
    return folder


def test_it_prints_the_volumes(selfhost, home, medium):
    put(home, tiny_files())
    code, out, err = selfhost("bundle", "create", "--model", "tiny", "--to", medium, "--label", "x")
    assert (code, out) == (0, f"{medium}/x-vol1of1\n")
    assert re.search(r"volume 1 of 1: \d+ contents, [\d.]+ KiB; new on the disk: [\d.]+ KiB", err)
    assert "not signed" in err
    assert "without the text of its licence" in err
    check_volume(medium / "x-vol1of1")


def test_a_key_signs(selfhost, home, medium, tmp_path):
    put(home, tiny_files())
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    argv = ("bundle", "create", "--model", "tiny", "--to", medium, "--label", "x", "--sign-key", key)
    code, _, err = selfhost(*argv)
    assert code == 0, err
    assert "not signed" not in err
    [line] = map(json.loads, (home / "audit.jsonl").read_text().splitlines())
    assert (line["operation"], line["exit_code"], line["signed"]) == ("bundle create", 0, True)
    assert (line["models"], line["volumes"]) == (["tiny/bf16"], [str(medium / "x-vol1of1")])
    verify = [sys.executable, medium / "x-vol1of1/verify.py", "--key", f"{key}.pub"]
    assert subprocess.run(verify, check=False).returncode == 0


def test_what_was_refused_is_logged_and_a_dry_run_is_not(selfhost, home, medium):
    put(home, tiny_files())
    assert selfhost("bundle", "create", "--model", "tiny", "--to", medium, "--dry-run")[0] == 0
    assert not (home / "audit.jsonl").exists()
    assert selfhost("bundle", "create", "--model", "other", "--to", medium)[0] != 0
    [line] = map(json.loads, (home / "audit.jsonl").read_text().splitlines())
    assert (line["operation"], line["models"], line["result"]) == ("bundle create", ["other"], "storage.unknown")


def test_an_encrypted_key_where_nobody_can_be_asked(selfhost, home, medium, tmp_path):
    put(home, tiny_files())
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key], check=True)
    code, _, _ = selfhost("bundle", "create", "--model", "tiny", "--to", medium, "--sign-key", key)
    assert code == 6
    assert not list(medium.iterdir())


def test_json(selfhost, home, medium):
    put(home, tiny_files())
    _, out, _ = selfhost("bundle", "create", "--model", "tiny", "--to", medium, "--serial", "7", "--json")
    body = json.loads(out)
    assert body["serial"] == 7
    assert body["label"].startswith("tiny-20")
    assert [(m["name"], m["variant"]) for m in body["models"]] == [("tiny", "bf16")]
    [volume] = body["volumes"]
    assert sum(volume["bytes_by_way"].values()) == volume["bytes"]
    assert json.loads((medium / f"{body['label']}-vol1of1/bundle.json").read_text())["id"] == body["id"]


def test_a_dry_run_writes_nothing(selfhost, home, medium):
    put(home, tiny_files())
    code, out, _ = selfhost("bundle", "create", "--model", "tiny", "--to", medium, "--dry-run", "--json")
    body = json.loads(out)
    assert code == 0
    assert body["volumes"][0]["bytes"] > body["volumes"][0]["new_bytes"] > 0
    assert not list(medium.iterdir())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "none"], (3, "none")),
        (["--model", "two"], (2, "--variant a")),
        (["--model", "two/a", "--model", "two/b", "--variant", "a"], (2, "exactly one")),
        (["--model", "two/a", "--label", "../x"], (2, "../x")),
        (["--model", "two/a", "--volume-size", "1X"], (2, "1X")),
        (["--model", "two/a", "--volume-size", "0"], (2, "--volume-size")),
        (["--model", "two/a", "--volume-size", "1K"], (8, "too small")),
        (["--model", "two/a", "--wheelhouse", "."], (2, "--engine")),
        (["--model", "two/a", "--engine", "cpu", "--wheelhouse", "none"], (2, "none")),
        (["--model", "two/a", "--for", "none.json"], (2, "none.json")),
    ],
    ids=str,
)
def test_what_cannot_be(selfhost, home, medium, arguments, expected):
    put(home, {"x": b"1"}, name="two", variant="a")
    put(home, {"x": b"2"}, name="two", variant="b")
    found, out, err = selfhost("bundle", "create", "--to", medium, *arguments)
    assert (found, out) == (expected[0], "")
    assert expected[1] in err
    assert not list(medium.iterdir())


def test_two_variants_in_one_bundle(selfhost, home, medium):
    put(home, {"x": b"1", "same": b"same"}, name="two", variant="a")
    put(home, {"x": b"2", "same": b"same"}, name="two", variant="b")
    argv = ("bundle", "create", "--model", "two/a", "--model", "two/b", "--to", medium, "--label", "x", "--json")
    body = json.loads(selfhost(*argv)[1])
    assert [m["variant"] for m in body["models"]] == ["a", "b"]
    check_volume(medium / "x-vol1of1")


def test_the_machine_that_it_is_for(selfhost, home, medium, tmp_path):
    put(home, tiny_files())
    here = json.loads(selfhost("detect", "--json")[1])
    target = tmp_path / "target.json"
    target.write_text(json.dumps(here))
    argv = ("bundle", "create", "--model", "tiny", "--to", medium, "--label", "x", "--for", target)
    assert selfhost(*argv)[0] == 0
    contents = [path.read_bytes() for path in (medium / "x-vol1of1/blobs/sha256").iterdir()]
    assert target.read_bytes() in contents
    here["host"]["python"] = "3.8.1"
    target.write_text(json.dumps(here))
    code, out, err = selfhost(*argv[:-4], "--label", "y", "--for", target)
    assert (code, out) == (4, "")
    assert "3.8.1" in err
    assert not (medium / "y-vol1of1").exists()


def test_what_would_fail_over_there_is_told(selfhost, home, medium):
    put(home, {**tiny_files(), "config.json": b'{"auto_map": {"AutoModel": "other/repo--modeling.X"}}'})
    _, out, err = selfhost("bundle", "create", "--model", "tiny", "--to", medium, "--dry-run", "--json")
    found = json.loads(out)["findings"]
    assert any("other/repo" in str(one) for one in found)
    assert "other/repo" in err
