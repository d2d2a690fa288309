"""Looks for the versions of an Ascend stack on this machine: files of driver, CANN and NNAL.

npu-smi is not asked: what it says of a board, detection has. Nothing is changed and nothing fails; what is not there is
None.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from selfhost.engines import compat_files as reading
from selfhost.engines import compat_versions as versions
from selfhost.engines.compat_types import Found
from selfhost.hardware import ascend_files, cann_folder

if TYPE_CHECKING:
    from selfhost.hardware.system import System
    from selfhost.hardware.types import Host

_FIRST_TO_TELL = "24.0"
"""Drivers before do not write `Driver_Install_Status` (hicann/driver scripts/package/custom/driver)."""
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


def look(system: System, host: Host | None = None) -> Found:
    """Versions of driver, firmware, CANN and NNAL; chip and packages are for others to fill in.

    host: the machine as it was detected, for what only npu-smi tells; None: files have to do.
    """
    install_info = system.read(ascend_files.INSTALL_FILE)
    folder = ascend_files.folder(install_info)
    info = ascend_files.parse_driver(system.read(f"{folder}/driver/version.info"))
    driver = reading.numbered(info.version) or reading.numbered(host.ascend_driver if host else None)
    firmware = host.ascend_firmware if host else None
    firmware = firmware or ascend_files.parse_version(system.read(f"{folder}/firmware/version.info"))
    fits = host.ascend_firmware_fits if host else None
    toolkit = cann_folder.find_cann(system)
    return Found(
        driver=driver,
        driver_complete=_complete(system, install_info, driver),
        firmware=reading.numbered(firmware),
        firmware_fits=info.takes_firmware(firmware) if fits is None else fits,
        cann=toolkit.version if toolkit else None,
        nnal=_nnal(system),
        # A toolkit that does not tell its version is not absent.
        cann_looked_for=toolkit is None or toolkit.version is not None,
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


def _nnal(system: System) -> str | None:
    """By the file in its folder `nnal/atb/9.1.0`, which `latest` leads to; else by the folder's name."""
    homes = list(cann_folder.named(system, "ATB_HOME_PATH"))
    for default in (root / "nnal" / "atb" for root in cann_folder.roots(system)):
        homes += [default / "latest", *sorted(default.glob("*"), reverse=True)]
    for home in (home.resolve() for home in homes):
        for folder in (home, *home.parents):
            if folder.parent.name == "atb" and folder.parent.parent.name == "nnal" and folder.is_dir():
                name = folder.name if folder.name[:1].isdigit() else None
                if version := reading.nnal(system.read(folder / "version.info")) or name:
                    return version
    return None
