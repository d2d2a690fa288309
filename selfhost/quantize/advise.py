"""Ways to have a model on a device, each with its plan, what it costs to make, and what stands against it; ranked.

Which scheme for which device: FP8 where there is arithmetic for it (compute capability 8.9 and more), INT8 weights and
activations where there is not and CUTLASS has kernels (7.5 to 9.x), by msModelSlim on Ascend; then weights of 8 bits
alone, then 4 bits; bitsandbytes last, which needs nothing and is slow to serve. What is published ready comes before
what has to be made, in the same format; nothing has to be made where the model's own format fits.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost.hardware.types import Platform
from selfhost.planner.contract import hardware_dict, layout_dict, memory_dict
from selfhost.planner.plan import Verdict
from selfhost.quant.formats import Format

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from selfhost.hardware.types import Device, Hardware
    from selfhost.planner.plan import Plan
    from selfhost.quant.formats import Quantization
    from selfhost.quantize.needs import Needs, Term
    from selfhost.quantize.schemes import Scheme

SCHEMA_VERSION = 1
FP8_FROM = (8, 9)
"""Compute capability with arithmetic for FP8; below, its weights are widened again (Marlin)."""
_BNB = (Format.NF4, Format.INT8_BNB)


class Kind(StrEnum):
    """How a way comes about."""

    READY = "ready"
    """A variant of the recipe."""
    MADE = "make"
    """By `selfhost quantize`."""
    MODELSLIM = "modelslim"
    """By msModelSlim, on NPUs."""


class Cost(NamedTuple):
    """What making it takes."""

    needs: Needs
    seconds: tuple[Term, ...] | None
    """None: not known, for a device whose rate is not known."""
    first_bytes: int = 0
    """Of the 16-bit copy of an FP8 source that is made first, and not kept; 0: none is."""


class Way(NamedTuple):
    """One way to have the model here."""

    kind: Kind
    name: str
    """The variant's, or the scheme's."""
    format: Format | None
    bits: int
    plan: Plan
    shorter: int | None = None
    """Where the whole context does not fit: tokens that do."""
    against: str | None = None
    """Why it is out, whatever fits."""
    note: str = ""
    cost: Cost | None = None
    commands: tuple[str, ...] = ()
    group_size: int | None = None

    @property
    def fits(self) -> bool:
        """Whether it can be had and holds the whole context."""
        return self.against is None and self.plan.fits

    @property
    def why_not(self) -> str | None:
        """What stands against it, in one line: the engine, then what it is, then its size; None where it fits."""
        if self.fits:
            return None
        reasons = self.plan.reasons
        if self.plan.verdict is Verdict.UNSUPPORTED and reasons:
            return reasons[0]
        return self.against or (reasons[0] if reasons else self.plan.verdict.value)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        plan, memory, cost = self.plan, self.plan.memory, self.cost
        return {
            "kind": self.kind.value,
            "name": self.name,
            "format": self.format.value if self.format else None,
            "bits": self.bits,
            "group_size": self.group_size,
            "fits": self.fits,
            "verdict": plan.verdict.value,
            "against": self.why_not,
            "note": self.note or None,
            "layout": layout_dict(plan.layout),
            "per_rank": memory_dict(memory) | {"missing_bytes": max(0, plan.missing_bytes)},
            "max_model_len": plan.settings.max_model_len if plan.fits else self.shorter,
            "commands": list(self.commands),
            "cost": None if cost is None else _cost_dict(cost),
        }


def _cost_dict(cost: Cost) -> dict[str, Any]:
    return {
        "output_bytes": cost.needs.output_bytes,
        "disk_bytes": cost.needs.disk_bytes + cost.first_bytes,
        "first_bytes": cost.first_bytes,
        "memory_bytes": cost.needs.memory_bytes,
        "memory_terms": {term.name: int(term.value) for term in cost.needs.memory_terms},
        "seconds": None if cost.seconds is None else round(sum(term.value for term in cost.seconds), 1),
        "seconds_terms": {term.name: round(term.value, 1) for term in cost.seconds or ()},
    }


class Advice(NamedTuple):
    """The ways, the best first."""

    model: str
    hardware: Hardware
    ways: tuple[Way, ...]
    own: str
    """The recipe's first variant, in the format that the model was published in."""
    larger: tuple[Hardware, Way] | None = None
    """Where none fits: the fewest such devices on which one does."""

    @property
    def best(self) -> Way | None:
        """What to take; None where none fits."""
        return next((way for way in self.ways if way.fits), None)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        best = self.best
        larger = None
        if self.larger is not None:
            larger = {"on": self.larger[0].text, "way": self.larger[1].as_dict()}
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "hardware": {"on": self.hardware.text, **hardware_dict(self.hardware)},
            "best": best.as_dict() if best else None,
            "ways": [way.as_dict() for way in self.ways],
            "larger": larger,
        }


