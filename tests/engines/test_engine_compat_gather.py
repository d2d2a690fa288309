"""What is read of trees of files as an Ascend installation leaves them, and of a stand-in for npu-smi."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.engines import compat, compat_gather
from selfhost.engines import compat_files as reading
from selfhost.engines.compat_types import Found
from selfhost.hardware.cann_folder import find_cann
from selfhost.hardware.npu_query import Board
from selfhost.hardware.probe import probe
from selfhost.hardware.system import System

DATA = Path(__file__).parents[1] / "data" / "ascend"
TABLE = "910B3_8npu_info_25.3.rc1_in-use_empty-process-name.txt"
BOARD = "910B_A2_info-t-board_i0_25.5.1.txt"
TOOLKIT = (
    "package_name=Ascend-cann-toolkit\nversion=8.3.RC2\ninnerversion=V100R001C23SPC002B210\n"
    "compatible_version=[V100R001C15],[V100R001C18]\narch=x86_64\nos=linux\n"
    "path=/usr/local/Ascend/ascend-toolkit/8.3.RC2/x86_64-linux\n"
)
"""Out of vllm-project/vllm-ascend#4621."""
DRIVER = (
    "Version=25.7.rc1.6\nascendhal_version=7.35.23\nInnerversion=V100R001C10SPC105B220\npackage_version=25.7.rc1.6\n"
)
INSTALL = (
    "UserName=HwHiAiUser\nUserGroup=HwHiAiUser\nDriver_Install_Type=full\n"
    "Driver_Install_Path_Param=/usr/local/Ascend\nDriver_Install_For_All=no\nDriver_Install_Status=complete\n"
)


