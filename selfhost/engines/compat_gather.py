"""Looks for the versions of an Ascend stack on this machine: files of driver, CANN and NNAL, one question to npu-smi.

Nothing is changed and nothing fails; what is not there is None.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.engines import compat_files as reading
from selfhost.engines import compat_versions as versions
from selfhost.engines.compat_types import Found
from selfhost.hardware import ascend_files, npu_query
from selfhost.hardware.npu_query import Board
from selfhost.hardware.system import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.hardware.system import System

_ROOT = "/usr/local/Ascend"
_LIBRARIES = (f"{_ROOT}/driver/lib64/common", f"{_ROOT}/driver/lib64/driver")
_CANN_FOLDERS = ("ascend-toolkit/latest", "cann")
"""In the order in which their `set_env.sh` is looked for; releases from 8.5 on leave both, one linked to the other."""
_FIRST_TO_TELL = "24.0"
"""Drivers before do not write `Driver_Install_Status` (hicann/driver scripts/package/custom/driver)."""
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


def look(system: System) -> Found:
    """Versions of driver, firmware, CANN and NNAL; chip and packages are for others to fill in."""
    board, cann = _board(system), find_cann(system)
    install_info = system.read(ascend_files.INSTALL_FILE)
    folder = ascend_files.folder(install_info)
    info = ascend_files.parse_driver(system.read(f"{folder}/driver/version.info"))
    driver = reading.numbered(info.version) or reading.numbered(board.driver)
    firmware = board.firmware or ascend_files.parse_version(system.read(f"{folder}/firmware/version.info"))
    fits = reading.firmware_fits(board.compatibility)
    return Found(
        driver=driver,
        driver_complete=_complete(system, install_info, driver),
        firmware=reading.numbered(firmware),
        firmware_fits=info.takes_firmware(firmware) if fits is None else fits,
        cann=cann[1] if cann else None,
        nnal=_nnal(system),
        cann_looked_for=True,
        machine=os.uname().machine,
    )


def _complete(system: System, install_info: str, driver: str | None) -> bool | None:
    """Whether the driver's installer finished; False only where it would have said so."""
    complete = reading.driver_complete(install_info)
    silent = driver is None or versions.is_series_older(driver, _FIRST_TO_TELL)
    # A container has the host's file, part of it, or an empty folder that the runtime made; npu-smi does not go by it
    # there either.
    if silent or any(system.at(mark).exists() for mark in _CONTAINER_MARKS):
        return complete or None
    return complete


def _board(system: System) -> Board:
    """What npu-smi says of the board of the first NPU; nothing without the tool, or when it does not answer in time."""
    tool = system.find("npu-smi")
    if tool is None:
        return Board()
    paths = filter(None, (system.environ.get("LD_LIBRARY_PATH", ""), *_LIBRARIES))
    environ = {**system.environ, "LC_ALL": "C", "LD_LIBRARY_PATH": os.pathsep.join(paths)}
    _, npus = npu_query.parse_list(run([tool, "info", "-l"], environ, system.call_limit_s).output)
    if not npus:
        return Board()
    argv = [tool, "info", "-t", "board", "-i", str(npus[0])]
    return npu_query.parse_board(run(argv, environ, system.call_limit_s).output)


def find_cann(system: System) -> tuple[Path, str] | None:
    """(folder, version) of the toolkit that the environment names, else of where its installer puts it.

    The folder is the one that is judged: `set_env.sh` is to be read from there.
    """
    default = (root / folder for root in _roots(system) for folder in _CANN_FOLDERS)
    for folder in (*_named(system, "ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"), *default):
        for info in sorted(folder.glob("*-linux/ascend_toolkit_install.info")):
            if version := reading.numbered(ascend_files.parse_version(system.read(info))):
                return folder, version
    return None


def _nnal(system: System) -> str | None:
    """By the file in its folder `nnal/atb/9.1.0`, which `latest` leads to; else by the folder's name."""
    homes = list(_named(system, "ATB_HOME_PATH"))
    for default in (root / "nnal" / "atb" for root in _roots(system)):
        homes += [default / "latest", *sorted(default.glob("*"), reverse=True)]
    for home in (home.resolve() for home in homes):
        for folder in (home, *home.parents):
            if folder.parent.name == "atb" and folder.parent.parent.name == "nnal" and folder.is_dir():
                name = folder.name if folder.name[:1].isdigit() else None
                if version := reading.nnal(system.read(folder / "version.info")) or name:
                    return version
    return None


def _roots(system: System) -> Iterator[Path]:
    """Where installers put CANN and NNAL: root's is first, then that of the user."""
    yield system.at(_ROOT)
    if home := system.environ.get("HOME"):
        yield system.at(home) / "Ascend"


def _named(system: System, *variables: str) -> Iterator[Path]:
    """Folders that variables of the environment name."""
    for variable in variables:
        if value := system.environ.get(variable):
            yield system.at(value) if Path(value).is_absolute() else Path(value)
