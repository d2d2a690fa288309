"""The file of `--calibration`: what is let through before the run is what the script takes, and nothing else."""

from __future__ import annotations

import importlib
import json

import pytest

from selfhost.app.quantize import preflight
from selfhost.errors import UsageError
from selfhost.quantize import schemes

LINES = {
    "text": json.dumps({"text": "one"}),
    "content": json.dumps({"content": "one"}),
    "a string": json.dumps("one"),
    "separators of lines that are none": json.dumps({"text": "one\u2028two\x85three"}, ensure_ascii=False),
    "turns": json.dumps({"messages": [{"role": "user", "content": "one"}]}),
    "windows": '{"text": "one"}\r\n{"text": "two"}\r',
    "a blank line": '{"text": "one"}\n\n{"text": "two"}',
    "no turns": json.dumps({"messages": []}),
    "turns without words": json.dumps({"messages": [{"role": "user"}]}),
    "turns that are words": json.dumps({"messages": "one"}),
    "a number": json.dumps({"text": 5}),
    "blanks": json.dumps({"text": "  "}),
    "blanks, then words": json.dumps({"text": " ", "prompt": "one"}),
    "a list": json.dumps(["one"]),
    "null": "null",
    "half": '{"text": "o',
    "NUL": "a\0b",
}


@pytest.fixture
def script(monkeypatch):
    """The reader in the quantize environment: standard library only, so it can be asked here."""
    monkeypatch.syspath_prepend(str(preflight.__file__).rsplit("/app/", 1)[0] + "/inside")
    return importlib.import_module("selfhost_calibrate_text")


def taken_here(path) -> bool:
    try:
        return preflight.calibration(schemes.find("w8a8"), path, 4) is not None
    except UsageError:
        return False


def taken_there(script, path) -> bool:
    try:
        return bool(script.passages_of(path))
    except script.Refused:
        return False


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".txt", ".md", ".TXT", ".JSONL", ".json", ""])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "mark"])
def test_both_readers_agree(script, tmp_path, suffix, mark):
    answers = {}
    for name, line in LINES.items():
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(mark + line.encode())
        answers[name] = (taken_here(path), taken_there(script, path))
    assert {name: answer for name, answer in answers.items() if answer[0] != answer[1]} == {}
    if suffix not in (".json", ""):
        assert answers["text"] == (True, True)
    if suffix.lower() in (".jsonl", ".ndjson"):
        assert answers["separators of lines that are none"] == (True, True)
        assert answers["a number"] == (False, False)
