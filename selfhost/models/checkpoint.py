"""What a model is on disk: parameters, and bytes of the checkpoint's tensors.

Not derivable from a config, and so not counted: a copy of a tied head (Qwen2.5 and Qwen3 up to 3B have one in some
checkpoints), embeddings that multi-token layers share (GLM-4.6), multi-token layers left out by who quantized a model.
Where files or a lock are there, their sizes are the answer.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from selfhost.models.parts import Vector

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch
    from selfhost.models.layers import LayerKind


def _layer_counts(arch: ModelArch) -> Counter[LayerKind]:
    return Counter(arch.kinds[place] for place in arch.layers)


def parameter_count(arch: ModelArch) -> int:
    """Parameters of the model without its layers of multi-token prediction; tied embeddings count once.

    Check: Qwen2.5-0.5B -> 494_032_768.
    """
    embeddings = arch.vocab_size * arch.hidden_size * (1 if arch.tie_word_embeddings else 2)
    layers = sum(count * _layer_elements(arch, kind) for kind, count in _layer_counts(arch).items())
    return embeddings + arch.hidden_size + layers


def _layer_elements(arch: ModelArch, kind: LayerKind) -> int:
    total = 0
    for part in kind.parts(arch.hidden_size):
        if isinstance(part, Vector):
            total += part.size if part.trained else 0
        else:
            total += part.copies * sum(part.outputs) * part.inputs + (sum(part.outputs) if part.bias else 0)
    return total


def checkpoint_bytes(arch: ModelArch) -> int:
    """Bytes of the tensors on disk, layers of multi-token prediction included.

    A multi-token layer holds a decoder layer with experts, its own copies of embedding and head, a projection of
    2 * hidden to hidden and three norms. Check: DeepSeek-V3 -> 688.57 GB.
    """
    dtype = arch.dtype_bytes
    embeddings = arch.vocab_size * arch.hidden_size * dtype
    total = embeddings * (1 if arch.tie_word_embeddings else 2) + arch.hidden_size * dtype
    layers = _layer_counts(arch)
    if extra := arch.num_nextn_predict_layers:
        layers[arch.kinds[arch.layers[-1]]] += extra
        total += extra * (2 * embeddings + 2 * arch.hidden_size**2 * dtype + 3 * arch.hidden_size * dtype)
    return total + sum(count * _stored_layer_bytes(arch, kind) for kind, count in layers.items())


def _stored_layer_bytes(arch: ModelArch, kind: LayerKind) -> int:
    total, dtype = 0, arch.dtype_bytes
    for part in kind.parts(arch.hidden_size):
        if isinstance(part, Vector):
            total += part.size * (dtype if part.stored_itemsize is None else part.stored_itemsize)
            continue
        rows, columns = sum(part.outputs), part.inputs
        if arch.quantization is not None and kind.is_quantized(part, arch.quantization):
            stored = arch.quantization.stored_bytes
            matrices = sum(stored(out, columns, dtype, module=part.module) for out in part.outputs)
        else:
            matrices = rows * columns * dtype
        total += part.copies * matrices + (rows * dtype if part.bias else 0)
    return total
