"""GGUF -> safetensors. What needs numpy and gguf runs in the engine's environment, on a tiny GGUF made there."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

import selfhost.inside
from selfhost.errors import IntegrityError, MissingError, NoError
from selfhost.models.safetensors import parse_header
from selfhost.weights.convert import convert_gguf

SCRIPT = Path(selfhost.inside.__path__[0]) / "selfhost_gguf.py"
# Writes a one-layer Llama whose query and key rows are in GGUF's order, and beside it the rows as the Hub has them.
MAKE = """
import sys
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quantize

def permuted(array, heads):  # as convert_hf_to_gguf.py does it
    rows, columns = array.shape
    return array.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)

random = np.random.default_rng(0)
target, architecture = sys.argv[1], sys.argv[2]
words = ["<|end|>"] + [chr(0x100 + n) for n in range(4)] + list("ab1") + ["ab"]
writer = GGUFWriter(target, architecture)
writer.add_block_count(1); writer.add_context_length(128); writer.add_embedding_length(64)
writer.add_feed_forward_length(96); writer.add_head_count(4); writer.add_head_count_kv(2)
writer.add_layer_norm_rms_eps(1e-5); writer.add_rope_freq_base(10000.0)
writer.add_tokenizer_model("gpt2"); writer.add_tokenizer_pre("smollm"); writer.add_token_list(words)
writer.add_token_types([3] + [1] * (len(words) - 1)); writer.add_token_merges(["a b"])
writer.add_eos_token_id(0); writer.add_chat_template("{{ messages }}")
shapes = {"attn_q": (64, 64), "attn_k": (32, 64), "attn_v": (32, 64), "attn_output": (64, 64), "ffn_gate": (96, 64),
          "ffn_up": (96, 64), "ffn_down": (64, 96), "attn_norm": (64,), "ffn_norm": (64,)}
names = {f"blk.0.{name}.weight": shape for name, shape in shapes.items()}
names |= {"token_embd.weight": (len(words), 64), "output_norm.weight": (64,)}
kept = {}
for name, shape in names.items():
    array = random.integers(-8, 8, shape).astype(np.float32) / 4
    kept[name] = array
    heads = {"blk.0.attn_q.weight": 4, "blk.0.attn_k.weight": 2}.get(name)
    array = permuted(array, heads) if heads else array
    if name == "blk.0.ffn_up.weight":  # values a multiple of the scale survive Q8_0
        array = kept[name] = np.sign(array) * 127 / 64
        writer.add_tensor(name, quantize(array, GGMLQuantizationType.Q8_0), raw_dtype=GGMLQuantizationType.Q8_0)
    else:
        writer.add_tensor(name, array)
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
np.savez(target + ".npz", **kept)
"""
# Exact: these values are bfloat16 numbers.
COMPARE = """
import importlib.util, sys
import numpy as np
from safetensors import safe_open
spec = importlib.util.spec_from_file_location("converter", sys.argv[3])
converter = importlib.util.module_from_spec(spec); spec.loader.exec_module(converter)
wanted = np.load(sys.argv[1])
with safe_open(sys.argv[2], "pt") as found:
    names = {converter.hub_name(name): name for name in wanted.files}
    assert sorted(found.keys()) == sorted(names), found.keys()
    for name, old in names.items():
        assert np.array_equal(found.get_tensor(name).float().numpy(), wanted[old]), name
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(str(__import__("pathlib").Path(sys.argv[2]).parent))
assert tokenizer.convert_ids_to_tokens(tokenizer.encode("ab11<|end|>")) == ["ab", "1", "1", "<|end|>"]
assert tokenizer.eos_token_id == 0 and tokenizer.chat_template == "{{ messages }}"
"""


@pytest.fixture(scope="module")
def converter():
    spec = importlib.util.spec_from_file_location("selfhost_gguf", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output.weight", "lm_head.weight"),
        ("blk.12.attn_output.weight", "model.layers.12.self_attn.o_proj.weight"),
        ("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight"),
    ],
)
def test_names_of_tensors(converter, old, new):
    assert converter.hub_name(old) == new


@pytest.mark.parametrize("name", ["blk.0.attn_q.bias", "blk.0.ssm_in.weight", "rope_freqs.weight", "blk"])
def test_a_tensor_without_a_place_is_refused(converter, capsys, name):
    with pytest.raises(SystemExit) as caught:
        converter.hub_name(name)
    assert caught.value.code == 3
    assert capsys.readouterr().err == f"tensor {name} has no place in a Llama model\n"


def test_a_python_that_cannot_convert(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"")
    with pytest.raises(MissingError) as caught:
        convert_gguf(tmp_path / "x.gguf", tmp_path / "out", tmp_path / "absent-python")
    assert caught.value.message.what == "converting `x.gguf` failed"
    assert caught.value.message.why == f"{tmp_path}/absent-python: No such file or directory"


def make(engine_python, path: Path, architecture: str = "llama") -> Path:
    subprocess.run([str(engine_python), "-c", MAKE, str(path), architecture], check=True)
    return path


@pytest.mark.e2e
def test_weights_tokenizer_and_config_are_right_and_the_same_each_time(engine_python, tmp_path):
    gguf = make(engine_python, tmp_path / "tiny.gguf")
    first, second = tmp_path / "first", tmp_path / "second"
    convert_gguf(gguf, first, engine_python)
    convert_gguf(gguf, second, engine_python)
    names = sorted(path.name for path in first.iterdir())
    assert names == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
        assert oct((first / name).stat().st_mode & 0o777) == "0o644", name

    config = json.loads((first / "config.json").read_text())
    assert (config["hidden_size"], config["num_key_value_heads"], config["head_dim"]) == (64, 2, 16)
    assert (config["rms_norm_eps"], config["tie_word_embeddings"], config["vocab_size"]) == (1e-5, True, 9)
    weights = first / "model.safetensors"
    assert {entry.dtype for entry in parse_header(weights.read_bytes(), weights.stat().st_size)} == {"BF16"}
    command = [str(engine_python), "-c", COMPARE, f"{gguf}.npz", str(weights), str(SCRIPT)]
    compared = subprocess.run(command, capture_output=True, text=True, check=False)
    assert compared.returncode == 0, compared.stderr


@pytest.mark.e2e
def test_another_architecture_is_refused(engine_python, tmp_path):
    gguf = make(engine_python, tmp_path / "tiny.gguf", "mamba")
    with pytest.raises(NoError) as caught:
        convert_gguf(gguf, tmp_path / "out", engine_python)
    assert caught.value.message.why == "architecture mamba is not llama"


@pytest.mark.e2e
@pytest.mark.parametrize("data", [b"", b"GGUF", b"PK\3\4" * 100], ids=["empty", "cut off", "a zip"])
def test_what_is_no_gguf_is_refused(engine_python, tmp_path, data):
    gguf = tmp_path / "x.gguf"
    gguf.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        convert_gguf(gguf, tmp_path / "out", engine_python)
    assert caught.value.message.why.startswith("x.gguf is not a readable GGUF file: ")
