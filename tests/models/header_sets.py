"""Headers of checkpoints as the Hub has them, made from the parts of an architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.models.headers import Headers, Tensor
from selfhost.models.parts import Linear

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch


def tensors(arch: ModelArch, dtype: str = "BF16") -> dict[str, Tensor]:
    """Every tensor of an unquantized checkpoint, one file's worth."""
    shape = (arch.vocab_size, arch.hidden_size)
    found = {"model.embed_tokens.weight": Tensor(dtype, shape), "model.norm.weight": Tensor(dtype, shape[1:])}
    if not arch.tie_word_embeddings:
        found["lm_head.weight"] = Tensor(dtype, shape)
    for layer, place in enumerate(arch.layers):
        for part in arch.kinds[place].parts(arch.hidden_size):
            prefix = f"model.layers.{layer}."
            if not isinstance(part, Linear):
                if part.stored_itemsize != 0:
                    found[f"{prefix}{part.name}.weight"] = Tensor(
                        "F32" if part.stored_itemsize else dtype, (part.size,)
                    )
                continue
            outputs = part.outputs if len(part.outputs) == len(part.checkpoint_names) else (sum(part.outputs),)
            for name, rows in zip(part.checkpoint_names, outputs, strict=True):
                for copy in range(part.copies):
                    own = name.replace("experts.0.", f"experts.{copy}.")
                    found[f"{prefix}{own}.weight"] = Tensor(dtype, (rows, part.inputs))
                    if part.bias:
                        found[f"{prefix}{own}.bias"] = Tensor(dtype, (rows,))
    return found


def headers(found: dict[str, Tensor], *, files: int = 1, read: int = 1) -> Headers:
    """As if they were read."""
    return Headers(
        tensors=found,
        names=frozenset(found),
        data_bytes=sum(tensor.bytes for tensor in found.values()),
        files=files,
        read=read,
    )
