"""Speculative decoding as far as it decides memory: which method drafts tokens, and how many."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.messages import text
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch
    from selfhost.planner.plan import ModelToPlan

_NGRAM = frozenset(["ngram", "[ngram]", "ngram_gpu"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Speculation:
    """What the engine is told about it; source: vLLM 0.32 config/speculative.py."""

    method: str
    """As the engine spells it; names such as `deepseek_mtp` are old ones for `mtp`."""
    num_speculative_tokens: int | None = None
    foreign: bool = False
    """Whether more was said that decides memory: a model for drafting, a format or tensor parallel size of its own."""

    @property
    def drafts(self) -> bool:
        """Whether the layers of multi-token prediction in the model's own checkpoint are loaded."""
        return not self.foreign and (self.method == "mtp" or self.method.endswith("_mtp"))

    @property
    def is_counted(self) -> bool:
        """Whether a plan's figures are right with it; looking up n-grams takes no weights and no cache."""
        return self.drafts or (not self.foreign and self.method in _NGRAM)


def with_drafts(model: ModelToPlan, speculation: Speculation | None) -> ModelToPlan:
    """The model as it is loaded: with its layers of multi-token prediction, if it is told to use them."""
    if speculation is None or not speculation.drafts:
        return model
    return replace(
        model,
        arch=replace(model.arch, drafting=True),
        variants=tuple(with_drafts(variant, speculation) for variant in model.variants),
    )


def speculation_refusals(arch: ModelArch, model: str, speculation: Speculation | None) -> list[str]:
    """Why the engine would refuse to draft like this; empty when nothing is known against it."""
    if speculation is None or not speculation.drafts:
        return []
    layers, tokens = len(arch.draft.layers) if arch.draft else 0, speculation.num_speculative_tokens
    if not layers:
        return [text("plan.no_draft_layers", model=model)]
    if tokens is None:
        return [text("plan.no_speculative_tokens")]
    if tokens > layers and tokens % layers:
        return [text("plan.uneven_speculative_tokens", tokens=tokens, layers=layers)]
    return []
