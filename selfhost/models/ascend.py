"""From an architecture and a layout to what one rank holds under vllm-ascend 0.23.0: what differs from vLLM 0.32.

vllm-ascend is a plugin of vLLM 0.23.0 that replaces layers (vllm_ascend/ops/, quantization/, attention/) and patches
models (patch/worker/). Its own classes, built and processed on the meta device, are the oracle of this file: see
tests/oracle/meta_weights_ascend.py. Derived from the source only, and not in that oracle: the padding of the NZ format
(quant/ascend.py), 4-bit experts after loading, and where tables of experts lie.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from selfhost.models.attention import GroupedAttention
from selfhost.models.ranks import Ranks
from selfhost.models.tensors import RankWeights, TensorGroup, groups
from selfhost.quant import ascend as types
from selfhost.quant.schemes import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.models.arch import ModelArch
    from selfhost.quant.schemes import Quantization

__all__ = ["arch_on_ascend", "rank_weights", "rounding_bytes"]

_BLOCK_BYTES = 512
_TAIL_BYTES = 32
_FLOAT32 = 4
_NORMS = ("norm", "layernorm")


@lru_cache(maxsize=64)
def arch_on_ascend(arch: ModelArch) -> ModelArch:
    """With integer weights of compressed-tensors as vllm-ascend keeps them: like those of msModelSlim.

    Remembered, so that it is one object for all that ask.
    Source: vllm-ascend 0.23.0 quantization/compressed_tensors_config.py `_detect_quant_type`.
    """
    quantization = arch.quantization
    if quantization is None or quantization.types or quantization.method != "compressed-tensors":
        return arch
    kind = {Format.INT8_CHANNEL: "W8A8_DYNAMIC", Format.INT_GROUP: "W4A16"}.get(quantization.format)
    return arch if kind is None else replace(arch, quantization=replace(quantization, types=(("*", kind),)))


def rank_weights(  # noqa: PLR0913  (as the common `rank_weights`)
    arch: ModelArch, *, tp: int = 1, pp: int = 1, dp: int = 1, ep: bool = False, pp_rank: int = 0
) -> RankWeights:
    """The tensors of a rank of one pipeline stage after loading.

    Shared experts are cut by tensor parallelism whatever the layout: sequence-parallel experts are switched off
    (vllm-ascend platform.py `check_and_update_config`). Two options of its own keep them whole instead
    (`arch.whole_shared_experts`; ops/linear_op.py `get_parallel_op`).
    Checks: Qwen3-0.6B -> 1_223_557_904 bytes; DeepSeek-V3 W8A8, TP4 DP4 EP -> 47_615_315_025.
    """
    whole = arch.whole_shared_experts
    ranks = Ranks(
        tp=tp, pp=pp, dp=dp, ep=ep, pp_rank=pp_rank, sequence_parallel_experts=False, whole_shared_experts=whole
    )
    held = (kept for group in groups(arch, ranks) for kept in _kept(arch, group))
    return RankWeights(groups=tuple(group for group in held if group.count and group.bytes_each))


def rounding_bytes(weights: RankWeights) -> int:
    """What the allocator of the NPU adds: each tensor with 32 bytes more, in whole blocks of 512.

    Source: Ascend/pytorch torch_npu/csrc/core/npu/NPUCachingAllocator.cpp `round_size`; segments are expandable, so
    that nothing more is lost. Check: a tensor of 512 bytes -> 512 more.
    """
    return sum(
        group.count * (-(group.bytes_each + _TAIL_BYTES) % _BLOCK_BYTES + _TAIL_BYTES) for group in weights.groups
    )


def _kept(arch: ModelArch, group: TensorGroup) -> Iterator[TensorGroup]:
    """What is there in the place of a group of the common tensors."""
    name = group.name
    if name == "rotary_emb" or name.endswith(".rotary_emb"):
        yield from _rotary(arch, group)
    elif name == "mlp.gate.weight" and arch.is_mla:
        # `GateLinear` of vLLM 0.23 models/deepseek_v2.py computes in float32, and keeps the router so here.
        yield replace(group, bytes_each=group.shape[0] * group.shape[1] * _FLOAT32)
    elif name == "mlp.gate.e_score_correction_bias" and not arch.is_mla:
        yield replace(group, bytes_each=group.shape[0] * arch.dtype_bytes)
    elif name == "self_attn.kv_b_proj.weight":
        yield from _up_projections(arch, group)
    elif name == "self_attn.attn.q_scale":
        yield group
        yield from (replace(group, name=f"self_attn.attn.{x}_range") for x in "qkv")
    else:
        yield group
        yield from _copies(arch, group)


def _up_projections(arch: ModelArch, group: TensorGroup) -> Iterator[TensorGroup]:
    """W_UV and W_UK, laid out anew beside the matrix they are made from, or in its place with sparse attention.

    Source: attention/mla_v1.py and sfa_v1.py `process_weights_after_loading`; neither takes a quantized matrix.
    """
    if arch.indexer is None:
        yield group
    latent = arch.latent
    assert latent is not None
    for name, width in (("W_UV", latent.v_head_dim), ("W_UK_T", latent.qk_nope_head_dim)):
        share = group.bytes_each * width // (latent.qk_nope_head_dim + latent.v_head_dim)
        yield replace(group, name=f"self_attn.{name}", bytes_each=share)


def _copies(arch: ModelArch, group: TensorGroup) -> Iterator[TensorGroup]:
    """Biases of norms, and second copies of projections that a fused kernel of sparse attention takes."""
    if not _is_static(arch.quantization):
        return
    name = group.name
    if name.endswith(_NORMS):
        # Outliers are moved out of the activations, which gives every norm a bias (ops/layernorm.py).
        yield replace(group, name=f"{name}.bias")
    module, _, tensor = name.rpartition(".")
    fused = module in ("self_attn.fused_qkv_a_proj", "self_attn.q_b_proj")
    if arch.indexer and fused and tensor in ("weight", "deq_scale", "quant_bias"):
        yield replace(group, name=f"{name}.fused")


def _is_static(quantization: Quantization | None) -> bool:
    return quantization is not None and types.has_static(quantization.types)


def _rotary(arch: ModelArch, group: TensorGroup) -> Iterator[TensorGroup]:
    """The table of cosines and sines, and two of full width for the kernels (ops/rotary_embedding.py).

    Kinds of embedding whose class vllm-ascend does not replace, or not with tables (YaRN without MLA), have only the
    first. The Transformers backend is not used: vLLM 0.23 has a class of its own for every architecture here.
    """
    rows, width = group.shape[0], group.shape[-1]
    if arch.family.transformers_backend:
        mixer = next(mixer for mixer in arch.mixers if isinstance(mixer, GroupedAttention))
        rows, width = arch.max_position_embeddings, mixer.rotary_dim
    table = rows * width * arch.dtype_bytes
    yield TensorGroup(name=group.name, count=1, shape=(rows, width), bytes_each=table)
    if arch.is_mla and "yarn" in arch.rope.rope_type:
        yield TensorGroup(name="rotary_emb.cos_cached", count=1, shape=(rows, width), bytes_each=table)
        yield TensorGroup(name="rotary_emb.sin_cached", count=1, shape=(rows, width), bytes_each=table)
        yield TensorGroup(name="rotary_emb.inv_freq", count=1, shape=(width // 2,), bytes_each=width // 2 * _FLOAT32)
    elif arch.rope.rope_type == "default":
        yield TensorGroup(name="rotary_emb.cos_and_sin", count=1, shape=(rows, 2, width), bytes_each=2 * table)
