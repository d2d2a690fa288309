"""Wheels for another machine than this one: chosen by its Python and C library, from an index that counts."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from packaging.markers import Marker, default_environment
from packaging.tags import cpython_tags, parse_tag

from selfhost import files
from selfhost.engines import own_wheels, wheels
from selfhost.engines.lock import LockEntry, lock_text, marker_environment, needed, parse_lock
from selfhost.engines.needs import Machine
from selfhost.engines.own_wheels import requirements
from selfhost.engines.specs import CPU
from selfhost.engines.wheel_folder import WheelOptions
from selfhost.engines.wheel_tags import lowest_glibc, misfit, pip_arguments
from selfhost.errors import ExitCode, IncompleteError, MissingError
from tests.standins.package_index import PackageIndex
from tests.tiny_wheels import make_wheel

OLD = Machine(machine="aarch64", implementation="cpython", python=(3, 12), glibc=(2, 31))
NEW = replace(OLD, glibc=(2, 35))
BUILDS = (
    "cp311-cp311-manylinux_2_28_x86_64",
    "cp312-cp312-manylinux_2_34_aarch64",
    "cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64",
)


@pytest.fixture
def index(tmp_path, monkeypatch, plain_pip):
    """An index of tiny wheels, the only one that pip is configured with."""
    folder = tmp_path / "index"
    folder.mkdir()
    with PackageIndex(folder) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        yield index


@pytest.fixture
def spec(index, tmp_path):
    """An engine with a package that is built for each machine, one for all, and one for Python 3.12 alone."""
    built = [make_wheel(index.folder, "built", "1.0", tags=tags) for tags in BUILDS]
    plain = make_wheel(index.folder, "plain", "1.0")
    late = make_wheel(index.folder, "late", "2.0", python=">=3.12")
    never = make_wheel(index.folder, "early", "2.0")
    entries = [
        LockEntry("built", "1.0", "", tuple(built)),
        LockEntry("plain", "1.0", "", (plain,)),
        LockEntry("late", "2.0", "python_full_version >= '3.12'", (late,)),
        LockEntry("early", "2.0", "python_full_version < '3.12' or platform_machine == 'x86_64'", (never,)),
    ]
    lines = lock_text(entries).splitlines(keepends=True)
    marked = {f"{e.name}=={e.version}": f"{e.name}=={e.version} ; {e.marker}" for e in entries if e.marker}
    lock = tmp_path / "tiny.lock"
    lock.write_text("".join(line.replace(head := line.partition(" ")[0], marked.get(head, head), 1) for line in lines))
    assert list(parse_lock(lock.read_text())) == entries
    return replace(CPU, lock=str(lock), disk_bytes=1_000_000, fallback_index="", fallback_package="")


def fill(spec, folder, machine=OLD, report=lambda _progress: None):
    return wheels.fill(spec, folder, WheelOptions(machine=machine), report)


def names(found):
    return sorted(wheel.path.name for wheel in found)


@pytest.mark.slow
def test_wheels_are_those_of_the_other_machine_and_each_is_fetched_once(spec, index, tmp_path):
    folder = tmp_path / "house"
    seen = []
    found = names(fill(spec, folder, NEW, report=seen.append))
    wanted = [f"built-1.0-{BUILDS[1]}.whl", "late-2.0-py3-none-any.whl", "plain-1.0-py3-none-any.whl"]
    assert found == wanted
    assert sorted(index.fetched) == wanted
    assert {(progress.total, progress.item != "") for progress in seen} >= {(3, True)}

    # An older system next: only the build for it is new, and the newer one runs that too.
    wanted[0] = f"built-1.0-{BUILDS[2]}.whl"
    assert names(fill(spec, folder)) == wanted
    assert index.fetched[3:] == wanted[:1]
    assert names(wheels.find(spec, folder, OLD)) == wanted
    assert len(wheels.find(spec, folder, NEW)) == 3
    (folder / wanted[2]).write_bytes(b"cut")
    assert names(fill(spec, folder, OLD)) == wanted
    assert index.fetched[4:] == [wanted[2]]


@pytest.mark.slow
def test_packages_without_a_wheel_for_that_machine_are_all_named(spec, index, tmp_path):
    for path in [*index.folder.glob("built*aarch64*"), *index.folder.glob("late*")]:
        path.unlink()
    with pytest.raises(MissingError) as caught:
        fill(spec, tmp_path / "house")
    assert caught.value.message.id == "wheels.none_there"
    assert caught.value.message.why.splitlines() == [
        "there: aarch64, Python 3.12, glibc 2.31",
        "built==1.0",
        "late==2.0",
    ]
    # In a folder that is given, too: a wheel for another machine is none.
    with pytest.raises(IncompleteError) as lacking:
        wheels.find(spec, index.folder, OLD)
    assert lacking.value.message.why.splitlines() == ["built==1.0", "late==2.0"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "too_old", [replace(OLD, glibc=(2, 28)), replace(OLD, python=(3, 10)), replace(OLD, machine="x")]
)
def test_a_machine_that_the_engine_does_not_run_on_is_refused_before_anything_is_fetched(
    spec, index, tmp_path, too_old
):
    with pytest.raises(MissingError) as caught:
        fill(spec, tmp_path / "house", too_old)
    assert caught.value.code is ExitCode.MISSING
    assert index.fetched == []


@pytest.mark.slow
def test_what_was_got_before_a_failure_is_not_fetched_again(spec, index, tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "_AT_ONCE", 1)
    folder = tmp_path / "house"
    index.refused.add("plain-1.0-py3-none-any.whl")
    with pytest.raises(IncompleteError):
        fill(spec, folder)
    assert index.fetched == [f"built-1.0-{BUILDS[2]}.whl"]
    index.refused.clear()
    assert len(fill(spec, folder)) == 3
    assert len(index.fetched) == 3


@pytest.mark.slow
def test_a_killed_run_leaves_whole_wheels_that_the_next_one_keeps(spec, index, tmp_path):
    """As pip leaves them: whole in a folder of its own, the one that it was at cut off."""
    folder = tmp_path / "house"
    left = folder / ".partial" / "tmp" / "pip-unpack-x"
    left.mkdir(parents=True)
    whole = index.folder / f"built-1.0-{BUILDS[2]}.whl"
    (left / whole.name).write_bytes(whole.read_bytes())
    (left / "plain-1.0-py3-none-any.whl").write_bytes((index.folder / "plain-1.0-py3-none-any.whl").read_bytes()[:-9])
    assert len(fill(spec, folder)) == 3
    assert sorted(index.fetched) == ["late-2.0-py3-none-any.whl", "plain-1.0-py3-none-any.whl"]
    assert not (folder / ".partial").exists()


@pytest.mark.slow
def test_sigkill_in_the_middle_of_a_download_costs_no_more_than_a_few_packages(spec, index, tmp_path):
    """The process is killed when the first batch is there; what lies in the folder by then is whole."""
    folder = tmp_path / "house"
    script = (
        "import dataclasses, os, signal, sys; from pathlib import Path\n"
        "from selfhost.engines import wheels; from selfhost.engines.specs import CPU\n"
        "from selfhost.engines.needs import Machine; from selfhost.engines.wheel_folder import WheelOptions\n"
        "wheels._AT_ONCE = 1\n"
        f"spec = dataclasses.replace(CPU, lock={spec.lock!r}, fallback_index='', fallback_package='')\n"
        f"there = Machine(machine='aarch64', implementation='cpython', python=(3, 12), glibc=(2, 31))\n"
        "def report(p):\n"
        "    if p.done >= 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"wheels.fill(spec, Path({str(folder)!r}), WheelOptions(machine=there), report)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    there = {path.name: files.sha256_file(path) for path in folder.glob("*.whl")}
    assert there
    assert all(files.sha256_file(index.folder / name) == digest for name, digest in there.items())
    before = list(index.fetched)
    assert len(fill(spec, folder)) == 3
    assert not set(there) & set(index.fetched[len(before) :])


@pytest.fixture
def own(index, tmp_path):
    """A wheel of selfhost that needs one package everywhere, one on Python 3.12 alone, one by an extra of another."""
    make_wheel(index.folder, "base", "1.5", needs=("deep>=1",))
    make_wheel(index.folder, "deep", "1.0", needs=("only-old; python_version < '3.12'", 'spice; extra == "hot"'))
    make_wheel(index.folder, "only-new", "3.0", tags="cp312-abi3-manylinux_2_28_aarch64", needs=("deep[hot]",))
    make_wheel(index.folder, "spice", "1.0")
    folder = tmp_path / "own"
    folder.mkdir()
    wanted = ("base>=1,<2", "only-new; python_version >= '3.12'", 'sauce; extra == "dev"')
    make_wheel(folder, "selfhost-llm", "0.1.0", needs=wanted)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_selfhost_s_own_closure_is_that_of_the_other_python(own, index, tmp_path, monkeypatch):
    folder = tmp_path / "house"
    found = own_wheels.fill(folder, WheelOptions(machine=OLD), own)
    assert {wheel.name for wheel in found} == {"selfhost-llm", "base", "deep", "only-new", "spice"}
    assert {entry.name for entry in parse_lock((folder / own_wheels.OWN_LOCK).read_text())} == {w.name for w in found}
    # A second time, offline: all of it is there.
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    fetched = list(index.fetched)
    assert own_wheels.fill(folder, WheelOptions(machine=OLD), own) == found
    assert index.fetched == fetched


@pytest.mark.slow
def test_a_closure_that_does_not_go_together_is_refused(own, index, tmp_path):
    (index.folder / "deep-1.0-py3-none-any.whl").unlink()
    make_wheel(index.folder, "deep", "1.0", needs=("base>=1.6",))
    with pytest.raises(MissingError) as caught:
        own_wheels.fill(tmp_path / "house", WheelOptions(machine=OLD), own)
    assert caught.value.message.why == "base>=1.6: 1.5"
    (index.folder / "deep-1.0-py3-none-any.whl").unlink()
    with pytest.raises(IncompleteError) as lacking:
        own_wheels.fill(tmp_path / "other", WheelOptions(machine=OLD), own)
    assert "deep" in lacking.value.message.why


def test_pip_is_told_every_tag_that_the_machine_takes_and_no_other():
    argv = pip_arguments(OLD)
    platforms = [argv[at + 1] for at, word in enumerate(argv) if word == "--platform"]
    assert ("--python-version", "312") in itertools.pairwise(argv)
    tags = {str(tag) for tag in cpython_tags((3, 12), ["cp312"], platforms)}
    for build in (*BUILDS, "cp38-abi3-manylinux_2_31_aarch64", "cp312-cp312-linux_aarch64"):
        fits = any(str(tag) in tags for tag in parse_tag(build))
        assert fits == (not misfit(f"a-1-{build}.whl", OLD)), build


def test_the_lowest_glibc_is_that_of_the_most_demanding_wheel():
    names = [f"a-1-{build}.whl" for build in BUILDS]
    assert lowest_glibc(names, "aarch64") == (2, 34)
    assert lowest_glibc(names, "x86_64") == (2, 28)
    assert lowest_glibc([names[2], "b-1-py3-none-any.whl"], "aarch64") == (2, 17)
    assert lowest_glibc(["b-1-py3-none-any.whl"], "aarch64") is None


def test_markers_are_answered_as_the_interpreter_would_here():
    here = default_environment()
    machine = Machine(
        machine=here["platform_machine"], implementation="cpython", python=sys.version_info[:2], glibc=(2, 31)
    )
    told = marker_environment(machine)
    assert told.keys() == here.keys()
    exact = {"implementation_version", "python_full_version", "platform_release", "platform_version"}
    assert {k: v for k, v in told.items() if k not in exact} == {k: v for k, v in here.items() if k not in exact}
    entry = LockEntry("a", "1", "python_version >= '3.12'", ("0" * 64,))
    assert needed([entry], OLD) == (entry,)
    assert needed([entry], replace(OLD, python=(3, 11))) == ()
    assert Marker(entry.marker).evaluate(marker_environment(OLD))


def test_requirements_of_a_wheel_follow_the_machine_and_the_extras():
    said = b"Requires-Dist: a\nRequires-Dist: b; python_version < '3.12'\nRequires-Dist: c>=2; extra == 'x'\n"
    assert [rule.name for rule in requirements(said, OLD)] == ["a"]
    assert [rule.name for rule in requirements(said, replace(OLD, python=(3, 11)), ["x"])] == ["a", "b", "c"]
