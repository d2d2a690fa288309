"""Whether an Ascend stack goes together: what was found -> wanted and found per item, and the first thing to change.

    driver (HDK) <- CANN <- torch_npu, torch, triton-ascend <- vllm-ascend <- vllm, Python
    chip family  <- the package's build, the format of the weights

What was not told is unknown; what no published table covers is unknown, too. Neither stops a start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.engines import compat_data as data
from selfhost.engines import compat_host as host
from selfhost.engines import compat_packages as packages
from selfhost.engines import compat_versions as versions
from selfhost.engines.compat_case import Case, plugin_of
from selfhost.engines.compat_types import Judgement

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.engines.compat_data import Release
    from selfhost.engines.compat_types import Found, Item


def judge(found: Found, wanted: str | None = None) -> Judgement:
    """Every item of what was found, in the order in which things are changed.

    wanted: the release of vllm-ascend that command lines are written for; None takes the one that was found.
    """
    here = plugin_of(found)
    release = release_of(wanted or here or "")
    name = wanted or (release.plugin if release else here or "")
    case = Case(found=found, release=release, name=name)
    return Judgement(release=name, items=tuple(item for rule in _RULES if (item := rule(case)) is not None))


def release_of(plugin: str) -> Release | None:
    """The row of a release of vllm-ascend; a post release has that of what it corrects. None when there is none."""
    return next((row for row in data.RELEASES if row.plugin == versions.of_release(plugin)), None)


_RULES: tuple[Callable[[Case], Item | None], ...] = (
    host.chip,
    host.driver_complete,
    host.driver,
    host.firmware,
    packages.release,
    packages.build,
    packages.python,
    host.cann,
    host.nnal,
    packages.package("vllm", "vllm", lambda release: release.vllm, "#9305, #9672, #7058, #3403"),
    packages.package("torch", "torch", lambda release: release.torch, "#5710, #7587"),
    packages.package("torch_npu", "torch-npu", lambda release: release.torch_npu, "#750, #117"),
    packages.triton,
    packages.weights,
)
