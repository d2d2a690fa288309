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
    from collections.abc import Iterator, Mapping

    from selfhost.models.arch import ModelArch
    from selfhost.models.headers import Tensor

_SMALL = ("gate", "router", "shared_expert_gate", "in_proj_a", "in_proj_b", "in_proj_ba")
"""Last steps of names of routers and gates, which lose much and take little."""
_DOWN = ("down_proj", "w2")
_TOWER = r"re:.*(visual|vision_tower|vision_model|mm_projector|multi_modal_projector)\..*"
_SOUND = r"re:.*(audio_tower|talker|token2wav)\..*"
_IN_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.(.+)\.weight$")
_TOWER_STEP = re.compile(r"(^|\.)(visual|vision_|audio_|encoder)")
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
    if arch.audio is not None:
        found.append(_SOUND)
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
    return arch.dtype_bytes * max(sum(map(_elements, part)) for part in _by_kind(arch))


def largest_matrix(arch: ModelArch) -> int:
    """Elements of the largest matrix of a decoder layer, as a checkpoint has it."""
    return max(max(part.outputs) * part.inputs for parts in _by_kind(arch) for part in parts)


def widest_down(arch: ModelArch) -> int:
    """Inputs of all down-projections of a layer: of one, or of all experts. Check: Qwen2.5-72B -> 29,568."""
    return max(sum(part.copies * part.inputs for part in parts if _is_down(part)) for parts in _by_kind(arch))


def share_of_down(arch: ModelArch) -> float:
    """Share of a layer's weights that is in its down-projections, where it is largest."""
    return max(
        sum(_elements(part) for part in parts if _is_down(part)) / max(1, sum(map(_elements, parts)))
        for parts in _by_kind(arch)
    )


def unlike(arch: ModelArch, tensors: Mapping[str, Tensor]) -> list[str]:
    """What a checkpoint's matrices do not have in common with its config, or one layer with the others of its kind.

    Only inputs are compared: of outputs some families store more than the engine makes. Names that are not known here
    say nothing.
    """
    there = {
        (int(step[1]), step[2]): tensor.shape
        for name, tensor in tensors.items()
        if (step := _IN_LAYER.search(name)) and len(tensor.shape) == 2 and not _TOWER_STEP.search(name)  # noqa: PLR2004
    }
    result = []
    for kind, parts in zip(arch.kinds, _by_kind(arch), strict=True):
        numbers = [number for number, index in enumerate(arch.layers) if arch.kinds[index] == kind]
        for part in parts:
            for tail in part.checkpoint_names:
                found = {number: there[number, tail] for number in numbers if (number, tail) in there}
                result += [f"layers.{number}.{tail}: missing" for number in numbers if found and number not in found]
                result += [
                    f"layers.{number}.{tail}: {shape[1]} inputs, {part.inputs} by config.json"
                    for number, shape in found.items()
                    if shape[1] != part.inputs
                ]
    return result


def _by_kind(arch: ModelArch) -> list[list[Linear]]:
    return [[part for part in kind.parts(arch.hidden_size) if isinstance(part, Linear)] for kind in arch.kinds]


def _elements(part: Linear) -> int:
    return part.copies * sum(part.outputs) * part.inputs


def _is_down(part: Linear) -> bool:
    return any(name.rpartition(".")[2] in _DOWN for name in part.checkpoint_names)


def _linears(arch: ModelArch) -> Iterator[Linear]:
    for parts in _by_kind(arch):
        yield from parts
