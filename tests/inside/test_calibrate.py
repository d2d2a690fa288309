"""What calibration decides without torch: text, which layers, which group size, which norms feed which layers."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import selfhost  # noqa: F401 - a fixture

INSIDE = Path(__file__).resolve().parents[2] / "selfhost" / "inside"
sys.path.insert(0, str(INSIDE))

import selfhost_calibrate_layers as layers  # noqa: E402 - it lies in no package
import selfhost_calibrate_practice as practice  # noqa: E402
import selfhost_calibrate_text as texts  # noqa: E402
from selfhost_quantize_events import Refused  # noqa: E402

from tests.tiny_models import config_of, shapes_of  # noqa: E402


class Letters:
    """A tokenizer with a token for each letter."""

    eos_token_id = 0
    chat_template = "yes"

    def __call__(self, text, **_):
        return {"input_ids": [ord(letter) for letter in text]}

    def apply_chat_template(self, messages, *, tokenize):
        assert not tokenize
        return "".join(f"<{turn['role']}>{turn['content']}" for turn in messages)


def refusal(call, *args) -> Refused:
    with pytest.raises(Refused) as caught:
        call(*args)
    return caught.value


# Text


def test_own_text_is_chinese_and_english_a_few_hundred_passages_and_the_same_each_time():
    found = texts.own_passages()
    assert len(found) > 600
    share = sum(passage.language == "zh" for passage in found) / len(found)
    assert 0.4 < share < 0.6
    assert texts.digest(found) == texts.digest(texts.own_passages())


def sentences(passage: texts.Passage) -> list[str]:
    whole = passage.text or "\n".join(turn["content"] for turn in passage.messages)
    return [part.strip() for part in re.split("[.。\n]", whole)]


def test_held_out_text_is_in_no_calibration():
    known = {sentence for passage in texts.own_passages() for sentence in sentences(passage)}
    held_out = texts.held_out_passages()
    assert {passage.language for passage in held_out} == {"en", "zh"}
    for passage in held_out:
        assert not [one for one in sentences(passage) if len(one) > 20 and one in known]


@pytest.mark.parametrize("find", [texts.own_passages, texts.held_out_passages])
def test_half_of_own_text_of_each_language_are_conversations(find):
    for language in ("en", "zh"):
        found = [passage for passage in find() if passage.language == language]
        asked = [passage for passage in found if passage.messages]
        assert 0.4 < len(asked) / len(found) <= 0.5
        assert all([turn["role"] for turn in one.messages] == ["user", "assistant"] for one in asked)
        assert all(turn["content"] for one in asked for turn in one.messages)


@pytest.mark.parametrize(
    ("text", "asked", "said"),
    [
        ("Count the screws.\n17", "Count the screws.", "17"),
        ("It rains. We stay. Go home.", "Go on from here: It rains.", "We stay. Go home."),
        ("下雨了。我们留下。", "请接着往下写：下雨了。", "我们留下。"),
    ],
    ids=["a line asks", "a sentence is gone on with", "in Chinese"],
)
def test_a_passage_becomes_a_question_and_its_answer(text, asked, said):
    (passage,) = [texts.as_conversation(texts.Passage(texts._language(text), text))]
    assert [turn["content"] for turn in passage.messages] == [asked, said]


def test_a_single_sentence_stays_a_text():
    passage = texts.Passage("en", "It rains.")
    assert texts.as_conversation(passage) == passage


def test_sums_in_exercises_are_right():
    sums = [text for _, text in practice.exercises(400, 7) if "×" in text or " * " in text]
    found = [re.search(r"(\d+)\s?[×*]\s?(\d+)\s?=\s?(\d+)", text) for text in sums]
    assert len([one for one in found if one]) >= 50
    assert all(int(one[1]) * int(one[2]) == int(one[3]) for one in found if one)


def test_programs_in_exercises_are_programs():
    for _, text in practice.exercises(400, 7):
        if "```python" in text:
            ast.parse(text.split("```python\n")[1].removesuffix("```"))


def test_a_text_file_has_passages_between_blank_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("One\nline more\n\n\n你好，世界\n", encoding="utf-8")
    assert [(passage.language, passage.text) for passage in texts.passages_of(path)] == [
        ("en", "One\nline more"),
        ("zh", "你好，世界"),
    ]


def test_json_lines_may_hold_conversations_and_separators_that_are_no_ends_of_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    rows = [{"text": "", "content": "a\u2028b"}, {"messages": turns}]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    plain, conversation = texts.passages_of(path)
    assert plain.text == "a\u2028b"
    said = "".join(map(chr, texts.tokens_of(Letters(), conversation)))
    assert said == "<user>Hi<assistant>Hello"


@pytest.mark.parametrize(
    ("name", "content", "detail"),
    [
        ("a.pdf", b"x", "its name ends with .pdf, not with one of .txt, .md, .jsonl, .ndjson"),
        ("a.txt", b"", "it is empty"),
        ("a.txt", b" \n\n \n", "it is empty"),
        ("a.txt", b"ab\xff", "it is no UTF-8 at byte 2"),
        ("a.txt", b"ab\x00", "it holds NUL characters"),
        ("a.jsonl", b'{"text": "x"}\n{oops', "line 2 is no JSON"),
        ("a.jsonl", b'{"other": "x"}', "line 1 has none of the keys text, content, prompt, messages"),
        ("a.jsonl", b'{"messages": [{"role": "user"}]}', "line 1 has none"),
        ("a.jsonl", b"[1]", "line 1 has none"),
    ],
)
def test_what_is_no_calibration_text_is_named(tmp_path, name, content, detail):
    path = tmp_path / name
    path.write_bytes(content)
    refused = refusal(texts.passages_of, path)
    assert refused.id == "quantize.bad_calibration"
    assert refused.params["path"] == str(path)
    assert str(refused.params["detail"]).startswith(detail)


def test_a_missing_file_is_named(tmp_path):
    refused = refusal(texts.passages_of, tmp_path / "no.txt")
    assert refused.params["detail"] == "No such file or directory"


def test_samples_are_full_and_repeat_nothing():
    passages = [texts.Passage("en", "abcdefg"), texts.Passage("en", "hij")]
    found = texts.samples_of(Letters(), passages, 4, None)
    assert found == [[97, 98, 99, 100], [101, 102, 103, 0], [104, 105, 106, 0]]
    assert texts.samples_of(Letters(), passages, 4, 2) == found[:2]


# Layers


def chosen(kind: str, more=()) -> layers.Choice:
    config = config_of(kind)
    return layers.choose(config, shapes_of(config), more)


@pytest.mark.parametrize(
    ("kind", "plain", "quantized"),
    [
        ("llama", [], ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"]),
        ("qwen3_moe", ["model.layers.0.mlp.gate"], ["model.layers.0.mlp.experts.7.gate_proj"]),
        (
            "deepseek_v3",
            ["model.layers.1.mlp.gate", *(f"model.layers.0.self_attn.{part}" for part in ("q_a_proj", "kv_b_proj"))],
            ["model.layers.0.self_attn.q_b_proj", "model.layers.0.self_attn.o_proj"],
        ),
    ],
)
def test_heads_routers_and_narrow_parts_stay(kind, plain, quantized):
    choice = chosen(kind)
    for name in [*plain, "lm_head", "model.embed_tokens"]:
        assert name not in choice.layers
    for name in plain:
        assert layers.is_plain(name, choice.plain)
    for name in quantized:
        assert name in choice.layers
        assert not layers.is_plain(name, choice.plain)


def test_layers_of_multi_token_prediction_stay():
    config = {**config_of("deepseek_v3"), "num_nextn_predict_layers": 1}
    shapes = {**shapes_of(config), "model.layers.2.mlp.experts.0.up_proj.weight": (128, 256)}
    assert not any(".layers.2." in name for name in layers.choose(config, shapes, ()).layers)


def test_a_model_without_linear_layers_is_refused():
    refused = refusal(layers.choose, {}, {"model.norm.weight": (4,)}, ())
    assert refused.id == "quantize.unsupported"


def test_the_largest_size_that_divides_every_layer_is_taken():
    assert layers.group_size({"a": (10, 576), "b": (10, 1536)}, None) == 64
    assert layers.group_size({"a": (10, 256), "b": (8, 10, 1536)}, None) == 128
    assert layers.group_size({"a": (10, 576)}, 32) == 32


def test_layers_that_a_size_does_not_divide_are_named():
    shapes = {f"model.layers.{number}.up_proj": (4, 576) for number in range(5)} | {"other": (4, 128)}
    refused = refusal(layers.group_size, shapes, 128)
    assert refused.id == "quantize.bad_shape"
    assert refused.params["detail"] == (
        "groups of 128 do not divide model.layers.0.up_proj (576 inputs), model.layers.1.up_proj (576 inputs), "
        "model.layers.2.up_proj (576 inputs) and 2 more; what does: 64, 32"
    )


# Pairs


def modules(kind: str) -> list[str]:
    """Names of modules, as they are in transformers: experts one by one, and all that is above them."""
    names = {tensor.rpartition(".")[0] for tensor in shapes_of(config_of(kind))}
    above = {name.rpartition(".")[0] for name in names}
    return sorted(names | above)


def resolved(kind: str, *, experts: bool) -> dict[str, list[str]]:
    """What each scaled module is paired with."""
    names = modules(kind)
    found: dict[str, list[str]] = {}
    for smooth, readers in layers.pairs(names, chosen(kind).plain, experts=experts) or []:
        for name in names:
            if re.match(smooth.removeprefix("re:"), name):
                layer = re.search(r"layers[.]\d+[.]", name)
                assert layer
                near = [n for n in names if any(re.match(r.removeprefix("re:"), n) for r in readers) and layer[0] in n]
                found[name] = near
    return found


def short(names: list[str]) -> set[str]:
    return {re.sub(r"^model[.]layers[.]\d+[.]", "", name) for name in names}


def test_norms_of_a_dense_model_feed_attention_and_gates():
    found = resolved("llama", experts=True)
    assert short(found["model.layers.1.input_layernorm"]) == {f"self_attn.{x}_proj" for x in "qkv"}
    assert short(found["model.layers.0.post_attention_layernorm"]) == {"mlp.gate_proj", "mlp.up_proj"}
    assert short(found["model.layers.0.mlp.up_proj"]) == {"mlp.down_proj"}


def test_merged_gates_are_known():
    found = resolved("glm4", experts=True)
    assert short(found["model.layers.0.post_attention_layernorm"]) == {"mlp.gate_up_proj"}
    assert short(found["model.layers.0.mlp.gate_up_proj"]) == {"mlp.down_proj"}


@pytest.mark.parametrize("kind", ["qwen3_moe", "glm4_moe", "deepseek_v3"])
def test_what_feeds_experts_feeds_their_router_too(kind):
    fed = short(resolved(kind, experts=True)["model.layers.1.post_attention_layernorm"])
    assert "mlp.gate" in fed
    assert {"mlp.experts.0.gate_proj", "mlp.experts.7.up_proj"} <= fed
    assert kind == "qwen3_moe" or {"mlp.shared_experts.gate_proj", "mlp.shared_experts.up_proj"} <= fed
    assert not any("down" in name for name in fed)


@pytest.mark.parametrize("kind", ["qwen3_moe", "glm4_moe", "deepseek_v3"])
def test_smoothing_leaves_what_feeds_experts(kind):
    found = resolved(kind, experts=False)
    assert "model.layers.1.post_attention_layernorm" not in found
    assert found


def test_dense_layers_of_a_model_with_experts_are_a_kind_of_their_own():
    found = resolved("glm4_moe", experts=True)
    assert short(found["model.layers.0.post_attention_layernorm"]) == {"mlp.gate_proj", "mlp.up_proj"}


def test_pairs_where_nothing_is_quantized_are_left_out():
    found = resolved("deepseek_v3", experts=True)
    assert "model.layers.0.input_layernorm" not in found  # q_a_proj and kv_a_proj_with_mqa stay
    assert short(found["model.layers.0.self_attn.q_a_layernorm"]) == {"self_attn.q_b_proj"}


def test_layers_of_other_parts_are_not_guessed_at():
    names = ["model.layers.0.ln_1", "model.layers.0.attn.c_attn", "model.layers.0.mlp.c_fc"]
    assert layers.pairs(names, (), experts=True) is None


def test_towers_are_not_looked_at():
    names = [*modules("llama"), "visual.layers.0.norm1", "visual.layers.0.attn"]
    assert layers.pairs(names, (), experts=True) == layers.pairs(modules("llama"), (), experts=True)


def test_errors_of_libraries_get_the_ids_that_selfhost_words():
    import selfhost_calibrate_run as run
    from selfhost_quantize_events import meaning

    assert meaning(OSError(28, "No space left on device", "/x")).id == "quantize.no_space"
    assert meaning(RuntimeError("DefaultCPUAllocator: can't allocate memory")).id == "quantize.out_of_memory"
    assert meaning(ModuleNotFoundError("no", name="llmcompressor")).params["package"] == "llmcompressor"
    assert meaning(KeyError("x")).params["detail"] == "KeyError: 'x'"
    assert SimpleNamespace(**run.QUIET).HF_HUB_OFFLINE == "1"


def test_what_help_and_arithmetic_say_of_a_sample_is_what_the_script_cuts(selfhost):  # noqa: F811
    from selfhost_quantize_calibrated import LENGTH

    from selfhost.quantize import needs

    assert LENGTH == {"cpu": needs.TOKENS_ON_CPU, "cuda": needs.TOKENS}
    told = " ".join(selfhost("quantize", "--help")[1].replace("│", " ").split())
    assert f"{LENGTH['cuda']} tokens each, on a CPU {LENGTH['cpu']}" in told