class Machine:
    """A root directory and a PATH that tests fill."""

    def __init__(self, root: Path):
        self.root, self.environ = root, {"PATH": str(root / "bin")}
        (root / "bin").mkdir()

    def file(self, path: str, content: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    def tool(self, body: str) -> None:
        path = self.root / "bin" / "npu-smi"
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{body}\n")
        path.chmod(0o755)

    def look(self):
        return compat_gather.look(System(root=self.root, environ=self.environ))


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_nothing_is_there(machine):
    found = machine.look()
    assert (found.driver, found.driver_complete, found.firmware, found.cann, found.nnal) == (None,) * 5
    assert found.cann_looked_for


def test_a_host_as_its_installers_leave_it(machine):
    machine.file("usr/local/Ascend/driver/version.info", DRIVER)
    machine.file("usr/local/Ascend/firmware/version.info", "Version=7.8.0.6.201\n")
    machine.file("etc/ascend_install.info", INSTALL)
    machine.file("usr/local/Ascend/cann-9.1.0/x86_64-linux/ascend_toolkit_install.info", "version=9.1.0\n")
    (machine.root / "usr/local/Ascend/cann").symlink_to("cann-9.1.0")
    machine.file("usr/local/Ascend/nnal/atb/9.1.0/version.info", "")
    (machine.root / "usr/local/Ascend/nnal/atb/latest").symlink_to("9.1.0")
    found = machine.look()
    assert (found.driver, found.driver_complete) == ("25.7.rc1.6", True)
    assert (found.firmware, found.firmware_fits) == ("7.8.0.6.201", None)
    assert (found.cann, found.nnal) == ("9.1.0", "9.1.0")


def test_an_older_cann_in_its_older_place(machine):
    machine.file("usr/local/Ascend/ascend-toolkit/latest/x86_64-linux/ascend_toolkit_install.info", TOOLKIT)
    assert machine.look().cann == "8.3.RC2"


def test_of_two_canns_the_one_counts_whose_set_env_is_sourced_first(machine):
    machine.file("usr/local/Ascend/cann/aarch64-linux/ascend_toolkit_install.info", "version=9.1.0\n")
    machine.file("usr/local/Ascend/ascend-toolkit/latest/x86_64-linux/ascend_toolkit_install.info", TOOLKIT)
    assert machine.look().cann == "8.3.RC2"


def test_the_environment_names_another_cann_and_nnal(machine):
    machine.file("usr/local/Ascend/cann/aarch64-linux/ascend_toolkit_install.info", "version=9.1.0\n")
    machine.file("usr/local/Ascend/nnal/atb/9.1.0/version.info", "")
    machine.file("opt/cann-9.0.1/aarch64-linux/ascend_toolkit_install.info", "version=9.0.1\n")
    machine.file("opt/nnal/atb/9.0.1/atb/cxx_abi_1/lib/libatb.so", "")
    machine.environ |= {"ASCEND_HOME_PATH": "/opt/cann-9.0.1", "ATB_HOME_PATH": "/opt/nnal/atb/9.0.1/atb/cxx_abi_1"}
    assert (machine.look().cann, machine.look().nnal) == ("9.0.1", "9.0.1")
    system = System(root=machine.root, environ=machine.environ)
    found = find_cann(system)
    assert (found.folder, found.version) == (machine.root / "opt/cann-9.0.1", "9.0.1")


def test_nnal_that_the_environment_names_by_its_link(machine):
    machine.file("opt/nnal/atb/9.0.1/atb/cxx_abi_1/lib/libatb.so", "")
    (machine.root / "opt/nnal/atb/latest").symlink_to("9.0.1")
    machine.environ["ATB_HOME_PATH"] = "/opt/nnal/atb/latest/atb/cxx_abi_1"
    assert machine.look().nnal == "9.0.1"


def test_a_user_who_is_not_root_has_cann_at_home(machine):
    machine.environ["HOME"] = "/home/me"
    machine.file("home/me/Ascend/cann/aarch64-linux/ascend_toolkit_install.info", "version=9.1.0\n")
    machine.file("home/me/Ascend/nnal/atb/9.1.0/version.info", "")
    assert (machine.look().cann, machine.look().nnal) == ("9.1.0", "9.1.0")


def test_a_driver_that_was_put_elsewhere(machine):
    machine.file("etc/ascend_install.info", INSTALL.replace("/usr/local/Ascend", "/opt/npu/"))
    machine.file("opt/npu/driver/version.info", DRIVER)
    assert machine.look().driver == "25.7.rc1.6"


@pytest.mark.parametrize("path", ["", "relative", "/a\0b", "/no-such-place"])
def test_a_place_of_the_driver_that_is_none(machine, path):
    machine.file("etc/ascend_install.info", INSTALL.replace("/usr/local/Ascend", path))
    assert machine.look().driver is None


def test_in_a_container_without_the_drivers_file_npu_smi_tells_its_version(machine):
    machine.tool(f'case "$*" in info) cat {DATA}/{TABLE};; *) exit 1;; esac')
    system = System(root=machine.root, environ=machine.environ)
    assert compat_gather.look(system, probe(machine.root / "home", system).host).driver == "25.3.rc1"


def test_nnal_is_told_by_its_file_where_its_folder_has_no_number(machine):
    # The file out of a public report of CANN 8.0.0.
    said = "    Ascend-cann-atb : 8.0.0\n    Ascend-cann-atb Version : 8.0.0.B100\n    Platform : aarch64\n"
    machine.file("usr/local/Ascend/nnal/atb/latest/version.info", said)
    assert machine.look().nnal == "8.0.0"


@pytest.mark.parametrize(
    ("driver", "complete"), [("25.5.1", False), ("24.1.rc1", False), ("23.0.7", None), (None, None)]
)
def test_a_driver_whose_installer_did_not_finish(machine, driver, complete):
    if driver:
        machine.file("usr/local/Ascend/driver/version.info", f"Version={driver}\n")
    machine.file("etc/ascend_install.info", INSTALL.replace("Driver_Install_Status=complete\n", ""))
    assert machine.look().driver_complete is complete


@pytest.mark.parametrize("mark", [".dockerenv", "run/.containerenv"])
def test_in_a_container_the_installers_file_says_nothing_against_the_driver(machine, mark):
    machine.file("usr/local/Ascend/driver/version.info", DRIVER)
    machine.file("etc/ascend_install.info", INSTALL.replace("Driver_Install_Status=complete\n", ""))
    machine.file(mark, "")
    assert machine.look().driver_complete is None


def test_a_folder_where_the_installers_file_should_be(machine):
    # Docker makes one for a mount whose source is not there.
    (machine.root / "etc/ascend_install.info").mkdir(parents=True)
    assert machine.look().driver_complete is None


@pytest.mark.parametrize("said", ["OK", "Not OK"])
def test_what_npu_smi_said_of_a_board_is_taken_from_detection_which_asked_it_once(machine, said):
    board = (DATA / BOARD).read_text().replace("Compatibility                  : OK", f"Compatibility : {said}")
    machine.file("board", board)
    machine.tool(
        f'echo "$*" >> {machine.root}/calls\n'
        f'case "$*" in info) cat {DATA}/{TABLE};;\n'
        f'"info -t board"*) cat {machine.root}/board;; *) exit 1;; esac'
    )
    system = System(root=machine.root, environ=machine.environ)
    detected = probe(machine.root / "home", system).host
    calls = (machine.root / "calls").read_text()
    assert "info -t board -i 0" in calls.splitlines()
    found = compat_gather.look(system, detected)
    assert (found.driver, found.firmware, found.firmware_fits) == ("25.3.rc1", "7.8.0.6.201", said == "OK")
    assert (machine.root / "calls").read_text() == calls


@pytest.mark.parametrize(
    ("firmware", "fits"), [("7.8.0.6.201", True), ("8.9.9.1", True), ("9.0.0.105.229", False), ("6.4.12", False)]
)
def test_the_driver_tells_which_firmware_it_goes_with(machine, firmware, fits):
    machine.file("usr/local/Ascend/driver/version.info", "Version=25.5.1\ncompatible_version_fw=[7.0.0,8.9.9]\n")
    machine.file("usr/local/Ascend/firmware/version.info", f"Version={firmware}\n")
    assert (machine.look().firmware, machine.look().firmware_fits) == (firmware, fits)


@pytest.mark.parametrize(("said", "fits"), [("OK", True), ("ok", True), ("Not OK", False), ("NA", None), (None, None)])
def test_what_the_board_says_of_its_firmware(said, fits):
    assert Board(compatibility=said).firmware_fits is fits


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("# Auto-generated file\n__device_type__ = 'A2'\n", "A2"),
        ('__device_type__ = "_310P"\n', "_310P"),
        ("__soc_version__ = 'ASCEND310P3'\n__sleep_mode_enabled__ = False\n", "_310P"),
        ("__soc_version__ = 'ASCEND910B1'\n", "A2"),
        ("", None),
        ("__device_type__ = read()\n", None),
    ],
)
def test_what_a_package_was_built_for(content, kind):
    assert reading.device_type(content) == kind


@pytest.mark.parametrize("content", ["", "\0\xff", "Version=", "version=[", "Version=abc", "=", "[7.5.0:7.6]"])
def test_files_that_are_cut_off_or_of_another_kind(content):
    assert reading.nnal(content) is None
    assert reading.driver_complete(content) is None


READERS = (
    reading.nnal,
    reading.driver_complete,
    lambda said: Board(compatibility=said).firmware_fits,
    reading.device_type,
    reading.numbered,
)
SEEN = (DRIVER, INSTALL, TOOLKIT, (DATA / BOARD).read_text(), "__device_type__ = 'A2'\n", "Ascend-cann-atb : 8.0.0\n")


@given(st.sampled_from(SEEN), st.integers(0, 1200), st.text(max_size=12), st.integers(0, 40))
def test_whatever_is_cut_out_or_put_in_no_reader_raises(content, at, put, cut):
    mutated = content[:at] + put + content[at + cut :]
    for reader in READERS:
        reader(mutated)
    version = reading.nnal(mutated) or put
    compat.judge(Found(driver=version, cann=version, nnal=put, python=put, packages={"torch": put, "vllm-ascend": put}))
