"""The caches of each kind of layer, from plain numbers: what the engine's layers give in their `get_kv_cache_spec`.

Sources, vLLM 0.32: model_executor/layers/attention/ (attention.py, mla_attention.py), model_executor/layers/mamba/
(abstract.py, mamba_utils.py), model_executor/models/deepseek_v2.py (indexer), and models/deepseek_v4/ (attention.py,
compressor.py) with v1/attention/backends/mla/sparse_swa.py.
Not covered: TurboQuant and UltraQuant caches, attention sinks, cross attention.
"""

from __future__ import annotations

from selfhost.errors import UsageError
from selfhost.models.cache import CacheKind, CacheTerms, LayerCache

ITEMSIZE = {"float32": 4, "float16": 2, "bfloat16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}
"""Bytes of an element, for dtypes that store each element by itself; `fp8` is `fp8_e4m3`."""
_NVFP4 = ("nvfp4", "nvfp4_4over6")
_PER_TOKEN_HEAD = {"int8_per_token_head": 1, "fp8_per_token_head": 1, "int4_per_token_head": 2}
"""Elements in a byte; each key and each value has a float32 scale behind it (triton_attn.py)."""
_PACKED_LATENT = {"fp8_ds_mla": 656, "nvfp4_ds_mla": 352}
"""Bytes of a latent vector of 512 + 64 with its scales, in DeepSeek's own formats (flashmla_sparse.py)."""
_SCALE_BYTES = 4
_INDEXER_BLOCK = 128
"""Elements of an indexer's key that share a scale."""
# DeepSeek-V4 (deepseek_v4/attention.py, compressor.py, sparse_swa.py): 448 bytes of FP8, 64 bfloat16 and 8 scales.
_PACKED_VECTOR = 584
_PACKED_PAGE, _PLAIN_PAGE = 576, 512
_INDEXED_RATIO = 4
_COMPRESSED_KERNEL_BLOCK = 256
_RECENT_BLOCK = 64
_WAITING_BLOCK = {4: 4, 128: 8}


def full_cache(terms: CacheTerms, *, kv_heads: int, head_dim: int, head_dim_v: int | None = None) -> LayerCache:
    """Keys and values of every token. With more ranks than KV heads each rank keeps one head.

    Raises UsageError for a KV dtype whose size is not known.
    Check: Qwen2.5-72B, TP4, bfloat16: 2 heads of 128, 16 tokens -> 16_384 bytes.
    """
    heads = max(1, kv_heads // terms.tensor_parallel_size)
    values = head_dim if head_dim_v is None else head_dim_v
    slots, content = _head_content(terms.kv_cache_dtype, head_dim, values)
    return LayerCache(
        kind=CacheKind.FULL,
        block_size=terms.block_size,
        heads=heads * slots,
        state_content_bytes=content,
        variant=f"{terms.kv_cache_dtype} {head_dim}+{values}",
    )


def sliding_cache(
    terms: CacheTerms, *, kv_heads: int, head_dim: int, window: int, head_dim_v: int | None = None
) -> LayerCache:
    """Keys and values of the last `window` tokens; pages as those of full attention."""
    full = full_cache(terms, kv_heads=kv_heads, head_dim=head_dim, head_dim_v=head_dim_v)
    return full._replace(kind=CacheKind.SLIDING, window_tokens=window)


def chunked_cache(terms: CacheTerms, *, kv_heads: int, head_dim: int, chunk: int) -> LayerCache:
    """Keys and values of the tokens of the current chunk."""
    full = full_cache(terms, kv_heads=kv_heads, head_dim=head_dim)
    return full._replace(kind=CacheKind.CHUNKED, window_tokens=chunk)


def _head_content(dtype: str, head_dim: int, head_dim_v: int) -> tuple[int, int]:
    """Slots for each KV head, and bytes of a slot."""
    if dtype in ITEMSIZE:
        return 1, (head_dim + head_dim_v) * ITEMSIZE[dtype]
    if dtype in _NVFP4 and head_dim == head_dim_v:
        # Keys and values lie apart; 16 elements of 4 bits share a scale of 8 (flashinfer.py).
        return 2, head_dim // 2 + head_dim // 16
    if dtype in _PER_TOKEN_HEAD:
        per_byte = _PER_TOKEN_HEAD[dtype]
        return 1, head_dim // per_byte + head_dim_v // per_byte + 2 * _SCALE_BYTES
    raise UsageError("kv.dtype_unknown", dtype=dtype, known=", ".join(("auto", *ITEMSIZE, *_NVFP4, *_PER_TOKEN_HEAD)))


def latent_cache(terms: CacheTerms, *, width: int, role: str = "latent") -> LayerCache:
    """One vector of `kv_lora_rank + qk_rope_head_dim` elements for every token, the same on every rank.

    Raises UsageError for a KV dtype whose size is not known.
    Check: DeepSeek-V3, bfloat16 -> 1152 bytes a token; `fp8_ds_mla` -> 656.
    """
    dtype = terms.kv_cache_dtype
    if dtype not in ITEMSIZE and dtype not in _PACKED_LATENT:
        raise UsageError("kv.dtype_unknown", dtype=dtype, known=", ".join(("auto", *ITEMSIZE, *_PACKED_LATENT)))
    return LayerCache(
        kind=CacheKind.LATENT,
        block_size=terms.block_size,
        heads=1,
        state_content_bytes=_PACKED_LATENT[dtype] if dtype in _PACKED_LATENT else width * ITEMSIZE[dtype],
        variant=f"{dtype} {width} {role}",
    )


def indexer_cache(terms: CacheTerms, *, index_head_dim: int) -> LayerCache:
    """Keys of the indexer of sparse attention: FP8 with a float32 scale for 128 elements, whatever the KV dtype is.

    Check: 128 -> 132 bytes a token.
    """
    content = index_head_dim + index_head_dim // _INDEXER_BLOCK * _SCALE_BYTES
    return LayerCache(
        kind=CacheKind.LATENT,
        block_size=terms.block_size,
        heads=1,
        state_content_bytes=content,
        variant=f"uint8 {content} indexer",
    )


def state_cache(terms: CacheTerms, *, state_bytes: int, variant: str, checkpoint_blocks: int = 0) -> LayerCache:
    """A state of fixed size for each request, and one more for each token that is guessed ahead."""
    return LayerCache(
        kind=CacheKind.STATE,
        block_size=terms.block_size,
        heads=1,
        state_content_bytes=state_bytes,
        speculative_blocks=terms.num_speculative_tokens,
        checkpoint_blocks=checkpoint_blocks,
        variant=variant,
    )


def gated_delta_cache(  # noqa: PLR0913  (dimensions of the layer, one by one)
    terms: CacheTerms,
    *,
    key_heads: int,
    value_heads: int,
    key_head_dim: int,
    value_head_dim: int,
    conv_kernel: int,
    state_itemsize: int | None = None,
) -> LayerCache:
    """State of a gated DeltaNet: the inputs its convolution still needs, and one matrix for each value head.

    `state_itemsize` is that of the config's own `mamba_ssm_dtype` (float32 in Qwen3.5); None: as the model's dtype
    (Qwen3-Next).
    Source: mamba_utils.py gated_delta_net_state_shape, _mamba_state_dtype.
    Check: Qwen3-Next-80B, TP2, bfloat16 -> 548_864 bytes (4096 * 3 * 2 + 16 * 128 * 128 * 2).
    """
    tp = terms.tensor_parallel_size
    width = (2 * key_heads * key_head_dim + value_heads * value_head_dim) // tp
    kept = conv_kernel - 1 + terms.num_speculative_tokens
    itemsize = ITEMSIZE[terms.state_dtype] if terms.state_dtype else state_itemsize or ITEMSIZE[terms.dtype]
    state = value_heads // tp * value_head_dim * key_head_dim * itemsize
    return state_cache(terms, state_bytes=width * kept * ITEMSIZE[terms.dtype] + state, variant=f"gdn {itemsize}")


def delta_attention_cache(
    terms: CacheTerms, *, heads: int, head_dim: int, conv_kernel: int, checkpoint_blocks: int = 0
) -> LayerCache:
    """State of Kimi delta attention: as a gated DeltaNet with as many key heads as value heads, in float32.

    Source: mamba_utils.py kda_state_shape, kda_state_dtype.
    Check: 32 heads of 128, kernel 4, TP1, bfloat16 -> 2_170_880 bytes (12_288 * 3 * 2 + 32 * 128 * 128 * 4).
    """
    tp = terms.tensor_parallel_size
    kept = conv_kernel - 1 + terms.num_speculative_tokens
    conv = 3 * heads * head_dim // tp * kept * ITEMSIZE[terms.dtype]
    state = heads // tp * head_dim * head_dim * ITEMSIZE[terms.state_dtype or "float32"]
    return state_cache(terms, state_bytes=conv + state, variant="kda", checkpoint_blocks=checkpoint_blocks)


def ring_cache(*, tokens: int, width_bytes: int) -> LayerCache:
    """One block for each request: keys of tokens that are still to be compressed."""
    return LayerCache(kind=CacheKind.RING, block_size=tokens, heads=1, state_content_bytes=width_bytes)


def compressed_caches(
    terms: CacheTerms, *, ratio: int, head_dim: int, window: int, index_head_dim: int
) -> tuple[LayerCache, ...]:
    """Everything a layer of DeepSeek-V4 keeps, in the engine's order; `ratio` is that of `compress_ratios`.

    A window of plain vectors; with a ratio above 1 also one vector for `ratio` tokens, and the float32 states of the
    tokens that are not compressed yet; with a ratio of 4 the same again for the keys of an indexer. In `fp8_ds_mla` a
    vector of 512 takes 584 bytes, and pages are multiples of 576.
    Raises UsageError for a KV dtype whose size is not known.
    Check: ratio 4, `fp8_ds_mla`, blocks of 256: pages of 8_640, 8_640, 37_440, 37_440 and 32_832 bytes.
    """
    dtype = terms.kv_cache_dtype
    if dtype != "fp8_ds_mla" and dtype not in ITEMSIZE:
        raise UsageError("kv.dtype_unknown", dtype=dtype, known=", ".join(("auto", *ITEMSIZE)))
    vector = _PACKED_VECTOR if dtype == "fp8_ds_mla" else head_dim * ITEMSIZE[dtype]
    recent = LayerCache(
        kind=CacheKind.SLIDING_LATENT,
        block_size=_RECENT_BLOCK,
        heads=1,
        state_content_bytes=vector,
        window_tokens=window,
        alignment_bytes=_page_unit(terms),
        variant=f"{dtype} window",
    )
    if ratio <= 1:
        return (recent,)
    main = recent, _compressed(terms, ratio, vector, "compressed"), _waiting(terms, ratio, head_dim)
    if ratio != _INDEXED_RATIO:
        return main
    keys = index_head_dim + index_head_dim // _INDEXER_BLOCK * _SCALE_BYTES
    return (_compressed(terms, ratio, keys, "indexer"), _waiting(terms, ratio, index_head_dim), *main)


def _page_unit(terms: CacheTerms) -> int:
    return _PACKED_PAGE if terms.kv_cache_dtype == "fp8_ds_mla" else _PLAIN_PAGE


def _compressed(terms: CacheTerms, ratio: int, content: int, role: str) -> LayerCache:
    return LayerCache(
        kind=CacheKind.LATENT,
        block_size=terms.block_size,
        heads=1,
        state_content_bytes=content,
        tokens_per_state=ratio,
        alignment_bytes=_page_unit(terms),
        stride_tokens=_COMPRESSED_KERNEL_BLOCK,
        variant=f"{terms.kv_cache_dtype} {content} {role}",
    )


def _waiting(terms: CacheTerms, ratio: int, width: int) -> LayerCache:
    """What is still to be compressed: with a ratio of 4 groups of tokens overlap, so twice as much is kept."""
    overlap = 2 if ratio == _INDEXED_RATIO else 1
    return LayerCache(
        kind=CacheKind.SLIDING_LATENT,
        block_size=_WAITING_BLOCK[ratio],
        heads=1,
        state_content_bytes=2 * overlap * width * ITEMSIZE["float32"],
        window_tokens=overlap * ratio,
        alignment_bytes=_page_unit(terms),
        variant="float32",
    )
