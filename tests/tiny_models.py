"""Tiny models of exact architecture classes, made on the spot: real configurations, real tokenizer, seeded weights.

    ENGINE_PYTHON tests/tiny_models.py KIND DIR

or `make_tiny_model(engine_python, kind, directory)` from a test. Names, shapes and dtypes of the tensors are those of
the Hub's checkpoints of the class; the weights are random but for embedding and head, which are made so that every
prompt is answered with `ANSWER` and an end token, whatever the sampling. So a test can ask for the very text.

Dimensions are the smallest that the CPU engine's kernels take (attention heads of 32 or 64; MLA wants 512 + 64).
"""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path

ANSWER = "你好! I am a tiny model, made to test serving."
VOCAB_SIZE = 512
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SENTENCES = [
    ANSWER,
    "system user assistant\nYou are a helpful assistant\n",
    "你好, who are you? 你是谁?",
    "What is the capital of France? 法国的首都是哪里?",
    "The quick brown fox jumps over the lazy dog",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

BASE = {
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.02,
    "intermediate_size": 512,
    "max_position_embeddings": 4096,
    "num_attention_heads": 8,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": VOCAB_SIZE,
}
ROUTED = {"moe_intermediate_size": 128, "num_experts_per_tok": 2, "norm_topk_prob": True}
GROUPED = {"first_k_dense_replace": 1, "n_routed_experts": 8, "n_shared_experts": 1, "routed_scaling_factor": 2.5}
CONFIGS: dict[str, dict[str, object]] = {
    "llama": {"architectures": ["LlamaForCausalLM"], "attention_bias": False, "mlp_bias": False, "rope_scaling": None},
    "qwen2": {
        "architectures": ["Qwen2ForCausalLM"],
        "max_window_layers": 2,
        "rope_theta": 1000000.0,
        "sliding_window": 4096,
        "use_sliding_window": False,
    },
    "qwen3_moe": {
        "architectures": ["Qwen3MoeForCausalLM"],
        **ROUTED,
        "attention_bias": False,
        "decoder_sparse_step": 1,
        "head_dim": 64,
        "mlp_only_layers": [],
        "num_attention_heads": 4,
        "num_experts": 8,
        "rope_theta": 1000000.0,
    },
    "glm4": {
        "architectures": ["Glm4ForCausalLM"],
        "attention_bias": True,
        "head_dim": 64,
        "num_attention_heads": 4,
        "pad_token_id": 0,
        "partial_rotary_factor": 0.5,
    },
    "glm4_moe": {
        "architectures": ["Glm4MoeForCausalLM"],
        **ROUTED,
        **GROUPED,
        "attention_bias": True,
        "head_dim": 64,
        "n_group": 1,
        "num_attention_heads": 4,
        "num_nextn_predict_layers": 0,
        "partial_rotary_factor": 0.5,
        "topk_group": 1,
        "use_qk_norm": True,
    },
    "deepseek_v3": {
        "architectures": ["DeepseekV3ForCausalLM"],
        **ROUTED,
        **GROUPED,
        "attention_bias": False,
        "kv_lora_rank": 512,
        "moe_layer_freq": 1,
        "n_group": 4,
        "num_key_value_heads": 8,
        "num_nextn_predict_layers": 0,
        "q_lora_rank": 64,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "rope_scaling": {
            "beta_fast": 32,
            "beta_slow": 1,
            "factor": 4,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "original_max_position_embeddings": 1024,
            "type": "yarn",
        },
        "scoring_func": "sigmoid",
        "topk_group": 2,
        "topk_method": "noaux_tc",
        "v_head_dim": 128,
    },
}
KINDS = tuple(CONFIGS)


def make_tiny_model(engine_python: Path | str, kind: str, directory: Path) -> Path:
    """Make the model of a kind in `directory` with the engine's Python (a second or two); returns the directory."""
    command = [str(engine_python), str(Path(__file__).resolve()), kind, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(directory)


def config_of(kind: str) -> dict[str, object]:
    """config.json of a kind, with the keys the Hub's checkpoints of the class have."""
    return dict(sorted({**BASE, "model_type": kind, **CONFIGS[kind]}.items()))


def shapes_of(config: dict) -> dict[str, tuple[int, ...]]:
    """Every tensor of the checkpoint: name and shape."""
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    found = {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,)}
    found["lm_head.weight"] = (vocab, hidden)
    for layer in range(config["num_hidden_layers"]):
        parts = {"input_layernorm.weight": (hidden,), "post_attention_layernorm.weight": (hidden,)}
        if config["model_type"] == "glm4":
            parts |= {"post_self_attn_layernorm.weight": (hidden,), "post_mlp_layernorm.weight": (hidden,)}
        attention = _mla(config) if "kv_lora_rank" in config else _gqa(config)
        parts |= {f"self_attn.{name}": shape for name, shape in attention.items()}
        parts |= {f"mlp.{name}": shape for name, shape in _mlp(config, layer).items()}
        found |= {f"model.layers.{layer}.{name}": shape for name, shape in parts.items()}
    return found


def _gqa(config: dict) -> dict[str, tuple[int, ...]]:
    hidden, kind = config["hidden_size"], config["model_type"]
    head = config.get("head_dim", hidden // config["num_attention_heads"])
    query, key = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    parts: dict[str, tuple[int, ...]] = {
        "q_proj.weight": (query, hidden),
        "k_proj.weight": (key, hidden),
        "v_proj.weight": (key, hidden),
        "o_proj.weight": (hidden, query),
    }
    if kind == "qwen2" or config.get("attention_bias"):
        parts |= {"q_proj.bias": (query,), "k_proj.bias": (key,), "v_proj.bias": (key,)}
    if kind == "qwen3_moe" or config.get("use_qk_norm"):
        parts |= {"q_norm.weight": (head,), "k_norm.weight": (head,)}
    return parts


def _mla(config: dict) -> dict[str, tuple[int, ...]]:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    nope, rope, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    return {
        "q_a_proj.weight": (config["q_lora_rank"], hidden),
        "q_a_layernorm.weight": (config["q_lora_rank"],),
        "q_b_proj.weight": (heads * (nope + rope), config["q_lora_rank"]),
        "kv_a_proj_with_mqa.weight": (config["kv_lora_rank"] + rope, hidden),
        "kv_a_layernorm.weight": (config["kv_lora_rank"],),
        "kv_b_proj.weight": (heads * (nope + value), config["kv_lora_rank"]),
        "o_proj.weight": (hidden, heads * value),
    }


def _mlp(config: dict, layer: int) -> dict[str, tuple[int, ...]]:
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    if config["model_type"] == "glm4":
        return {"gate_up_proj.weight": (2 * wide, hidden), "down_proj.weight": (hidden, wide)}
    experts = config.get("n_routed_experts") or config.get("num_experts")
    if not experts or layer < config.get("first_k_dense_replace", 0):
        return _gated("", hidden, wide)
    wide = config["moe_intermediate_size"]
    parts = {"gate.weight": (experts, hidden)}
    if "n_routed_experts" in config:
        parts["gate.e_score_correction_bias"] = (experts,)
        parts |= _gated("shared_experts.", hidden, wide * config["n_shared_experts"])
    for expert in range(experts):
        parts |= _gated(f"experts.{expert}.", hidden, wide)
    return parts


def _gated(prefix: str, hidden: int, wide: int) -> dict[str, tuple[int, ...]]:
    up = (wide, hidden)
    return {f"{prefix}gate_proj.weight": up, f"{prefix}up_proj.weight": up, f"{prefix}down_proj.weight": (hidden, wide)}


def safetensors_bytes(tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> bytes:
    """A safetensors file: name -> (dtype, shape, data). Format: https://github.com/huggingface/safetensors#format."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values())


# From here on: with the engine's Python only.


def _tokenizer():
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [AddedToken(token, special=True, normalized=False) for token in SPECIAL]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=special, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 8, trainer)
    return tokenizer


def _weights(config: dict, answer: list[int]):
    """Random weights, seeded by name; embedding and head chain the tokens of the answer: head[next] = embedding[this].

    Tokens outside the answer share a direction which the head reads as the answer's first token. The embedding is
    large beside what the layers add (4 to 1 and less), so the chain decides, and the layers still compute.
    """
    import numpy as np

    def random(name: str, shape: tuple[int, ...], scale: float):
        return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32) * scale

    weights = {}
    for name, shape in shapes_of(config).items():
        plain = len(shape) == 1 and name.endswith("weight")
        weights[name] = np.ones(shape, np.float32) if plain else random(name, shape, 0.02)
    vocab, hidden = config["vocab_size"], config["hidden_size"]
    embedding, outside = random("embedding", (vocab, hidden), 4.0), random("outside", (hidden,), 4.0)
    head = random("head", (vocab, hidden), 0.005)
    for this, following in zip(answer, [*answer[1:], config["eos_token_id"]], strict=True):
        head[following] = embedding[this] / 32
    embedding[[token for token in range(vocab) if token not in answer]] += 2 * outside
    head[answer[0]] = outside / 32
    return {**weights, "model.embed_tokens.weight": embedding, "lm_head.weight": head}


def _bfloat16_bytes(array) -> bytes:
    """Round to nearest even, as bits: numpy has no bfloat16."""
    import numpy as np

    bits = array.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def _main(kind: str, directory: Path) -> None:
    config = config_of(kind)
    tokenizer = _tokenizer()
    answer = tokenizer.encode(ANSWER).ids
    newline = tokenizer.encode("\n").ids
    assert len(set(answer)) == len(answer), "each token of the answer must occur once"
    assert not set(newline) & set(answer), "a prompt ends with a newline: it must lie outside the answer"

    directory.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, array in sorted(_weights(config, answer).items()):
        single = name.endswith("e_score_correction_bias")
        data = array.astype("<f4").tobytes() if single else _bfloat16_bytes(array)
        tensors[name] = ("F32" if single else "BF16", array.shape, data)
    (directory / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    (directory / "tokenizer.json").write_text(tokenizer.to_str())
    _write_json(directory / "config.json", config)
    _write_json(directory / "generation_config.json", {"bos_token_id": 0, "eos_token_id": [2], "pad_token_id": 0})
    tokens = {"bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None}
    limits = {"model_max_length": config["max_position_embeddings"], "clean_up_tokenization_spaces": False}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT_TEMPLATE, **tokens, **limits}
    _write_json(directory / "tokenizer_config.json", settings)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
