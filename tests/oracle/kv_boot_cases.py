"""Tiny models of every kind of cache, and options to start them with: the inputs of `kv_boots.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tiny_models import config_of

MIB = 1 << 20
# Dimensions are small but for those that the kernels fix.
HYBRID = {
    "attention_bias": False,
    "bos_token_id": 0,
    "decoder_sparse_step": 1,
    "eos_token_id": 2,
    "full_attention_interval": 4,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 256,
    "intermediate_size": 512,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_value_head_dim": 128,
    "max_position_embeddings": 4096,
    "mlp_only_layers": [],
    "moe_intermediate_size": 128,
    "norm_topk_prob": True,
    "num_attention_heads": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 8,
    "num_key_value_heads": 2,
    "partial_rotary_factor": 0.25,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "shared_expert_intermediate_size": 128,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 512,
}
QWEN3_NEXT = {"architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next", **HYBRID}
QWEN3_5 = {
    "architectures": ["Qwen3_5ForCausalLM"],
    "model_type": "qwen3_5_text",
    **HYBRID,
    "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 2,
    "mamba_ssm_dtype": "float32",
}
WINDOWS = {
    "layer_types": ["full_attention", *["sliding_attention"] * 3] * 2,
    "num_hidden_layers": 8,
    "sliding_window": 512,
}
DEEPSEEK_V4 = {
    "architectures": ["DeepseekV4ForCausalLM"],
    "bos_token_id": 0,
    "compress_ratios": [0, 0, 4, 128],
    "compress_rope_theta": 10000.0,
    "eos_token_id": 2,
    "head_dim": 512,
    "hc_eps": 1e-06,
    "hc_mult": 4,
    "hc_sinkhorn_iters": 20,
    "hidden_act": "silu",
    "hidden_size": 256,
    "index_head_dim": 128,
    "index_n_heads": 64,
    "index_topk": 512,
    "max_position_embeddings": 4096,
    "model_type": "deepseek_v4",
    "moe_intermediate_size": 128,
    "n_group": 1,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 64,
    "num_experts_per_tok": 2,
    "num_hash_layers": 1,
    "num_hidden_layers": 4,
    "num_key_value_heads": 1,
    "o_groups": 8,
    "o_lora_rank": 64,
    "q_lora_rank": 64,
    "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "routed_scaling_factor": 1.5,
    "scoring_func": "sqrtsoftplus",
    "sliding_window": 128,
    "swiglu_limit": 10.0,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "vocab_size": 512,
}


def cases() -> list[dict[str, Any]]:
    """One boot each."""
    qwen2, glm, latent = config_of("qwen2"), config_of("glm4_moe"), config_of("deepseek_v3")
    windows = config_of("llama") | WINDOWS
    seven = windows | {"layer_types": WINDOWS["layer_types"][:7], "num_hidden_layers": 7}
    qwen2_windows = qwen2 | {"use_sliding_window": True, "sliding_window": 512}
    sparse = latent | {
        "architectures": ["DeepseekV32ForCausalLM"],
        "index_head_dim": 128,
        "index_n_heads": 64,
        "index_topk": 2048,
        "model_type": "deepseek_v32",
    }
    two = {"tensor_parallel_size": 2}
    stages = {"pipeline_parallel_size": 2}
    auto = {"max_model_len": -1, "num_gpu_blocks_override": 5}
    wide = qwen2 | {"max_position_embeddings": 131072, "num_hidden_layers": 24, "num_key_value_heads": 8}
    mtp = {"speculative_config": {"method": "mtp", "num_speculative_tokens": 2}}
    return [
        _case("full", qwen2, 1024, max_model_len=1000),
        _case("full fp8", qwen2, 300, max_model_len=1000, kv_cache_dtype="fp8"),
        _case("full blocks of 32", qwen2, 300, max_model_len=1000, block_size=32),
        _case("full one head tp2", qwen2 | {"num_key_value_heads": 1}, 300, **two),
        _case("full uneven pp2", qwen2 | {"num_hidden_layers": 5}, 300, max_model_len=2000, **stages),
        _case("full auto", qwen2, 300, **auto),
        _case("full too long", wide, 300, max_model_len=100_000, num_gpu_blocks_override=300),
        _case("windows", windows, 300, max_model_len=4000, max_num_batched_tokens=512),
        _case("windows uneven pp2", seven, 300, max_num_batched_tokens=512, **stages),
        _case("windows kept whole", windows, 300, max_model_len=4000, disable_hybrid_kv_cache_manager=True),
        _case("only windows", qwen2_windows | {"max_window_layers": 0}, 300, max_num_batched_tokens=512),
        _case("some windows in Qwen2", qwen2_windows | {"max_window_layers": 1}, 300, max_num_batched_tokens=512),
        _case("latent", latent | {"num_hidden_layers": 3}, 1024, max_model_len=1000, block_size=64),
        _case("latent pp2", latent | {"num_hidden_layers": 3}, 300, max_model_len=1024, **stages),
        _case("sparse", sparse, 300, max_model_len=1024),
        _case("multi-token", glm | {"num_hidden_layers": 3, "num_nextn_predict_layers": 1}, 300, **mtp),
        _case("states", QWEN3_NEXT, 300, max_model_len=4000),
        _case("states without prefix caching", QWEN3_NEXT, 300, max_model_len=4000, enable_prefix_caching=False),
        _case("states tp2", QWEN3_NEXT | {"num_hidden_layers": 10}, 300, max_model_len=4000, **two),
        _case("states multi-token", QWEN3_NEXT | {"num_nextn_predict_layers": 1}, 300, max_model_len=4000, **mtp),
        _case("states in float32", QWEN3_NEXT, 300, max_model_len=4000, mamba_ssm_cache_dtype="float32"),
        _case("states of Qwen3.5", QWEN3_5, 300, max_model_len=4000),
        _case("compressed", DEEPSEEK_V4, 300, max_model_len=4000),
    ]


def _case(name: str, config: dict[str, Any], mib: int, **options: Any) -> dict[str, Any]:
    return {"name": name, "config": config, "options": {"kv_cache_memory_bytes": mib * MIB, **options}}
