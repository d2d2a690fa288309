"""What a model is on disk: parameters, and bytes of the checkpoint's tensors.

Not derivable from a config, and so not counted: a copy of a tied head (Qwen2.5 and Qwen3 up to 3B have one in some
checkpoints), embeddings that multi-token layers share (GLM-4.6), multi-token layers left out by who quantized a model.
Where files or a lock are there, their sizes are the answer.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.models.layers import residual_parts
from selfhost.models.parts import Linear, Vector

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch
    from selfhost.models.layers import LayerKind
    from selfhost.models.parts import Part
    from selfhost.quant.schemes import Quantization


def _layer_counts(arch: ModelArch) -> Counter[LayerKind]:
    return Counter(arch.kinds[place] for place in arch.layers)


def _beside(arch: ModelArch) -> list[tuple[int, Part, Quantization | None]]:
    """What is not part of a layer: how many of each, and what it is stored in."""
    ends = list(arch.connections.head_parts(arch.hidden_size)) if arch.connections else []
    if arch.residual_block_layers:
        ends += residual_parts(("output",), arch.hidden_size)
    found: list[tuple[int, Part, Quantization | None]] = [(1, part, None) for part in ends]
    if tower := arch.tower:
        found += [(count, part, tower.format_of(part, arch.quantization)) for count, part in tower.parts(1)]
    if arch.audio:
        found += [(count, part, None) for count, part in arch.audio.parts()]
    return found


def parameter_count(arch: ModelArch) -> int:
    """Parameters of the model without its layers of multi-token prediction; tied embeddings count once.

    Check: Qwen2.5-0.5B -> 494_032_768.
    """
    embeddings = arch.vocab_size * arch.hidden_size * (1 if arch.tie_word_embeddings else 2)
    layers = sum(
        count * sum(_elements(part) for part in kind.parts(arch.hidden_size))
        for kind, count in _layer_counts(arch).items()
    )
    beside = sum(count * _elements(part) for count, part, _ in _beside(arch))
    return embeddings + arch.hidden_size + layers + beside


def active_parameter_count(arch: ModelArch) -> int | None:
    """Parameters that a token passes through, embedding and head included; None for a model without experts.

    Of the routed experts as many as a token is sent to; what sees images is left out.
    Check: DeepSeek-V3 -> 37_552_282_624.
    """
    experts = arch.experts
    if experts is None:
        return None
    total = arch.vocab_size * arch.hidden_size * (1 if arch.tie_word_embeddings else 2) + arch.hidden_size
    for kind, count in _layer_counts(arch).items():
        for part in kind.parts(arch.hidden_size):
            chosen = part.is_expert if isinstance(part, Linear) else False
            elements = _elements(part)
            total += count * (elements * experts.num_experts_per_tok // experts.num_experts if chosen else elements)
    ends = _beside(replace(arch, tower=None))
    return total + sum(count * _elements(part) for count, part, _ in ends)


def _elements(part: Part) -> int:
    if isinstance(part, Vector):
        return part.size if part.trained else 0
    return part.copies * sum(part.outputs) * part.inputs + (sum(part.outputs) if part.bias else 0)


def checkpoint_bytes(arch: ModelArch) -> int:
    """Bytes of the tensors on disk, layers of multi-token prediction included.

    Those that the engine can load are read from the config (`models.draft`). Of the others each holds a decoder layer
    as the last one, a projection of 2 * hidden to hidden, three norms, and copies of embedding and head.
    Checks: DeepSeek-V3 -> 688.57 GB; Qwen3.5-27B -> 55_562_872_800, 849_398_784 of it for the multi-token layer.
    """
    dtype = arch.dtype_bytes
    embeddings = arch.vocab_size * arch.hidden_size * dtype
    total = embeddings * (1 if arch.tie_word_embeddings else 2) + arch.hidden_size * dtype
    layers = _layer_counts(arch)
    if arch.draft:
        layers.update(arch.draft.layers)
        parts = arch.draft.beside(arch.hidden_size, arch.quantization)
        total += sum(count * _stored_bytes(part, form, dtype) for count, part, form in parts)
        total += len(arch.draft.layers) * (2 * embeddings if arch.draft.ends_stored else 0)
    elif extra := arch.num_nextn_predict_layers:
        layers[arch.kinds[arch.layers[-1]]] += extra
        total += extra * (2 * embeddings + 2 * arch.hidden_size**2 * dtype + 3 * arch.hidden_size * dtype)
    for kind, count in layers.items():
        stored = (
            _stored_bytes(part, kind.format_of(part, arch.quantization), dtype) for part in kind.parts(arch.hidden_size)
        )
        total += count * sum(stored)
    return total + sum(count * _stored_bytes(part, form, dtype) for count, part, form in _beside(arch))


def _stored_bytes(part: Part, quantization: Quantization | None, dtype_bytes: int) -> int:
    if isinstance(part, Vector):
        return part.size * (dtype_bytes if part.stored_itemsize is None else part.stored_itemsize)
    rows, columns = sum(part.outputs), part.inputs
    matrices = rows * columns * dtype_bytes
    if quantization is not None:
        stored = part.stored_outputs or part.outputs
        matrices = sum(quantization.stored_bytes(out, columns, dtype_bytes, module=part.pattern) for out in stored)
    return part.copies * matrices + (rows * dtype_bytes if part.bias else 0)
