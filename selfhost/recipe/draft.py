"""A recipe that is only begun: what a repository proves, and what is left to look up.

What a place says of a model (`Seen`) is turned into a `Draft` here; `recipe.draft_text` writes it down. Nothing is made
up: a figure is read or computed from what was read, a guess is called one, and what nothing tells is a thing to do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from selfhost.errors import SelfhostError
from selfhost.messages import text
from selfhost.models.arch import ModelArch
from selfhost.models.checkpoint import active_parameter_count, checkpoint_bytes, parameter_count
from selfhost.recipe.draft_family import family_of, parsers_of
from selfhost.recipe.lint_config import KEYS
from selfhost.recipe.lint_scheme import scheme_of
from selfhost.recipe.schema import NAME, FactSource, SourceKind
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.recipe.draft_licence import Told
    from selfhost.recipe.schema import Recipe, Source

BESIDE = frozenset(
    [
        "hidden_act",
        "n_group",
        "norm_topk_prob",
        "qk_norm_type",
        "rms_norm_eps",
        "rope_theta",
        "routed_scaling_factor",
        "scoring_func",
        "topk_group",
        "use_routing_bias",
    ]
)
"""What planning does not read, and an engine that is to build the class from the recipe does (`selfhost smoke`)."""
_QUANTIZATION = ("quantization_config", "compression_config")
_NEVER = (*_QUANTIZATION, "_name_or_path", "auto_map", "transformers_version")
_LARGEST = (1 << 63) - 1
_CLOSE = 0.005
"""Share by which files may be off what the config leads to: headers, and norms of vision towers, are not computed."""
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
_WHOLE = ("top_k",)
_SEES = "vision_config"
_SUMMARIES = {
    "model": ("draft.summary_model", "draft.summary_model_sees"),
    "dense": ("draft.summary_dense", "draft.summary_dense_sees"),
    "experts": ("draft.summary_experts", "draft.summary_experts_sees"),
}
"""Without and with what sees images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a place says of a model, metadata only."""

    repository: str
    """Its name, without the organisation."""
    config: Mapping[str, Any]
    weight_bytes: int
    """Of the safetensors files that hold the model."""
    sources: tuple[Source, ...]
    licence: Told
    hub_id: str | None = None
    """At Hugging Face; None where it was not asked."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    """generation_config.json; empty without one."""
    urls: Mapping[str, str] = field(default_factory=dict)
    """Where a file was read, by name; `""`: the list of files. Empty for a directory that came from nowhere."""
    base_models: tuple[str, ...] = ()
    """What it was made of, as its README says."""
    tokenizer_is_code: bool = False
    contradictions: tuple[str, ...] = ()
    """Where weight files and config disagree, one sentence each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the user said; None: derived."""

    name: str | None = None
    family: str | None = None
    title: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A recipe that is begun."""

    name: str
    title: str
    family: str
    family_is_guess: bool
    summary: str
    hub_id: str | None
    context: int | None
    parameters: int | None
    active_parameters: int | None
    licence: Told
    config: Mapping[str, object]
    variant: DraftVariant
    sampling: Mapping[str, float]
    parsers: Mapping[str, str]
    """Of relatives: `tool_call_parser`, `reasoning_parser`; never taken without being looked at."""
    relatives: tuple[str, ...]
    """Names of the recipes that the parsers are from."""
    facts: tuple[FactSource, ...]
    notes: tuple[str, ...]
    unverified: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DraftVariant:
    """The checkpoint that was looked at."""

    name: str
    scheme: str
    scheme_is_guess: bool
    bytes_on_disk: int
    bytes_loaded: int | None
    quantization_config: Mapping[str, object] | None
    sources: tuple[Source, ...]
    contradictions: tuple[str, ...] = ()
    """Where weight files and config disagree."""
    unverified: tuple[str, ...] = ()


def draft(seen: Seen, asked: Asked, recipes: Sequence[Recipe], engine_classes: frozenset[str]) -> Draft:
    """What can be said; `recipes` are the built-in ones, `engine_classes` the architectures that the engine has."""
    arch = arch_of(seen.config)
    family, related = family_of(seen.repository, seen.config, recipes)
    parsers, relatives = parsers_of(related, arch)
    return Draft(
        name=asked.name or name_of(seen.repository),
        title=asked.title or seen.repository,
        family=asked.family or family,
        family_is_guess=asked.family is None,
        summary=_summary(seen.config, arch),
        hub_id=seen.hub_id,
        context=_context(seen.config, arch),
        parameters=parameter_count(arch) if arch else None,
        active_parameters=active_parameter_count(arch) if arch else None,
        licence=seen.licence,
        config=kept_config(seen.config, arch),
        variant=draft_variant(seen, arch),
        sampling=sampling_of(seen.generation),
        parsers=parsers,
        relatives=relatives,
        facts=_facts(seen, arch),
        notes=_notes(seen, engine_classes),
        unverified=seen.licence.doubts,
    )


def arch_of(config: Mapping[str, Any]) -> ModelArch | None:
    """The architecture; None where selfhost does not understand the config: the linter tells why."""
    try:
        return ModelArch.from_config(config)
    except SelfhostError:
        return None


def name_of(repository: str) -> str:
    """A recipe's name from a repository's.

    >>> name_of("Qwen2.5-7B-Instruct"), name_of("Yi_1.5 34B")
    ('qwen2.5-7b', 'yi_1.5-34b')
    """
    name = re.sub(r"[^a-z0-9._-]+", "-", repository.lower().removesuffix("-instruct")).strip("-._")
    return name if NAME.fullmatch(name) else "model"


