"""A recipe as people and programs read it: a row, lines, a dictionary."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.recipe.schema import Recipe, Source, Support, Variant

COLUMNS = ("NAME", "FAMILY", "CONTEXT", "VARIANTS", "LICENCE", "HUB ID")
_WIDTH = 12


def as_row(recipe: Recipe) -> tuple[str, ...]:
    """For `recipe ls`, in the order of COLUMNS."""
    variants = ",".join(variant.name for variant in recipe.variants)
    return (recipe.name, recipe.family, str(recipe.context), variants, recipe.licence.id, recipe.hub_id or "-")


def as_dict(recipe: Recipe) -> dict[str, object]:
    """For `--json`; `schema_version` is the recipe's."""
    return asdict(recipe)


def as_lines(recipe: Recipe, path: str) -> Iterator[str]:
    """For `recipe show`."""
    yield f"{recipe.name}: {recipe.title} ({recipe.family})"
    yield f"  {recipe.summary}"
    yield from _row("file", path)
    yield from _row("hub id", recipe.hub_id or "-")
    yield from _row("licence", f"{recipe.licence.id}, {recipe.licence.url}")
    for condition in recipe.licence.conditions:
        yield from _row("", condition)
    yield from _row("context", f"{recipe.context:,} tokens")
    if longer := recipe.long_context:
        yield from _row("", f"{longer.context:,} with rope_scaling {json.dumps(longer.rope_scaling)}")
        if longer.note:
            yield from _row("", longer.note)
    if recipe.parameters:
        active = f", {recipe.active_parameters:,} active per token" if recipe.active_parameters else ""
        yield from _row("parameters", f"{recipe.parameters:,}{active}")
    architectures = recipe.config.get("architectures")
    yield from _row("class", ", ".join(map(str, architectures)) if isinstance(architectures, (list, tuple)) else "-")
    for variant in recipe.variants:
        yield from _variant(variant)
    yield from _serving(recipe)
    if recipe.check:
        yield from _row("check", f"{recipe.check.prompt} -> {recipe.check.expect}")
    for support in recipe.support:
        yield from _support(support)
    for note in recipe.notes:
        yield from _row("note", note)
    for doubt in recipe.unverified:
        yield from _row("unverified", doubt)
    for fact in recipe.facts:
        yield from _row("source", fact.fact)
        yield from _row("", fact.url)


def _row(label: str, value: str) -> Iterator[str]:
    yield f"  {label:<{_WIDTH}}{value}"


def _variant(variant: Variant) -> Iterator[str]:
    size = f", {format_bytes(variant.bytes_on_disk)}" if variant.bytes_on_disk else ""
    yield from _row("variant", f"{variant.name} ({variant.scheme}{size})")
    if variant.summary:
        yield from _row("", variant.summary)
    for source in variant.sources:
        yield from _row("", f"from {_source(source)}")
    for note in variant.notes:
        yield from _row("", note)
    for doubt in variant.unverified:
        yield from _row("", f"unverified: {doubt}")


def _source(source: Source) -> str:
    revision = f" at {source.revision}" if source.revision else ""
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
    yield from _row("", f"on {support.where}, {support.date}")
    if support.note:
        yield from _row("", support.note)
