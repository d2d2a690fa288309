"""One line for each operation, on the disk, whatever the end of the operation."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading

import pytest

from selfhost.bundle.audit import audited
from selfhost.errors import Interrupted, MissingError, NoSpaceError, Terminated, TrustError
from selfhost.home import Home
from tests.bundle.trust_support import NOW


@pytest.fixture
def here(tmp_path):
    return Home(tmp_path / "home")


def lines(home):
    return [json.loads(line) for line in home.audit.read_text().splitlines()]


def clock():
    return NOW


def test_what_a_line_says(here):
    with audited(here, "import", now=clock, bundle="ab") as told:
        told["signers"] = ["SHA256:x"]
    (line,) = lines(here)
    assert line["operation"] == "import"
    assert line["bundle"] == "ab"
    assert line["signers"] == ["SHA256:x"]
    assert line["started"] == line["ended"] == "2026-11-21T00:00:00+00:00"
    assert line["uid"] == os.getuid()
    assert (line["result"], line["exit_code"]) == ("ok", 0)
    assert stat.S_IMODE(here.audit.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("error", "result", "code"),
    [
        (TrustError("trust.unsigned", count=1, places="x"), "trust.unsigned", 6),
        (KeyboardInterrupt(), "interrupted", 130),
        (Interrupted(), "interrupted", 130),
        (Terminated(), "terminated", 143),
        (ZeroDivisionError(), "ZeroDivisionError", 1),
    ],
)
def test_failures_are_told_and_raised(here, error, result, code):
    with pytest.raises(type(error)), audited(here, "import"):
        raise error
    assert [(line["result"], line["exit_code"]) for line in lines(here)] == [(result, code)]


@pytest.mark.parametrize(
    ("problem", "result", "code"), [(None, "ok", 0), (TrustError("trust.no_reason"), "trust.no_reason", 6)]
)
def test_what_was_found_is_the_result_of_what_looked_for_it(here, problem, result, code):
    with audited(here, "verify") as told:
        told["problem"] = problem
    assert [(line["result"], line["exit_code"], "problem" in line) for line in lines(here)] == [(result, code, False)]


def test_facts_cannot_pass_for_what_is_told_here(here):
    with audited(here, "import", uid="root", result="fine"):
        pass
    assert lines(here)[0]["uid"] == os.getuid()
    assert lines(here)[0]["result"] == "ok"


def test_a_line_break_in_a_fact_makes_no_second_line(here):
    with audited(here, "import", reason='x"}\n{"operation": "forged"}\u2028'):
        pass
    assert len(here.audit.read_bytes().splitlines()) == 1
    assert lines(here)[0]["operation"] == "import"


def test_a_line_that_was_cut_off_takes_no_other_with_it(here):
    with audited(here, "create"):
        pass
    with here.audit.open("ab") as stream:
        stream.write(b'{"operation": "cut o')
    with audited(here, "import"):
        pass
    first, cut, last = here.audit.read_text().splitlines()
    assert json.loads(first)["operation"] == "create"
    assert cut == '{"operation": "cut o'
    assert json.loads(last)["operation"] == "import"


def test_it_is_on_the_disk_before_it_counts(here, monkeypatch):
    order = []
    real_write, real_sync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda fd, data: order.append("write") or real_write(fd, data))
    monkeypatch.setattr(os, "fsync", lambda fd: order.append("fsync") or real_sync(fd))
    with audited(here, "import"):
        order.append("work")
    assert order == ["work", "write", "fsync", "fsync"]  # the second: the folder that has a new name


def test_a_log_that_cannot_be_written_is_an_error_before_anything_is_done(here):
    done = []
    here.root.write_text("a file where the home should be")
    with pytest.raises(MissingError), audited(here, "import"):
        done.append("work")
    assert done == []


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/full")])
def test_a_log_that_is_no_file(here, make):
    here.root.mkdir()
    make(here.audit)
    with pytest.raises(MissingError) as caught, audited(here, "import"):
        pass
    assert str(here.audit) in caught.value.message.what


def _full(_descriptor, _data):
    raise OSError(28, "No space left on device")


def test_a_log_that_becomes_full_is_an_error(here, monkeypatch):
    monkeypatch.setattr(os, "write", _full)
    with pytest.raises(NoSpaceError), audited(here, "import"):
        pass


def test_a_log_that_becomes_full_does_not_hide_what_went_wrong(here, monkeypatch):
    monkeypatch.setattr(os, "write", _full)
    with pytest.raises(TrustError), audited(here, "import"):
        raise TrustError("trust.no_reason")


def test_a_signal_while_the_line_is_written_waits(here, monkeypatch):
    real, seen = os.write, []

    def write(descriptor, data):
        # To this thread: a test runner with threads of its own would take it there.
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return real(descriptor, data)

    before = signal.signal(signal.SIGINT, lambda *_: seen.append(here.audit.read_text().count("\n")))
    try:
        monkeypatch.setattr(os, "write", write)
        with audited(here, "import"):
            pass
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [1]
