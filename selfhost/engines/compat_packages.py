"""Rules about an engine environment: the plugin, its build, Python, packages, and the weights it is to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.engines import compat_data as data
from selfhost.engines import compat_versions as versions
from selfhost.engines.compat_case import plugin_of, shown, state_of
from selfhost.engines.compat_types import Item, State
from selfhost.messages import Message, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.engines.compat_case import Case
    from selfhost.engines.compat_data import Release


def release(case: Case) -> Item | None:
    """The plugin is of the release that command lines are written for."""
    here = plugin_of(case.found)
    fits = None
    if case.found.packages is not None and case.name:
        fits = here is not None and versions.of_release(here) == versions.of_release(case.name)
        if here is not None and not fits and versions.is_development(here):
            fits = None
    return Item(
        key="vllm_ascend",
        wanted=case.name or "?",
        found=shown(here, looked=case.found.packages is not None),
        state=state_of(fits),
        source=data.MATRIX,
        fix=Message("compat.fix_vllm_ascend", {"wanted": case.name, "image": case.image}),
    )


def build(case: Case) -> Item | None:
    """The plugin was built for the chips that are here."""
    family = case.found.family
    here = data.BUILT_FOR.get(case.found.build or "", case.found.build)
    return Item(
        key="build",
        wanted=family or "?",
        found=shown(here),
        state=state_of(None if here is None or family is None else here == family),
        source=data.BUILD_SOURCE,
        fix=Message("compat.fix_build", {"family": family, "found": here, "image": case.image}),
    )


def python(case: Case) -> Item | None:
    """Python is one that the release takes."""
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
        found=shown(here),
        state=state_of(fits),
        source=data.MATRIX,
        fix=Message("compat.fix_python", {"low": low, "below": below, "image": case.image}),
    )


def package(key: str, name: str, wanted: Callable[[Release], str | None], issues: str) -> Callable[[Case], Item | None]:
    """The rule of one package with one version per release."""

    def rule(case: Case) -> Item | None:
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
            found=shown(here, looked=packages is not None),
            state=state_of(fits),
            source=f"{data.MATRIX}; vllm-project/vllm-ascend{issues}",
            fix=_fix(case, name, asked),
        )

    return rule


def triton(case: Case) -> Item | None:
    """triton-ascend is the one of the release, and no other Triton lies over it."""
    if case.found.family in data.NO_TRITON or (case.release and case.release.triton_ascend is None):
        return None
    item = package("triton", "triton-ascend", lambda release: release.triton_ascend, "#10641")(case)
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


def weights(case: Case) -> Item | None:
    """The chips have kernels for the format of the weights."""
    method, family = case.found.weights, case.found.family
    if method is None:
        return None
    fits = None if family is None else family in data.FORMATS.get(method, frozenset())
    able = sorted(name for name, families in data.FORMATS.items() if name and family in families)
    return Item(
        key="weights",
        wanted=" / ".join([text("compat.unquantized"), *able]),
        found=method or text("compat.unquantized"),
        state=state_of(fits),
        source=data.FORMAT_SOURCE,
        fix=Message("compat.fix_weights", {"method": method, "family": family}),
    )


def _fix(case: Case, name: str, wanted: str | None) -> Message:
    values = {"python": case.found.executable, "name": name, "wanted": wanted}
    if name == "torch" and case.found.machine == data.CPU_TORCH_MACHINE:
        return Message("compat.fix_torch", values)
    return Message("compat.fix_package", values)
