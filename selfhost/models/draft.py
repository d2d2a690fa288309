"""Layers of multi-token prediction: in the checkpoint, loaded for speculative decoding with `method` mtp only.

The engine then loads all of them, however many tokens are to be predicted, on the last pipeline stage; they share the
head of the model, and its embedding unless there are several stages: the last one then has a copy of its own. Each has
a cache like any layer. Sources: vLLM 0.32 models/deepseek_mtp.py, glm4_moe_mtp.py, vllm/models/deepseek_v32/nvidia/
mtp.py, deepseek_v4/nvidia/mtp.py; what is shared: v1/worker/gpu/spec_decode/eagle/utils.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.models.parts import Cut, Linear, Vector
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.models.compressed import HyperConnections
    from selfhost.models.layers import LayerKind
    from selfhost.models.parts import Part


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """All layers of multi-token prediction of a model."""

    layers: tuple[LayerKind, ...]
    """The decoder layer that is the core of each."""
    connections: HyperConnections | None = None
    """DeepSeek-V4: with several residual streams the two inputs have a quantized projection each."""
    ends_stored: bool = True
    """Whether the checkpoint has a copy of embedding and head for each layer; they are not loaded."""

    def parts(self, hidden_size: int) -> list[Part]:
        """What each layer holds beside its core: norms, and what makes one vector of embedding and hidden state."""
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