def has_fp8(device: Device) -> bool:
    """Whether a GPU multiplies FP8; one whose capability is not known counts as able."""
    capability = device.compute_capability
    return device.platform is Platform.CUDA and (capability is None or capability >= FP8_FROM)


def order(formats: Mapping[Format | None, int], form: Format | None) -> int:
    """Place of a format; those that are not named come before bitsandbytes."""
    return formats.get(form, max(formats.values(), default=0) + (2 if form in _BNB else 1))


def preference(device: Device) -> dict[Format | None, int]:
    """Places of formats on a device, the best first: quality before size, arithmetic before conversion."""
    fp8 = [Format.FP8_CHANNEL, Format.FP8_BLOCK, Format.FP8_TENSOR]
    ints = [Format.INT8_CHANNEL, Format.INT8_TENSOR]
    eights = [*fp8, *ints] if has_fp8(device) else [*ints, *fp8]
    return {form: place for place, form in enumerate([None, *eights, Format.INT_GROUP])}


def ranked(ways: Iterable[Way], own: str | None, device: Device) -> tuple[Way, ...]:
    """The ways, the best first.

    What fits before what fits with less context, before what does not, the nearest first; the model's own format, 16
    bits, 8 bits, 4 bits; on one level what is ready before what has to be made, then the device's arithmetic, data-free
    before calibrated.

    own: name of the recipe's first variant.
    """
    places = preference(device)

    def key(way: Way) -> tuple[int, int, bool, int, bool, int, bool, str]:
        level = 0 if way.kind is Kind.READY and way.name == own else 32 - way.bits
        out = 3 if way.against is not None or way.plan.verdict is Verdict.UNSUPPORTED else 2
        standing = 0 if way.fits else 1 if out < 3 and way.shorter else out  # noqa: PLR2004
        made = way.kind is not Kind.READY
        slow = way.format in _BNB
        lacks = way.plan.missing_bytes * way.plan.layout.world_size if standing == 2 else 0  # noqa: PLR2004
        calibrated = way.cost is not None and any(term.name == "passes" for term in way.cost.seconds or ())
        return standing, lacks, slow, level, made, order(places, way.format), calibrated, way.name

    return tuple(sorted(ways, key=key))


def against_scheme(scheme: Scheme, device: Device, source: Quantization | None) -> str | None:
    """Message id of why a scheme is out on a device, before its size is looked at; None when it is not.

    source: what the model is published in. What the engine refuses is the planner's to say.
    """
    source_fp8 = source is not None and source.is_fp8
    if source is not None and not source_fp8:
        return "advise.quantized_already"
    if scheme.format is None:
        return None if source_fp8 else "advise.plain_already"
    if scheme.format in (Format.FP8_CHANNEL, Format.FP8_BLOCK) and source_fp8:
        return "advise.fp8_already"
    if device.platform is Platform.ASCEND:
        return "advise.ascend_own_tool"
    return None


def note_for(scheme: Scheme, device: Device) -> str | None:
    """Message id of what a user should know of a scheme on a device; None for nothing."""
    if scheme.format in (Format.FP8_CHANNEL, Format.FP8_BLOCK):
        return "advise.note_fp8" if has_fp8(device) else "advise.note_fp8_weights"
    if scheme.format is Format.INT8_CHANNEL:
        return "advise.note_w8a8_beside_fp8" if has_fp8(device) else "advise.note_w8a8"
    if scheme.format in _BNB:
        return "advise.note_bnb"
    if scheme.format is Format.INT_GROUP:
        return "advise.note_w4a16" if scheme.bits == 4 else "advise.note_w8a16"  # noqa: PLR2004
    return "advise.note_bf16"
