"""Specs of layers as vLLM's own modules give them: `get_kv_cache_spec`, called on a stand-in for the layer.

Part of the oracle `kv_groups.py`; needs the engine's Python. Layers are plain numbers (`kv_cases.py`).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

STORED = ("fp8", "fp8_e5m2", "fp8_ds_mla", "nvfp4_ds_mla", "int8_per_token_head", "int4_per_token_head")


def specs_of(layer: dict[str, Any], case: dict[str, Any], config: Any) -> list[Any]:
    """The specs that the layer's own modules give, in the order in which they register."""
    from vllm.utils.torch_utils import STR_DTYPE_TO_TORCH_DTYPE

    if layer["kind"] == "raw":
        return [raw_spec(layer["raw"])]
    kv = config.cache_config.cache_dtype
    dtype = config.model_config.dtype if kv == "auto" else STR_DTYPE_TO_TORCH_DTYPE[kv]
    return SPECS[layer["kind"]](layer, case, config, kv, dtype)


def _grouped(layer, case, config, kv, dtype):
    from vllm.model_executor.layers.attention.attention import Attention
    from vllm.model_executor.layers.attention.chunked_local_attention import ChunkedLocalAttention
    from vllm.v1.attention.backend import AttentionType
    from vllm.v1.worker.utils import customize_attention_spec

    backend = grouped_backend(kv)
    layer_type = ChunkedLocalAttention if layer["kind"] == "chunked" else Attention
    module = SimpleNamespace(
        attn_type=AttentionType.DECODER,
        attn_backend=backend,
        kv_cache_dtype=kv,
        kv_cache_torch_dtype=dtype,
        sliding_window=layer.get("window"),
        attention_chunk_size=layer.get("chunk"),
        num_kv_heads=max(1, layer["kv_heads"] // case["tp"]),
        head_size=layer["head_dim"],
        head_size_v=layer["head_dim"],
    )
    return [customize_attention_spec(backend, layer_type.get_kv_cache_spec(module, config))]


def grouped_backend(kv):
    from vllm.v1.attention.backends.registry import AttentionBackendEnum

    return AttentionBackendEnum["TRITON_ATTN" if kv.endswith("per_token_head") else "FLASH_ATTN"].get_class()


def _latent(layer, case, config, kv, dtype):
    from vllm.model_executor.layers.attention.mla_attention import MLAAttention
    from vllm.model_executor.models.deepseek_v2 import DeepseekV32IndexerCache

    indexer = None
    specs = []
    if layer["kind"] == "indexed":
        import torch

        width = layer["index_head_dim"]
        indexer = SimpleNamespace(
            cache_config=config.cache_config, head_dim=width + width // 128 * 4, dtype=torch.uint8
        )
        specs.append(DeepseekV32IndexerCache.get_kv_cache_spec(indexer, config))
    module = SimpleNamespace(
        kv_cache_dtype=kv,
        head_size=layer["width"],
        indexer=indexer,
        sliding_window=None,
        non_causal_multi_token_decode=False,
    )
    return [*specs, MLAAttention.get_kv_cache_spec(module, config)]


def _state(layer, case, config, kv, dtype):
    from vllm.model_executor.layers.mamba.abstract import MambaBase
    from vllm.v1.attention.backends.registry import MambaAttentionBackendEnum

    shapes, dtypes = state_of(layer, case, config)
    module = SimpleNamespace(
        get_state_shape=lambda: shapes,
        get_state_dtype=lambda: dtypes,
        mamba_type=MambaAttentionBackendEnum.GDN_ATTN,
        is_kv_cache_tp_replicated=False,
    )
    return [MambaBase.get_kv_cache_spec(module, config)]


def state_of(layer, case, config):
    from vllm.model_executor.layers.mamba.mamba_utils import MambaStateDtypeCalculator, MambaStateShapeCalculator

    dtype, spec, tp = config.model_config.dtype, case.get("spec", 0), case["tp"]
    if layer["kind"] == "kda":
        shapes = MambaStateShapeCalculator.kda_state_shape(
            tp, layer["heads"], layer["head_dim"], conv_kernel_size=layer["conv_kernel"], num_spec=spec
        )
        return shapes, MambaStateDtypeCalculator.kda_state_dtype(dtype, "auto", case.get("state", "auto"))
    names = ("key_heads", "value_heads", "key_head_dim", "value_head_dim", "conv_kernel")
    shapes = MambaStateShapeCalculator.gated_delta_net_state_shape(tp, *(layer[name] for name in names), spec)
    state = case.get("state") or layer["state_dtype"] or "auto"
    return shapes, MambaStateDtypeCalculator.gated_delta_net_state_dtype(dtype, "auto", state)


def _compressed(layer, case, config, kv, dtype):
    """Order: attention.py DeepseekV4Attention.__init__ makes the indexer, the window, itself, its compressor."""
    import torch
    from vllm.models.deepseek_v4.attention import DeepseekV4Attention, DeepseekV4IndexerCache
    from vllm.models.deepseek_v4.compressor import CompressorStateCache
    from vllm.v1.attention.backends.mla.indexer import DeepseekV4IndexerBackend
    from vllm.v1.attention.backends.mla.sparse_swa import DeepseekV4SWACache
    from vllm.v1.attention.backends.registry import AttentionBackendEnum
    from vllm.v1.worker.utils import customize_attention_spec

    main = AttentionBackendEnum.FLASHMLA_SPARSE_DSV4.get_class()
    ratio, indexed = layer["ratio"], layer["ratio"] == 4
    common = SimpleNamespace(cache_config=config.cache_config, compress_ratio=ratio, head_dim=layer["head_dim"])

    def waiting(width):
        module = SimpleNamespace(
            block_size={4: 4, 128: 8}[ratio],
            state_dim=2 * (1 + indexed) * width,
            dtype=torch.float32,
            sliding_window=(1 + indexed) * ratio,
        )
        return CompressorStateCache.get_kv_cache_spec(module, config)

    window = SimpleNamespace(
        **vars(common),
        bounded_replay=False,
        block_size=64,
        dtype=dtype,
        window_size=layer["window"],
        packed_bytes_per_token=584,
        packed_page_alignment=576,
    )
    specs = [DeepseekV4SWACache.get_kv_cache_spec(window, config)]
    if ratio > 1:
        own = SimpleNamespace(**vars(common), kv_cache_dtype=kv, kv_cache_torch_dtype=dtype)
        spec = DeepseekV4Attention.get_kv_cache_spec(own, config)
        specs += [customize_attention_spec(main, spec), waiting(layer["head_dim"])]
    if indexed:
        width = layer["index_head_dim"]
        keys = SimpleNamespace(**vars(common) | {"head_dim": width + width // 128 * 4}, dtype=torch.uint8)
        spec = DeepseekV4IndexerCache.get_kv_cache_spec(keys, config)
        specs = [customize_attention_spec(DeepseekV4IndexerBackend, spec), waiting(width), *specs]
    return specs


SPECS = {
    "full": _grouped,
    "sliding": _grouped,
    "chunked": _grouped,
    "latent": _latent,
    "indexed": _latent,
    "gdn": _state,
    "kda": _state,
    "compressed": _compressed,
}


def raw_spec(raw: list[Any]) -> Any:
    import torch
    from vllm.v1 import kv_cache_interface as kv

    kind, block, heads, size, size_v, name, window, per_state, alignment, sharded, spare = raw
    dtype = getattr(torch, name)
    if kind == "state":
        return kv.MambaSpec(block_size=block, shapes=((size,),), dtypes=(dtype,), num_speculative_blocks=spare)
    common = {
        "block_size": block,
        "num_kv_heads": heads,
        "head_size": size,
        "dtype": dtype,
        "dcp_sharded": bool(sharded),
    }
    latent = {"cache_dtype_str": name, "tokens_per_state": per_state, "alignment": alignment or None}
    return {
        "full": lambda: kv.FullAttentionSpec(**common, head_size_v=size_v),
        "sliding": lambda: kv.SlidingWindowSpec(**common, head_size_v=size_v, sliding_window=window),
        "chunked": lambda: kv.ChunkedLocalAttentionSpec(**common, head_size_v=size_v, attention_chunk_size=window),
        "latent": lambda: kv.MLAAttentionSpec(**common, **latent),
        "sliding_latent": lambda: kv.SlidingWindowMLASpec(**common, **latent, sliding_window=window),
        "ring": lambda: kv.CircularBufferSpec(**common, head_size_v=size_v),
    }[kind]()
