"""Somebody who means harm: swaps folders while they are read, writes metadata that swells in memory, leaves pipes."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.app import bundle_gate
from selfhost.bundle import layout
from selfhost.bundle.names import paths_problem
from selfhost.errors import ExitCode
from selfhost.home import find_home
from selfhost.weights.blobs import Blobs
from tests.bundle.fault_support import check_store
from tests.bundle.trust_support import make_key, ssh_sign
from tests.bundle.unpack_support import NAME, VARIANT, files_of, make_bundle, reseal, run, snapshot
from tests.weights.storage_support import put, put_old, tiny_files

MEMORY_BYTES = 200 << 20


def swapping(place: Path, link_to: Path, stop: threading.Event) -> int:
    """Let a folder be a link, and a folder again, until told to stop; how often."""
    aside, count = place.with_name("aside"), 0
    while not stop.is_set():
        place.rename(aside)
        place.symlink_to(link_to)
        place.unlink()
        aside.rename(place)
        count += 1
    return count


@pytest.mark.parametrize("below", ["blobs", layout.BLOBS])
def test_a_folder_that_becomes_a_link_while_it_is_read(volume, tmp_path, below):
    before = snapshot(volume)
    elsewhere, place = tmp_path / "elsewhere", volume / below
    shutil.copytree(place, elsewhere)
    for path in elsewhere.rglob("*"):
        if path.is_file():
            path.write_bytes(b"\0" * path.stat().st_size)
    wanted = None
    stop, counts = threading.Event(), []
    attacker = threading.Thread(target=lambda: counts.append(swapping(place, elsewhere, stop)))
    attacker.start()
    try:
        for _ in range(12):
            code, _, said = run("bundle", "import", volume)
            assert code in (0, ExitCode.INTEGRITY, ExitCode.INCOMPLETE), said
            assert "unexpected" not in said
            if code == 0:
                wanted = files_of(find_home().models / NAME / VARIANT)
                shutil.rmtree(find_home().models)
            check_store()
    finally:
        stop.set()
        attacker.join()
    assert counts[0] > 12
    assert wanted is None or len(wanted) == 9
    assert {k: v[2] for k, v in snapshot(volume).items()} == {k: v[2] for k, v in before.items()}


BOMBS = {
    "lists": (b'{"a":[', b"[],", 5_000_000, b"[]]}"),
    "numbers": (b'{"a":[', b"1,", 7_000_000, b"1]}"),
    "texts": (b'{"a":[', b'"a",', 3_500_000, b'"a"]}'),
    "objects": (b'{"a":[', b'{"":0},', 2_000_000, b"0]}"),
    "one text": (b'{"a":"', b"x", 15 << 20, b'"}'),
    "one text with quotes, and no end": (b'{"a":"', b'\\"', 7 << 20, b""),
    "one number": (b'{"a":', b"9", 15 << 20, b"}"),
    "deep": (b'{"a":', b"[", 15 << 20, b"}"),
    "far too long": (b'{"a":"', b"x", 300 << 20, b'"}'),
}
"""What `bundle.json` begins with, what comes again and again, how often, and how it ends."""
_MEASURED = """
import sys
from pathlib import Path
from selfhost.cli.main import main
try:
    main(sys.argv[1:])
    code = 0
except SystemExit as done:
    code = done.code or 0
