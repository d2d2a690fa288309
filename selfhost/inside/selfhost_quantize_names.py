"""Which modules stay in the model's dtype, whatever the scheme. Standard library only.

An entry is a step of a name (`gate`: of `model.layers.3.mlp.gate`, never of `gate_proj`), the beginning of a name, or a
pattern that begins with `re:`. Sources for the engine: vLLM 0.32 model_executor/models/ (layers made with
`quant_config=None`, and `nn.Linear`), layers/quantization/compressed_tensors/utils.py `should_ignore_layer`,
vllm-bnb-plugin 0.0.3 quantization/utils.py `is_layer_skipped_bnb`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfhost_quantize_events import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

HEAD = "lm_head"
_EVERYWHERE = (
    HEAD,
    # Routers of experts, by their names in all families.
    "gate",
    "router",
    "shared_expert_gate",
    # Multi-token prediction: `nn.Linear` in the engine (deepseek_mtp.py, qwen3_next_mtp.py, mimo_mtp.py).
    "eh_proj",
    "shared_head",
    "mtp",
    "mtp_block",
    "input_proj",
    # Sparse attention's indexer: the engine merges two of its matrices unquantized (deepseek_v2.py `Indexer`).
    "indexer",
    # Gates of linear attention, a few dozen rows (qwen3_next.py).
    "in_proj_a",
    "in_proj_b",
    "in_proj_ba",
    # Towers for images and sound, and what joins them to the text.
    "visual",
    "vision_tower",
    "vision_model",
    "vision_encoder",
    "vision_embed_tokens",
    "audio_tower",
    "audio_model",
    "multi_modal_projector",
    "mm_projector",
    "embed_vision",
    "embed_audio",
    "mlp1",
    "aligner",
)
_OF_TYPE: dict[str, tuple[str, ...]] = {
    # Small and read in another precision by the engine (kimi_linear.py).
    "kimi_linear": ("b_proj", "f_a_proj", "f_b_proj", "g_a_proj", "g_b_proj"),
    "hunyuan_v1_moe": ("wg",),
}
"""By `model_type`, beside what holds everywhere."""
_TABLES = re.compile(
    r"(^|[._])(embed|embeddings?|embed_tokens\w*|wte|wpe|pos_emb|embed_in|embed_out|patch_embed)($|[._])"
)
"""Tables that are looked up, not multiplied: no scheme takes them, and no list has to say so."""
MERGED = (
    ("q_proj", "k_proj", "v_proj"),
    ("gate_proj", "up_proj"),
    ("q_a_proj", "kv_a_proj_with_mqa"),
    ("w1", "w3"),
)
"""Matrices that the engine makes one of: both quantized, or neither."""
SPLIT_EXPERTS = ("qwen3_5_moe", "qwen3_5_moe_text")
"""Types whose experts are one tensor, with outputs before inputs: it can be cut without a copy."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is converted, and the entries that say what is not."""

    quantized: frozenset[str]
    """Modules."""
    entries: tuple[str, ...]
    """Those of the list that apply to this model."""
    by_pattern: tuple[str, ...]
    """Modules that only patterns of the list take, for readers that know no patterns."""


def entries_of(model_types: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """The list for a model, given the `model_type` of its config and of the parts of it, and the user's own entries."""
    own = (entry for kind in model_types for entry in _OF_TYPE.get(kind, ()))
    return tuple(dict.fromkeys((*_EVERYWHERE, *own, *more)))


def pattern(entry: str) -> str:
    """An entry as a regular expression that begins at the name's first letter.

    Check: `gate` takes `model.layers.0.mlp.gate`, and neither `model.layers.0.mlp.gate_proj` nor `mlp.agate`.
    """
    if entry.startswith("re:"):
        return entry.removeprefix("re:")
    before = r"" if "." in entry else r"(.*[.])?"
    return f"{before}{re.escape(entry)}([.].*)?$"


def choose(modules: Iterable[str], entries: Iterable[str]) -> Choice:
    """Sort modules with a matrix into those to convert and the rest.

    Raises Refused where the list takes some of the matrices that the engine makes one of.
    """
    patterns = {entry: re.compile(pattern(entry)) for entry in entries}
    used, quantized, plain, by_pattern = {HEAD}, set(), set(), []
    for module in modules:
        taken = [entry for entry, compiled in patterns.items() if compiled.match(module)]
        used.update(taken)
        if taken:
            plain.add(module)
            if all(entry.startswith("re:") for entry in taken):
                by_pattern.append(module)
        elif not _TABLES.search(module):
            quantized.add(module)
    _same_for_merged(quantized, plain)
    return Choice(frozenset(quantized), tuple(entry for entry in patterns if entry in used), tuple(by_pattern))


def _same_for_merged(quantized: set[str], plain: set[str]) -> None:
    for module in plain:
        before, _, last = module.rpartition(".")
        for parts in MERGED:
            others = [f"{before}.{part}" for part in parts] if last in parts else []
            if split := [other for other in others if other in quantized]:
                raise Refused("quantize.merged_differ", plain=module, quantized=split[0])


def is_merged(module: str) -> bool:
    """Whether the engine merges it with others that follow, so that its rows have to end with a block.

    Of merged matrices the last may end anywhere (vLLM 0.32 utils/fp8_utils.py `validate_fp8_block_shape`), but gate and
    up of experts not.
    """
    last = module.rpartition(".")[2]
    return any(last in (parts if "up" in parts[-1] or parts[-1] == "w3" else parts[:-1]) for parts in MERGED)
