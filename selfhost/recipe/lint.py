"""Findings about a recipe that is valid as a file: what is wrong, doubtful or not reproducible in it.

Small rules, each a generator of findings. What an engine has is handed in, so that nothing here depends on one.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.errors import SelfhostError, UsageError
from selfhost.findings import Finding, Severity
from selfhost.hardware import catalog, spec
from selfhost.messages import Message, word
from selfhost.models.arch import ModelArch
from selfhost.models.checkpoint import checkpoint_bytes, parameter_count
from selfhost.quant import ascend as modelslim
from selfhost.recipe.claims import ENGINES, claim_findings
from selfhost.recipe.lint_config import config_findings
from selfhost.recipe.lint_context import context_findings
from selfhost.recipe.lint_scheme import scheme_findings
from selfhost.recipe.schema import HUBS, LICENCE_UNKNOWN, SourceKind
from selfhost.recipe.table import shown
from selfhost.recipe.unserved import unserved
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from selfhost.recipe.claims import Claim, Judged
    from selfhost.recipe.schema import Recipe, Variant

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ADDRESS = re.compile(r"https?://[^\s/]+\.[^\s]+")
_TOLERANCE = 0.02
_NEAREST = 3
_RECIPES_OWN = ("variant", "scheme", "id", "url", "fact", "expect", "family", "name", "other")
"""Values that a recipe may make as long as it likes; numbers among them are formatted by the message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LintEngine:
    """What the rules must know of the pinned engine."""

    name: str
    version: str
    architectures: frozenset[str]
    tool_call_parsers: frozenset[str]
    reasoning_parsers: frozenset[str]
    flag_problems: Callable[[Sequence[str]], list[Message]]
    """What is wrong with `engine_args`: unknown, owned, or settings of the plan."""
    judge_claim: Callable[[Recipe, Claim], Judged]
    """What the planner says of a published way to run it, for the engine and hardware of that."""


def lint(recipe: Recipe, engine: LintEngine, *, folder: str | None = None) -> list[Finding]:
    """All findings, errors first; `folder` is the one the file lies in, None when it need not say a family."""
    found = [
        *_sources(recipe),
        *config_findings("config", recipe.config),
        *_variants(recipe),
        *_parameters(recipe),
        *_architectures(recipe, engine),
        *_serving(recipe, engine),
        *_support(recipe),
        *_claims(recipe, engine),
        *_references(recipe),
        *_folder(recipe, folder),
        *_check(recipe),
    ]
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))


def _error(where: str, message_id: str, /, **params: object) -> Finding:
    return Finding(severity=Severity.ERROR, where=where, message=_message(message_id, params))


def _warning(where: str, message_id: str, /, **params: object) -> Finding:
    return Finding(severity=Severity.WARNING, where=where, message=_message(message_id, params))


def _message(message_id: str, params: Mapping[str, object]) -> Message:
    cut = {name: shown(value) if name in _RECIPES_OWN else value for name, value in params.items()}
    return Message(message_id, cut)


def _nearest(text: str, known: Iterable[str]) -> str:
    return ", ".join(difflib.get_close_matches(text, sorted(known), n=_NEAREST, cutoff=0.6)) or word("none")


def _sources(recipe: Recipe) -> Iterator[Finding]:
    for number, variant in enumerate(recipe.variants):
        for place, source in enumerate(variant.sources):
            if source.kind in HUBS and not _COMMIT.fullmatch(source.revision or ""):
                yield _warning(
                    f"variant[{number}].source[{place}].revision",
                    "lint.unpinned",
                    variant=variant.name,
                    kind=source.kind.value,
                    id=source.id,
                    found=shown(source.revision) if source.revision else word("none"),
                )


def _variants(recipe: Recipe) -> Iterator[Finding]:
    for number, variant in enumerate(recipe.variants):
        where = f"variant[{number}]"
        yield from config_findings(f"{where}.config", variant.config or {})
        if unserved(recipe):
            continue  # nothing to compare with: its shapes are not known
        try:
            arch = ModelArch.from_config(recipe.config_of(variant))
        except SelfhostError as error:
            detail = error.message.why.replace("\n", "; ")
            yield _error(where, "lint.config", variant=variant.name, problem=error.message.what, detail=detail)
            continue
        yield from scheme_findings(where, variant, arch)
        yield from context_findings(where, recipe, variant, arch)
        yield from _bytes(where, variant, arch)


