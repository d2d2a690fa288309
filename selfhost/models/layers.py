"""Kinds of decoder layers: a mixer and a feed-forward part, and which of their matrices are not quantized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from selfhost.models.parts import Linear, Vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.models.feed import Feed
    from selfhost.models.parts import Part, RotaryTable
    from selfhost.quant.schemes import Quantization

_NORMS = ("input_layernorm", "post_attention_layernorm", "post_self_attn_layernorm", "post_mlp_layernorm")


class Mixer(Protocol):
    """What mixes the tokens in a layer: attention of some kind. A frozen, hashable record."""

    @property
    def num_attention_heads(self) -> int:
        """Query heads, which tensor parallelism divides."""
        ...

    @property
    def num_key_value_heads(self) -> int:
        """KV heads; 1 when one latent vector serves all."""
        ...

    @property
    def rotary(self) -> tuple[RotaryTable, ...]:
        """Tables of cosines and sines it needs."""
        ...

    def parts(self, hidden_size: int) -> list[Part]:
        """Everything it holds, uncut."""
        ...

    def width_per_token(self, tp: int) -> int:
        """What the forward pass makes of one token on a rank before the output projection, in elements."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerKind:
    """Layers that hold the same tensors."""

    mixer: Mixer
    feed: Feed
    norms: int = 2
    """Norms of the hidden size."""
    attends_residuals: bool = False
    """Whether each half starts from a mix of what earlier blocks of layers made (`attn_res_block_size`)."""
    plain: frozenset[str] = frozenset()
    """Names of the linear parts that the checkpoint leaves in the model's dtype."""

    def parts(self, hidden_size: int) -> list[Part]:
        """Everything a layer of this kind holds, uncut."""
        norms = [Vector(name=name, size=hidden_size) for name in _NORMS[: self.norms]]
        mixed = residual_parts(("self_attention", "mlp"), hidden_size) if self.attends_residuals else []
        return [*norms, *mixed, *self.mixer.parts(hidden_size), *self.feed.parts(hidden_size)]

    def format_of(self, part: Part, quantization: Quantization | None) -> Quantization | None:
        """What a part is stored in; None: the model's dtype, or its own."""
        if quantization is None or isinstance(part, Vector) or not part.quantizable or part.name in self.plain:
            return None
        if part.is_expert:
            return quantization.experts or quantization
        return None if quantization.experts_only else quantization

    def is_quantized(self, part: Linear, quantization: Quantization | None) -> bool:
        """Whether a linear part is stored in a quantized format."""
        return self.format_of(part, quantization) is not None


def residual_parts(names: Sequence[str], hidden_size: int) -> list[Part]:
    """What scores the blocks of layers whose results are mixed: a norm and a projection to one number, not quantized.

    Source: vLLM 0.32 models/kimi_k3/nvidia/model.py `KimiDecoderLayer`.
    """
    return [Vector(name=f"{name}_res_{part}", size=hidden_size) for name in names for part in ("norm", "proj")]


def kinds_of(
    mixers: Sequence[Mixer], feeds: Sequence[Feed], *, norms: int, quantization: Quantization | None, first: int = 0
) -> tuple[tuple[LayerKind, ...], tuple[int, ...]]:
    """Distinct kinds, and for each layer its place among them; first: number of the first of these layers.

    Checkpoints of mixed precision leave modules out by the number of their layer: such layers are a kind of their own.
    """
    by_layer = []
    modules = {(m, f): _modules(m, f) for m, f in dict.fromkeys(zip(mixers, feeds, strict=True))}
    numbered = quantization is not None and quantization.names_layers
    known: dict[tuple[Mixer, Feed, int], LayerKind] = {}
    for number, (mixer, feed) in enumerate(zip(mixers, feeds, strict=True), first):
        key = mixer, feed, number if numbered else 0
        if key not in known:
            plain = _plain(number, modules[mixer, feed], quantization)
            known[key] = LayerKind(mixer=mixer, feed=feed, norms=norms, plain=plain)
        by_layer.append(known[key])
    kinds = tuple(dict.fromkeys(by_layer))
    place = {kind: index for index, kind in enumerate(kinds)}
    return kinds, tuple(place[kind] for kind in by_layer)


def _modules(mixer: Mixer, feed: Feed) -> dict[str, tuple[str, ...]]:
    """Quantizable matrices, by their names in the engine; the names are those of the checkpoint."""
    parts = (*mixer.parts(1), *feed.parts(1))
    return {part.name: part.checkpoint_names for part in parts if isinstance(part, Linear) and part.quantizable}


def _plain(number: int, modules: dict[str, tuple[str, ...]], quantization: Quantization | None) -> frozenset[str]:
    if quantization is None:
        return frozenset()
    prefix = f"model.layers.{number}."
    left = {name for name, own in modules.items() if not all(quantization.applies_to(prefix + x) for x in own)}
    # GPTQ and AWQ leave the router out without saying so; the engine sees it from the files (auto_gptq.py).
    return frozenset(left | ({"mlp.gate"} if quantization.method in ("gptq", "awq") else set()))
