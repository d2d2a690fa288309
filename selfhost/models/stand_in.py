"""A tokenizer that stands in for a model's own: bytes, three special tokens, and made-up words up to any size.

It needs nothing of the model, so a start without the model's files has chat, streaming and an end token. Format of
`tokenizer.json`: https://github.com/huggingface/tokenizers (byte-level BPE without merges).
"""

from __future__ import annotations

from typing import Any

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TOKEN_IDS = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0}
"""For config.json and generation_config.json."""
_BYTES = 256
LEAST_SIZE = len(SPECIAL) + _BYTES
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def _byte_letters() -> list[str]:
    """A printable character for each byte, as GPT-2's `bytes_to_unicode` assigns them."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    letters, following = [], _BYTES
    for byte in range(_BYTES):
        letters.append(chr(byte if byte in printable else following))
        following += byte not in printable
    return letters


def vocabulary(size: int) -> dict[str, int]:
    """Token -> id, `size` of them; those that no text is made of are words of their own number.

    Check: id 3 is the byte 0, id 68 the letter A (3 + 65).
    """
    space = _byte_letters()[ord(" ")]
    words = [*SPECIAL, *_byte_letters()]
    words += [f"{space}w{number}" for number in range(len(words), size)]
    return {word: number for number, word in enumerate(words[:size])}


def tokenizer_files(vocab_size: int, max_model_len: int) -> dict[str, dict[str, Any]]:
    """File name -> its JSON. `vocab_size`: at least LEAST_SIZE, for every text to be readable."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "tokenizer.json": {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": number, "content": word, **flags} for number, word in enumerate(SPECIAL)],
            "normalizer": None,
            "pre_tokenizer": level,
            "post_processor": None,
            "decoder": level,
            "model": {"type": "BPE", "unk_token": None, "vocab": vocabulary(vocab_size), "merges": []},
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": None,
            "eos_token": SPECIAL[2],
            "pad_token": SPECIAL[0],
            "unk_token": None,
            "model_max_length": max_model_len,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
        "generation_config.json": dict(TOKEN_IDS),
    }
