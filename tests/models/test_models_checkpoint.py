"""Parameters and bytes on disk of a hundred public checkpoints; the exceptions are listed with their reasons."""

from __future__ import annotations

import pytest

from selfhost.models.tensors import checkpoint_bytes, parameter_count
from tests.models.public_models import MODELS, arch

HEAD = 2  # bytes of an element of embeddings and heads


def _head(name: str) -> int:
    config = MODELS[name]["config"]
    return config["vocab_size"] * config["hidden_size"] * HEAD


# What a config does not tell: checkpoint minus our figure.
NOT_IN_THE_CONFIG = {
    # A copy of the tied head is stored.
    **{
        f"Qwen/Qwen2.5-{size}-Instruct-AWQ": _head(f"Qwen/Qwen2.5-{size}-Instruct-AWQ")
        for size in ("0.5B", "1.5B", "3B")
    },
    **{f"Qwen/Qwen3-{size}": _head(f"Qwen/Qwen3-{size}") for size in ("0.6B", "1.7B")},
    # The multi-token layer has no copies of embedding and head.
    "zai-org/GLM-4.6": -2 * _head("zai-org/GLM-4.6"),
    # Who quantized it left the multi-token layer out, and `num_nextn_predict_layers` in.
    "cognitivecomputations/DeepSeek-V3-AWQ": -10_118_161_920,
}
TOLERANCE = 0.0005
"""Router gates stored in float32 (MiniMax-M2), FP8 scales in 16 bits (Qwen3), an indexer in FP8 (DeepSeek-V3.2)."""


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name]["parameters"]])
def test_parameters_are_those_of_the_checkpoint(name):
    assert parameter_count(arch(name)) == MODELS[name]["parameters"]


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.get("checkpoint_bytes")])
def test_bytes_are_those_of_the_checkpoint(name):
    stored = MODELS[name]["checkpoint_bytes"]
    assert checkpoint_bytes(arch(name)) + NOT_IN_THE_CONFIG.get(name, 0) == pytest.approx(stored, rel=TOLERANCE)


def test_a_model_that_is_only_known_in_round_figures():
    # Published as 2.8 trillion parameters.
    assert parameter_count(arch("moonshotai/Kimi-K3")) == pytest.approx(2.8e12, rel=0.01)


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        # Tensor bytes of the published files, headers taken off.
        ("deepseek-ai/DeepSeek-V3", 688_574_839_360),
        ("moonshotai/Kimi-K2-Instruct", 1_029_173_249_888),
        ("Qwen/Qwen3-30B-A3B", 61_064_245_248),
        ("Qwen/Qwen2.5-72B-Instruct", 145_412_407_296),
        # The total of model.safetensors.index.json.
        ("deepseek-ai/DeepSeek-V4-Flash", 159_609_485_896),
        ("deepseek-ai/DeepSeek-V4-Pro", 864_704_792_696),
    ],
)
def test_published_files_to_the_byte(name, stored):
    assert checkpoint_bytes(arch(name)) == stored
