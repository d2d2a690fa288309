"""`verify` as a user types it: exit codes, file and range in text and JSON, repair that fetches one range."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from selfhost.app import pieces
from selfhost.cli import verify as cli_verify
from selfhost.weights.digest import PIECE_BYTES
from selfhost.weights.lock import LOCK_NAME
from tests.weights.storage_support import ORIGIN, Source, big, flip, put, put_old, sha, tiny_files

CONTENT = tiny_files(big())
NAME = "model.safetensors"
SIZE = len(CONTENT[NAME])
RANGE = (PIECE_BYTES, 2 * PIECE_BYTES)


@pytest.fixture
def directory(home):
    return put(home, CONTENT)


@pytest.fixture
def source(monkeypatch):
    made = Source(CONTENT)
    monkeypatch.setattr(pieces, "open_source", lambda _lock, _source: made)
    return made


def test_a_whole_model(selfhost, directory):
    code, out, err = selfhost("verify", "tiny")
    assert (code, out) == (0, "`tiny` is whole: 3 files, 32.0 MiB\n")
    assert "warning" not in err


def test_json_of_a_whole_model(selfhost, directory):
    code, out, _ = selfhost("verify", "tiny", "--json")
    found = json.loads(out)
    files = found.pop("files")
    assert code == 0
    assert found == {
        "schema_version": 1,
        "model": "tiny",
        "variant": "bf16",
        "path": str(directory),
        "revision": ORIGIN.revision,
        "ok": True,
        "bytes_read": sum(map(len, CONTENT.values())),
        "structure": [],
        "repaired": [],
        "bytes_downloaded": 0,
    }
    assert [(f["path"], f["size"], f["status"], f["sha256"], f["found_sha256"]) for f in files] == [
        (path, len(data), "ok", sha(data), sha(data)) for path, data in CONTENT.items()
    ]


def test_one_byte_is_found_told_and_put_right(selfhost, directory, source):
    flip(directory / NAME, PIECE_BYTES + 99)
    code, out, err = selfhost("verify", "tiny")
    assert (code, out) == (5, "")
    assert "error: damaged files of `tiny`: 1\n" in err
    assert f"  `{NAME}`: wrong bytes, the first in {RANGE[0]}-{RANGE[1]} of {SIZE:,}\n" in err
    assert "hint: fetch only what is wrong: `selfhost verify tiny --repair`\n" in err

    code, out, _ = selfhost("verify", "tiny", "--json")
    found = json.loads(out)
    (bad,) = (f for f in found["files"] if f["status"] != "ok")
    assert (code, found["ok"]) == (5, False)
    assert (bad["path"], bad["status"], bad["begin"], bad["end"]) == (NAME, "digest", *RANGE)
    assert bad["found_sha256"] not in (None, bad["sha256"])
    assert source.asked == []

    code, out, _ = selfhost("verify", "tiny", "--repair", "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["bytes_downloaded"]) == (0, True, PIECE_BYTES)
    assert found["repaired"] == [{"path": NAME, "from": "source", "fetched": [list(RANGE)]}]
    assert source.asked == [(NAME, *RANGE)]
    assert selfhost("verify", "tiny")[0] == 0


def test_repair_tells_what_it_does(selfhost, directory, source):
    flip(directory / NAME, 99)
    (directory / "config.json").unlink()
    code, out, err = selfhost("verify", "tiny", "--repair")
    assert (code, out) == (0, "`tiny` is whole: 3 files, 32.0 MiB\n")
    assert "`config.json`: missing\n" in err
    assert "`config.json` is right again: taken from the store\n" in err
    assert f"`{NAME}` is right again: 16.0 MiB fetched\n" in err


def test_files_that_are_only_missing_have_a_code_of_their_own(selfhost, directory):
    (directory / "tokenizer.json").unlink()
    code, out, err = selfhost("verify", "tiny", "--json")
    assert (code, json.loads(out)["ok"]) == (7, False)
    assert "error: missing files of `tiny`: 1\n" in err


def test_damaged_and_missing_is_damaged(selfhost, directory):
    (directory / "tokenizer.json").unlink()
    os.truncate(directory / NAME, SIZE - 1)
    code, _, err = selfhost("verify", "tiny")
    assert code == 5
    assert f"`{NAME}`: {SIZE - 1:,} bytes, {SIZE:,} wanted\n" in err
    assert "`tokenizer.json`: missing\n" in err


def test_offline_what_is_nowhere_else_stays_as_it_is(selfhost, directory, monkeypatch):
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    flip(directory / NAME, 99)
    code, out, err = selfhost("verify", "tiny", "--repair", "--json")
    assert (code, json.loads(out)["error"]["id"]) == (7, "places.offline")
    assert "`model.safetensors`: wrong bytes" in err
    assert selfhost("verify", "tiny")[0] == 5


def test_offline_what_the_store_has_is_put_right(selfhost, home, directory):
    put_old(home, CONTENT)
    flip(directory / NAME, 99)
    assert selfhost("verify", "tiny", "--repair")[0] == 0


def test_extra_files_are_a_warning_and_stay(selfhost, directory):
    (directory / "notes.txt").write_text("mine")
    code, out, err = selfhost("verify", "tiny", "--json")
    assert (code, json.loads(out)["files"][-1]["status"]) == (0, "extra")
    assert "warning: `notes.txt` is not one of the model's files\n" in err
    assert selfhost("verify", "tiny", "--repair")[0] == 0
    assert (directory / "notes.txt").read_text() == "mine"


def test_files_that_are_as_published_and_still_broken(selfhost, home):
    put(home, {**CONTENT, NAME: CONTENT[NAME][:-1]})
    code, out, err = selfhost("verify", "tiny", "--json")
    (problem,) = json.loads(out)["structure"]
    assert (code, problem["id"]) == (5, "model.broken_weights")
    assert "are damaged" in err


def test_a_lack_that_is_no_damage_is_a_warning(selfhost, home):
    put(home, {path: data for path, data in CONTENT.items() if path != "tokenizer.json"})
    code, out, err = selfhost("verify", "tiny", "--json")
    assert (code, json.loads(out)["structure"][0]["id"]) == (0, "model.no_tokenizer")
    assert "warning: every file is as it was written down, but: " in err


def test_progress_tells_rate_and_what_is_left():
    shown, clock = [], iter([10.0, 10.5, 14.0, 15.0, 16.0, 20.0])
    line = SimpleNamespace(show=lambda phase, text: shown.append((phase, text)))
    show = cli_verify._progress(line, lambda: next(clock))
    for phase, done in (("verify", 0), ("verify", 1 << 30), ("verify", 4 << 30), ("verify", 5 << 30)):
        show(phase, done, 10 << 30)
    show("repair", 0, 10)
    show("repair", 0, 10)
    assert shown == [
        ("verify", "verify: 4.0 GiB of 10.0 GiB, 1.0 GiB/s, 6.0 s left"),
        ("verify", "verify: 5.0 GiB of 10.0 GiB, 1.0 GiB/s, 5.0 s left"),
        ("repair", "repair: 0 B of 10 B, 0 B/s, ? left"),
    ]


# Which model


def test_what_is_not_there(selfhost, directory):
    code, _, err = selfhost("verify", "qwen2.5-7b")
    assert code == 7
    assert "error: `qwen2.5-7b` is not on this machine\n  stored: tiny (bf16)\n" in err


def test_several_variants_want_a_name(selfhost, home, directory):
    put(home, tiny_files(), variant="fp8")
    code, _, err = selfhost("verify", "tiny")
    assert code == 2
    assert "`selfhost verify tiny --variant bf16`" in err
    assert selfhost("verify", "tiny", "--variant", "fp8")[0] == 0


@pytest.mark.parametrize("how", ["tiny/bf16", "TINY", "directory", "relative", "link"])
def test_ways_to_name_a_model(selfhost, directory, how, monkeypatch, tmp_path):
    monkeypatch.chdir(directory.parent)
    (tmp_path / "link").symlink_to(directory)
    named = {"directory": directory, "relative": "./bf16", "link": tmp_path / "link"}.get(how, how)
    assert selfhost("verify", named)[0] == 0


def test_the_hub_id_of_a_recipe(selfhost, home):
    put(home, tiny_files(), name="qwen2.5-7b")
    assert selfhost("verify", "qwen/qwen2.5-7b-instruct")[0] == 0


# Directories that are no model of the store


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "plain"
    path.mkdir()
    for name, data in tiny_files().items():
        (path / name).write_bytes(data)
    return path


def test_nothing_to_compare_with_is_an_error_of_its_own(selfhost, plain):
    code, out, _ = selfhost("verify", plain, "--json")
    assert (code, json.loads(out)["error"]["id"]) == (7, "verify.nothing_to_compare")


def test_without_digests_the_structure_is_looked_at(selfhost, plain):
    os.truncate(plain / NAME, 20)
    code, out, _ = selfhost("verify", plain, "--json")
    assert (code, json.loads(out)["error"]["id"]) == (5, "model.broken_weights")


def test_sha256sums_are_compared_with(selfhost, plain):
    (plain / "SHA256SUMS").write_text("".join(f"{sha(data)}  {name}\n" for name, data in tiny_files().items()))
    code, out, _ = selfhost("verify", plain, "--json")
    found = json.loads(out)
    assert (code, found["model"], found["variant"], found["revision"]) == (0, "plain", None, None)
    flip(plain / NAME, len(tiny_files()[NAME]) - 1)
    code, _, err = selfhost("verify", plain)
    assert code == 5
    assert "hint: download the files named above again\n" in err
    code, _, err = selfhost("verify", plain, "--repair")
    assert code == 2
    assert f"it has no `{LOCK_NAME}`" in err


def test_a_list_that_is_none(selfhost, plain):
    (plain / "SHA256SUMS").write_text("hello\n")
    code, out, _ = selfhost("verify", plain, "--json")
    assert (code, json.loads(out)["error"]["id"]) == (5, "verify.bad_sums")


def test_a_model_of_an_older_selfhost(selfhost, home):
    directory = put_old(home, CONTENT)
    assert selfhost("verify", "old")[0] == 0
    flip(directory / NAME, 99)
    code, _, err = selfhost("verify", "old")
    assert code == 5
    assert f"wrong bytes, the first in 0-{SIZE} of {SIZE:,}" in err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_goes_on(home, number):
    directory = put(home, {f"{n}.bin": big(n, 1 << 20) for n in range(8)})
    # The last file is a pipe in disguise: whoever reads it waits, as on a slow disk.
    slow = f"""
import time
from selfhost.weights import verify
real = verify._read
def read(stream, digest, tick):
    if str(stream.name).endswith("7.bin"):
        print("waiting", flush=True)
        while True:
            tick(0)
            time.sleep(0.01)
    real(stream, digest, tick)
verify._read = read
from selfhost.weights import ledger
ledger._WRITE_EVERY_S = 0
from selfhost.cli.main import main
main(["verify", {str(directory)!r}, "--workers", "1"])
"""
    with subprocess.Popen(
        [sys.executable, "-c", slow], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        first = process.stdout.readline()
        until = time.monotonic() + 10
        while not list(home.glob("verify/*.json")) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
        said = process.communicate(timeout=10)[1]
    assert first == "waiting\n", said
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    again = subprocess.run(
        [sys.executable, "-m", "selfhost", "verify", str(directory), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "an earlier verification of" in again.stderr
    assert 1 << 20 <= json.loads(again.stdout)["bytes_read"] < 8 << 20