[line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print("peak", code, line.split()[1])
"""


def peak_of(*words: object) -> tuple[int, int]:
    """Exit code of a command, and the most memory that it had, in bytes."""
    argv = [sys.executable, "-c", _MEASURED, *map(str, words)]
    ran = subprocess.run(argv, cwd=Path(__file__).parents[2], check=False, capture_output=True, text=True, timeout=120)
    _, code, peak = ran.stdout.splitlines()[-1].split()
    return int(code), int(peak) * 1024


@pytest.mark.slow
@pytest.mark.parametrize("bomb", BOMBS)
def test_metadata_that_swells_takes_no_memory(volume, bomb):
    begin, again, count, end = BOMBS[bomb]
    (volume / layout.INFO_NAME).write_bytes(begin + again * count + end)
    reseal(volume)
    code, peak = peak_of("bundle", "import", volume)
    assert code == ExitCode.INTEGRITY
    assert peak < MEMORY_BYTES, f"{peak:,}"


@pytest.mark.slow
@pytest.mark.parametrize("lines", [300_000, 5_000_000], ids=["as many as are read", "more"])
def test_sums_that_swell_take_no_memory(volume, lines):
    with (volume / layout.SUMS_NAME).open("w") as stream:
        stream.writelines(f"{n:064x}  blobs/sha256/{n:064x}\n" for n in range(min(lines, 400_000)))
        if lines > 400_000:
            stream.truncate(1 << 30)
    code, peak = peak_of("bundle", "verify", volume)
    assert code == ExitCode.INTEGRITY
    assert peak < MEMORY_BYTES, f"{peak:,}"


SEGMENT = st.one_of(
    st.sampled_from(["..", ".", "", "~", "a", "con", "a.", "C:", "\\", "..\\..", "a\0", "é", "e\u0301"]),
    st.text(max_size=12),
)


@given(st.lists(SEGMENT, min_size=1, max_size=6).map("/".join))
def test_a_path_that_is_taken_stays_inside(path):
    if not paths_problem([path]):
        assert os.path.normpath(f"/store/{path}") == f"/store/{path}"
        assert "\\" not in path
        assert path.isprintable()


# What a source may be


def test_a_pipe_in_place_of_a_file_is_not_waited_for(home, tmp_path):
    put_old(home, {**tiny_files(), "empty": b""}, name="tiny")
    odd = home / "models/tiny/bf16/empty"
    odd.unlink()
    os.mkfifo(odd)
    code, _, said = run("bundle", "create", "--model", "tiny", "--to", tmp_path / "m")
    assert code == ExitCode.INTEGRITY, said
    assert "empty" in said
    assert not (tmp_path / "m").exists()


def test_a_link_in_place_of_a_content_is_read_not_believed(home, tmp_path):
    put(home, {**tiny_files(), "x.bin": b"x" * 100})
    outside = tmp_path / "outside"
    outside.write_bytes(b"y" * 100)
    blobs = Blobs(home / "blobs")
    [content] = [blobs.path(one) for one in blobs.digests() if blobs.path(one).read_bytes() == b"x" * 100]
    content.unlink()
    content.symlink_to(outside)
    code, _, said = run("bundle", "create", "--model", "tiny", "--to", tmp_path / "m", "--link", "copy")
    assert code == ExitCode.INTEGRITY, said
    assert b"y" * 100 not in [path.read_bytes() for path in (tmp_path / "m").rglob("*") if path.is_file()]


# Clocks


@pytest.mark.parametrize("year", [1970, 2099])
def test_a_clock_that_is_wrong_does_not_stop_a_signed_bundle(tmp_path, monkeypatch, year):
    key = make_key(tmp_path / "key")
    trust = find_home().root / "trust"
    trust.mkdir(parents=True)
    shutil.copy(f"{key}.pub", trust / "site.pub")
    volumes = make_bundle(tmp_path / "bundle", volumes=2, sign=lambda sums: ssh_sign(key, sums))
    real = dt.datetime

    class Wrong(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return real(year, 1, 1, 0, 0, 5, tzinfo=tz)

    monkeypatch.setattr(bundle_gate.dt, "datetime", Wrong)
    for command in ("verify", "import"):
        code, _, said = run("bundle", command, *volumes)
        assert code == 0, said
    assert len(files_of(find_home().models / NAME / VARIANT)) == 9


def test_what_is_written_after_is_read_from_the_medium(home, tmp_path, monkeypatch):
    """Each copy is synced, then dropped from memory, then read."""
    put(home, tiny_files())
    steps: list[tuple[str, int]] = []
    sync, advise = os.fsync, os.posix_fadvise

    def node(descriptor: int) -> int:
        return os.fstat(descriptor).st_ino

    monkeypatch.setattr(os, "fsync", lambda d: (steps.append(("sync", node(d))), sync(d))[1])
    monkeypatch.setattr(os, "posix_fadvise", lambda d, *a: (steps.append(("drop", node(d))), advise(d, *a))[1])
    code, _, said = run("bundle", "create", "--model", "tiny", "--to", tmp_path / "m", "--link", "copy", "--label", "b")
    assert code == 0, said
    nodes = {path.stat().st_ino for path in (tmp_path / "m").glob("*/blobs/sha256/*")}
    assert nodes
    for one in nodes:
        mine = [what for what, inode in steps if inode == one]
        assert mine.index("sync") < mine.index("drop")
    assert "read back after writing" in said
