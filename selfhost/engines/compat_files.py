"""What more files say of an Ascend stack than `hardware.ascend_files` reads: text in, facts out, None for nothing."""

from __future__ import annotations

import re

from selfhost.hardware import ascend_files


def numbered(version: str | None) -> str | None:
    """A version that begins with a number; None for whatever else a damaged file has in its place."""
    return version if version and version[0].isdecimal() else None


def nnal(content: str) -> str | None:
    r"""Of NNAL's `version.info`.

    >>> nnal("    Ascend-cann-atb : 8.0.0\n    Ascend-cann-atb Version : 8.0.0.B100\n    Platform : aarch64\n")
    '8.0.0'
    """
    match = re.search(r"^\s*Ascend-cann-(?:atb|nnal)\s*[:=]\s*(\d+\.\w[\w.\-]*)", content, re.MULTILINE)
    return match[1] if match else numbered(ascend_files.parse_version(content))


def driver_complete(install_info: str) -> bool | None:
    """Whether the driver's installer finished, by /etc/ascend_install.info; None when the file says nothing.

    The line is written last, and npu-smi warns without it. Source: hicann/driver install.sh, npu_info_print.c.
    """
    told = ascend_files.parse_install(install_info)
    if told.install_type is None and told.path is None and told.status is None:
        return None
    return told.status == "complete"


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
