"""Rules about what a machine has: chip, driver, firmware, CANN and NNAL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.engines import compat_data as data
from selfhost.engines import compat_versions as versions
from selfhost.engines.compat_case import shown, state_of
from selfhost.engines.compat_types import Item, State
from selfhost.messages import Message, text

if TYPE_CHECKING:
    from selfhost.engines.compat_case import Case
    from selfhost.engines.compat_data import DriverNeed


def chip(case: Case) -> Item | None:
    """The chip family is one that the plugin has kernels for."""
    family, name = case.found.family, case.found.chip
    fits = family in data.IMAGE_SUFFIXES
    return Item(
        key="chip",
        wanted=", ".join(data.IMAGE_SUFFIXES),
        found=shown(f"{family} ({name})" if family and name else family),
        state=state_of(None if family is None else fits),
        source="vllm-project/vllm-ascend docs/source/faqs.md; #3010, #8, #218 (first generation)",
        fix=Message("compat.fix_chip", {"chip": name or family}),
    )


def driver_complete(case: Case) -> Item | None:
    """The driver's installer came to its end."""
    complete = case.found.driver_complete
    if complete is not False:
        # That it is whole, or that nothing says so, is no news beside the driver's version.
        return None
    return Item(
        key="driver_complete",
        wanted="complete",
        found=text("compat.unfinished"),
        state=State.WRONG,
        source="hicann/driver npu_info_print.c (`Driver_Install_Status`)",
        fix=Message("compat.fix_driver_complete", {}),
    )


def driver(case: Case) -> Item | None:
    """The driver runs the CANN that the plugin was made for, by the table of its vendor."""
    here = case.found.driver
    cann = case.cann[0] if case.cann else case.found.cann
    need = data.DRIVERS.get(versions.series(cann)) if cann else None
    if need is None:
        return Item(key="driver", wanted="?", found=shown(here), state=State.UNKNOWN, source=data.DRIVER_TABLE)
    fits = _driver_fits(here, need) if here else None
    note = ""
    if here and fits is not False and versions.is_older(here, data.GRAPH_DRIVER):
        note = text("compat.graph_driver", wanted=data.GRAPH_DRIVER)
    least = need.least or need.paired
    return Item(
        key="driver",
        wanted=text("compat.driver_wanted", least=least, cann=cann),
        found=shown(here),
        state=state_of(fits),
        source=need.source,
        fix=Message("compat.fix_driver", {"least": least, "paired": need.paired, "cann": cann, "found": here}),
        note=note,
    )


def _driver_fits(here: str, need: DriverNeed) -> bool | None:
    """None where the vendor's table ends: below what it was published with, and above its last column."""
    if versions.is_series_older(data.DRIVER_NEWEST, here):
        return None
    if need.least:
        return not versions.is_series_older(here, need.least)
    return None if versions.is_older(here, need.paired) else True


def firmware(case: Case) -> Item | None:
    """Firmware and driver are of one release, by what npu-smi or the driver says."""
    here = case.found
    said = {True: "OK", False: text("compat.firmware_differs"), None: ""}[here.firmware_fits]
    return Item(
        key="firmware",
        wanted=text("compat.firmware_wanted"),
        found=" ".join(filter(None, (here.firmware, f"({said})" if said else ""))) or shown(None),
        state=state_of(here.firmware_fits),
        source="`npu-smi info -t board`, Compatibility",
        fix=Message("compat.fix_firmware", {"driver": here.driver or "?"}),
    )


def cann(case: Case) -> Item | None:
    """CANN is the one of the release, or a later patch of it."""
    here, wanted = case.found.cann, case.cann
    fits = None
    if wanted and (here is not None or case.found.cann_looked_for):
        fits = here is not None and any(versions.takes(one, here) for one in wanted)
    return Item(
        key="cann",
        wanted=" / ".join(wanted) or "?",
        found=shown(here, looked=case.found.cann_looked_for),
        state=state_of(fits),
        source=data.MATRIX if case.release else data.TORCH_NPU_TABLE,
        fix=Message("compat.fix_cann", {"wanted": wanted[0] if wanted else "?", "image": case.image}),
    )


def nnal(case: Case) -> Item | None:
    """NNAL is published with a CANN and has its version."""
    here, installed = case.found.nnal, case.found.cann
    # A CANN that has to change says nothing of NNAL.
    stays = installed and (not case.cann or any(versions.takes(one, installed) for one in case.cann))
    wanted = installed if stays else case.cann[0] if case.cann else None
    fits = None
    if wanted and (here is not None or case.found.cann_looked_for):
        fits = here is not None and versions.series(here) == versions.series(wanted)
    return Item(
        key="nnal",
        wanted=wanted or "?",
        found=shown(here, looked=case.found.cann_looked_for),
        state=state_of(fits),
        source="hicann/release-management 9.1.1/release-notes.md; vllm-project/vllm-ascend#750, #117",
        fix=Message("compat.fix_nnal", {"wanted": wanted or "?"}),
    )