def kept_config(config: Mapping[str, Any], arch: ModelArch | None) -> dict[str, object]:
    """The keys that planning needs, without quantization; all keys where those say less than all do, or nothing is
    known of the architecture.
    """
    whole: dict[str, object] = _clean({key: value for key, value in config.items() if key not in _NEVER})
    if isinstance(nested := whole.get("text_config"), dict):
        whole["text_config"] = {key: value for key, value in nested.items() if key not in _NEVER}
    if arch is None:
        return whole
    keys = KEYS | BESIDE
    short = {key: value for key, value in whole.items() if key in keys}
    if isinstance(nested := short.get("text_config"), dict):
        short["text_config"] = {key: value for key, value in nested.items() if key in keys}
    section = quantization_of(config)
    again = arch_of(short if section is None else {**short, "quantization_config": section})
    return short if again == arch else whole


def quantization_of(config: Mapping[str, Any]) -> dict[str, object] | None:
    """The section about quantization, wherever a config has it."""
    nested = config.get("text_config")
    for part in (nested if isinstance(nested, dict) else {}, config):
        for key in _QUANTIZATION:
            if isinstance(section := part.get(key), dict) and section:
                cleaned: dict[str, object] = _clean(section)
                return cleaned
    return None


def _clean(value: object) -> Any:
    """A value of a config as TOML can have it: without nulls, numbers that are none, and lone surrogates."""
    if isinstance(value, Mapping):
        return {_clean(str(key)): _clean(inner) for key, inner in value.items() if _is_kept(inner)}
    if isinstance(value, (list, tuple)):
        return [_clean(inner) for inner in value if _is_kept(inner)]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _is_kept(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is not None and not (isinstance(value, int) and abs(value) > _LARGEST)


def _context(config: Mapping[str, Any], arch: ModelArch | None) -> int | None:
    if arch is not None:
        return arch.max_position_embeddings
    nested = config.get("text_config")
    for part in (nested if isinstance(nested, dict) else {}, config):
        if isinstance(found := part.get("max_position_embeddings"), int) and 0 < found <= _LARGEST:
            return found
    return None


def _summary(config: Mapping[str, Any], arch: ModelArch | None) -> str:
    kind = "model" if arch is None else "experts" if arch.is_moe else "dense"
    sees = arch.tower is not None if arch else _SEES in config
    return text(_SUMMARIES[kind][sees])


# The checkpoint


def draft_variant(seen: Seen, arch: ModelArch | None) -> DraftVariant:
    """The checkpoint: what it is stored in, and its bytes."""
    section = quantization_of(seen.config)
    scheme = scheme_of(arch) if arch else None
    method = (section or {}).get("quant_method")
    guess = str(_clean(method or seen.config.get("dtype") or seen.config.get("torch_dtype") or "bf16"))
    guess = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}.get(guess, guess)
    return DraftVariant(
        name=name_of(scheme or guess),
        scheme=scheme or guess,
        scheme_is_guess=scheme is None,
        bytes_on_disk=seen.weight_bytes,
        bytes_loaded=loaded_bytes(seen.weight_bytes, arch) if arch else None,
        quantization_config=section,
        sources=seen.sources,
        contradictions=seen.contradictions,
    )


def loaded_bytes(on_disk: int, arch: ModelArch) -> int | None:
    """Bytes that the engine keeps of files of so many: without layers of multi-token prediction, without a copy of a
    tied head; None where the files are not what the config can lead to.

    Multi-token layers may share embedding and head with the model (GLM-4.6) or be left out by who quantized it.
    Check: DeepSeek-V3, 688_586_727_753 on disk -> 673_162_500_201.
    """
    loaded = checkpoint_bytes(replace(arch, num_nextn_predict_layers=0, draft=None))
    ends = arch.vocab_size * arch.hidden_size * arch.dtype_bytes
    drafts = checkpoint_bytes(arch) - loaded
    possible = [0, drafts, max(0, drafts - 2 * ends * arch.num_nextn_predict_layers)]
    possible += [ends] if arch.tie_word_embeddings else []
    left_out = min(possible, key=lambda extra: abs(on_disk - loaded - extra))
    return on_disk - left_out if abs(on_disk - loaded - left_out) <= _CLOSE * (loaded + left_out) else None


def sampling_of(generation: Mapping[str, Any]) -> dict[str, float]:
    """Defaults of requests by generation_config.json, as far as a recipe can have them."""
    found: dict[str, float] = {}
    for key in _SAMPLING:
        value = generation.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
            continue
        if key not in _WHOLE or (isinstance(value, int) and value > 0):
            found[key] = value
    return found


# Evidence


def _facts(seen: Seen, arch: ModelArch | None) -> tuple[FactSource, ...]:
    config, listing = seen.urls.get("config.json"), seen.urls.get("")
    said = [
        ("draft.fact_config" if arch is None else "draft.fact_counted", config),
        ("draft.fact_bytes", listing),
        ("draft.fact_sampling", seen.urls.get("generation_config.json") if seen.generation else None),
        ("draft.fact_licence", seen.urls.get("licence") if seen.licence.is_known else None),
    ]
    return tuple(FactSource(fact=text(message), url=url) for message, url in said if url)


def _notes(seen: Seen, engine_classes: frozenset[str]) -> tuple[str, ...]:
    classes = seen.config.get("architectures")
    known = isinstance(classes, list) and engine_classes.intersection(map(str, classes))
    notes = []
    if seen.config.get("auto_map") and not known:
        notes.append(text("draft.note_code"))
    if seen.tokenizer_is_code:
        notes.append(text("draft.note_tokenizer"))
    return tuple(notes)


def is_unpinned(source: Source) -> bool:
    """Whether a hub may give other files for it tomorrow."""
    return source.kind in (SourceKind.HUGGINGFACE, SourceKind.MODELSCOPE) and not source.revision
