"""What each architecture class does beyond the common decoder: one row for each class of `config.json`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.models.attention import Windows
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.quant.ignored import Renames


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """What an architecture class does beyond the common decoder; one row for each class."""

    qkv_bias: bool | None = None
    """None: the config's `bias_key` decides."""
    bias_key: str = "attention_bias"
    mlp_bias_key: str = "mlp_bias"
    """Keys that say whether attention and dense layers have biases."""
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
    shared_on_token_shards: bool = True
    """Whether shared experts are whole on every rank where experts take shares of the tokens."""
    dense_on_token_shards: bool = False
    """Whether dense layers too are whole on every rank where experts take shares of the tokens, in a single stage
    (models/deepseek_v32/nvidia/model.py)."""
    o_bias: bool = False
    """Whether `bias_key` is also that of the output projection."""
    windows: Windows = Windows.KEY
    drafts: bool = False
    """Whether the engine loads its `num_nextn_predict_layers` for speculative decoding."""
    drafts_in_stages: bool = True
    """Whether they run on the last of several pipeline stages."""
    draft_ends_stored: bool = True
    """Whether the checkpoint has a copy of embedding and head for each of them."""
    partial_rotary_factor: float = 1.0
    on_all_stages: frozenset[str] = frozenset()
    """Of `embed_tokens`, `norm` and `lm_head`, what every pipeline stage builds."""
    tied_by: str = "either"
    """Whose `tie_word_embeddings` the class heeds where a `text_config` is nested: `outer`, `inner` or `either`."""
    ties_in_stages: bool = True
    """Whether a head that is the embedding can be on another pipeline stage than it."""
    prefix: str = "model."
    """Where the decoder is in the engine's class."""
    renames: Renames = ()
    """What the engine makes of names in checkpoints (`hf_to_vllm_mapper`)."""
    described_as: Renames = ()
    """Parts of names in a description of msModelSlim, which keeps the checkpoint's, and what they are called here."""
    linear_attention: str | None = None
    """Layers that are gated delta nets: `fused` or `split`, as their projections are in the checkpoint."""
    output_gate: bool = False
    """Whether `attn_output_gate`, on unless it is false, makes queries twice as wide."""
    shared_expert_gate: bool = False
    """Whether there is one shared expert, with a gate, of `shared_expert_intermediate_size`."""
    router: str = "mlp.gate"
    shared_experts: str = "mlp.shared_experts"
    """Names of these modules."""
    shared_width: str | None = None
    """Key of the width of the one shared expert that there always is; also the experts' where they have none."""
    tower: str | None = None
    """Kind of the vision tower that `vision_config` describes: `moonvit`, `moonvit3`, whose keys the engine reads by
    their names in the Hub's file, or one of models/vision.py."""
    tower_apart: bool = True
    """Whether it heeds `--mm-encoder-tp-mode data` (`supports_encoder_tp_data`); else the tower is always cut."""
    hears: bool = False
    """Whether there is an audio tower, which `audio_config` describes."""
    within: str | None = None
    """Key of the config under which the model is described that the engine serves, where a checkpoint holds several."""
    needs_torchvision: bool = False
    """Whether its module imports torchvision, by way of transformers' processing of images; so does Qwen3.5's even for
    text alone."""
    mrope_positions: int = 4
    """Times the table of positions is longer where they have three coordinates (`mrope_section`)."""
    nextn_predict_layers: int = 0
    """Layers of multi-token prediction in the checkpoint when the config does not say."""
    nextn_prefix: str | None = None
    """Where these layers are in the checkpoint and in the engine, when they are numbered by themselves."""
    cpu_router: bool = True
    """Whether the CPU engine can choose experts as it does (fused_moe/router/cpu_router.py: without groups by softmax
    alone)."""
    gpu_only: bool = False
    """Whether its constructor asks for CUDA streams, so that it does not start on a CPU."""
    transformers_backend: bool = False
    """Not among the engine's own models: runs through its Transformers backend (models/transformers/)."""


