"""Layers of multi-token prediction: in the checkpoint, loaded for speculative decoding with `method` mtp only.

The engine then loads all of them, however many tokens are to be predicted, on the last pipeline stage; they share the
head of the model, and its embedding unless there are several stages: the last one then has a copy of its own. Each has
a cache like any layer; those of Qwen attend to everything, also in models with states. Sources: vLLM 0.32
models/deepseek_mtp.py, glm4_moe_mtp.py, qwen3_next_mtp.py, qwen3_5_mtp.py, vllm/models/deepseek_v32/nvidia/mtp.py,
deepseek_v4/nvidia/mtp.py; what is shared: v1/worker/gpu/spec_decode/eagle/utils.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from selfhost.models.compressed import CompressedAttention
from selfhost.models.layers import LayerKind, Modules, formats_of, kinds_of, plain_of
from selfhost.models.parts import Cut, Linear, Vector
from selfhost.quant.schemes import Format
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.models.compressed import HyperConnections
    from selfhost.models.families import Family
    from selfhost.models.feed import Feed
    from selfhost.models.layers import Mixer
    from selfhost.models.parts import Part
    from selfhost.quant.schemes import Quantization


class DraftPart(NamedTuple):
    """What there is beside the decoder layers."""

    copies: int
    part: Part
    format: Quantization | None
    """What it is stored in; None: the model's dtype."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """All layers of multi-token prediction of a model."""

    layers: tuple[LayerKind, ...]
    """The decoder layer that is the core of each."""
    connections: HyperConnections | None = None
    """DeepSeek-V4: with several residual streams the two inputs have a quantized projection each."""
    ends_stored: bool = True
    """Whether the checkpoint has a copy of embedding and head for each layer; they are not loaded."""
    joined_once: bool = False
    """Qwen: all layers have one projection and one set of norms together; tensor parallelism cuts that projection."""
    plain: frozenset[str] = frozenset()
    formats: tuple[tuple[str, Quantization], ...] = ()
    """As those of a layer, for the projection of Qwen."""

    def beside(self, hidden_size: int, quantization: Quantization | None) -> list[DraftPart]:
        """What there is beside the decoder layers: norms, and what makes one vector of embedding and hidden state.

        Check: Qwen3.5-27B -> three norms of 5120 and one matrix of 10_240 to 5120.
        """
        count = 1 if self.joined_once else len(self.layers)
        return [DraftPart(count, part, self._format(part, quantization)) for part in self._parts(hidden_size)]

    def _format(self, part: Part, quantization: Quantization | None) -> Quantization | None:
        if isinstance(part, Vector) or not part.quantizable or part.name in self.plain:
            return None
        if quantization is not None and quantization.experts_only:
            return None
        return dict(self.formats).get(part.name, quantization)

    def _parts(self, hidden_size: int) -> list[Part]:
        if self.joined_once:
            names = ("norm", "pre_fc_norm_embedding", "pre_fc_norm_hidden")
            return [*(Vector(name=f"draft.{name}", size=hidden_size) for name in names), _joined(hidden_size)]
        norms: list[Part] = [
            Vector(name=f"draft.{name}", size=hidden_size) for name in ("enorm", "hnorm", "shared_head.norm")
        ]
        if self.connections is None:
            joined = Linear(
                name="draft.eh_proj",
                outputs=(hidden_size,),
                inputs=2 * hidden_size,
                cut=Cut.WHOLE,
                quantizable=False,
            )
            return [*norms, joined]
        projections = [
            Linear(name=f"draft.{name}", outputs=(hidden_size,), inputs=hidden_size, cut=Cut.WHOLE)
            for name in ("e_proj", "h_proj")
        ]
        return [*norms, *projections, *self.connections.head_parts(hidden_size)]


_JOINED = "draft.fc"


def _joined(hidden_size: int) -> Linear:
    return Linear(name=_JOINED, outputs=(hidden_size,), inputs=2 * hidden_size, cut=Cut.COLUMN)


def read_draft(
    mixers: Sequence[Mixer], feeds: Sequence[Feed], count: int, family: Family, quantization: Quantization | None
) -> Draft | None:
    """From one mixer and one feed for each layer of the model, `count` of them, and for each that drafts after these.

    Layers that draft are numbered on, but for Qwen's, whose module has numbers and so rules of its own: the first has
    experts if the first layer of the model has.
    Raises NoError as `plain_of`.
    """
    drafts = len(mixers) - count
    if not drafts:
        return None
    if family.nextn_prefix is None:
        kinds, layers = kinds_of(mixers[count:], feeds[count:], family=family, quantization=quantization, first=count)
        return Draft(
            layers=tuple(kinds[place] for place in layers),
            connections=next((x.connections for x in mixers[count:] if isinstance(x, CompressedAttention)), None),
            ends_stored=family.draft_ends_stored,
        )
    own = replace(family, prefix=family.nextn_prefix)
    kinds, layers = kinds_of(mixers[count:], feeds[:drafts], family=own, quantization=quantization)
    modules = [Modules(_JOINED, "fc", ())]
    # In NVFP4 of ModelOpt it never is quantized, whatever the checkpoint lists.
    never = quantization is not None and (quantization.method, quantization.format) == ("modelopt", Format.NVFP4)
    return Draft(
        layers=tuple(kinds[place] for place in layers),
        ends_stored=False,
        joined_once=True,
        plain=frozenset({_JOINED}) if never else plain_of(modules, family.nextn_prefix, quantization),
        formats=formats_of(modules, family.nextn_prefix, quantization),
    )
