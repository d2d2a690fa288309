"""The dimensions of an architecture that speed and explanations need; no other module of theirs looks inside one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from selfhost.models.attention import GroupedAttention
from selfhost.models.compressed import CompressedAttention
from selfhost.models.feed import Experts
from selfhost.models.kimi_linear import DeltaAttention
from selfhost.models.latent import LatentAttention
from selfhost.models.parts import Linear
from selfhost.planner.held import held_by, weights_of

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch
    from selfhost.models.layers import LayerKind, Mixer
    from selfhost.models.tensors import RankWeights
    from selfhost.planner.terms import Setup

_NOT_IN_A_STEP = ("vision_tower", "mm_projector", "draft.embed_tokens")
_UP_PROJECTIONS = ("self_attn.W_UK_W_UV", "self_attn.W_UV")


class Work(NamedTuple):
    """Parameters that one token is multiplied with, all layers together, without embedding and head."""

    quantized: int
    """In the checkpoint's quantized format."""
    plain: int
    """In the model's own dtype."""

    @property
    def parameters(self) -> int:
        """Both."""
        return self.quantized + self.plain


class Attention(NamedTuple):
    """What a token costs in some layers beside the parameters."""

    layers: int
    width: int
    """heads * (length of a query + length of a value): multiplications with each earlier token, in each layer."""
    at_most: int | None
    """Earlier tokens that are looked at (sparse attention); None: all."""


class Read(NamedTuple):
    """Weights that a step reads on a rank."""

    dense_bytes: int
    expert_bytes: int
    """Of all routed experts there; a step reads those that some token is sent to."""


def _kinds(arch: ModelArch) -> Counter[LayerKind]:
    return Counter(arch.kinds[place] for place in arch.layers)


def work(arch: ModelArch) -> Work:
    """Parameters that are active for one token: of the routed experts only those it is sent to.

    Check: DeepSeek-V3 -> 35.7 billion of 671; its paper counts 37 with embedding and head.
    """
    quantized = plain = 0
    for kind, count in _kinds(arch).items():
        chosen = kind.feed.num_experts_per_tok if isinstance(kind.feed, Experts) else 1
        for part in kind.parts(arch.hidden_size):
            if not isinstance(part, Linear):
                continue
            size = count * (chosen if part.is_expert else 1) * sum(part.outputs) * part.inputs
            if kind.format_of(part, arch.quantization) is not None:
                quantized += size
            else:
                plain += size
    return Work(quantized, plain)


def attention(arch: ModelArch) -> tuple[Attention, ...] | None:
    """The dimensions of attention, layers of one kind together; None where some kind is not known here.

    Check: DeepSeek-V3 -> 128 * (192 + 128) = 40_960 in 61 layers; Qwen2.5-72B -> 64 * 256 = 16_384 in 80.
    """
    found: dict[Mixer, int] = {}
    for kind, count in _kinds(arch).items():
        found[kind.mixer] = found.get(kind.mixer, 0) + count
    chosen = arch.indexer.index_topk if arch.indexer else None
    parts = [_attention(mixer, layers, chosen) for mixer, layers in found.items()]
    return None if None in parts else tuple(one for part in parts for one in part or ())


def _attention(mixer: Mixer, layers: int, chosen: int | None) -> tuple[Attention, ...] | None:
    """`chosen`: tokens, or summaries of them, that an indexer picks, its own or that of an earlier layer."""
    if isinstance(mixer, LatentAttention):
        width = mixer.num_attention_heads * (mixer.qk_nope_head_dim + mixer.qk_rope_head_dim + mixer.v_head_dim)
        return (Attention(layers, width, chosen if mixer.is_sparse else None),)
    if isinstance(mixer, GroupedAttention):
        return (Attention(layers, mixer.num_attention_heads * 2 * mixer.head_dim, None),)
    if isinstance(mixer, CompressedAttention):
        width, window = mixer.num_attention_heads * 2 * mixer.head_dim, mixer.sliding_window
        if mixer.indexer:
            return (Attention(layers, width, window + (chosen or 0)),)
        near = Attention(layers, width, window)
        return (near, Attention(layers, width // mixer.compress_ratio, None)) if mixer.compress_ratio else (near,)
    # What a state costs does not grow with the context, and is little beside the parameters: a bound without it holds.
    return () if isinstance(mixer, DeltaAttention) else None


def experts(arch: ModelArch) -> tuple[int, int] | None:
    """(routed experts of a layer, of these those a token is sent to); None where there are none."""
    return (arch.experts.num_experts, arch.experts.num_experts_per_tok) if arch.experts else None


def loaded_weights(setup: Setup, pp_rank: int) -> RankWeights:
    """The tensors of a rank of a stage as they lie in the memory of the device."""
    return weights_of(setup.arch, setup.layout, pp_rank, held_by(setup.hardware.device, setup.arch))


def read_in_a_step(setup: Setup, pp_rank: int, *, with_head: bool) -> Read:
    """What a rank of a stage reads of its weights; `with_head`: the last stage.

    Not read are the embedding (but a few rows), unless it is the head too, tables of positions, a vision tower, and the
    up-projection of latent attention, which decoding has de-quantized once more.
    """
    dense = of_experts = 0
    groups = loaded_weights(setup, pp_rank).groups
    names = {group.name for group in groups}
    for group in groups:
        if group.name == "embed_tokens" and not (with_head and setup.arch.tie_word_embeddings):
            continue
        if group.name.startswith(_NOT_IN_A_STEP) or "rotary_emb" in group.name:
            continue
        if "kv_b_proj" in group.name and not names.isdisjoint(_UP_PROJECTIONS):
            continue
        if group.name.startswith("mlp.experts.w"):
            of_experts += group.total_bytes
        else:
            dense += group.total_bytes
    return Read(dense, of_experts)
