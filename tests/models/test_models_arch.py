"""Reading config.json: what is understood, and what is said about what is not."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfhost.errors import NoError, UsageError
from selfhost.models.arch import ModelArch
from selfhost.models.attention import GroupedAttention
from selfhost.models.tensors import rank_weights
from tests.models.public_models import MODELS, arch

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
    model = ModelArch.from_config(QWEN)
    (attention,) = model.mixers
    assert isinstance(attention, GroupedAttention)
    assert (attention.head_dim, attention.qkv_bias) == (64, True)
    assert (model.architecture, model.is_moe, model.is_mla) == ("Qwen2ForCausalLM", False, False)
    assert model.dtype_bytes == 2


def test_the_new_spelling_of_dtype_and_a_nested_text_config_are_read():
    text = {key: value for key, value in QWEN.items() if key != "torch_dtype"}
    model = ModelArch.from_config({"architectures": ["Qwen2ForCausalLM"], "text_config": {**text, "dtype": "float16"}})
    assert (model.torch_dtype, model.hidden_size) == ("float16", 896)


def test_layers_with_experts_follow_the_config():
    moe = {"architectures": ["Qwen3MoeForCausalLM"], "num_experts": 8, "num_experts_per_tok": 2}
    model = ModelArch.from_config({**QWEN, **moe, "moe_intermediate_size": 128, "decoder_sparse_step": 2})
    assert model.moe_layers == tuple(range(1, 24, 2))


def test_everything_that_is_wrong_is_said_at_once():
    broken = {**QWEN, "hidden_size": -896, "num_key_value_heads": 3, "torch_dtype": "int7"}
    del broken["vocab_size"]
    with pytest.raises(UsageError) as raised:
        ModelArch.from_config(broken)
    assert raised.value.message.id == "arch.bad_config"
    assert raised.value.message.why.splitlines() == [
        "`hidden_size` is -896; expected a whole number from 1 to 4294967296",
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


def test_what_a_class_does_is_not_read_from_the_config():
    def biases(model: ModelArch) -> tuple[bool, bool]:
        (attention,) = model.mixers
        assert isinstance(attention, GroupedAttention)
        return attention.qkv_bias, attention.o_bias

    assert biases(ModelArch.from_config({**QWEN, "attention_bias": False})) == (True, False)
    llama = {"architectures": ["LlamaForCausalLM"], "attention_bias": True}
    assert biases(ModelArch.from_config({**QWEN, **llama})) == (True, True)
    assert biases(arch("zai-org/GLM-4-32B-0414")) == (False, False)
    assert biases(arch("zai-org/GLM-4-9B-0414")) == (True, False)


@pytest.mark.parametrize(
    ("name", "moe_layers", "dense_width", "expert_width"),
    [
        ("deepseek-ai/DeepSeek-V3", range(3, 61), 18432, 2048),
        ("zai-org/GLM-4.5-Air", range(1, 46), 10944, 1408),
        ("MiniMaxAI/MiniMax-M2", range(62), 0, 1536),
        ("Qwen/Qwen3-30B-A3B", range(48), 0, 768),
    ],
)
def test_experts_of_public_models(name, moe_layers, dense_width, expert_width):
    model = arch(name)
    assert model.moe_layers == tuple(moe_layers)
    assert (model.intermediate_size, model.experts.moe_intermediate_size) == (dense_width, expert_width)


def test_latent_attention_of_public_models():
    model = arch("deepseek-ai/DeepSeek-V3.2-Exp")
    assert (model.latent.qk_nope_head_dim, model.latent.kv_lora_rank, model.indexer.index_topk) == (128, 512, 2048)
    lite = arch("deepseek-ai/DeepSeek-V2-Lite-Chat")
    assert (lite.latent.q_lora_rank, lite.indexer) == (0, None)


def test_layers_that_a_checkpoint_leaves_out_by_number_are_a_kind_of_their_own():
    left = ["lm_head", "model.layers.3.self_attn.q_proj", "model.layers.3.self_attn.k_proj"]
    whole = {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": left}
    model = ModelArch.from_config({**QWEN, "quantization_config": whole})
    assert (len(model.kinds), model.layers[3]) == (2, 1)
    assert [sorted(kind.plain) for kind in model.kinds] == [[], ["self_attn.qkv_proj"]]
    plain = {group.name: group.count for group in rank_weights(model).groups if "qkv_proj" in group.name}
    assert plain == {
        "self_attn.qkv_proj.weight": 1,
        "self_attn.qkv_proj.weight_scale": 23,
        "self_attn.qkv_proj.bias": 1,
    }


def test_a_dense_width_is_needed_where_a_layer_is_dense():
    with pytest.raises(UsageError) as raised:
        arch("deepseek-ai/DeepSeek-V3", intermediate_size=None)
    assert raised.value.message.why == "`intermediate_size` is missing"
    assert arch("Qwen/Qwen3-30B-A3B", intermediate_size=None).intermediate_size == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"num_hidden_layers": 20_000}, "`num_hidden_layers` is 20000; expected at most 10000"),
        ({"num_experts_per_tok": 300}, "`num_experts_per_tok` is 300; expected at most the 256 experts"),
        ({"rope_scaling": {"factor": "forty"}}, "`factor` is 'forty'; expected a positive number"),
        ({"rope_scaling": "yarn"}, "`rope_scaling` is 'yarn'; expected an object"),
        ({"index_topk": 2048}, "`index_n_heads` is missing\n`index_head_dim` is missing"),
        ({"tie_word_embeddings": "no"}, "`tie_word_embeddings` is 'no'; expected true or false"),
        ({"mlp_only_layers": 3}, "`mlp_only_layers` is 3; expected a list of whole numbers"),
        ({"first_k_dense_replace": -1}, "`first_k_dense_replace` is -1; expected a whole number from 0 to 4294967296"),
    ],
)
def test_contradictions_are_told(changes, why):
    with pytest.raises(UsageError) as raised:
        arch("deepseek-ai/DeepSeek-V3", **changes)
    assert raised.value.message.why == why


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=8), st.integers(), max_size=2),
)  # fmt: skip


@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.data())
def test_no_config_is_an_unexpected_failure(data):
    """Any one or two values replaced by anything: an architecture, or an error that names what is wrong."""
    changed = dict(MODELS[data.draw(st.sampled_from(sorted(MODELS)))]["config"])
    for key in data.draw(st.lists(st.sampled_from(sorted(changed)), min_size=1, max_size=2)):
        changed[key] = data.draw(JUNK)
    with contextlib.suppress(UsageError, NoError):
        rank_weights(ModelArch.from_config(changed))


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
