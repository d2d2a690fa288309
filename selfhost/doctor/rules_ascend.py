"""Findings about Ascend NPUs that need no model to run: driver, device files, libraries, variables.

What `detect` notices (health, a half installed driver, single dies of a card, lost devices) is told by `rules_detect`.

Sources: vllm-project/vllm-ascend docs (installation.md, faqs.md) and issues (numbers in `links`), hicann/driver.
None was seen on a device here; which versions go together is judged elsewhere (`Facts.judged`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.doctor.rules_host import error, note, several_devices, warning
from selfhost.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.doctor.facts import AscendFacts, Facts
    from selfhost.findings import Finding

_DRIVER_FLOOR = (25, 5, 1)
"""Below it graphs run out of streams (vllm-project/vllm-ascend#10555)."""
_LIBRARY_FOLDERS = ("/driver/lib64",)
_FAMILIES = {"A2": "A2", "A3": "A3", "_310P": "310P", "310P": "310P", "A5": "950", "950": "950"}


def driver(facts: Facts) -> Iterator[Finding]:
    """The driver's files and its version."""
    ascend = _npus(facts)
    if ascend is None:
        return
    version = facts.snapshot.host.ascend_driver
    if not ascend.driver_files:
        kind = warning if facts.host.in_container else error
        yield kind("driver", Message("doctor_ascend.no_driver_files"))
    if version and (numbers := _numbers(version)) and numbers < _DRIVER_FLOOR:
        wanted = ".".join(map(str, _DRIVER_FLOOR))
        yield warning("driver", Message("doctor_ascend.old_driver", {"found": version, "wanted": wanted}))


def _numbers(version: str) -> tuple[int, ...]:
    """`25.7.rc1.6` -> (25, 7)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def nodes(facts: Facts) -> Iterator[Finding]:
    """Device files: there, and open for this user."""
    ascend = _npus(facts)
    if ascend is None:
        return
    for node in ascend.nodes:
        if not node.exists:
            yield error("devices", Message("doctor_ascend.no_node", {"path": node.path}))
    shut = [node.path for node in (*ascend.nodes, *ascend.davinci) if node.exists and not node.usable]
    if shut:
        yield error("devices", Message("doctor_ascend.shut_nodes", {"paths": " ".join(shut)}))
    told = sum(a.vendor == "huawei" for a in facts.snapshot.accelerators)
    if told and not ascend.davinci:
        yield error("devices", Message("doctor_ascend.no_davinci", {"told": told}))


def toolkit(facts: Facts) -> Iterator[Finding]:
    """CANN, and the variables that its scripts set."""
    ascend = _npus(facts)
    if ascend is None:
        return
    if facts.snapshot.host.cann is None:
        # A host may leave it to the images.
        by_images = facts.snapshot.host.container_engines and not facts.host.in_container
        yield (note if by_images else warning)("CANN", Message("doctor_ascend.no_cann"))
        return
    environ = facts.host.environ
    missing = [name for name in ("ASCEND_HOME_PATH", "ATB_HOME_PATH") if not environ.get(name)]
    if missing:
        yield warning("environment", Message("doctor_ascend.no_set_env", {"names": ", ".join(missing)}))
    path = environ.get("LD_LIBRARY_PATH", "")
    if not missing and not all(folder in path for folder in _LIBRARY_FOLDERS):
        yield warning("environment", Message("doctor_ascend.no_library_path"))


def variables(facts: Facts) -> Iterator[Finding]:
    """Variables that contradict each other or mean nothing."""
    ascend = _npus(facts)
    if ascend is None:
        return
    environ = facts.host.environ
    size = environ.get("HCCL_BUFFSIZE")
    if size is not None and not (size.strip().isdecimal() and int(size) > 0):
        yield error("environment", Message("doctor_ascend.bad_buffer", {"value": size}))
    if "PYTORCH_NPU_ALLOC_CONF" in environ and "PYTORCH_ALLOC_CONF" in environ:
        yield error("environment", Message("doctor_ascend.two_allocators"))
    if environ.get("ASCEND_LAUNCH_BLOCKING") == "1":
        yield warning("environment", Message("doctor_ascend.blocking"))
    for path in ascend.absent_preloads:
        yield warning("environment", Message("doctor_ascend.no_preload", {"path": path}))


def packages(facts: Facts) -> Iterator[Finding]:
    """The engine's packages: built for this family, and no second triton."""
    ascend = _npus(facts)
    if ascend is None:
        return
    family, built = facts.snapshot.host.soc_family, _FAMILIES.get(ascend.built_for or "")
    if family and built and built != family:
        values = {"built": built, "found": family, "python": ascend.python}
        yield error("vllm-ascend", Message("doctor_ascend.other_family", values))
    if "triton" in ascend.packages and "triton-ascend" in ascend.packages:
        values = {"triton": ascend.packages["triton"], "ascend": ascend.packages["triton-ascend"]}
        yield error("triton", Message("doctor_ascend.two_tritons", {**values, "python": ascend.python}))
    if "vllm-ascend" in ascend.packages and "vllm" not in ascend.packages:
        values = {"version": ascend.packages["vllm-ascend"], "python": ascend.python}
        yield error("vllm-ascend", Message("doctor_ascend.no_vllm", values))


def host(facts: Facts) -> Iterator[Finding]:
    """Settings of the machine that the vendor's guides change, and what several nodes need."""
    ascend = _npus(facts)
    if ascend is None:
        return
    if facts.host.numa_balancing:
        yield note("kernel", Message("doctor_ascend.numa_balancing"))
    if ascend.hccn_conf is False and several_devices(facts):
        yield note("network", Message("doctor_ascend.no_hccn_conf"))


def _npus(facts: Facts) -> AscendFacts | None:
    return facts.ascend


RULES = (driver, nodes, toolkit, variables, packages, host)
