"""The `quantization_config` of each scheme in the form the engine reads. Standard library only.

Sources: compressed-tensors 0.19 quantization/quant_scheme.py (presets FP8_DYNAMIC, FP8_BLOCK, W8A16), transformers 5
utils/quantization_config.py `BitsAndBytesConfig`.
"""

from __future__ import annotations

from typing import Any

from selfhost_quantize_names import pattern

BLOCK = 128
BNB_BLOCK = 64
_SECTIONS = ("quantization_config", "compression_config")
_PARTS = ("text_config", "language_config", "llm_config", "thinker_config")


def model_types(config: dict[str, Any]) -> list[str]:
    """The `model_type` of a config and of the parts of it."""
    parts = (config, *(config[part] for part in _PARTS if isinstance(config.get(part), dict)))
    return [str(part["model_type"]) for part in parts if part.get("model_type")]


def section(config: dict[str, Any]) -> dict[str, Any]:
    """What a config says of quantization; empty for a plain model."""
    for part in (config, *(config[part] for part in _PARTS if isinstance(config.get(part), dict))):
        for key in _SECTIONS:
            if isinstance(part.get(key), dict) and part[key]:
                return part[key]
    return {}


def with_section(config: dict[str, Any], new: dict[str, Any] | None) -> dict[str, Any]:
    """A config with another section, or none; the source's goes, wherever it is."""
    result = {key: value for key, value in config.items() if key not in _SECTIONS}
    for part in _PARTS:
        if isinstance(result.get(part), dict):
            result[part] = {key: value for key, value in result[part].items() if key not in _SECTIONS}
    return result if new is None else {**result, "quantization_config": new}


def _args(kind: str, strategy: str, **more: Any) -> dict[str, Any]:
    common = {"num_bits": 8, "type": kind, "symmetric": True, "strategy": strategy, "dynamic": False}
    return {**common, "group_size": None, "block_structure": None, **more}


def _compressed(layout: str, ignore: tuple[str, ...], weights: dict[str, Any], inputs: Any) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs, "output_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "quantization_status": "compressed",
        "config_groups": {"group_0": {**group, "format": layout}},
        "ignore": [f"re:{pattern(entry)}" for entry in ignore],
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
    }


def _bitsandbytes(ignore: tuple[str, ...], dtype: str, *, four: bool) -> dict[str, Any]:
    return {
        "quant_method": "bitsandbytes",
        "load_in_4bit": four,
        "load_in_8bit": not four,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": dtype,
        "bnb_4bit_quant_storage": "uint8",
        "llm_int8_threshold": 6.0,
        "llm_int8_has_fp16_weight": False,
        "llm_int8_enable_fp32_cpu_offload": False,
        "llm_int8_skip_modules": list(ignore),
    }


def new_section(scheme: str, ignore: tuple[str, ...], group_size: int | None, dtype: str) -> dict[str, Any] | None:
    """The section of a scheme; None for `bf16`. dtype: the model's, `bfloat16` or `float16`."""
    if scheme == "fp8":
        inputs = _args("float", "token", dynamic=True)
        return _compressed("float-quantized", ignore, _args("float", "channel"), inputs)
    if scheme == "fp8-block":
        weights = _args("float", "block", block_structure=[BLOCK, BLOCK])
        inputs = _args("float", "group", dynamic=True, group_size=BLOCK)
        return _compressed("float-quantized", ignore, weights, inputs)
    if scheme == "w8a16":
        weights = _args("int", "group", group_size=group_size) if group_size else _args("int", "channel")
        return _compressed("pack-quantized", ignore, weights, None)
    if scheme in ("int8", "nf4"):
        return _bitsandbytes(ignore, dtype, four=scheme == "nf4")
    return None
