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
from selfhost.hardware.system import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.hardware.system import System

_ROOT = "/usr/local/Ascend"
_DRIVER = f"{_ROOT}/driver"
_FIRMWARE = f"{_ROOT}/firmware/version.info"
_INSTALL_INFO = "/etc/ascend_install.info"
_LIBRARIES = (f"{_ROOT}/driver/lib64/common", f"{_ROOT}/driver/lib64/driver")
_CANN_FOLDERS = ("ascend-toolkit/latest", "cann")
"""In the order in which their `set_env.sh` is looked for; releases from 8.5 on leave both, one linked to the other."""
_FIRST_TO_TELL = "24.0"
"""Drivers before do not write `Driver_Install_Status` (hicann/driver scripts/package/custom/driver)."""
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


def look(system: System) -> Found:
    """Versions of driver, firmware, CANN and NNAL; chip and packages are for others to fill in."""
    board, cann = _board(system), find_cann(system)
    install_info = system.read(_INSTALL_INFO)
    driver_info = system.read(f"{reading.driver_folder(install_info) or _DRIVER}/version.info")
    driver = reading.version(driver_info) or reading.driver(board)
    told, fits = reading.firmware(board)
    firmware = told or reading.version(system.read(_FIRMWARE))
    if fits is None and firmware:
        fits = versions.within(firmware, reading.firmware_ranges(driver_info))
    return Found(
        driver=driver,
        driver_complete=_complete(system, install_info, driver),
        firmware=firmware,
        firmware_fits=fits,
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


def _board(system: System) -> str:
    """What npu-smi says of the board of the first NPU; empty without the tool, or when it does not answer in time."""
    tool = system.find("npu-smi")
    if tool is None:
        return ""
    paths = filter(None, (system.environ.get("LD_LIBRARY_PATH", ""), *_LIBRARIES))
    environ = {**system.environ, "LC_ALL": "C", "LD_LIBRARY_PATH": os.pathsep.join(paths)}
    npu = reading.first_npu(run([tool, "info", "-l"], environ, system.call_limit_s).output)
    if npu is None:
        return ""
    return run([tool, "info", "-t", "board", "-i", npu], environ, system.call_limit_s).output


def find_cann(system: System) -> tuple[Path, str] | None:
    """(folder, version) of the toolkit that the environment names, else of where its installer puts it.

    The folder is the one that is judged: `set_env.sh` is to be read from there.
    """
    default = (root / folder for root in _roots(system) for folder in _CANN_FOLDERS)
    for folder in (*_named(system, "ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"), *default):
        for info in sorted(folder.glob("*-linux/ascend_toolkit_install.info")):
            if version := reading.version(system.read(info)):
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
