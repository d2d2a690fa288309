"""Reading config.json: what is understood, and what is said about what is not."""

from __future__ import annotations

import pytest

from selfhost.errors import NoError, UsageError
from selfhost.models.arch import ModelArch

QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


def test_a_dense_config_is_read():
    arch = ModelArch.from_config(QWEN)
    assert (arch.architecture, arch.head_dim, arch.qkv_bias, arch.is_moe, arch.is_mla) == (
        "Qwen2ForCausalLM",
        64,
        True,
        False,
        False,
    )
    assert arch.dtype_bytes == 2


def test_the_new_spelling_of_dtype_and_a_nested_text_config_are_read():
    text = {key: value for key, value in QWEN.items() if key != "torch_dtype"}
    arch = ModelArch.from_config({"architectures": ["Qwen2ForCausalLM"], "text_config": {**text, "dtype": "float16"}})
    assert (arch.torch_dtype, arch.hidden_size) == ("float16", 896)


def test_layers_with_experts_follow_the_config():
    moe = {"architectures": ["Qwen3MoeForCausalLM"], "num_experts": 8, "num_experts_per_tok": 2}
    arch = ModelArch.from_config({**QWEN, **moe, "moe_intermediate_size": 128, "decoder_sparse_step": 2})
    assert arch.moe_layers == tuple(range(1, 24, 2))


def test_everything_that_is_wrong_is_said_at_once():
    broken = {**QWEN, "hidden_size": -896, "num_key_value_heads": 3, "torch_dtype": "int7"}
    del broken["vocab_size"]
    with pytest.raises(UsageError) as raised:
        ModelArch.from_config(broken)
    assert raised.value.message.id == "arch.bad_config"
    assert raised.value.message.why.splitlines() == [
        "`hidden_size` is -896; expected a whole number from 1",
        "`hidden_size` is 1; expected a multiple of the 14 heads",
        "`num_key_value_heads` is 3; expected a divisor of the 14 heads",
        "`vocab_size` is missing",
        "`torch_dtype` is 'int7'; expected bfloat16 or float16 or float32",
    ]


@pytest.mark.parametrize("value", [0, True, "896", 1.5, [896], 1 << 60])
def test_absurd_sizes_name_their_key(value):
    with pytest.raises(UsageError) as raised:
        ModelArch.from_config({**QWEN, "intermediate_size": value})
    assert "`intermediate_size` is" in raised.value.message.why


@pytest.mark.parametrize("names", [None, [], "Qwen2ForCausalLM", [7]])
def test_a_config_without_architectures_is_a_usage_error(names):
    with pytest.raises(UsageError) as raised:
        ModelArch.from_config({**QWEN, "architectures": names})
    assert raised.value.message.id == "arch.no_architecture"


def test_an_unknown_architecture_is_answered_with_no_and_the_nearest():
    with pytest.raises(NoError) as raised:
        ModelArch.from_config({**QWEN, "architectures": ["Qwen9ForCausalLM"]})
    assert raised.value.code == 3
    assert "Qwen3ForCausalLM" in raised.value.message.why


def test_an_unknown_quantization_method_names_the_nearest():
    with pytest.raises(NoError) as raised:
        ModelArch.from_config({**QWEN, "quantization_config": {"quant_method": "gptqq", "bits": 4}})
    assert raised.value.message.what == "quantization method `gptqq` is not known"
    assert raised.value.message.why == "nearest known: gptq"


def test_a_quantization_that_lacks_a_key_names_it():
    with pytest.raises(UsageError) as raised:
        ModelArch.from_config({**QWEN, "quantization_config": {"quant_method": "awq", "bits": 4}})
    assert raised.value.message.why == "`awq` lacks `group_size`"
