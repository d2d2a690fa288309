"""Configs of public models for tests: `config("Qwen/Qwen3-8B", num_hidden_layers=4)`, `arch(...)`."""

from __future__ import annotations

import json
from pathlib import Path

from selfhost.models.arch import ModelArch

DATA = Path(__file__).resolve().parents[1] / "data"
MODELS = {
    name: model
    for file in sorted((DATA / "configs").glob("*.json"))
    for name, model in json.loads(file.read_text()).items()
}

DEEPSEEK_V3 = "deepseek-ai/DeepSeek-V3"
QWEN_HALF_B = "Qwen/Qwen2.5-0.5B-Instruct"
QWEN_72B = "Qwen/Qwen2.5-72B-Instruct"
SMOLLM = "HuggingFaceTB/SmolLM2-135M-Instruct"
FP8_BLOCK = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}


def config(name: str, **changes: object) -> dict:
    """A public config with some keys changed; None removes one."""
    return {key: value for key, value in {**MODELS[name]["config"], **changes}.items() if value is not None}


def arch(name: str, **changes: object) -> ModelArch:
    """The architecture of such a config."""
    return ModelArch.from_config(config(name, **changes))