def _bytes(where: str, variant: Variant, arch: ModelArch) -> Iterator[Finding]:
    loaded = checkpoint_bytes(replace(arch, num_nextn_predict_layers=0, draft=None))
    # Some checkpoints lack the multi-token layers that their config names, or hold a tied head a second time.
    head = arch.vocab_size * arch.hidden_size * arch.dtype_bytes if arch.tie_word_embeddings else 0
    possible = (("bytes_on_disk", (checkpoint_bytes(arch), loaded, loaded + head)), ("bytes_loaded", (loaded,)))
    for key, sizes in possible:
        found = variant.bytes_on_disk if key == "bytes_on_disk" else variant.bytes_loaded
        computed = min(sizes, key=lambda size: abs(size - (found or 0)))
        if found and abs(found - computed) > _TOLERANCE * computed:
            yield _warning(
                f"{where}.{key}",
                "lint.bytes",
                key=key,
                variant=variant.name,
                percent=_percent(found, computed),
                found=found,
                computed=computed,
                scheme=variant.scheme,
            )
    if variant.bytes_loaded and variant.bytes_on_disk and variant.bytes_loaded > variant.bytes_on_disk:
        figures_given = {"loaded": variant.bytes_loaded, "disk": variant.bytes_on_disk}
        yield _error(f"{where}.bytes_loaded", "lint.bytes_order", variant=variant.name, **figures_given)


def _percent(found: int, computed: int) -> float:
    return 100 * (found - computed) / computed


def _parameters(recipe: Recipe) -> Iterator[Finding]:
    try:
        computed = parameter_count(ModelArch.from_config(recipe.config))
    except SelfhostError:
        return  # told with the variants
    found = recipe.parameters
    if found and abs(found - computed) > _TOLERANCE * computed:
        figures = {"percent": _percent(found, computed), "found": found, "computed": computed}
        yield _warning("parameters", "lint.parameters", **figures)


