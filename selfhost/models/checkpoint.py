"""What a model is on disk: parameters, and bytes of the checkpoint's tensors.

Not derivable from a config, and so not counted: a copy of a tied head (Qwen2.5 and Qwen3 up to 3B have one in some
checkpoints), embeddings that multi-token layers share (GLM-4.6), multi-token layers left out by who quantized a model.
Where files or a lock are there, their sizes are the answer.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from selfhost.models.layers import residual_parts
from selfhost.models.parts import Vector

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch
    from selfhost.models.layers import LayerKind
    from selfhost.models.parts import Part
    from selfhost.quant.schemes import Quantization


def _layer_counts(arch: ModelArch) -> Counter[LayerKind]:
    return Counter(arch.kinds[place] for place in arch.layers)


def _beside(arch: ModelArch) -> list[tuple[int, Part]]:
    """What is not part of a layer, and how many of each."""
    ends = list(arch.connections.head_parts(arch.hidden_size)) if arch.connections else []
    if arch.residual_block_layers:
        ends += residual_parts(("output",), arch.hidden_size)
    return [*((1, part) for part in ends), *(arch.tower.parts(1) if arch.tower else [])]


def parameter_count(arch: ModelArch) -> int:
    """Parameters of the model without its layers of multi-token prediction; tied embeddings count once.

    Check: Qwen2.5-0.5B -> 494_032_768.
    """
    embeddings = arch.vocab_size * arch.hidden_size * (1 if arch.tie_word_embeddings else 2)
    layers = sum(
        count * sum(_elements(part) for part in kind.parts(arch.hidden_size))
        for kind, count in _layer_counts(arch).items()
    )
    return embeddings + arch.hidden_size + layers + sum(count * _elements(part) for count, part in _beside(arch))


def _elements(part: Part) -> int:
    if isinstance(part, Vector):
        return part.size if part.trained else 0
    return part.copies * sum(part.outputs) * part.inputs + (sum(part.outputs) if part.bias else 0)


def checkpoint_bytes(arch: ModelArch) -> int:
    """Bytes of the tensors on disk, layers of multi-token prediction included. Check: DeepSeek-V3 -> 688.57 GB."""
    dtype = arch.dtype_bytes
    embeddings = arch.vocab_size * arch.hidden_size * dtype
    total = embeddings * (1 if arch.tie_word_embeddings else 2) + arch.hidden_size * dtype
    layers = _layer_counts(arch)
    if arch.draft:
        layers.update(arch.draft.layers)
        each = sum(_stored_bytes(part, _format(arch, part), dtype) for part in arch.draft.parts(arch.hidden_size))
        total += len(arch.draft.layers) * (each + (2 * embeddings if arch.draft.ends_stored else 0))
    total += sum(count * _stored_layer_bytes(arch, kind) for kind, count in layers.items())
    return total + sum(count * _stored_bytes(part, None, dtype) for count, part in _beside(arch))


def _format(arch: ModelArch, part: Part) -> Quantization | None:
    return None if isinstance(part, Vector) or not part.quantizable else arch.quantization


def _stored_layer_bytes(arch: ModelArch, kind: LayerKind) -> int:
    parts = kind.parts(arch.hidden_size)
    return sum(_stored_bytes(part, kind.format_of(part, arch.quantization), arch.dtype_bytes) for part in parts)


def _stored_bytes(part: Part, quantization: Quantization | None, dtype: int) -> int:
    if isinstance(part, Vector):
        return part.size * (dtype if part.stored_itemsize is None else part.stored_itemsize)
    rows, columns = sum(part.outputs), part.inputs
    if quantization is None:
        matrices = rows * columns * dtype
    else:
        matrices = sum(quantization.stored_bytes(out, columns, dtype, module=part.module) for out in part.outputs)
    return part.copies * matrices + (rows * dtype if part.bias else 0)
