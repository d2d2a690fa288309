"""What a script says, and what it says beside that."""

from __future__ import annotations

import json

import pytest

from selfhost.quantize.job import Calibration, Done, Failed, Job, Planned, Progress, read_event
from selfhost.weights.lock import LockedFile


@pytest.mark.parametrize(
    ("said", "event"),
    [
        ({"event": "plan", "files": 3, "bytes": 10}, Planned(files=3, total_bytes=10)),
        ({"event": "progress", "done_bytes": 7, "file": "a"}, Progress(done_bytes=7, file="a")),
        ({"event": "progress", "done_bytes": 7}, Progress(done_bytes=7, file="")),
        (
            {"event": "done", "files": [{"path": "a", "size": 1, "sha256": "b" * 64, "kept": True}]},
            Done(files=(LockedFile(path="a", size=1, sha256="b" * 64),), peak_rss_bytes=None),
        ),
        ({"event": "error", "id": "quantize.shape", "params": {"a": 1}}, Failed(id="quantize.shape", params={"a": 1})),
        ({"event": "file", "path": "a"}, None),
        ({"event": "plan", "files": "many"}, None),
        ([], None),
        (7, None),
    ],
)
def test_events(said, event):
    assert read_event(json.dumps(said) + "\n") == event


def test_a_bar_before_an_event_does_not_hide_it():
    line = '\r(3/31): Calibrating:  5%|5   | 3/64 [00:00<{"x'
    assert read_event(line + '{"event": "progress", "done_bytes": 7, "file": "a"}\n') == Progress(
        done_bytes=7, file="a"
    )


@pytest.mark.parametrize("line", ["", "\n", "nothing", '{"event"', '{"event": ', "[" * 100_000, '\x00{"event": 1}'])
def test_what_is_none(line):
    assert read_event(line) is None


def test_a_job_is_told_with_its_version():
    job = Job(scheme="w8a8", source="/a", target="/b", calibration=Calibration(file=None, samples=4))
    told = json.loads(json.dumps(job.as_dict()))
    assert told["schema_version"] == 1
    assert told["calibration"] == {"file": None, "samples": 4, "sha256": None}
    assert (told["ignore"], told["device"], told["jobs"]) == ([], "auto", 1)


def test_what_came_of_open_settings_is_read():
    line = (
        '{"event": "done", "files": [], "peak_rss_bytes": 1, "device": "cpu", "calibration": {"samples": 32}, "x": 1}'
    )
    done = read_event(line)
    assert isinstance(done, Done)
    assert done.used == {"device": "cpu", "calibration": {"samples": 32}}
