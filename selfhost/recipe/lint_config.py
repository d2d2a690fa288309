"""Lint rule: keys of `[config]` that are a letter away from one that planning reads.

A config is what the Hub's `config.json` says and may hold any key; a misspelt one would not be missed, only ignored.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.recipe.table import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEYS = frozenset(
    [
        "architectures",
        "attention_bias",
        "attn_output_gate",
        "audio_config",
        "attn_res_block_size",
        "compress_ratios",
        "decoder_sparse_step",
        "dtype",
        "expert_dtype",
        "first_k_dense_replace",
        "full_attention_interval",
        "hc_mult",
        "head_dim",
        "hidden_size",
        "index_head_dim",
        "index_n_heads",
        "index_skip_topk_offset",
        "index_topk",
        "index_topk_freq",
        "index_topk_pattern",
        "indexer_rope_interleave",
        "intermediate_size",
        "kv_lora_rank",
        "latent_moe_use_norm",
        "layer_types",
        "linear_attn_config",
        "linear_conv_kernel_dim",
        "linear_key_head_dim",
        "linear_num_key_heads",
        "linear_num_value_heads",
        "linear_value_head_dim",
        "mamba_ssm_dtype",
        "max_position_embeddings",
        "max_window_layers",
        "mla_use_nope",
        "mla_use_output_gate",
        "mlp_bias",
        "mlp_only_layers",
        "model_type",
        "moe_intermediate_size",
        "moe_k",
        "moe_layer_end_index",
        "moe_layer_freq",
        "moe_layer_interval",
        "moe_layer_start_index",
        "moe_num_experts",
        "moe_num_shared_experts",
        "moe_topk",
        "mtp_num_hidden_layers",
        "n_routed_experts",
        "n_shared_experts",
        "num_attention_heads",
        "num_experts",
        "num_experts_per_tok",
        "num_experts_per_token",
        "num_hash_layers",
        "num_hidden_layers",
        "num_key_value_heads",
        "num_local_experts",
        "num_nextn_predict_layers",
        "num_shared_experts",
        "o_groups",
        "o_lora_rank",
        "partial_rotary_factor",
        "q_lora_rank",
        "qk_nope_head_dim",
        "qk_rope_head_dim",
        "qkv_bias",
        "quantization_config",
        "rope_parameters",
        "rope_scaling",
        "rotary_dim",
        "routed_expert_hidden_size",
        "shared_expert_intermediate_size",
        "sliding_window",
        "text_config",
        "thinker_config",
        "tie_word_embeddings",
        "topk_method",
        "torch_dtype",
        "use_bias",
        "use_qk_norm",
        "use_sliding_window",
        "v_head_dim",
        "vision_config",
        "vocab_size",
    ]
)
"""What `models.arch` reads."""
_NEAR = 0.9


def config_findings(where: str, config: Mapping[str, object]) -> Iterator[Finding]:
    """A finding for each key that is nearly one of `KEYS`, when that one is not there itself."""
    for key in config:
        nearest = difflib.get_close_matches(key, KEYS, 1, _NEAR)
        if key not in KEYS and nearest and nearest[0] not in config:
            message = Message("lint.config_key", {"key": shown(key), "nearest": nearest[0]})
            yield Finding(severity=Severity.ERROR, where=f"{where}.{shown(key)}", message=message)