_ENDS = frozenset({"embed_tokens", "norm", "lm_head"})
_NESTED: Renames = (("model.language_model.", "language_model.model."), ("model.visual.", "visual."))
"""Names of vision models as transformers has stored them since 4.52."""
_NESTED_PREFIX = "language_model.model."
_QWEN3_5 = Family(
    qkv_bias=False,
    qk_norm="head",
    output_gate=True,
    linear_attention="split",
    shared_expert_gate=True,
    partial_rotary_factor=0.25,
    on_all_stages=frozenset({"embed_tokens"}),
    renames=(("model.language_model.", "model."),),
    needs_torchvision=True,
    mrope_positions=1,
    drafts=True,
    draft_ends_stored=False,
    nextn_prefix="mtp.",
)
_QWEN3_5_VL = replace(_QWEN3_5, tower="qwen3", tied_by="inner", prefix=_NESTED_PREFIX, renames=_NESTED)
_QWEN3_VL = Family(
    qk_norm="head",
    tower="qwen3",
    tied_by="outer",
    prefix=_NESTED_PREFIX,
    renames=_NESTED,
    needs_torchvision=True,
    mrope_positions=1,
)
_QWEN2_5_OMNI = Family(
    qkv_bias=True,
    windows=Windows.LAYERS,
    tower="qwen2_5",
    tower_apart=False,
    hears=True,
    within="thinker_config",
    tied_by="inner",
    needs_torchvision=True,
    prefix=_NESTED_PREFIX,
    renames=(
        ("thinker.lm_head.", "language_model.lm_head."),
        ("thinker.model.", _NESTED_PREFIX),
        ("thinker.", ""),
    ),
)
_GLM4_MOE = Family(
    qk_norm="config",
    moe=True,
    router_dtype_bytes=4,
    expert_correction=True,
    shared_on_token_shards=False,
    partial_rotary_factor=0.5,
)

FAMILIES: dict[str, Family] = {
    "LlamaForCausalLM": Family(o_bias=True),
    "Qwen2ForCausalLM": Family(qkv_bias=True, windows=Windows.LAYERS),
    "Qwen2_5_VLForConditionalGeneration": Family(
        qkv_bias=True,
        windows=Windows.LAYERS,
        tower="qwen2_5",
        needs_torchvision=True,
        prefix=_NESTED_PREFIX,
        renames=(*_NESTED, ("model.", _NESTED_PREFIX)),
    ),
    "Qwen2_5OmniModel": _QWEN2_5_OMNI,
    "Qwen2_5OmniForConditionalGeneration": _QWEN2_5_OMNI,
    "Qwen3ForCausalLM": Family(qk_norm="head", windows=Windows.LAYERS),
    "Qwen3MoeForCausalLM": Family(
        qk_norm="head", windows=Windows.FLAG, moe=True, router_quantizable=True, on_all_stages=_ENDS
    ),
    "Qwen3VLForConditionalGeneration": _QWEN3_VL,
    "Qwen3VLMoeForConditionalGeneration": replace(_QWEN3_VL, moe=True, router_quantizable=True, on_all_stages=_ENDS),
    "Qwen3NextForCausalLM": replace(
        _QWEN3_5,
        moe=True,
        linear_attention="fused",
        on_all_stages=frozenset({"embed_tokens", "lm_head"}),
        renames=(),
        needs_torchvision=False,
        nextn_predict_layers=1,
        drafts_in_stages=False,
    ),
    "Qwen3_5ForCausalLM": _QWEN3_5,
    "Qwen3_5MoeForCausalLM": replace(_QWEN3_5, moe=True),
    "Qwen3_5ForConditionalGeneration": _QWEN3_5_VL,
    "Qwen3_5MoeForConditionalGeneration": replace(_QWEN3_5_VL, moe=True),
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
    "Glm4MoeForCausalLM": replace(_GLM4_MOE, drafts=True),
    "Glm4vMoeForConditionalGeneration": replace(
        _GLM4_MOE, tower="glm4v", prefix=_NESTED_PREFIX, renames=_NESTED, needs_torchvision=True
    ),
    "Ernie4_5ForCausalLM": Family(),
    "Ernie4_5_MoeForCausalLM": Family(
        bias_key="use_bias",
        mlp_bias_key="use_bias",
        moe=True,
        router_dtype_bytes=4,
        expert_correction=True,
        shared_on_token_shards=False,
        ties_in_stages=False,
    ),
    "InternLM3ForCausalLM": Family(bias_key="qkv_bias"),
    "HunYuanDenseV1ForCausalLM": Family(qk_norm="head", o_bias=True, transformers_backend=True),
    "HunYuanMoEV1ForCausalLM": Family(
        qk_norm="head",
        o_bias=True,
        moe=True,
        router_quantizable=True,
        router="mlp.gate.wg",
        shared_experts="mlp.shared_mlp",
        shared_width="intermediate_size",
        shared_on_token_shards=False,
        transformers_backend=True,
    ),
    "MiniMaxM2ForCausalLM": Family(
        qk_norm="full",
        moe=True,
        moe_only=True,
        cpu_router=False,
        router_dtype_bytes=4,
        expert_correction=True,
        described_as=(
            ("block_sparse_moe.", "mlp."),
            (".w1", ".gate_proj"),
            (".w2", ".down_proj"),
            (".w3", ".up_proj"),
        ),
    ),
}
"""Architectures whose tensors selfhost knows. Source of each row: the class in vLLM 0.32 model_executor/models/."""
