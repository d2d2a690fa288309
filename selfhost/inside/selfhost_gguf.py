"""GGUF -> a directory an engine opens: bf16 safetensors, config.json, tokenizer, chat template. Runs over there.

    ENGINE_PYTHON selfhost_gguf.py MODEL.gguf DIRECTORY

Takes Llama-class models with a byte-level BPE tokenizer; anything else is refused by name. Needs `gguf`, `numpy` and
`tokenizers`, not torch. The same input gives the same bytes. Quantized tensors are de-quantized and rounded to
bfloat16: the result is what the GGUF holds, not the weights it was once quantized from.

Exit status: 0 done, 3 not a kind of GGUF this converts, 5 not a readable GGUF; the reason is the last line of stderr.

Sources: GGUF keys, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; the order of rotary rows and the tensor
names, convert_hf_to_gguf.py (LlamaModel.permute) of https://github.com/ggml-org/llama.cpp; pre-tokenizers by name,
src/llama-vocab.cpp there.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from gguf import GGUFReader

Metadata = dict[str, Any]

CONTROL_TOKEN, USER_DEFINED_TOKEN = 3, 4  # gguf.TokenType
NOT_CONVERTIBLE, NOT_READABLE = 3, 5

_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def refuse(status: int, reason: str) -> NoReturn:
    """Say why on stderr and end."""
    sys.stderr.write(reason + "\n")
    raise SystemExit(status)


def hub_name(name: str) -> str:
    """The Hub's name of a tensor: `blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`."""
    if name in _OUTER:
        return _OUTER[name]
    block, layer, part, kind = (*name.split("."), "", "", "")[:4]
    if block != "blk" or part not in _IN_LAYER or kind != "weight":
        refuse(NOT_CONVERTIBLE, f"tensor {name} has no place in a Llama model")
    return f"model.layers.{layer}.{_IN_LAYER[part]}.weight"


def model_config(metadata: Metadata, *, tied: bool) -> dict[str, object]:
    """config.json from the GGUF's metadata."""

    def of(key: str) -> Any:
        return metadata[f"llama.{key}"]

    heads, hidden = of("attention.head_count"), of("embedding_length")
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "head_dim": metadata.get("llama.rope.dimension_count", hidden // heads),
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": of("feed_forward_length"),
        "max_position_embeddings": of("context_length"),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": of("block_count"),
        "num_key_value_heads": metadata.get("llama.attention.head_count_kv", heads),
        "pad_token_id": metadata.get("tokenizer.ggml.padding_token_id"),
        # Stored as float32: 9.999999747378752e-06 was 1e-05.
        "rms_norm_eps": float(f"{of('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_scaling": None,
        "rope_theta": metadata.get("llama.rope.freq_base", 10000.0),
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
    }


def rotary_rows(array: np.ndarray, heads: int) -> np.ndarray:
    """Undo the GGUF order of rotary rows: pairs side by side -> first halves, then second halves, head by head."""
    rows, columns = array.shape
    return array.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def bfloat16_bytes(array: np.ndarray) -> bytes:
    """Float32 rounded to the nearest bfloat16, ties to even; as bits, since numpy has no bfloat16."""
    bits = array.view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def tensors(reader: GGUFReader, config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...], bytes]]:
    """Name, shape and bfloat16 bytes of each tensor, by name, one at a time."""
    import numpy as np
    from gguf import dequantize

    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for tensor in sorted(reader.tensors, key=lambda tensor: hub_name(tensor.name)):
        shape = tuple(int(size) for size in reversed(tensor.shape))
        array = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32).reshape(shape)
        if rotary := heads.get((*tensor.name.split("."), "", "")[2]):
            array = np.ascontiguousarray(rotary_rows(array, rotary))
        yield hub_name(tensor.name), shape, bfloat16_bytes(array)


def write_safetensors(reader: GGUFReader, config: dict[str, Any], path: Path) -> None:
    """Header first (all sizes are known), then one tensor after another: memory stays at one tensor."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in sorted((hub_name(t.name), tuple(int(n) for n in reversed(t.shape))) for t in reader.tensors):
        end = offset + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for _, _, data in tensors(reader, config):
            stream.write(data)


def write_tokenizer(metadata: Metadata, directory: Path, context: int) -> None:
    """tokenizer.json and tokenizer_config.json: vocabulary, merges, special tokens, chat template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    words: list[str] = metadata["tokenizer.ggml.tokens"]
    kinds: list[int] = metadata["tokenizer.ggml.token_type"]
    # Names of llama.cpp. `smollm`: each digit by itself, then GPT-2's expression; `gpt-2`: that expression alone.
    splits = {"smollm": [pre_tokenizers.Digits(individual_digits=True)], "gpt-2": [], "default": []}
    kind = metadata.get("tokenizer.ggml.pre", "default")
    if metadata["tokenizer.ggml.model"] != "gpt2" or kind not in splits:
        refuse(
            NOT_CONVERTIBLE, f"tokenizer {metadata['tokenizer.ggml.model']}/{kind} is not one of gpt2/{list(splits)}"
        )
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits[kind], pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    for word, token_kind in zip(words, kinds, strict=True):
        if token_kind in (CONTROL_TOKEN, USER_DEFINED_TOKEN):
            tokenizer.add_tokens([AddedToken(word, special=token_kind == CONTROL_TOKEN, normalized=False)])
    (directory / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")

    def token(name: str) -> str | None:
        number = metadata.get(f"tokenizer.ggml.{name}_token_id")
        return None if number is None else words[number]

    settings = {
        "add_bos_token": bool(metadata.get("tokenizer.ggml.add_bos_token", False)),
        "add_prefix_space": False,
        "bos_token": token("bos"),
        "chat_template": metadata.get("tokenizer.chat_template"),
        "clean_up_tokenization_spaces": False,
        "eos_token": token("eos"),
        "model_max_length": context,
        "pad_token": token("padding"),
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": token("unknown"),
    }
    write_json(directory / "tokenizer_config.json", {k: v for k, v in settings.items() if v is not None})


def write_json(path: Path, value: object) -> None:
    """Indented, in the given order."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main(source: Path, directory: Path) -> None:
    """Convert; every file is readable by everyone, since a container may run under another uid."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(source)
        metadata: Metadata = {name: field.contents() for name, field in reader.fields.items()}
    except (ValueError, OSError, IndexError) as error:
        refuse(NOT_READABLE, f"{source.name} is not a readable GGUF file: {error}")
    if metadata.get("general.architecture") != "llama":
        refuse(NOT_CONVERTIBLE, f"architecture {metadata.get('general.architecture')} is not llama")
    os.umask(0o022)
    directory.mkdir(parents=True, exist_ok=True)
    config = model_config(metadata, tied=all(tensor.name != "output.weight" for tensor in reader.tensors))
    write_json(directory / "config.json", {key: value for key, value in config.items() if value is not None})
    ids = {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]}
    write_json(directory / "generation_config.json", {**ids, "pad_token_id": config["pad_token_id"]})
    write_tokenizer(metadata, directory, metadata["llama.context_length"])
    write_safetensors(reader, config, directory / "model.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
