"""A recipe as people and programs read it: a row, lines, a dictionary."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from selfhost.columns import ljust
from selfhost.errors import SelfhostError
from selfhost.messages import text, word
from selfhost.models.arch import ModelArch
from selfhost.models.checkpoint import parameter_count
from selfhost.recipe.schema import SourceKind
from selfhost.recipe.unserved import unserved
from selfhost.units import format_bytes, format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from selfhost.recipe.claims import Claim
    from selfhost.recipe.schema import Recipe, Source, Support, Variant

COLUMNS = ("NAME", "PARAMETERS", "CONTEXT", "VARIANTS", "LICENCE")
_WIDTH = 12


def as_row(recipe: Recipe, variants: Sequence[str], verdicts: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """For `recipe ls`, in the order of COLUMNS; with verdicts in one more."""
    names = ",".join(variants)
    names = text("recipe.not_served", variants=names) if unserved(recipe) else names
    row = (recipe.name, parameters_text(recipe), str(recipe.context), names, recipe.licence.id)
    if verdicts is None:
        return row
    return (*row, ", ".join(f"{name} {word(verdict.replace('_', ' '))}" for name, verdict in verdicts.items()))


def as_dict(recipe: Recipe) -> dict[str, object]:
    """For `--json`; `schema_version` is the recipe's, `parameters` is computed where the recipe does not say.

    `served`: whether some engine here has the model; if not, `support` says why, and what can serve it.
    """
    return {**asdict(recipe), "parameters": parameters(recipe), "served": not unserved(recipe)}


def parameters(recipe: Recipe) -> int | None:
    """As the recipe says, else as its architecture has; None when that is not known."""
    if recipe.parameters is not None:
        return recipe.parameters
    try:
        return parameter_count(ModelArch.from_config(recipe.config))
    except SelfhostError:
        return None


def parameters_text(recipe: Recipe) -> str:
    """`7.62B`; `671B, 37.6B active` for a mixture of experts."""
    total = parameters(recipe)
    if not total:
        return "-"
    if not recipe.active_parameters:
        return format_count(total)
    return text("recipe.active", total=format_count(total), active=format_count(recipe.active_parameters))


def printable(line: str) -> str:
    r"""What a recipe of somebody else's says, without control over the terminal; lines stay lines.

    >>> printable("a\x1b[2J\nb")
    'a\\x1b[2J\nb'
    """
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in line)


def as_lines(recipe: Recipe, path: str) -> Iterator[str]:
    """For `recipe show`."""
    yield f"{recipe.name}: {recipe.title} ({recipe.family})"
    yield f"  {recipe.summary}"
    yield from _row("file", path)
    yield from _row("hub id", recipe.hub_id or "-")
    yield from _row("licence", f"{recipe.licence.id}, {recipe.licence.url}")
    for condition in recipe.licence.conditions:
        yield from _row("", condition)
    yield from _dimensions(recipe)
    architectures = recipe.config.get("architectures")
    yield from _row("class", ", ".join(map(str, architectures)) if isinstance(architectures, (list, tuple)) else "-")
    for variant in recipe.variants:
        yield from _variant(variant)
    yield from _serving(recipe)
    if recipe.check:
        yield from _row("check", f"{recipe.check.prompt} -> {recipe.check.expect}")
    for support in recipe.support:
        yield from _support(support)
    for claim in recipe.claims:
        yield from _claim(claim)
    for note in recipe.notes:
        yield from _row("note", note)
    for doubt in recipe.unverified:
        yield from _row("unverified", doubt)
    for fact in recipe.facts:
        yield from _row("source", fact.fact)
        yield from _row("", fact.url)


def loss_lines(losses: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """For `recipe show`: what variants that were made here lost."""
    for variant, lines in losses.items():
        yield from _row("loss", f"{variant}:")
        for line in lines:
            yield from _row("", line)


def _row(label: str, value: str) -> Iterator[str]:
    if value:
        yield f"  {ljust(str(word(label)), _WIDTH)}{value}"


def _dimensions(recipe: Recipe) -> Iterator[str]:
    total = parameters(recipe)
    exact = f" ({total:,})" if total else ""
    yield from _row("parameters", f"{parameters_text(recipe)}{exact}")
    yield from _row("context", f"{recipe.context:,} tokens")
    if longer := recipe.long_context:
        yield from _row("", f"{longer.context:,} with rope_scaling {json.dumps(longer.rope_scaling)}")
        yield from _row("", longer.note)


def _variant(variant: Variant) -> Iterator[str]:
    size = f", {format_bytes(variant.bytes_on_disk)}" if variant.bytes_on_disk else ""
    loaded = f", {format_bytes(variant.bytes_loaded)} loaded" if variant.bytes_loaded else ""
    yield from _row("variant", f"{variant.name} ({variant.scheme}{size}{loaded})")
    yield from _row("", variant.summary)
    if variant.files_of:
        yield from _row("", f"with the files of {variant.files_of}")
    for source in variant.sources:
        yield from _row("", f"from {_source(source)}")
    for note in variant.notes:
        yield from _row("", note)
    for doubt in variant.unverified:
        yield from _row("", f"unverified: {doubt}")


def _source(source: Source) -> str:
    if source.kind is SourceKind.QUANTIZED:
        return f"{source.id} by `selfhost quantize`"
    revision = f" at {source.revision}" if source.revision else ", no fixed revision"
    size = f", {format_bytes(source.size_bytes)}" if source.size_bytes else ""
    return f"{source.kind.value} {source.id}{revision}{size}"


def _serving(recipe: Recipe) -> Iterator[str]:
    serving = recipe.serving
    named = (
        ("max-model-len", serving.max_model_len),
        ("tool calls", serving.tool_call_parser),
        ("reasoning", serving.reasoning_parser),
        ("template", serving.chat_template),
        ("sampling", ", ".join(f"{name} {value:g}" for name, value in serving.sampling.as_dict().items())),
        ("engine args", " ".join(serving.engine_args)),
    )
    for label, value in named:
        if value:
            yield from _row(label, str(value))


def _support(support: Support) -> Iterator[str]:
    yield from _row(support.state.value, f"{support.engine} ({support.versions})")
    hardware = f" ({support.hardware})" if support.hardware else ""
    yield from _row("", f"on {support.where}{hardware}, {support.date}")
    yield from _row("", support.note)
    for way in support.instead:
        yield from _row("", f"what can: {way}")


def _claim(claim: Claim) -> Iterator[str]:
    yield from _row("published", f"{claim.variant} on {claim.hardware} ({claim.where})")
    yield from _row("", f"by {claim.by}: {claim.url}")
    variables = (f"{name}={value}" for name, value in (claim.environment or {}).items())
    yield from _row("", f"{claim.engine} {claim.versions}: {' '.join((*variables, *claim.options))}")
    if claim.lacks_gib is not None:
        yield from _row("", f"does not fit by selfhost's arithmetic: {claim.lacks_gib:g} GiB missing per device")
    if claim.refused:
        yield from _row("", "refused by selfhost's planner")
    yield from _row("", claim.note)
