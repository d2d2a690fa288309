"""Headers of weight files against the config: what contradicts is named, what agrees is not."""

from __future__ import annotations

import json

import pytest

from selfhost.models.headers import Tensor, config_findings, tensors_of
from selfhost.models.safetensors import HeaderError
from tests.models.header_sets import headers, tensors
from tests.models.public_models import FP8_BLOCK, QWEN_HALF_B, arch

DENSE = arch("Qwen/Qwen2.5-7B-Instruct", num_hidden_layers=4)
EXPERTS = arch("Qwen/Qwen3-30B-A3B", num_hidden_layers=3)
LATENT = arch("deepseek-ai/DeepSeek-V3", num_hidden_layers=4, quantization_config=None, num_nextn_predict_layers=0)


def sentences(model, found, **files) -> list[str]:
    return [
        f"{finding.message.what}: {finding.message.why}" for finding in config_findings(model, headers(found, **files))
    ]


@pytest.mark.parametrize("model", [DENSE, EXPERTS, LATENT, arch(QWEN_HALF_B)], ids=lambda model: model.model_type)
def test_files_of_the_config_contradict_nothing(model):
    assert sentences(model, tensors(model)) == []


def test_a_copy_of_a_tied_head_and_layers_of_multi_token_prediction_are_no_contradiction():
    tied = arch(QWEN_HALF_B)
    copied = {**tensors(tied), "lm_head.weight": Tensor("BF16", (151936, 896))}
    assert sentences(tied, copied) == []
    more = arch("deepseek-ai/DeepSeek-V3", num_hidden_layers=4, quantization_config=None)
    extra = {**tensors(LATENT), "model.layers.4.eh_proj.weight": Tensor("BF16", (7168, 14336))}
    assert sentences(more, extra) == []
    assert sentences(LATENT, extra) == ["the config has 4 layers, the files hold 5: the engine would load the first 4"]


def changed(name: str, *shape: int) -> dict[str, Tensor]:
    return {**tensors(DENSE), name: Tensor("BF16", shape)}


def as_fp8(found) -> dict[str, Tensor]:
    return {name: tensor._replace(dtype="F8_E4M3") if "proj" in name else tensor for name, tensor in found.items()}


PACKED = Tensor("I32", (448, 18944))
CONTRADICTIONS = {
    "79 of 80": (
        arch("Qwen/Qwen2.5-7B-Instruct", num_hidden_layers=80),
        tensors(arch("Qwen/Qwen2.5-7B-Instruct", num_hidden_layers=79)),
        "the config has 80 layers, the files hold 79 of them: missing: 79",
    ),
    "4 of 28": (
        arch("Qwen/Qwen2.5-7B-Instruct", num_hidden_layers=28),
        tensors(DENSE),
        "the config has 28 layers, the files hold 4 of them: missing: 4, 5, 6, 7, 8 and 19 more",
    ),
    "experts": (
        arch("Qwen/Qwen3-30B-A3B", num_hidden_layers=3, num_experts=64),
        tensors(EXPERTS),
        "the config has 64 experts in a layer, the files hold 128: ",
    ),
    "vocabulary": (
        DENSE,
        changed("model.embed_tokens.weight", 151936, 3584),
        "`model.embed_tokens.weight` is [151936, 3584] in the files, the config leads to [152064, 3584]: ",
    ),
    "heads": (
        DENSE,
        changed("model.layers.1.self_attn.k_proj.weight", 1024, 3584),
        "`model.layers.1.self_attn.k_proj.weight` is [1024, 3584] in the files, the config leads to [512, 3584]: ",
    ),
    "no head": (
        DENSE,
        {name: tensor for name, tensor in tensors(DENSE).items() if "lm_head" not in name},
        "the files hold no `lm_head`, and the config does not tie it to the embedding: ",
    ),
    "gptq": (
        DENSE,
        {**tensors(DENSE), "model.layers.0.mlp.up_proj.qweight": PACKED},
        "`quantization_config`: 1 tensors, among them `model.layers.0.mlp.up_proj.qweight`",
    ),
    "fp8": (
        DENSE,
        as_fp8(tensors(DENSE)),
        "`quantization_config`: 40 tensors, among them `model.layers.0.mlp.down_proj.weight`",
    ),
    "plain": (
        arch("Qwen/Qwen2.5-7B-Instruct", num_hidden_layers=4, quantization_config=FP8_BLOCK),
        tensors(DENSE),
        "the config is of weights quantized with `fp8`, the files hold none: ",
    ),
    "float32": (
        DENSE,
        tensors(DENSE, "F32"),
        "the files hold float32, the config says bfloat16: the engine converts on loading: `model.embed_tokens.weight`",
    ),
    "more": (
        DENSE,
        {**tensors(DENSE), "model.layers.0.self_attn.sinks": Tensor("BF16", (1 << 28,))},
        "the files hold 4.3 GiB of tensors, the config leads to 3.8 GiB: ",
    ),
}


@pytest.mark.parametrize(("model", "found", "said"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictions_are_named(model, found, said):
    assert [sentence for sentence in sentences(model, found) if said in sentence]


def test_many_other_shapes_are_counted():
    found = {
        name: tensor._replace(shape=(*tensor.shape[:-1], 1024)) if "q_proj.weight" in name else tensor
        for name, tensor in tensors(arch("Qwen/Qwen2.5-7B-Instruct", num_hidden_layers=8)).items()
    }
    model = arch("Qwen/Qwen2.5-7B-Instruct", num_hidden_layers=8)
    assert sentences(model, found)[3].startswith("5 more tensors have other shapes than the config leads to")


def test_what_was_not_read_is_not_missed():
    some = {name: tensor for name, tensor in tensors(DENSE).items() if "lm_head" not in name}
    assert sentences(DENSE, some, files=2) == []
    quantized = arch("Qwen/Qwen2.5-7B-Instruct", num_hidden_layers=4, quantization_config=FP8_BLOCK)
    assert sentences(quantized, tensors(DENSE), files=2) == []


def raw(header: object) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


def test_tensors_of_a_header():
    entry = {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}
    assert tensors_of(raw({"__metadata__": {}, "a": entry}) + b"rest") == {"a": Tensor("BF16", (2, 3))}
    assert tensors_of(raw({"a": entry}))["a"].bytes == 12


NO_HEADERS = [
    b"",
    b"\x05",
    raw([1]),
    raw({"a": 3}),
    raw({"a": {"dtype": "F32", "shape": [-1]}}),
    raw({"a": {"shape": [1]}}),
    raw(""),
    (9).to_bytes(8, "little") + b"[[[[[[[[[",
]


@pytest.mark.parametrize("data", NO_HEADERS)
def test_what_is_no_header(data):
    with pytest.raises(HeaderError):
        tensors_of(data)
