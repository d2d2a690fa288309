"""What the files of an Ascend installation and the PCI bus say: text in, values out. Never raises.

    /usr/local/Ascend/driver/version.info      version of the driver, and the firmware it goes with
    /usr/local/Ascend/firmware/version.info    version of the firmware package; absent from containers
    /etc/ascend_install.info                   how the driver was installed, and whether that ended
    .../ascend_toolkit_install.info            version of the CANN toolkit

Sources: hicann/driver scripts/package/custom/driver (install.sh, env_check.sh) and src/custom/dev_prod/user/npucli/inc/
npu_common.h (PCI ids); public dumps of such files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.messages import Message
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINE = re.compile(r"^\s*([A-Za-z_]\w{0,60})\s*=\s*(.{0,400}?)\s*$", re.MULTILINE)
_RANGE = re.compile(r"\[\s*([\d.]{1,40})\s*,\s*([\d.]{1,40})\s*\]")
_VERSION = re.compile(r"\[?([\w.\-]{1,80})")
_NODE = re.compile(r"davinci([0-9]{1,9})")

INSTALL_FILE = "/etc/ascend_install.info"
FAMILIES = {
    "0xd100": "310",
    "0xd105": "310B",
    "0xd500": "310P",
    "0xd801": "910 first generation",
    "0xd802": "A2",
    "0xd803": "A3",
    "0xd806": "950",
}
"""PCI device id -> chip family, the catalogue's words where it has the family. Virtual functions (0xd805) tell none."""
_UNSUPPORTED = {
    "310": Message("hardware.unsupported_310"),
    "310B": Message("hardware.unsupported_310b"),
    "910 first generation": Message("hardware.unsupported_910_gen1"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DriverInfo:
    """`version.info` of the driver."""

    version: str | None = None
    """`25.5.1`."""
    inner_version: str | None = None
    """`V100R001C23SPC002B212`."""
    firmware_ranges: tuple[tuple[str, str], ...] = ()
    """Lowest and highest firmware that this driver goes with, by its own word (`compatible_version_fw`)."""

    @property
    def firmware_wanted(self) -> str | None:
        """`7.0.0 to 8.9.9`; None when the driver does not tell."""
        return ", ".join(f"{low} to {high}" for low, high in self.firmware_ranges) or None

    def takes_firmware(self, version: str | None) -> bool | None:
        """Whether a firmware is within the ranges; None when one of both is not known."""
        found = _numbers(version or "")
        if not found or not self.firmware_ranges:
            return None
        return any(
            _numbers(low) <= found[: len(_numbers(high))] <= _numbers(high) for low, high in self.firmware_ranges
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class InstallInfo:
    """`/etc/ascend_install.info`."""

    install_type: str | None = None
    """`full`, `docker`, ..."""
    path: str | None = None
    """Above `driver/`: `/usr/local/Ascend`."""
    status: str | None = None
    """`complete`; drivers before 24 do not write it."""
    user: str | None = None
    """Owner of /dev/davinci*."""


def pairs(content: str) -> dict[str, str]:
    """`name=value` lines, names in lower case, the first of each."""
    found: dict[str, str] = {}
    for name, value in _LINE.findall(content):
        found.setdefault(name.lower(), value)
    return found


def parse_version(content: str) -> str | None:
    """The version in a `version.info` or an `ascend_toolkit_install.info`."""
    found = _VERSION.match(pairs(content).get("version", ""))
    return found[1] if found else None


def parse_driver(content: str) -> DriverInfo:
    """From the driver's `version.info`."""
    told = pairs(content)
    return DriverInfo(
        version=parse_version(content),
        inner_version=told.get("innerversion") or None,
        firmware_ranges=tuple(_RANGE.findall(told.get("compatible_version_fw", ""))),
    )


def parse_install(content: str) -> InstallInfo:
    """From `/etc/ascend_install.info`."""
    told = pairs(content)
    return InstallInfo(
        install_type=told.get("driver_install_type") or None,
        path=told.get("driver_install_path_param") or None,
        status=told.get("driver_install_status") or None,
        user=told.get("username") or None,
    )


def folder(install_info: str) -> str:
    """The folder above `driver` and `firmware`, from `/etc/ascend_install.info`."""
    return parse_install(install_info).path or "/usr/local/Ascend"


def same_release(one: str, other: str) -> bool:
    """Whether two versions are of one release: `24.1.rc1.b030` is a build of `24.1.rc1`."""
    short, long = sorted((one.lower(), other.lower()), key=len)
    return long == short or long.startswith(f"{short}.b")


def nodes(names: Iterable[str]) -> tuple[int, ...]:
    """N of each `davinciN` among names of /dev, sorted; that is the physical id."""
    found = (_NODE.fullmatch(name) for name in names)
    return tuple(sorted(int(match[1]) for match in found if match))


def unsupported(family: str | None) -> Message | None:
    """Why no engine drives a family; None where that is not known of it."""
    return _UNSUPPORTED.get(family or "")


def _numbers(version: str) -> list[int]:
    parts = version.split(".")
    return [int(part) for part in parts] if all(part.isdecimal() and len(part) < 10 for part in parts) else []  # noqa: PLR2004
