"""CANN's and NNAL's variables: what their scripts set, and what is told when they, or libraries, are not there."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from selfhost.app.engine_env import cann_env
from selfhost.engines import cann
from selfhost.errors import MissingError
from tests.ascend_support import install


@pytest.fixture
def machine(tmp_path):
    return install(tmp_path)


@pytest.fixture
def ascend(tmp_path):
    return tmp_path / "usr/local/Ascend"


def test_what_the_scripts_set_is_read_and_nothing_else(machine, ascend):
    base = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    found = cann.read(machine, base)
    assert found.toolkit_script == ascend / "cann/set_env.sh"
    home, atb = f"{ascend}/cann-9.1.0", f"{ascend}/nnal/atb/latest/atb/cxx_abi_1"
    assert found.variables == {
        "ASCEND_TOOLKIT_HOME": home,
        "ASCEND_HOME_PATH": home,
        "ASCEND_OPP_PATH": f"{home}/opp",
        "ATB_HOME_PATH": atb,
        "ATB_WORKSPACE_MEM_ALLOC_GLOBAL": "1",
        "ATB_SHARE_MEMORY_NAME_SUFFIX": "",
        "PATH": f"{home}/bin:/usr/bin:/bin",
        "PYTHONPATH": f"{home}/python/site-packages:{home}/opp/built-in/op_impl/ai_core/tbe",
        "LD_LIBRARY_PATH": ":".join(
            (
                *(f"{atb}/lib", f"{home}/lib64", f"{home}/lib64/plugin/opskernel"),
                *(f"{ascend}/driver/lib64/{part}" for part in ("common", "driver")),
                f"{ascend}/driver/lib64",
            )
        ),
    }


def test_what_was_set_before_stays_and_stands_once(machine, ascend):
    home = f"{ascend}/cann-9.1.0"
    found = cann.read(machine, {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": f"/mine:{home}/lib64"})
    folders = found.variables["LD_LIBRARY_PATH"].split(":")
    assert folders.count(f"{home}/lib64") == 1
    assert "/mine" in folders


def test_no_file_of_the_user_is_read(machine, tmp_path):
    (tmp_path / "evil.sh").write_text("export EVIL=1\n")
    for name in (".bashrc", ".bash_profile", ".profile"):
        (tmp_path / name).write_text("export EVIL=1\n")
    base = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "BASH_ENV": str(tmp_path / "evil.sh")}
    assert "EVIL" not in cann.read(machine, base).variables


def test_what_the_environment_names_comes_first(tmp_path, ascend):
    other = tmp_path / "opt/cann"
    shutil.copytree(install(tmp_path).at("/usr/local/Ascend/cann-9.1.0"), other)
    atb = f"{ascend}/nnal/atb/latest/atb/cxx_abi_1"
    named = install(tmp_path / "second", {"ASCEND_HOME_PATH": str(other), "ATB_HOME_PATH": atb})
    found = cann.read(named, dict(named.environ))
    assert (found.toolkit_script, found.nnal_script) == (other / "set_env.sh", ascend / "nnal/atb/set_env.sh")


def test_an_installation_in_the_home_of_its_user_is_found(machine, ascend, tmp_path):
    (tmp_path / "home").mkdir()
    shutil.move(ascend / "cann-9.1.0", tmp_path / "home/Ascend/cann-9.1.0")
    (ascend / "cann").unlink()
    (tmp_path / "home/Ascend/cann").symlink_to("cann-9.1.0")
    script = tmp_path / "home/Ascend/cann/set_env.sh"
    script.write_text(script.read_text().replace(str(ascend), str(tmp_path / "home/Ascend")))
    mine = install(tmp_path / "empty", {"HOME": str(tmp_path / "home")})
    (mine.at("/usr/local/Ascend/cann")).unlink()
    assert cann.read(mine, dict(mine.environ)).toolkit_script == script


def test_the_driver_may_lie_where_its_file_says(machine, ascend, tmp_path):
    shutil.move(ascend / "driver", tmp_path / "opt/Ascend/driver")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/ascend_install.info").write_text("UserName=HwHiAiUser\nDriver_Install_Path_Param=/opt/Ascend\n")
    path = cann.read(machine, {"PATH": "/usr/bin:/bin"}).variables["LD_LIBRARY_PATH"]
    assert f"{tmp_path}/opt/Ascend/driver/lib64/driver" in path


@pytest.mark.parametrize(
    ("gone", "message", "words"),
    [
        ("cann-9.1.0/set_env.sh", "cann.no_toolkit", "export ASCEND_HOME_PATH="),
        ("nnal/atb/set_env.sh", "cann.no_nnal", "Ascend-cann-nnal"),
        ("driver/lib64/driver/libascend_hal.so", "cann.no_driver_library", "mount `/usr/local/Ascend/driver/lib64`"),
        ("cann-9.1.0/lib64/libhccl.so", "cann.no_library", "libhccl.so"),
        ("nnal/atb/latest/atb/cxx_abi_1/lib/libatb.so", "cann.no_nnal_library", "libatb.so"),
    ],
)
def test_what_is_missing_is_told_with_what_to_do(machine, ascend, gone, message, words):
    (ascend / gone).unlink()
    with pytest.raises(MissingError) as caught:
        cann.read(machine, {"PATH": "/usr/bin:/bin"})
    found = caught.value.message
    assert found.id == message
    assert words in f"{found.what}\n{found.why}\n{found.hint}"


def test_a_script_of_another_user_is_told(machine, monkeypatch):
    monkeypatch.setattr(cann.os, "access", lambda path, mode: not str(path).endswith("cann/set_env.sh"))
    with pytest.raises(MissingError) as caught:
        cann.read(machine, {"PATH": "/usr/bin:/bin"})
    assert caught.value.message.id == "cann.not_readable"


def test_a_script_that_ends_the_shell_is_told_with_its_last_words(machine, ascend):
    """As the one of CANN 9 does under its `set -e`, where /etc/ascend_install.info is empty."""
    (ascend / "cann-9.1.0/set_env.sh").write_text("set -e\necho 'no such key' >&2\ngrep -q x /dev/null\n")
    with pytest.raises(MissingError) as caught:
        cann.read(machine, {"PATH": "/usr/bin:/bin"})
    assert caught.value.message.id == "cann.script_fails"
    assert "exit status 1; last words: no such key" in caught.value.message.why


def test_a_script_that_waits_is_ended(machine, ascend):
    (ascend / "nnal/atb/set_env.sh").write_text("sleep 60\n")
    began = time.monotonic()
    with pytest.raises(MissingError) as caught:
        cann.read(machine, {"PATH": "/usr/bin:/bin"}, limit_s=0.3)
    assert caught.value.message.id == "cann.hangs"
    assert time.monotonic() - began < 30


def test_a_script_that_sets_nothing_is_told(machine, ascend):
    (ascend / "nnal/atb/set_env.sh").write_text("export ATB_HOME_PATH=/was/moved\n")
    with pytest.raises(MissingError) as caught:
        cann.read(machine, {"PATH": "/usr/bin:/bin"})
    assert caught.value.message.id == "cann.not_set"
    assert "/was/moved" in caught.value.message.why


def test_without_bash(machine):
    with pytest.raises(MissingError) as caught:
        cann.read(install(machine.root / "other", {"PATH": "/nowhere"}), {"PATH": "/nowhere"})
    assert caught.value.message.id == "cann.no_bash"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("noise\n\0selfhost\0A=1\0B=x=y\nz\0C=\0broken\0", {"A": "1", "B": "x=y\nz", "C": ""}),
        ("\0selfhost\0", {}),
        ("A=1\0", None),
        ("", None),
    ],
)
def test_what_env_says_is_read(said, found):
    assert cann.parse(said) == found


def test_an_engine_gets_its_own_folder_first_and_nothing_that_selfhost_decides(tmp_path):
    machine = install(tmp_path, {"VLLM_PLUGINS": "", "HF_TOKEN": "secret"})
    script = tmp_path / "usr/local/Ascend/cann/set_env.sh"
    script.write_text(script.read_text() + "export VLLM_API_KEY=x PYTHONHOME=/x MY_TOKEN=x SELFHOST_GATE=/x\n")
    env = cann_env(machine, tmp_path / "engine/bin/python")
    assert env["PATH"].split(os.pathsep)[1] == f"{tmp_path}/engine/bin"
    assert not {"VLLM_API_KEY", "PYTHONHOME", "MY_TOKEN", "SELFHOST_GATE", "HF_TOKEN"} & set(env)
    assert env["PYTHONPATH"].startswith(f"{tmp_path}/usr/local/Ascend/cann-9.1.0/python")
