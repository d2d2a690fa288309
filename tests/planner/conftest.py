"""Configurations of public models, and `plan(name, on, ...)`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.engines import known
from selfhost.hardware.spec import parse
from selfhost.hardware.types import Platform
from selfhost.models.arch import ModelArch
from selfhost.planner.choose import make_plan
from selfhost.planner.plan import ModelToPlan, PlanRequest

_QWEN_72B = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 152064,
}
_FP8_BLOCK = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]}
CONFIGS = {
    # huggingface.co/Qwen/Qwen2.5-72B-Instruct and its AWQ sibling, whose intermediate size is padded.
    "qwen2.5-72b": _QWEN_72B,
    "qwen2.5-72b-awq": {
        **_QWEN_72B,
        "intermediate_size": 29696,
        "torch_dtype": "float16",
        "quantization_config": {
            "bits": 4,
            "group_size": 128,
            "modules_to_not_convert": None,
            "quant_method": "awq",
            "version": "gemm",
            "zero_point": True,
        },
    },
    # huggingface.co/Qwen/Qwen2.5-7B-Instruct: 28 heads, so TP=8 is not legal.
    "qwen2.5-7b": {
        **_QWEN_72B,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
    # huggingface.co/Qwen/Qwen3-14B
    "qwen3-14b": {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "head_dim": 128,
        "hidden_size": 5120,
        "intermediate_size": 17408,
        "max_position_embeddings": 40960,
        "num_attention_heads": 40,
        "num_hidden_layers": 40,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": 151936,
    },
    # huggingface.co/meta-llama/Llama-3.1-8B-Instruct
    "llama-3.1-8b": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "max_position_embeddings": 131072,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": 128256,
    },
    # huggingface.co/deepseek-ai/DeepSeek-V3
    "deepseek-v3": {
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        "first_k_dense_replace": 3,
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "kv_lora_rank": 512,
        "max_position_embeddings": 163840,
        "moe_intermediate_size": 2048,
        "moe_layer_freq": 1,
        "n_group": 8,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "num_attention_heads": 128,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 61,
        "num_key_value_heads": 128,
        "num_nextn_predict_layers": 1,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "quantization_config": _FP8_BLOCK,
        "scoring_func": "sigmoid",
        "tie_word_embeddings": False,
        "topk_group": 4,
        "topk_method": "noaux_tc",
        "torch_dtype": "bfloat16",
        "v_head_dim": 128,
        "vocab_size": 129280,
    },
    # huggingface.co/zai-org/GLM-4.5-Air-FP8: FP8 with one scale per output channel.
    "glm-4.5-air-fp8": {
        "architectures": ["Glm4MoeForCausalLM"],
        "model_type": "glm4_moe",
        "attention_bias": True,
        "first_k_dense_replace": 1,
        "head_dim": 128,
        "hidden_size": 4096,
        "intermediate_size": 10944,
        "max_position_embeddings": 131072,
        "moe_intermediate_size": 1408,
        "n_routed_experts": 128,
        "n_shared_experts": 1,
        "num_attention_heads": 96,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 46,
        "num_key_value_heads": 8,
        "num_nextn_predict_layers": 1,
        "partial_rotary_factor": 0.5,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_qk_norm": False,
        "vocab_size": 151552,
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "format": "float-quantized",
            "config_groups": {
                "group_0": {
                    "targets": ["Linear"],
                    "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True},
                    "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True},
                }
            },
            "ignore": ["lm_head", "re:.*embed_tokens", "re:.*norm", "re:.*mlp.gate$"],
        },
    },
    # huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
    "smollm2-135m": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": 49152,
    },
}
CONFIGS["glm-4.5-air-bf16"] = {k: v for k, v in CONFIGS["glm-4.5-air-fp8"].items() if k != "quantization_config"}


def a_model(name: str) -> ModelToPlan:
    arch = ModelArch.from_config(CONFIGS[name])
    return ModelToPlan(
        name=name,
        variant="directory",
        arch=arch,
        model_path=f"/models/{name}",
        served_model_name=name,
        max_model_len=arch.max_position_embeddings,
    )


@pytest.fixture
def model():
    """`model(name)`: what the planner takes."""
    return a_model


@pytest.fixture
def plan():
    """`plan(name, on, **request)`; `here=True`: as if the hardware had been found on this machine."""

    def make(name: str, on: str, *, here: bool = False, remedies: bool = False, **request):
        hardware = parse(on)
        hardware = replace(hardware, assumed=False) if here else hardware
        names = {Platform.CPU: "vllm-cpu", Platform.ASCEND: "vllm-ascend"}
        engine = known.load(names.get(hardware.device.platform, "vllm")).for_planner
        return make_plan(a_model(name), hardware, PlanRequest(**request), engine=engine, with_remedies=remedies)

    return make
