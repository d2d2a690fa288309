"""What files and tools of an Ascend installation say of versions: text in, facts out, None for what they do not say."""

from __future__ import annotations

import re

_VALUE = re.compile(r"^[ \t]*([A-Za-z_ ]+?)[ \t]*[=:][ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_VERSION = re.compile(r"\d+\.\w[\w.\-]*")


def values(content: str) -> dict[str, str]:
    """Names in lower case and values of lines `Name=value` or `Name : value`; the first of a name counts."""
    found: dict[str, str] = {}
    for name, value in _VALUE.findall(content):
        found.setdefault(name.lower(), value)
    return found


def version(content: str) -> str | None:
    r"""Of the driver's or firmware's `version.info`, and of CANN's `ascend_toolkit_install.info`.

    >>> version("Version=25.7.rc1.6\nInnerversion=V100R001C10SPC105B220\n")
    '25.7.rc1.6'
    """
    match = _VERSION.match(values(content).get("version", "").lstrip("["))
    return match[0] if match else None


def nnal(content: str) -> str | None:
    r"""Of NNAL's `version.info`.

    >>> nnal("    Ascend-cann-atb : 8.0.0\n    Ascend-cann-atb Version : 8.0.0.B100\n    Platform : aarch64\n")
    '8.0.0'
    """
    match = re.search(r"^\s*Ascend-cann-(?:atb|nnal)\s*[:=]\s*(\d+\.\w[\w.\-]*)", content, re.MULTILINE)
    return match[1] if match else version(content)


def driver_folder(install_info: str) -> str | None:
    """Where the driver is, by /etc/ascend_install.info: its installer may have been told another place."""
    path = values(install_info).get("driver_install_path_param", "")
    return f"{path.rstrip('/')}/driver" if path.startswith("/") and path.isprintable() else None


def driver_complete(install_info: str) -> bool | None:
    """Whether the driver's installer finished, by /etc/ascend_install.info; None when the file says nothing.

    npu-smi warns without that line. Source: hicann/driver npu_info_print.c.
    """
    told = values(install_info)
    if not any(name.startswith("driver_install") for name in told):
        return None
    return told.get("driver_install_status") == "complete"


def first_npu(listing: str) -> str | None:
    """Id of the first NPU in `npu-smi info -l`; ids need not begin with 0."""
    found = values(listing).get("npu id", "")
    return found if found.isdecimal() else None


def firmware_ranges(driver_info: str) -> tuple[tuple[str, str], ...]:
    r"""Lowest and highest firmware that a driver goes with, by its own word: `compatible_version_fw` of `version.info`.

    >>> firmware_ranges("Version=25.5.1\ncompatible_version_fw=[7.0.0,8.9.9]\n")
    (('7.0.0', '8.9.9'),)
    """
    said = values(driver_info).get("compatible_version_fw", "")
    return tuple(re.findall(r"\[\s*([\d.]{1,40})\s*,\s*([\d.]{1,40})\s*\]", said))


def driver(board: str) -> str | None:
    """The driver's version from the same answer as `firmware`: in a container its file is often not mounted."""
    match = _VERSION.match(values(board).get("software version", ""))
    return match[0] if match else None


def firmware(board: str) -> tuple[str | None, bool | None]:
    """(version, whether it fits the driver) from `npu-smi info -t board -i ID`."""
    told = values(board)
    match = _VERSION.match(told.get("firmware version", ""))
    said = told.get("compatibility", "").upper()
    return match[0] if match else None, (said == "OK") if said not in {"", "NA", "UNKNOWN"} else None


def device_type(build_info: str) -> str | None:
    """Of `vllm_ascend/_build_info.py`, read as text: `A2`; of older releases by their `__soc_version__`.

    Source: vllm-ascend 0.23.0, utils.py `_init_ascend_device_type`.
    """
    named = dict(re.findall(r"^__(device_type|soc_version)__\s*=\s*['\"](\w+)['\"]", build_info, re.MULTILINE))
    if kind := named.get("device_type"):
        return str(kind)
    if soc := named.get("soc_version"):
        return "_310P" if "310P" in soc.upper() else "A2"
    return None
