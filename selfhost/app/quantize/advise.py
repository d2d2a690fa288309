"""`selfhost quantize MODEL --advise`: every way to have a model on a device, planned and costed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost.app.model import resolve
from selfhost.app.plan import plan_model
from selfhost.errors import SelfhostError
from selfhost.hardware.types import Platform
from selfhost.messages import text
from selfhost.models.arch import ModelArch
from selfhost.models.checkpoint import checkpoint_bytes
from selfhost.planner.plan import PlanRequest, Verdict
from selfhost.quant import ascend
from selfhost.quant.formats import Format
from selfhost.quant.read import quantization_from_config
from selfhost.quantize import advise, layers, modelslim, needs, schemes
from selfhost.quantize.advise import Advice, Cost, Kind, Way
from selfhost.weights import check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from selfhost.app.model import ResolvedModel
    from selfhost.hardware.types import Hardware
    from selfhost.planner.plan import ModelToPlan, Plan
    from selfhost.quantize.schemes import Scheme
    from selfhost.recipe.schema import Variant

COUNTS = (2, 4, 8, 16, 32)
"""Devices that are tried where none of the ways fits."""
_LEAST_TOKENS = 1024
_NEAR = 1.25
"""How much heavier on a device a larger group size may be: its own scales are lighter, a worse cut is not."""


def advise_on(text_: str, hardware: Hardware, recipe_paths: Sequence[Path] = ()) -> Advice:
    """What to do to have the model on this hardware. Raises as `resolve` does."""
    model = resolve(text_, recipe_paths=recipe_paths)
    found = _Asked(model, hardware)
    ways = advise.ranked(found.ways(), found.own, hardware.device)
    advice = Advice(model.name, hardware, ways, found.own)
    return advice if advice.best or not found.plannable else advice._replace(larger=_larger(model, hardware))


def _larger(model: ResolvedModel, hardware: Hardware) -> tuple[Hardware, Way] | None:
    """The fewest such devices on which something fits."""
    for count in COUNTS:
        if count <= hardware.device_count or hardware.device.platform is Platform.CPU:
            continue
        per_node = max(hardware.devices_per_node, hardware.device.devices_per_node)
        nodes = max(1, count // per_node)
        more = replace(hardware, nodes=nodes, devices_per_node=count // nodes, assumed=True, free_memory_bytes=())
        asked = _Asked(model, more)
        fitting = [way for way in asked.ways() if way.fits]
        if fitting:
            return more, advise.ranked(fitting, asked.own, more.device)[0]
    return None


class _Asked:
    """One model on one hardware."""

    def __init__(self, model: ResolvedModel, hardware: Hardware) -> None:
        self.model, self.hardware = model, hardware
        self._to_plan = replace(model.to_plan(), variants=(), variant_asked=False)
        self.own = model.recipe.variants[0].name if model.recipe else model.variant
        self._config, self._bytes = self._source()
        self._published = quantization_from_config(self._config)
        self._fp8 = self._published is not None and self._published.is_fp8
        self.plannable = hardware.device.supported

    def ways(self) -> Iterator[Way]:
        """All of them."""
        yield from self._ready()
        for scheme in schemes.SCHEMES:
            yield self._made(scheme)
        if self.hardware.device.platform is Platform.ASCEND:
            yield from self._modelslim()

    def _source(self) -> tuple[dict[str, Any], int]:
        """What would be quantized: the variant in 16 bits, else the recipe's first, which may be FP8."""
        recipe = self.model.recipe
        if recipe is None:
            assert self.model.directory is not None
            return check.read_config(self.model.directory), self.model.weight_bytes_total or 0
        plain = [one for one in recipe.variants if quantization_from_config(recipe.config_of(one)) is None]
        variant = (plain or list(recipe.variants))[0]
        config = recipe.config_of(variant)
        stored = checkpoint_bytes(ModelArch.from_config(config))
        return config, variant.bytes_on_disk or stored

    # Each with its plan

    def _plan(self, model: ModelToPlan) -> tuple[Plan, int | None]:
        """The plan for the whole context, and where that does not fit the length that does."""
        plan = plan_model(model, self.hardware, PlanRequest(), with_remedies=False)
        if plan.verdict is not Verdict.DOES_NOT_FIT or not plan.memory.budget_bytes:
            return plan, None
        auto = plan_model(model, self.hardware, PlanRequest(auto_max_model_len=True), with_remedies=False)
        length = auto.settings.max_model_len
        return plan, length if auto.fits and length >= _LEAST_TOKENS else None

    def _ready(self) -> Iterator[Way]:
        recipe = self.model.recipe
        if recipe is None:
            plan, shorter = self._plan(self._to_plan)
            form = self._to_plan.arch.quantization
            bits = form.bits if form else 16
            yield Way(Kind.READY, self.model.variant, form.format if form else None, bits, plan, shorter)
            return
        for resolved in self.model.variants:
            plan, shorter = self._plan(replace(resolved.to_plan(), variants=(), variant_asked=False))
            form = resolved.arch.quantization
            yield Way(
                Kind.READY,
                resolved.variant,
                form.format if form else None,
                form.bits if form else 16,
                plan,
                shorter,
                note=_origin(recipe.variant(resolved.variant)),
                commands=(f"selfhost pull {recipe.name} --variant {resolved.variant}",),
            )

    def _made(self, scheme: Scheme) -> Way:
        against = advise.against_scheme(scheme, self.hardware.device, self._published)
        source = needs.Source(self._config, self._bytes, min(self._bytes, needs.SHARD_BYTES))
        note = advise.note_for(scheme, self.hardware.device)
        try:
            size, plan, shorter = self._best_group(source, scheme)
            cost = self._cost(source, scheme, size)
        except SelfhostError as error:
            plan, _ = self._plan(self._to_plan)
            return Way(Kind.MADE, scheme.name, scheme.format, scheme.bits, plan, against=error.message.what)
        return Way(
            Kind.MADE,
            scheme.name,
            scheme.format,
            scheme.bits,
            plan,
            shorter,
            against=text(against) if against else None,
            note=text(note) if note else "",
            cost=cost,
            commands=self._commands(scheme, size),
            group_size=size,
        )

    def _best_group(self, source: needs.Source, scheme: Scheme) -> tuple[int | None, Plan, int | None]:
        """The largest group size, but a smaller one where that lets the layers be cut over more devices.

        Qwen2.5-72B has 29,568 inputs: 231 groups of 128, which no even number of devices can share; 924 of 32.
        """
        plain = ModelArch.from_config({k: v for k, v in self._config.items() if k != "quantization_config"})
        sizes = [size for size in schemes.GROUP_SIZES if not layers.undivided(plain, size)] if scheme.grouped else []
        found: list[tuple[int | None, Plan, int | None]] = []
        for size in (*sizes,) or (None,):
            arch = source.of(scheme, size)
            found.append(
                (size, *self._plan(replace(self._to_plan, arch=arch, variant=scheme.name, weight_bytes_total=None)))
            )
        least = min(plan.memory.weight_bytes for _, plan, _ in found)
        near = [one for one in found if one[1].memory.weight_bytes <= _NEAR * least]
        return next((one for one in near if one[1].fits), near[0])

    def _cost(self, source: needs.Source, scheme: Scheme, size: int | None) -> Cost:
        flops = self.hardware.device.bf16_flops
        if not self._fp8 or scheme.format is None:
            times = needs.seconds(source, scheme, bf16_flops=flops, group_size=size)
            return Cost(needs.needs(source, scheme, group_size=size), times)
        # Of FP8 a copy in 16 bits comes first.
        first = schemes.find("bf16")
        copied = needs.needs(source, first)
        plain = needs.Source(self._config, copied.output_bytes, 2 * source.shard_bytes)
        times = needs.seconds(plain, scheme, bf16_flops=flops, group_size=size)
        before = needs.seconds(source, first, bf16_flops=flops)
        copying = tuple(needs.Term("copying", term.value) for term in before or ())
        total = None if times is None else (*copying, *times)
        return Cost(needs.needs(plain, scheme, group_size=size), total, first_bytes=copied.disk_bytes)

    def _commands(self, scheme: Scheme, size: int | None) -> tuple[str, ...]:
        name = self.model.name if self.model.recipe else str(self.model.directory)
        more = "" if self.model.recipe else " --output DIR"
        command = f"selfhost quantize {name} --scheme {scheme.name}{more}"
        if size is not None and size != max(schemes.GROUP_SIZES):
            command += f" --group-size {size}"
        if self._fp8 and scheme.format is not None:
            return (f"selfhost quantize {name} --scheme bf16{more}", f"{command} --from bf16")
        if scheme.format is Format.NF4 and self.model.recipe:
            return (command, f"{command} --in-flight  # or without files: the engine does it each time it loads")
        return (command,)

    # Ascend

    def _modelslim(self) -> Iterator[Way]:
        arch = ModelArch.from_config({k: v for k, v in self._config.items() if k != "quantization_config"})
        repository = (self.model.recipe.hub_id if self.model.recipe else None) or self.model.name
        for kind, bits in (("w8a8", 8), ("w4a8", 4)):
            if kind == "w4a8" and not arch.is_moe:
                continue
            types = modelslim.types_for(kind, experts=arch.is_moe, latent=arch.is_mla)
            section = {"quant_method": ascend.METHOD, "types": types}
            made = ModelArch.from_config({**self._config, "quantization_config": section})
            plan, shorter = self._plan(replace(self._to_plan, arch=made, variant=kind, weight_bytes_total=None))
            steps = modelslim.steps(
                repository.rpartition("/")[2],
                kind,
                source="$SOURCE",
                target="$TARGET",
                devices=self.hardware.devices_per_node,
                fp8=self._fp8,
            )
            output = checkpoint_bytes(made)
            yield Way(
                Kind.MODELSLIM,
                kind,
                made.quantization.format if made.quantization else None,
                bits,
                plan,
                shorter,
                against=None if steps else text("advise.modelslim_unknown", name=repository, kind=kind),
                note=_modelslim_note(steps, self._fp8),
                cost=Cost(needs.modelslim(self._bytes, output), None),
                commands=steps.commands if steps else (),
            )


def _modelslim_note(steps: modelslim.Steps | None, fp8: bool) -> str:  # noqa: FBT001 - of the caller
    if steps is None:
        return ""
    pinned = f", transformers=={steps.transformers}" if steps.transformers else ""
    plain = "" if steps.takes_fp8 or not fp8 else text("advise.note_modelslim_bf16")
    return text("advise.note_modelslim", pinned=pinned, memory=modelslim.LEAST_MEMORY_GIB) + plain


def _origin(variant: Variant) -> str:
    return variant.summary
