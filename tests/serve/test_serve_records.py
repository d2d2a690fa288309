"""Records on disk."""

from __future__ import annotations

import json

import pytest

from selfhost.errors import MissingError
from selfhost.serve import records
from selfhost.serve.lifecycle import Identity, Phase, State
from selfhost.serve.logs import Tail, last_lines, read_end, read_ends


def make_record(**changes) -> records.Record:
    values = {
        "name": "tiny",
        "mark": "tiny:1",
        "model": "tiny",
        "target": "./tiny",
        "variant": "directory",
        "served_model_name": "tiny",
        "host": "127.0.0.1",
        "port": 8000,
        "url": "http://127.0.0.1:8000",
        "argv": ("python", "x"),
        "plan": {"model": "tiny"},
        "state": State.READY,
        "phase": Phase.SERVING,
        "started_at": "2026-11-22T04:00:00+00:00",
        "engine": Identity(pid=7, start_ticks=8, boot_id="b"),
        "failure": records.Failure(message_id="serve.unhealthy", params={"name": "tiny"}, code=1, last_lines=("a",)),
    }
    return records.Record(**{**values, **changes})


def test_a_record_comes_back_as_it_was_and_only_its_owner_may_read_it(here):
    folder = records.make_folder(here, "tiny")
    record = make_record()
    records.write(here, record)
    assert records.read(here, "tiny") == record
    assert records.names(here) == ["tiny"]
    assert [p.stat().st_mode & 0o777 for p in (here.servers, folder.path, folder.record)] == [0o700, 0o700, 0o600]


def test_absent_and_damaged_records_are_none(here):
    assert records.read(here, "tiny") is None
    folder = records.make_folder(here, "tiny")
    for text in (
        "",
        "[]",
        '{"schema_version": 1}',
        '{"schema_version": 1, "argv": [], "state": "odd", "phase": "loading"}',
    ):
        folder.record.write_text(text)
        assert records.read(here, "tiny") is None


def test_a_newer_record_is_refused_and_one_with_unknown_keys_is_read(here):
    folder = records.make_folder(here, "tiny")
    value = json.loads(json.dumps(make_record().as_dict()))
    folder.record.write_text(json.dumps({**value, "later": True}))
    assert records.read(here, "tiny") == make_record()
    folder.record.write_text(json.dumps({**value, "schema_version": 2}))
    with pytest.raises(MissingError) as caught:
        records.read(here, "tiny")
    assert caught.value.message.why == f"schema_version 2 in `{folder.record}`, this one knows 1"


def test_the_control_key_is_private(here):
    records.make_folder(here, "tiny")
    assert records.read_control_key(here, "tiny") is None
    records.write_control_key(here, "tiny", "sk-1")
    assert records.read_control_key(here, "tiny") == "sk-1"
    assert records.folder(here, "tiny").control_key.stat().st_mode & 0o777 == 0o600


def test_a_tail_gives_complete_lines_once(tmp_path):
    path = tmp_path / "log"
    tail = Tail(path)
    assert tail.read() == ""
    with path.open("w") as stream:
        stream.write("one\ntw")
        stream.flush()
        assert tail.read() == "one\n"
        stream.write("o\n 50%\rrest")
        stream.flush()
        assert tail.read() == "two\n 50%\r"
        assert tail.read(final=True) == "rest"
    path.write_text("new\n")
    assert tail.read() == "new\n", "the file was started anew"


def test_the_end_of_a_log(tmp_path):
    path = tmp_path / "log"
    assert last_lines(path, 5) == ([], 0)
    assert read_end(path) == read_ends(path) == ""
    path.write_text("1\n2\n3\nunfin")
    assert last_lines(path, 2) == (["2", "3"], 6)
    assert last_lines(path, 0) == ([], 6)
    assert Tail(path, 6).read(final=True) == "unfin"
    assert read_end(path, since=4) == "3\nunfin"


def test_a_very_long_log_is_read_at_both_ends(tmp_path):
    path = tmp_path / "log"
    path.write_text("first\n" + "x" * (9 << 20) + "\nlast\n")
    text = read_ends(path)
    assert text.startswith("first\n")
    assert text.endswith("x\nlast\n")
    assert len(text) == 8 << 20
    assert read_end(path) == "last\n"
