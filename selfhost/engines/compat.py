"""Whether an Ascend stack goes together: what was found -> wanted and found per item, and the first thing to change.

    driver (HDK) <- CANN <- torch_npu, torch, triton-ascend <- vllm-ascend <- vllm, Python
    chip family  <- the package's build, the format of the weights

What was not told is unknown; what no published table covers is unknown, too. Neither stops a start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.engines import compat_data as data
from selfhost.engines import compat_versions as versions
from selfhost.engines.compat_types import Found, Item, Judgement, State
from selfhost.messages import Message, text
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.engines.compat_data import DriverNeed, Release


def judge(found: Found, wanted: str | None = None) -> Judgement:
    """Every item of what was found, in the order in which things are changed.

    wanted: the release of vllm-ascend that command lines are written for; None takes the one that was found.
    """
    here = _plugin(found)
    release = release_of(wanted or here or "")
    name = wanted or (release.plugin if release else here or "")
    case = _Case(found=found, release=release, name=name)
    return Judgement(release=name, items=tuple(item for rule in _RULES if (item := rule(case)) is not None))


def release_of(plugin: str) -> Release | None:
    """The row of a release of vllm-ascend; a post release has that of what it corrects. None when there is none."""
    return next((row for row in data.RELEASES if row.plugin == versions.of_release(plugin)), None)


def _plugin(found: Found) -> str | None:
    return None if found.packages is None else found.packages.get("vllm-ascend")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """What rules are given."""

    found: Found
    release: Release | None
    name: str

    @property
    def image(self) -> str:
        """The official image of this release for this chip."""
        return data.image(self.name, self.found.family) or text("compat.no_image")

    @property
    def cann(self) -> tuple[str, ...]:
        """Versions of CANN that serve; the first is the one to install. Empty when not known."""
        if self.release:
            return self.release.cann
        installed = versions.public((self.found.packages or {}).get("torch-npu", ""))
        return (data.CANN_OF_TORCH_NPU[installed],) if installed in data.CANN_OF_TORCH_NPU else ()


def _chip(case: _Case) -> Item | None:
    family, name = case.found.family, case.found.chip
    fits = family in data.IMAGE_SUFFIXES
    return Item(
        key="chip",
        wanted=", ".join(data.IMAGE_SUFFIXES),
        found=_shown(f"{family} ({name})" if family and name else family),
        state=_state(None if family is None else fits),
        source="vllm-project/vllm-ascend docs/source/faqs.md; #3010, #8, #218 (first generation)",
        fix=Message("compat.fix_chip", {"chip": name or family}),
    )


def _driver_complete(case: _Case) -> Item | None:
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


def _driver(case: _Case) -> Item | None:
    here = case.found.driver
    cann = case.cann[0] if case.cann else case.found.cann
    need = data.DRIVERS.get(versions.series(cann)) if cann else None
    if need is None:
        return Item(key="driver", wanted="?", found=_shown(here), state=State.UNKNOWN, source=data.DRIVER_TABLE)
    fits = _driver_fits(here, need) if here else None
    note = ""
    if here and fits is not False and versions.is_older(here, data.GRAPH_DRIVER):
        note = text("compat.graph_driver", wanted=data.GRAPH_DRIVER)
    least = need.least or need.paired
    return Item(
        key="driver",
        wanted=text("compat.driver_wanted", least=least, cann=cann),
        found=_shown(here),
        state=_state(fits),
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


def _firmware(case: _Case) -> Item | None:
    here = case.found
    said = {True: "OK", False: text("compat.firmware_differs"), None: ""}[here.firmware_fits]
    return Item(
        key="firmware",
        wanted=text("compat.firmware_wanted"),
        found=" ".join(filter(None, (here.firmware, f"({said})" if said else ""))) or _shown(None),
        state=_state(here.firmware_fits),
        source="`npu-smi info -t board`, Compatibility",
        fix=Message("compat.fix_firmware", {"driver": here.driver or "?"}),
    )


def _release(case: _Case) -> Item | None:
    here = _plugin(case.found)
    fits = None
    if case.found.packages is not None and case.name:
        fits = here is not None and versions.of_release(here) == versions.of_release(case.name)
        if here is not None and not fits and versions.is_development(here):
            fits = None
    return Item(
        key="vllm_ascend",
        wanted=case.name or "?",
        found=_shown(here, looked=case.found.packages is not None),
        state=_state(fits),
        source=data.MATRIX,
        fix=Message("compat.fix_vllm_ascend", {"wanted": case.name, "image": case.image}),
    )


def _build(case: _Case) -> Item | None:
    family = case.found.family
    here = data.BUILT_FOR.get(case.found.build or "", case.found.build)
    return Item(
        key="build",
        wanted=family or "?",
        found=_shown(here),
        state=_state(None if here is None or family is None else here == family),
        source=data.BUILD_SOURCE,
        fix=Message("compat.fix_build", {"family": family, "found": here, "image": case.image}),
    )


def _python(case: _Case) -> Item | None:
    here, release = case.found.python, case.release
    if release is None:
        return None
    low, below = (".".join(map(str, bound)) for bound in (release.python_from, release.python_below))
    fits = None
    if here is not None:
        fits = not versions.is_older(here, low) and versions.is_older(here, below)
    return Item(
        key="python",
        wanted=text("compat.python_wanted", low=low, below=below),
        found=_shown(here),
        state=_state(fits),
        source=data.MATRIX,
        fix=Message("compat.fix_python", {"low": low, "below": below, "image": case.image}),
    )


def _cann(case: _Case) -> Item | None:
    here, wanted = case.found.cann, case.cann
    fits = None
    if wanted and (here is not None or case.found.cann_looked_for):
        fits = here is not None and any(versions.takes(one, here) for one in wanted)
    return Item(
        key="cann",
        wanted=" / ".join(wanted) or "?",
        found=_shown(here, looked=case.found.cann_looked_for),
        state=_state(fits),
        source=data.MATRIX if case.release else data.TORCH_NPU_TABLE,
        fix=Message("compat.fix_cann", {"wanted": wanted[0] if wanted else "?", "image": case.image}),
    )


def _nnal(case: _Case) -> Item | None:
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
        found=_shown(here, looked=case.found.cann_looked_for),
        state=_state(fits),
        source="hicann/release-management 9.1.1/release-notes.md; vllm-project/vllm-ascend#750, #117",
        fix=Message("compat.fix_nnal", {"wanted": wanted or "?"}),
    )


def _package(
    key: str, name: str, wanted: Callable[[Release], str | None], issues: str
) -> Callable[[_Case], Item | None]:
    """The rule of one package with one version per release."""

    def rule(case: _Case) -> Item | None:
        asked = wanted(case.release) if case.release else None
        if case.release and asked is None:
            return None
        packages = case.found.packages
        here = None if packages is None else packages.get(name)
        fits = None
        if packages is not None and asked is not None:
            fits = here is not None and versions.public(here) == asked
            if not fits and here is not None and versions.is_development(here):
                fits = None
        return Item(
            key=key,
            wanted=asked or "?",
            found=_shown(here, looked=packages is not None),
            state=_state(fits),
            source=f"{data.MATRIX}; vllm-project/vllm-ascend{issues}",
            fix=Message("compat.fix_package", {"python": case.found.executable, "name": name, "wanted": asked}),
        )

    return rule


def _triton(case: _Case) -> Item | None:
    if case.found.family in data.NO_TRITON or (case.release and case.release.triton_ascend is None):
        return None
    item = _package("triton", "triton-ascend", lambda release: release.triton_ascend, "#10641")(case)
    if item is None or case.found.packages is None:
        return item
    other = case.found.packages.get("triton")
    shadowed = other is not None and item.state is State.OK
    return Item(
        key="triton",
        wanted=item.wanted,
        found=text("compat.two_tritons", found=item.found, other=other) if shadowed else item.found,
        state=State.WRONG if shadowed else item.state,
        source=f"{data.MATRIX}; vllm-project/vllm-ascend#10641, #7497",
        fix=Message("compat.fix_triton", {"python": case.found.executable, "wanted": item.wanted}),
    )


def _weights(case: _Case) -> Item | None:
    method, family = case.found.weights, case.found.family
    if method is None:
        return None
    fits = None if family is None else family in data.FORMATS.get(method, frozenset())
    able = sorted(name for name, families in data.FORMATS.items() if name and family in families)
    return Item(
        key="weights",
        wanted=" / ".join([text("compat.unquantized"), *able]),
        found=method or text("compat.unquantized"),
        state=_state(fits),
        source=data.FORMAT_SOURCE,
        fix=Message("compat.fix_weights", {"method": method, "family": family}),
    )


def _state(fits: bool | None) -> State:  # noqa: FBT001 - three-valued
    return State.UNKNOWN if fits is None else State.OK if fits else State.WRONG


def _shown(value: str | None, *, looked: bool = False) -> str:
    return value or text("compat.absent" if looked else "compat.not_told")


_RULES: tuple[Callable[[_Case], Item | None], ...] = (
    _chip,
    _driver_complete,
    _driver,
    _firmware,
    _release,
    _build,
    _python,
    _cann,
    _nnal,
    _package("vllm", "vllm", lambda release: release.vllm, "#9305, #9672, #7058, #3403"),
    _package("torch", "torch", lambda release: release.torch, "#5710, #7587"),
    _package("torch_npu", "torch-npu", lambda release: release.torch_npu, "#750, #117"),
    _triton,
    _weights,
)
