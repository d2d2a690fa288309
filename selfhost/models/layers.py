"""Kinds of decoder layers: a mixer and a feed-forward part, and which of their matrices are not quantized."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from selfhost.models.parts import Linear, Vector
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from selfhost.models.families import Family
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
    formats: tuple[tuple[str, Quantization], ...] = ()
    """Linear parts in another format than most, by name."""

    def parts(self, hidden_size: int) -> list[Part]:
        """Everything a layer of this kind holds, uncut."""
        norms = [Vector(name=name, size=hidden_size) for name in _NORMS[: self.norms]]
        mixed = residual_parts(("self_attention", "mlp"), hidden_size) if self.attends_residuals else []
        return [*norms, *mixed, *self.mixer.parts(hidden_size), *self.feed.parts(hidden_size)]

    def format_of(self, part: Part, quantization: Quantization | None) -> Quantization | None:
        """What a part is stored in; None: the model's dtype, or its own."""
        if quantization is None or isinstance(part, Vector) or not part.quantizable or part.name in self.plain:
            return None
        if quantization.experts_only and not part.is_expert:
            return None
        most = (quantization.experts or quantization) if part.is_expert else quantization
        return dict(self.formats).get(part.name, most)

    def is_quantized(self, part: Linear, quantization: Quantization | None) -> bool:
        """Whether a linear part is stored in a quantized format."""
        return self.format_of(part, quantization) is not None


def residual_parts(names: Sequence[str], hidden_size: int) -> list[Part]:
    """What scores the blocks of layers whose results are mixed: a norm and a projection to one number, not quantized.

    Source: vLLM 0.32 models/kimi_k3/nvidia/model.py `KimiDecoderLayer`.
    """
    return [Vector(name=f"{name}_res_{part}", size=hidden_size) for name in names for part in ("norm", "proj")]


def kinds_of(
    mixers: Sequence[Mixer],
    feeds: Sequence[Feed],
    *,
    family: Family,
    quantization: Quantization | None,
    first: int = 0,
) -> tuple[tuple[LayerKind, ...], tuple[int, ...]]:
    """Distinct kinds, and for each layer its place among them; first: number of the first of these layers.

    Checkpoints of mixed precision leave modules out by the number of their layer: such layers are a kind of their own.
    """
    by_layer = []
    modules = {
        (mixer, feed): modules_of([*mixer.parts(1), *feed.parts(1)])
        for mixer, feed in dict.fromkeys(zip(mixers, feeds, strict=True))
    }
    numbered = quantization is not None and quantization.names_layers
    known: dict[tuple[Mixer, Feed, int], LayerKind] = {}
    for number, (mixer, feed) in enumerate(zip(mixers, feeds, strict=True), first):
        key = mixer, feed, number if numbered else 0
        if key not in known:
            names, prefix = modules[mixer, feed], f"{family.prefix}layers.{number}."
            plain, formats = plain_of(names, prefix, quantization), formats_of(names, prefix, quantization)
            known[key] = LayerKind(mixer=mixer, feed=feed, norms=family.norms_per_layer, plain=plain, formats=formats)
        by_layer.append(known[key])
    kinds = tuple(dict.fromkeys(by_layer))
    place = {kind: index for index, kind in enumerate(kinds)}
    return kinds, tuple(place[kind] for kind in by_layer)


class Modules(NamedTuple):
    """Names, without what is before a layer's own, of a linear part that could be quantized."""

    part: str
    module: str
    """In the engine."""
    shards: tuple[str, ...]
    """Of what is merged into it; empty when it is one matrix."""


def modules_of(parts: Iterable[Part]) -> list[Modules]:
    """Names of what could be quantized among the parts of a layer."""
    return [
        Modules(part.name, part.module, part.checkpoint_names if part.parts else ())
        for part in parts
        if isinstance(part, Linear) and part.quantizable
    ]


def plain_of(modules: list[Modules], prefix: str, quantization: Quantization | None) -> frozenset[str]:
    """Names of the linear parts of a layer that are not quantized; prefix: of the layer in the engine.

    GPTQ and AWQ leave the router and the small gates of linear attention out without saying so. Raises NoError where
    a checkpoint leaves out some of the matrices that the engine merges, and not the others.
    """
    if quantization is None:
        return frozenset()
    left_out = quantization.left_out
    left = {part for part, module, shards in modules if left_out(prefix + module, tuple(prefix + x for x in shards))}
    if quantization.method == "awq" or quantization.files_decide:
        left |= {"mlp.gate", "mlp.gate.wg"}
    if quantization.files_decide:
        left.add("linear_attn.in_proj_ba")
    left |= {part for part, found in _by_groups(modules, prefix, quantization) if found is None}
    return frozenset(left)


def formats_of(
    modules: list[Modules], prefix: str, quantization: Quantization | None
) -> tuple[tuple[str, Quantization], ...]:
    """Linear parts of a layer that are in another format than most; `plain_of` has those that are in none."""
    found = _by_groups(modules, prefix, quantization)
    return tuple((part, form) for part, form in found if form is not None and form is not quantization)


def _by_groups(
    modules: list[Modules], prefix: str, quantization: Quantization | None
) -> list[tuple[str, Quantization | None]]:
    """The format of each part where a checkpoint has groups of modules."""
    if quantization is None or not quantization.groups:
        return []
    names = [(part, prefix + module, tuple(prefix + shard for shard in shards)) for part, module, shards in modules]
    return [(part, quantization.of(module, shards)) for part, module, shards in names]
