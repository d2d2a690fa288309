"""What each architecture class does beyond the common decoder: one row for each class of `config.json`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """What an architecture class does beyond the common decoder; one row for each class."""

    qkv_bias: bool | None = None
    """None: the config's `attention_bias` decides."""
    qk_norm: str | None = None
    """`head`: a weight per head dimension for q and k; `full`: over all heads; `config`: `use_qk_norm` decides."""
    norms_per_layer: int = 2
    """Norms of the hidden size in a layer."""
    mla: bool = False
    compressed: bool = False
    """Compressed attention, hyper-connections, and experts that some layers look up by the token (DeepSeek-V4)."""
    delta: bool = False
    """Kimi delta attention beside gated latent attention, and experts in a space of their own (Kimi-K3)."""
    moe: bool = False
    moe_only: bool = False
    """No layer is dense, and `intermediate_size` is the experts'."""
    router_dtype_bytes: int | None = None
    """Of the router gate in the engine; None: the model's."""
    router_quantizable: bool = False
    """Whether the engine quantizes the router gate too, unless the checkpoint leaves it out."""
    expert_correction: bool = False
    """A correction per expert whatever the config says; else `topk_method` decides."""
    dense_on_token_shards: bool = False
    """Whether dense layers too are whole on every rank where experts take shares of the tokens, in a single stage
    (models/deepseek_v32/nvidia/model.py)."""
    o_bias: bool = False
    """Whether `attention_bias` is also that of the output projection."""
    drafts: bool = False
    """Whether the engine loads its `num_nextn_predict_layers` for speculative decoding."""
    draft_ends_stored: bool = True
    """Whether the checkpoint has a copy of embedding and head for each of them."""
    partial_rotary_factor: float = 1.0
    tower: str | None = None
    """Kind of the vision tower beside the text model: `moonvit`, or `moonvit3`, whose keys the engine reads by their
    names in the Hub's file."""
    gpu_only: bool = False
    """Whether its constructor asks for CUDA streams, so that it does not start on a CPU."""
    ends_on_all_stages: bool = False
    """Qwen3-MoE builds embedding, last norm and head on every pipeline stage (vLLM 0.32 models/qwen3_moe.py)."""
    transformers_backend: bool = False
    """Not among the engine's own models: runs through its Transformers backend (models/transformers/)."""


FAMILIES: dict[str, Family] = {
    "LlamaForCausalLM": Family(o_bias=True),
    "Qwen2ForCausalLM": Family(qkv_bias=True),
    "Qwen3ForCausalLM": Family(qk_norm="head"),
    "Qwen3MoeForCausalLM": Family(qk_norm="head", moe=True, router_quantizable=True, ends_on_all_stages=True),
    "DeepseekV2ForCausalLM": Family(mla=True, moe=True),
    "DeepseekV3ForCausalLM": Family(mla=True, moe=True, drafts=True),
    "DeepseekV32ForCausalLM": Family(mla=True, moe=True, drafts=True, dense_on_token_shards=True),
    "KimiK25ForConditionalGeneration": Family(mla=True, moe=True, tower="moonvit"),
    "KimiK3ForConditionalGeneration": Family(
        delta=True, moe=True, expert_correction=True, dense_on_token_shards=True, tower="moonvit3", gpu_only=True
    ),
    "DeepseekV4ForCausalLM": Family(compressed=True, moe=True, drafts=True, draft_ends_stored=False),
    "GlmMoeDsaForCausalLM": Family(
        mla=True, moe=True, drafts=True, draft_ends_stored=False, dense_on_token_shards=True
    ),
    "GlmForCausalLM": Family(partial_rotary_factor=0.5, transformers_backend=True),
    "Glm4ForCausalLM": Family(norms_per_layer=4, partial_rotary_factor=0.5),
    "Glm4MoeForCausalLM": Family(
        qk_norm="config",
        moe=True,
        router_dtype_bytes=4,
        expert_correction=True,
        drafts=True,
        partial_rotary_factor=0.5,
    ),
    "MiniMaxM2ForCausalLM": Family(
        qk_norm="full", moe=True, moe_only=True, router_dtype_bytes=4, expert_correction=True
    ),
}
"""Architectures whose tensors selfhost knows. Source of each row: the class in vLLM 0.32 model_executor/models/."""
