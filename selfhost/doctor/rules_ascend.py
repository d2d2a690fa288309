"""Findings about Ascend NPUs that need no model to run: driver, device files, variables.

What `detect` notices (health, a half installed driver, single dies of a card, lost devices) is told by `rules_detect`.

Sources: vllm-project/vllm-ascend docs (installation.md, faqs.md) and issues (numbers in `links`), hicann/driver.
None was seen on a device here; which versions go together is judged elsewhere (`Facts.judged`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.doctor.rules_host import error, note, several_devices, warning
from selfhost.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.doctor.facts import AscendFacts, Facts
    from selfhost.findings import Finding

_LIBRARY_FOLDERS = ("/driver/lib64",)


def driver(facts: Facts) -> Iterator[Finding]:
    """The driver's files."""
    ascend = _npus(facts)
    if ascend is None:
        return
    if not ascend.driver_files:
        kind = warning if facts.host.in_container else error
        yield kind("driver", Message("doctor_ascend.no_driver_files"))


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
    """CANN, and the variables that its scripts set; `selfhost serve` reads those scripts itself."""
    ascend = _npus(facts)
    if ascend is None:
        return
    if facts.snapshot.host.cann is None and not ascend.scripts:
        # A host may leave it to the images.
        by_images = facts.snapshot.host.container_engines and not facts.host.in_container
        yield (note if by_images else warning)("CANN", Message("doctor_ascend.no_cann"))
        return
    environ = facts.host.environ
    missing = [name for name in ("ASCEND_HOME_PATH", "ATB_HOME_PATH") if not environ.get(name)]
    if missing and ascend.scripts:
        source = "; ".join(f"source {script}" for script in ascend.scripts)
        yield note("environment", Message("doctor_ascend.no_set_env", {"names": ", ".join(missing), "source": source}))
    path = environ.get("LD_LIBRARY_PATH", "")
    if not missing and not all(folder in path for folder in _LIBRARY_FOLDERS):
        yield note("environment", Message("doctor_ascend.no_library_path"))


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


RULES = (driver, nodes, toolkit, variables, host)
