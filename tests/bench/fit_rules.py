"""What other tools publish as their rule, written anew from their sources, for the same rows.

* GPUStack, gpustack/policies/utils.py `estimate_model_vram` and candidate_selectors/vllm_resource_fit_selector.py at
  47277d79f4a5bae12a2d25e9ecbed2a2177a5f2d: 1.2 times the weights as stored and 2 GiB, against the memory of all devices
  times the utilization (0.9 when not given). The context is no input, and there is no figure per token.
* accelerate, src/accelerate/commands/estimate.py at 16cb6eb80dd9aa8b4df1a63ef57863e455d53b83: `estimate-memory` sizes
  the base model (`AutoModel`: no head) at 4, 2, 1 or half a byte per parameter, for one device. No KV cache, no
  verdict: "fits" is read as its total being no more than all devices hold.
* hf-mem, src/hf_mem/safetensors/kv_cache.py and run.py at e9946791d7798498a1775bfc826f02a0958cbd3d: bytes of the files,
  and 2 * layers * KV heads * head_dim * itemsize for each token of one request; `layer_types` and sliding windows are
  known, latent attention is not. FP8 weights make its cache FP8; AWQ and GPTQ it refuses unless a KV dtype is given.
  No verdict either: its total against what all devices hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost.units import GIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.models.arch import ModelArch

ITEMSIZE = {"float32": 4, "float16": 2, "bfloat16": 2}
FULL = ("attention", "full_attention", "global_attention")


class Answer(NamedTuple):
    """What a rule says of a row; None where it says nothing."""

    weight_bytes: float | None
    """Of all devices together."""
    bytes_per_token: float | None
    """Of all devices together."""
    fits: bool | None


_NOTHING = Answer(None, None, None)
"""Where the bytes on disk are not at hand."""


class Question(NamedTuple):
    """What the rules are given."""

    arch: ModelArch
    entry: Mapping[str, Any]
    """Config, parameters and bytes on disk of the checkpoint."""
    visible_bytes: float
    """Of one device."""
    devices: int
    utilization: float
    max_model_len: int
    kv_cache_dtype: str | None


def gpustack(question: Question) -> Answer:
    """GPUStack's. Check: 641.3 GiB of DeepSeek-V3 -> 771.5 GiB, 857 GiB before the utilization of 0.9."""
    stored = question.entry["checkpoint_bytes"]
    if stored is None:
        return _NOTHING
    need = int(stored * 1.2) + 2 * GIB
    claim = question.devices * int(question.visible_bytes * question.utilization)
    return Answer(weight_bytes=stored, bytes_per_token=None, fits=claim >= need)


def accelerate(question: Question) -> Answer:
    """accelerate's."""
    arch, entry = question.arch, question.entry
    head = 0 if arch.tie_word_embeddings else arch.vocab_size * arch.hidden_size
    total = (entry["parameters"] - head) * _bytes_per_parameter(entry["config"])
    return Answer(weight_bytes=total, bytes_per_token=None, fits=total <= question.devices * question.visible_bytes)


def _bytes_per_parameter(config: Mapping[str, Any]) -> float:
    """The row of its table that is nearest to how the checkpoint is stored."""
    quantized = config.get("quantization_config")
    if not quantized:
        return 2.0
    return 0.5 if quantized.get("bits") == 4 else 1.0


def hf_mem(question: Question) -> Answer:
    """hf-mem's. Check: DeepSeek-V3 -> 874_496 bytes per token (2 * 61 * 128 * 56), where the engine keeps 70_272."""
    config = {**question.entry["config"], **question.entry["config"].get("text_config", {})}
    stored = question.entry["checkpoint_bytes"]
    if stored is None:
        return _NOTHING
    itemsize = _cache_itemsize(config, question.kv_cache_dtype)
    if itemsize is None:
        return Answer(weight_bytes=stored, bytes_per_token=None, fits=None)
    layers, kinds = config["num_hidden_layers"], config.get("layer_types")
    full = sum(kind in FULL for kind in kinds) if kinds else layers
    heads = config.get("num_key_value_heads", config["num_attention_heads"])
    head_dim = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    window = config.get("sliding_window") or question.max_model_len
    length = question.max_model_len
    tokens = full * length + (layers - full) * min(window, length)
    cache = 2 * tokens * heads * head_dim * itemsize
    fits = stored + cache <= question.devices * question.visible_bytes
    return Answer(weight_bytes=stored, bytes_per_token=cache / length, fits=fits)


def _cache_itemsize(config: Mapping[str, Any], kv_cache_dtype: str | None) -> int | None:
    if kv_cache_dtype and kv_cache_dtype.startswith("fp8"):
        return 1
    method = (config.get("quantization_config") or {}).get("quant_method")
    if method in ("fp8", "modelopt"):
        return 1
    if method not in (None, "compressed-tensors"):
        return None
    return ITEMSIZE[config.get("torch_dtype") or config.get("dtype") or "bfloat16"]


RULES = {"GPUStack": gpustack, "accelerate": accelerate, "hf-mem": hf_mem}
