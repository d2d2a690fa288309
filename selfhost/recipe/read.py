"""A recipe out of a TOML document.

Every mistake is reported at once, each with the path of its key. Keys that are not known are mistakes too, so that a
typing error cannot pass as a default.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from selfhost.errors import UsageError
from selfhost.messages import text
from selfhost.recipe.claims import read_claim
from selfhost.recipe.schema import (
    NAME,
    SCHEMA_VERSION,
    SHA256,
    Check,
    FactSource,
    Licence,
    LongContext,
    Recipe,
    Sampling,
    ServingSettings,
    Source,
    SourceFile,
    SourceKind,
    Support,
    SupportState,
    Variant,
)
from selfhost.recipe.table import Table, shown

if TYPE_CHECKING:
    from collections.abc import Mapping


def recipe_from_dict(data: Mapping[str, Any], path: PurePath, base: Recipe | None = None) -> Recipe:
    """The recipe in a TOML document; `path` is its file, whose name must be the recipe's.

    base: the built-in recipe of that name, for a document that adds variants to it. Raises UsageError with every
    mistake and the path of its key.
    """
    root = Table(data)
    version = root.integer("schema_version")
    if version is not None and version > SCHEMA_VERSION:
        # Another version may mean anything by its keys: say only this.
        raise UsageError("recipe.newer_schema", path=path, found=shown(version), known=SCHEMA_VERSION)
    recipe = _extended(root, path, base) if data.get("extends") is True else _recipe(root)
    if recipe.name and recipe.name != path.stem:
        root.problem("name", text("recipe.name_differs", found=shown(recipe.name), wanted=path.stem))
    if problems := root.finish():
        what = "\n".join(problems)
        raise UsageError("recipe.invalid", path=path, count=len(problems), problems=what)
    return recipe


def _extended(root: Table, path: PurePath, base: Recipe | None) -> Recipe:
    """The built-in recipe with more variants; one of a name that it has itself takes that one's place."""
    if base is None:
        raise UsageError("recipe.nothing_to_extend", path=path, name=path.stem)
    root.flag("extends")
    name, added = root.matching("name", NAME), _variants(root)
    names = {variant.name for variant in added}
    kept = tuple(variant for variant in base.variants if variant.name not in names)
    return replace(base, name=name, variants=(*kept, *added), extends=True)


def _recipe(root: Table) -> Recipe:
    name = root.matching("name", NAME)
    serving, check = root.table("serving", required=False), root.table("check", required=False)
    return Recipe(
        schema_version=SCHEMA_VERSION,
        name=name,
        title=root.string("title"),
        family=root.string("family"),
        summary=root.string("summary"),
        hub_id=root.optional_string("hub_id"),
        context=root.integer("context") or 0,
        licence=_licence(root.table("licence")),
        config=root.mapping("config"),
        variants=_variants(root),
        extends=root.flag("extends"),
        parameters=root.integer("parameters", required=False),
        active_parameters=root.integer("active_parameters", required=False),
        long_context=_long_context(root.table("long_context")) if "long_context" in root else None,
        serving=_serving(serving),
        check=Check(prompt=check.string("prompt"), expect=check.string("expect")) if "check" in root else None,
        support=tuple(_support(table) for table in root.tables("support")),
        claims=tuple(read_claim(table) for table in root.tables("claim")),
        facts=tuple(FactSource(fact=t.string("fact"), url=t.string("url")) for t in root.tables("source")),
        notes=root.strings("notes"),
        unverified=root.strings("unverified"),
    )


def _variants(root: Table) -> tuple[Variant, ...]:
    variants = tuple(_variant(table) for table in root.tables("variant", required=True))
    names = [variant.name for variant in variants]
    for number, variant in enumerate(names):
        if variant in names[:number]:
            root.problem(f"variant[{number}].name", text("recipe.duplicate", value=shown(variant)))
    return variants


def _licence(table: Table) -> Licence:
    return Licence(
        id=table.string("id"),
        url=table.string("url"),
        conditions=table.strings("conditions"),
        research_only=table.flag("research_only"),
    )


def _long_context(table: Table) -> LongContext:
    return LongContext(
        context=table.integer("context") or 0,
        rope_scaling=table.mapping("rope_scaling"),
        note=table.optional_string("note") or "",
    )


def _variant(table: Table) -> Variant:
    return Variant(
        name=table.matching("name", NAME),
        scheme=table.string("scheme"),
        summary=table.optional_string("summary") or "",
        bytes_on_disk=table.integer("bytes_on_disk", required=False),
        bytes_loaded=table.integer("bytes_loaded", required=False),
        config=table.mapping("config") if "config" in table else None,
        quantization_config=table.mapping("quantization_config") if "quantization_config" in table else None,
        files_of=table.matching("files_of", NAME) if "files_of" in table else None,
        sources=tuple(_source(source) for source in table.tables("source")),
        notes=table.strings("notes"),
        unverified=table.strings("unverified"),
    )


def _source(table: Table) -> Source:
    kind = table.choice("kind", SourceKind)
    # Nothing else says which wheel is meant: another file of that version would pass.
    exact = kind is SourceKind.WHEEL
    return Source(
        kind=kind,
        id=table.string("id"),
        revision=table.string("revision") if exact else table.optional_string("revision"),
        size_bytes=table.integer("size_bytes", required=exact),
        sha256=table.matching("sha256", SHA256) if exact or "sha256" in table else None,
        files=tuple(_file(file) for file in table.tables("file", required=exact)),
    )


def _file(table: Table) -> SourceFile:
    path = table.string("path")
    if path.startswith("/") or ".." in PurePath(path).parts:
        table.problem("path", text("recipe.outside", value=shown(path)))
    return SourceFile(
        path=path,
        size_bytes=table.integer("size_bytes", required=False),
        sha256=table.matching("sha256", SHA256) if "sha256" in table else None,
    )


def _serving(table: Table) -> ServingSettings:
    sampling = table.table("sampling", required=False)
    return ServingSettings(
        max_model_len=table.integer("max_model_len", required=False),
        tool_call_parser=table.optional_string("tool_call_parser"),
        reasoning_parser=table.optional_string("reasoning_parser"),
        chat_template=table.optional_string("chat_template"),
        sampling=Sampling(
            temperature=sampling.number("temperature"),
            top_p=sampling.number("top_p"),
            top_k=sampling.integer("top_k", required=False),
            min_p=sampling.number("min_p"),
            repetition_penalty=sampling.number("repetition_penalty"),
        ),
        engine_args=table.strings("engine_args"),
    )


def _support(table: Table) -> Support:
    return Support(
        state=table.choice("state", SupportState),
        engine=table.string("engine"),
        versions=table.string("versions"),
        where=table.string("where"),
        date=table.date("date"),
        note=table.optional_string("note") or "",
        hardware=table.optional_string("hardware"),
        instead=table.strings("instead"),
    )
