"""Which wheels install on which machine; `packaging`, which pip is built on, says the same."""

from __future__ import annotations

import itertools

import pytest
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from selfhost import files
from selfhost.engines.needs import Machine
from selfhost.engines.wheel_folder import keep
from selfhost.engines.wheel_tags import misfit

PYTHONS = ("py3", "py2.py3", "py312", "cp310", "cp311", "cp312", "py2")
ABIS = ("none", "abi3", "cp311", "cp312", "cp311t")
PLATFORMS = (
    "any",
    "linux_x86_64",
    "manylinux2014_x86_64",
    "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "manylinux_2_28_x86_64",
    "manylinux_2_34_aarch64",
    "musllinux_1_2_x86_64",
    "macosx_11_0_arm64",
)
MACHINES = [
    Machine(machine=machine, implementation="cpython", python=(3, minor), glibc=glibc)
    for machine, minor, glibc in itertools.product(("x86_64", "aarch64"), (11, 12), ((2, 17), (2, 31), (2, 36)))
]


def supported(machine):
    """The tags that packaging makes for such an interpreter, wherever this test runs."""
    major, minor = machine.python
    platforms = [f"manylinux_2_{n}_{machine.machine}" for n in range(machine.glibc[1], 4, -1)]
    old = {"manylinux2014": 17, "manylinux2010": 12, "manylinux1": 5}
    platforms += [f"{name}_{machine.machine}" for name, n in old.items() if n <= machine.glibc[1]]
    platforms.append(f"linux_{machine.machine}")
    version = f"cp{major}{minor}"
    yield from cpython_tags(machine.python, [version], platforms)
    yield from compatible_tags(machine.python, version, platforms)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m.machine}-{m.python[1]}-{m.glibc[1]}")
def test_the_answer_is_that_of_packaging(machine):
    tags: set[Tag] = set(supported(machine))
    answers = {}
    for python, abi, platform in itertools.product(PYTHONS, ABIS, PLATFORMS):
        if (python.startswith("py") and abi != "none") or (abi.startswith("cp") and abi[:5] != python):
            continue  # no such wheels are made
        if abi != "none" and platform == "any":
            continue  # no such wheels are made
        name = f"a-1.0-{python}-{abi}-{platform}.whl"
        answers[name] = (misfit(name, machine) == "", bool(parse_wheel_filename(name)[3] & tags))
    assert [name for name, (ours, theirs) in answers.items() if ours != theirs] == []
    assert len({ours for ours, _ in answers.values()}) == 2


def test_the_reason_is_told():
    here = Machine(machine="x86_64", implementation="cpython", python=(3, 11), glibc=(2, 27))
    assert misfit("a-1-cp311-cp311-manylinux_2_28_x86_64.whl", here) == "needs glibc 2.28"
    assert misfit("a-1-cp312-cp312-manylinux_2_28_x86_64.whl", here) == "is for cp312"
    assert misfit("a-1-py3-none-manylinux_2_17_aarch64.whl", here) == "is for manylinux_2_17_aarch64"
    assert misfit("a.whl", here) == "has no tags in its name"


@pytest.mark.parametrize(
    "python", ["py3k", "py3_9", "py3-", "cp3\N{SUPERSCRIPT TWO}", "py3\N{SUPERSCRIPT TWO}", "cp" + "3" * 5000]
)
def test_a_foreign_name_is_no_crash(python):
    here = Machine(machine="x86_64", implementation="cpython", python=(3, 11), glibc=(2, 27))
    assert misfit(f"a-1-{python}-none-any.whl", here)


def test_a_wheel_gets_its_name_when_it_is_on_the_disk_and_others_may_read_it(tmp_path, monkeypatch):
    partial, folder = tmp_path / "partial", tmp_path / "folder"
    partial.mkdir()
    folder.mkdir()
    wheel = partial / "a-1-py3-none-any.whl"
    wheel.write_bytes(b"x")
    wheel.chmod(0o600)
    synced = []
    monkeypatch.setattr(files, "sync", lambda path: synced.append((path, path.exists())))
    assert keep(partial, folder) == [wheel.name]
    assert synced == [(wheel, True), (folder, True)]
    assert (folder / wheel.name).stat().st_mode & 0o777 == 0o644
