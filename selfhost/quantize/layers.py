"""Which layers of a model a scheme leaves as they are, and which group size divides the others.

What is left: head and embeddings, norms, routers and the small gates that the engine keeps in the model's dtype
(`quantizable` of `models.parts`), vision towers, and what joins layers of multi-token prediction.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from selfhost.models.parts import Linear
from selfhost.quantize.schemes import GROUP_SIZES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.models.arch import ModelArch

_SMALL = ("gate", "router", "shared_expert_gate", "in_proj_a", "in_proj_b", "in_proj_ba")
"""Last steps of names of routers and gates, which lose much and take little."""
_TOWER = r"re:.*(visual|vision_tower|vision_model|mm_projector|multi_modal_projector)\..*"
_PREDICTION = r"re:.*\.(eh_proj|embed_tokens|shared_head\.head)$"


class Undivided(NamedTuple):
    """A layer whose inputs make no whole number of groups."""

    module: str
    inputs: int


def ignored(arch: ModelArch) -> tuple[str, ...]:
    """Modules that stay in the model's dtype: names, and patterns that begin with `re:`, of names in the checkpoint.

    Check: DeepSeek-V3 -> `lm_head`, the router, and what joins its multi-token layer.
    """
    found = ["lm_head"]
    found += [
        rf"re:.*\.{re.escape(name)}$" for part in _linears(arch) for name in part.checkpoint_names if _stays(part, name)
    ]
    if arch.tower is not None:
        found.append(_TOWER)
    if arch.num_nextn_predict_layers:
        found.append(_PREDICTION)
    return tuple(dict.fromkeys(found))


def _stays(part: Linear, name: str) -> bool:
    return not part.quantizable or name.rpartition(".")[2] in _SMALL


def undivided(arch: ModelArch, group_size: int) -> list[Undivided]:
    """Layers that would be quantized and cannot be cut into groups of that size, by name."""
    found = {
        Undivided(name, part.inputs)
        for part in _linears(arch)
        for name in part.checkpoint_names
        if part.inputs % group_size and not _stays(part, name)
    }
    return sorted(found)


def group_size(arch: ModelArch) -> int | None:
    """The largest usual size that divides every layer; None when none does.

    Check: SmolLM2-135M, hidden size 576 -> 64.
    """
    return next((size for size in GROUP_SIZES if not undivided(arch, size)), None)


def largest_layer_bytes(arch: ModelArch) -> int:
    """Bytes of the largest decoder layer in the model's dtype."""
    layers = [[part for part in kind.parts(arch.hidden_size) if isinstance(part, Linear)] for kind in arch.kinds]
    elements = [sum(part.copies * sum(part.outputs) * part.inputs for part in parts) for parts in layers]
    return arch.dtype_bytes * max(elements)


def _linears(arch: ModelArch) -> Iterator[Linear]:
    for kind in arch.kinds:
        yield from (part for part in kind.parts(arch.hidden_size) if isinstance(part, Linear))