def _architectures(recipe: Recipe, engine: LintEngine) -> Iterator[Finding]:
    given = recipe.config.get("architectures")
    names = [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
    lacking = [number for number, one in enumerate(recipe.support) if one in recipe.lacking]
    lacking = [number for number in lacking if recipe.support[number].engine == engine.name]
    if there := engine.architectures.intersection(names):
        has = {"found": ", ".join(sorted(there)), "engine": engine.name, "version": engine.version}
        yield from (_error(f"support[{number}]", "lint.not_lacking", **has) for number in lacking)
    elif names and not lacking:
        yield _error(
            "config.architectures",
            "lint.architecture",
            found=shown(", ".join(names)),
            engine=engine.name,
            version=engine.version,
            nearest=_nearest(names[0][:80], engine.architectures),
        )


def _serving(recipe: Recipe, engine: LintEngine) -> Iterator[Finding]:
    serving = recipe.serving
    parsers = (
        ("tool_call_parser", "tool call parser", serving.tool_call_parser, engine.tool_call_parsers),
        ("reasoning_parser", "reasoning parser", serving.reasoning_parser, engine.reasoning_parsers),
    )
    for key, what, found, known in parsers:
        if found and found not in known:
            values = {"what": what, "found": shown(found), "nearest": _nearest(found[:80], known)}
            yield _error(f"serving.{key}", "lint.parser", engine=engine.name, version=engine.version, **values)
    for message in engine.flag_problems(serving.engine_args):
        yield Finding(severity=Severity.ERROR, where="serving.engine_args", message=message)
    yield from _sampling(recipe)


# The engine refuses what is outside: vLLM 0.32 sampling_params.py `_verify_args`.
_RANGES: Mapping[str, tuple[str, Callable[[float], bool]]] = {
    "temperature": ("from 0 to 2", lambda value: 0 <= value <= 2),  # noqa: PLR2004
    "top_p": ("more than 0, at most 1", lambda value: 0 < value <= 1),
    "min_p": ("from 0 to 1", lambda value: 0 <= value <= 1),
    "repetition_penalty": ("more than 0", lambda value: value > 0),
}


def _sampling(recipe: Recipe) -> Iterator[Finding]:
    for name, value in recipe.serving.sampling.as_dict().items():
        wanted, good = _RANGES.get(name, ("", lambda _: True))
        if not good(value):
            yield _error(f"serving.sampling.{name}", "lint.sampling", name=name, found=value, wanted=wanted)


def _support(recipe: Recipe) -> Iterator[Finding]:
    for number, support in enumerate(recipe.support):
        if support.engine not in ENGINES:
            yield _error(
                f"support[{number}].engine",
                "lint.engine_unknown",
                found=shown(support.engine),
                known=", ".join(ENGINES),
            )
        if support in recipe.lacking and not support.instead:
            yield _warning(f"support[{number}].instead", "lint.no_instead", engine=support.engine)
        if support.hardware and not _is_hardware(support.hardware):
            device = re.sub(r"^[\dx]*x", "", support.hardware.partition("@")[0])
            yield _error(
                f"support[{number}].hardware",
                "lint.hardware",
                found=shown(support.hardware),
                nearest=", ".join(catalog.nearest(device[:80])) or word("none"),
                recipe=recipe.name,
            )


def _claims(recipe: Recipe, engine: LintEngine) -> Iterator[Finding]:
    names = [variant.name for variant in recipe.variants]
    yield from claim_findings(recipe.claims, names, lambda claim: engine.judge_claim(recipe, claim))
    for number, claim in enumerate(recipe.claims):
        if not _ADDRESS.match(claim.url):
            yield _warning(f"claim[{number}].url", "lint.fact_source", fact=claim.by, found=shown(claim.url))
    claimed = {claim.variant for claim in recipe.claims}
    for number, variant in enumerate(recipe.variants):
        made_for_ascend = (variant.quantization_config or {}).get("quant_method") == modelslim.METHOD
        if made_for_ascend and variant.name not in claimed:
            yield _warning(f"variant[{number}]", "lint.no_claim", variant=variant.name)


def _is_hardware(text: str) -> bool:
    """Whether it is `--on`'s grammar with a device of the catalogue; `@GiB` must not hide a misspelt one."""
    try:
        return spec.parse(text, host_memory_bytes=1).device in (*catalog.DEVICES, catalog.CPU)
    except UsageError:
        return False


def _references(recipe: Recipe) -> Iterator[Finding]:
    if not _ADDRESS.fullmatch(recipe.licence.url):
        yield _error("licence.url", "lint.licence_reference", id=recipe.licence.id, found=shown(recipe.licence.url))
    if recipe.licence.id.lower() == LICENCE_UNKNOWN.lower():
        yield _warning("licence.id", "lint.licence_unknown", name=recipe.name)
    if not recipe.facts:
        yield _warning("source", "lint.no_facts")
    for number, fact in enumerate(recipe.facts):
        if not _ADDRESS.match(fact.url):
            yield _warning(f"source[{number}].url", "lint.fact_source", fact=fact.fact, found=shown(fact.url))


def _folder(recipe: Recipe, folder: str | None) -> Iterator[Finding]:
    organisation = (recipe.hub_id or "").partition("/")[0]
    if folder and not any(_bare(text).startswith(_bare(folder)) for text in (recipe.family, recipe.name, organisation)):
        yield _warning("family", "lint.folder", folder=folder, family=recipe.family, name=recipe.name)


def _bare(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _check(recipe: Recipe) -> Iterator[Finding]:
    if recipe.check and recipe.check.expect.lower() in recipe.check.prompt.lower():
        yield _warning("check.expect", "lint.check_in_question", expect=recipe.check.expect)


def duplicate_hub_ids(recipe: Recipe, others: Iterable[Recipe]) -> list[Finding]:
    """A hub id that another recipe has too: which one is meant could not be told."""
    mine = _hub_ids(recipe)
    found = []
    for other in others:
        shared = _hub_ids(other).keys() & mine.keys() if other.name != recipe.name else ()
        found += [
            _error(mine[key][0], "lint.hub_id_twice", id=mine[key][1], other=other.name) for key in sorted(shared)
        ]
    return found


def _hub_ids(recipe: Recipe) -> dict[str, tuple[str, str]]:
    """Lower-case id -> where it stands, as it is written. Modelscope's are left out: they repeat the other hub's."""
    found = {recipe.hub_id.lower(): ("hub_id", recipe.hub_id)} if recipe.hub_id else {}
    for number, variant in enumerate(recipe.variants):
        for place, source in enumerate(variant.sources):
            if source.kind is SourceKind.HUGGINGFACE:
                found.setdefault(source.id.lower(), (f"variant[{number}].source[{place}].id", source.id))
    return found
