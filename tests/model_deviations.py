"""The built-in recipes against counts that were made apart from them, and their architectures against the engine's.

    python -m tests.model_pages --deviations

Parameters and bytes are computed from the recipe's config and compared with tests/data/models/published; the bytes that
the recipe itself says are compared, too. A variant without such a count is listed with the sources that its recipe
names. Exit code 1 where an architecture is neither the engine's nor said to be not served.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from selfhost.engines import known
from selfhost.errors import SelfhostError
from selfhost.models.arch import ModelArch
from selfhost.models.checkpoint import parameter_count
from selfhost.models.tensors import rank_weights
from selfhost.recipe.schema import SupportState
from tests.model_plans import recipes_by_family

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.recipe.schema import Recipe, Variant

_DATA = Path(__file__).parent / "data" / "models" / "published"
PUBLISHED = {model["id"]: model for file in sorted(_DATA.glob("*.json")) for model in json.loads(file.read_bytes())}
_ROTARY = "rotary_emb"
"""Tables that no checkpoint has; of a small model with a long context they are more than anything else that differs."""
_SHOWN = 5


class Counted(NamedTuple):
    """A variant with a published count; deviations relative to it."""

    name: str
    parameters: float
    """Of what the config gives."""
    bytes_loaded: float
    """Of what the config gives for one rank."""
    bytes_said: float
    """Of what the recipe says, on disk or loaded, whichever is further off."""
    source: str


class NotCounted(NamedTuple):
    """A variant without one."""

    name: str
    why: str
    sources: tuple[str, ...]
    """What its recipe names for parameters, bytes and config."""


def variants() -> Iterator[tuple[Recipe, Variant]]:
    """All of the built-in recipes."""
    for recipes in recipes_by_family().values():
        for recipe in recipes:
            for variant in recipe.variants:
                yield recipe, variant


def entry_of(variant: Variant) -> dict[str, object] | None:
    """The published count of a checkpoint on Hugging Face, where there is one."""
    ids = [source.id for source in variant.sources if source.kind.value == "huggingface"]
    return next((PUBLISHED[hub_id] for hub_id in ids if hub_id in PUBLISHED), None)


def counted() -> list[Counted]:
    """Variants that are compared."""
    found = []
    for recipe, variant in variants():
        entry = entry_of(variant)
        arch = None if entry is None else _arch(recipe, variant)
        if entry is None or isinstance(arch, str) or arch is None:
            continue
        groups = rank_weights(arch).groups
        computed = sum(group.count * group.bytes_each for group in groups if _ROTARY not in group.name)
        said = [
            _apart(size, entry[key])
            for size, key in ((variant.bytes_on_disk, "weights_bytes"), (variant.bytes_loaded, "bytes_loaded"))
            if size is not None and entry[key]
        ]
        found.append(
            Counted(
                f"{recipe.name} {variant.name}",
                _apart(parameter_count(arch), entry["total_params"]),
                _apart(computed, entry["bytes_loaded"]),
                max(said, key=abs, default=0.0),
                str(entry["source"]),
            )
        )
    return found


def not_counted() -> list[NotCounted]:
    """Variants that are not, with what their recipe rests on."""
    done = {row.name for row in counted()}
    found = []
    for recipe, variant in variants():
        name = f"{recipe.name} {variant.name}"
        if name in done:
            continue
        arch = _arch(recipe, variant)
        why = f"config not understood: {arch}" if isinstance(arch, str) else "no count was published"
        words = ("parameter", "bytes", "config")
        sources = tuple(
            f"{fact.fact}: {fact.url}" for fact in recipe.facts if any(word in fact.fact.lower() for word in words)
        )
        found.append(NotCounted(name, why, sources or tuple(fact.url for fact in recipe.facts)))
    return found


def architectures() -> list[tuple[str, str, str]]:
    """(architecture, recipes, what of it) for each that is not in the registry of the pinned engine."""
    registry = known.load("vllm").architectures
    found: dict[str, list[str]] = {}
    served: dict[str, bool] = {}
    for recipe, variant in variants():
        (name, *_) = map(str, recipe.config_of(variant).get("architectures", ["?"]))
        arch = _arch(recipe, variant)
        backend = not isinstance(arch, str) and arch.family.transformers_backend
        if name in registry or backend:
            continue
        found.setdefault(name, []).append(recipe.name)
        told = any(s.state is SupportState.UNSUPPORTED and s.engine == "vllm" for s in recipe.support)
        served[name] = served.get(name, False) or not told
    return [
        (name, ", ".join(dict.fromkeys(recipes)), "NOT SAID" if served[name] else "said to be not served")
        for name, recipes in sorted(found.items())
    ]


def _arch(recipe: Recipe, variant: Variant) -> ModelArch | str:
    try:
        return ModelArch.from_config(recipe.config_of(variant))
    except SelfhostError as error:
        return str(error).splitlines()[0]


def _apart(computed: float, published: object) -> float:
    return computed / float(str(published)) - 1


def main() -> int:
    """Print it all; the exit code."""
    rows, others, missing = counted(), not_counted(), architectures()
    print(f"{len(rows)} variants with a published count, {len(others)} without")
    for title, key in (
        ("parameters, from the config", "parameters"),
        ("bytes loaded, from the config", "bytes_loaded"),
        ("bytes that the recipe says", "bytes_said"),
    ):
        worst = sorted(rows, key=lambda row: -abs(getattr(row, key)))[:_SHOWN]
        print(f"\n{title}: worst {abs(getattr(worst[0], key)):.4%}; equal in {_equal(rows, key)} of {len(rows)}")
        for row in worst:
            if getattr(row, key):
                print(f"  {getattr(row, key):+.4%}  {row.name}  ({row.source})")
    print("\nwithout a published count")
    for row in others:
        print(f"  {row.name}: {row.why}")
        for source in row.sources:
            print(f"    {source}")
    ref = known.load("vllm").ref
    names = {str(name) for recipe, variant in variants() for name in recipe.config_of(variant).get("architectures", ())}
    print(f"\n{len(names)} architectures; not in the registry of {ref.name} {ref.version}: {len(missing)}")
    for name, recipes, state in missing:
        print(f"  {name} ({recipes}): {state}")
    return 1 if any(state == "NOT SAID" for *_, state in missing) else 0


def _equal(rows: list[Counted], key: str) -> int:
    return sum(getattr(row, key) == 0 for row in rows)
