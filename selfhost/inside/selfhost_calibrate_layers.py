"""Which layers a calibrated scheme takes: what is left plain, a group size that divides, which norms feed which layers.

Names and shapes in, patterns out; no torch. Patterns are those of compressed-tensors: `re:` and an expression that is
tried from the beginning of a name.

llm-compressor's own pairs are not taken for models with routed experts: where the first layers are dense they collapse
into one set (`match_modules_set`), and where the router is left out of a pair it would read scaled inputs and choose
other experts. Read in llm-compressor 0.14: modifiers/transform/awq/mappings.py, modifiers/transform/smoothquant/utils.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from selfhost_calibrate_job import NO, USAGE, fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Pair = tuple[str, tuple[str, ...]]
"""A pattern of what is scaled, and patterns of the layers that read it."""

GROUP_SIZES = (128, 64, 32)
"""What engines have kernels for, best known first (vLLM 0.32 marlin_utils.py: -1, 32, 64, 128)."""
_SHOWN = 3
_LAYER = re.compile(r"^(.*[.]layers[.])(\d+)[.](.+)$")
_PLAIN = (
    "lm_head",
    r"re:(.*[.])?embed_tokens",  # never a linear layer, but named like one in headers
    r"re:.*[.](mlp|block_sparse_moe|moe|feed_forward)[.](gate|router)$",
    r"re:.*[.]shared_expert_gate$",
    r"re:(.*[.])?(visual|vision_tower|vision_model|multi_modal_projector|mm_projector)[.].*",
)
_MLA = (
    # The engine multiplies these into others when it loads (MLAAttention.process_weights_after_loading), so that 4 bits
    # save nothing; and they are the narrow part that everything cached goes through.
    r"re:.*[.]self_attn[.](q_a_proj|kv_a_proj_with_mqa|kv_b_proj)$",
    r"re:.*[.]self_attn[.]indexer[.].*",
)


def ignored(config: Mapping[str, Any]) -> list[str]:
    """Patterns of what stays in the model's dtype: head, routers, towers of other senses, the narrow parts of MLA.

    Layers after the last one are those of multi-token prediction: nothing calibrates them.
    """
    text = config.get("text_config") or config
    found = [*_PLAIN, *(_MLA if text.get("kv_lora_rank") else ())]
    extra, count = int(text.get("num_nextn_predict_layers") or 0), int(text.get("num_hidden_layers") or 0)
    return found + [rf"re:.*[.]layers[.]{count + number}[.].*" for number in range(extra)]


def is_ignored(name: str, patterns: Iterable[str]) -> bool:
    """Whether a module's name is one of the list, or begins with a pattern of it."""
    return any(re.match(p.removeprefix("re:"), name) if p.startswith("re:") else p == name for p in patterns)


def linear_layers(shapes: Mapping[str, tuple[int, ...]], patterns: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Matrices of a checkpoint that would be quantized: name without `.weight` -> shape; experts may be a stack."""
    patterns = tuple(patterns)
    found = {}
    for tensor, shape in shapes.items():
        name = tensor.removesuffix(".weight")
        stacked = len(shape) == 3 and ".experts." in tensor  # noqa: PLR2004
        if ((len(shape) == 2 and name != tensor) or stacked) and not is_ignored(name, patterns):  # noqa: PLR2004
            found[name] = shape
    return found


def group_size(layers: Mapping[str, tuple[int, ...]], wanted: int | None) -> int:
    """Columns that share a scale: what was asked for, or the largest size that divides every layer.

    Raises Failure with the layers that the size does not divide. Check: 576 and 1536 columns -> 64.
    """
    columns = {name: shape[-1] for name, shape in layers.items()}
    if not columns:
        fail("calibrate.no_layers", NO)
    fitting = [size for size in GROUP_SIZES if all(count % size == 0 for count in columns.values())]
    if wanted is None and fitting:
        return fitting[0]
    size = wanted or GROUP_SIZES[-1]
    if wanted is not None and wanted not in GROUP_SIZES:
        fail("calibrate.group_unknown", USAGE, size=wanted, sizes=", ".join(map(str, GROUP_SIZES)))
    left = {name: count for name, count in columns.items() if count % size}
    if left:
        named = [f"{name} ({count} columns)" for name, count in sorted(left.items())[:_SHOWN]]
        layers_named = "\n".join(named + ([f"and {len(left) - _SHOWN} more"] if len(left) > _SHOWN else []))
        sizes = ", ".join(map(str, fitting)) or "none"
        fail("calibrate.group_does_not_divide", NO, size=size, layers=layers_named, sizes=sizes)
    return size


def pairs(names: Iterable[str], plain: Iterable[str], *, experts: bool) -> list[Pair] | None:
    """What may be scaled up in a norm (or a matrix) and down in the layers that read it, for any number of layers.

    names: all modules of the model; plain: patterns of what is not quantized: a pair where nothing is, is left out.
    experts: with what feeds routed experts (one scale for all of them: AWQ searches, SmoothQuant would guess).
    None where the decoder layers have other parts than those known here.
    """
    plain = tuple(plain)
    tails: dict[int, set[str]] = defaultdict(set)
    for name in names:
        if (found := _LAYER.match(name)) and not is_ignored(name + ".x", _towers(plain)):
            tails[int(found[2])].add(re.sub(r"[.]experts[.]\d+[.]", ".experts.0.", found[3]))
    kinds: dict[frozenset[str], list[int]] = defaultdict(list)
    for layer, parts in tails.items():
        kinds[frozenset(parts)].append(layer)
    result: list[Pair] = []
    for parts, layers in kinds.items():
        known = _known(parts, experts=experts)
        if known is None:
            return None
        result += [_pattern(pair, layers) for pair in known if _any_quantized(pair[1], layers[0], plain)]
    return result or None


def _towers(plain: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(pattern for pattern in plain if "visual" in pattern)


def _any_quantized(tails: tuple[str, ...], layer: int, plain: tuple[str, ...]) -> bool:
    return any(not is_ignored(f"model.layers.{layer}.{tail}", plain) for tail in tails)


def _pattern(pair: Pair, layers: list[int]) -> Pair:
    """The pair of one layer as patterns for all layers of its kind."""
    numbers = "|".join(map(str, sorted(layers)))

    def of(tail: str) -> str:
        escaped = re.escape(tail).replace(r"\.experts\.0\.", r"\.experts\.\d+\.")
        return rf"re:.*\.layers\.({numbers})\.{escaped}$"

    return of(pair[0]), tuple(of(tail) for tail in pair[1])


def _known(parts: frozenset[str], *, experts: bool) -> list[Pair] | None:
    """Pairs in a decoder layer with a norm before the attention and one before the rest; None for another."""
    if not {"input_layernorm", "post_attention_layernorm"} <= parts:
        return None
    attention = _of_attention(parts)
    rest = _of_rest(parts, experts=experts)
    return None if attention is None or rest is None else [*attention, *rest]


def _of_attention(parts: frozenset[str]) -> list[Pair] | None:
    def there(*names: str) -> tuple[str, ...]:
        return tuple(f"self_attn.{name}" for name in names if f"self_attn.{name}" in parts)

    if any(part.startswith("self_attn.indexer.") for part in parts):
        return []  # the indexer reads the same norms: scaling them would need its parts as well
    if reads := there("q_proj", "k_proj", "v_proj"):
        latent = there("kv_a_proj_with_mqa")  # MLA without a narrow query (DeepSeek-V2-Lite)
        whole = len(reads) == 3 or latent  # noqa: PLR2004
        found: list[Pair] = [("input_layernorm", (*reads, *latent))] if whole else []
        if not latent and there("o_proj"):
            found.append(("self_attn.v_proj", ("self_attn.o_proj",)))
        return found if whole else None
    if reads := there("q_a_proj"):
        found = [("input_layernorm", (*reads, *there("kv_a_proj_with_mqa")))]
        return [*found, ("self_attn.q_a_layernorm", there("q_b_proj"))]
    return None


def _of_rest(parts: frozenset[str], *, experts: bool) -> list[Pair] | None:
    for block in ("mlp", "block_sparse_moe"):
        routed = tuple(sorted(p for p in parts if re.match(rf"{block}[.]experts[.]0[.](gate_proj|up_proj|w1|w3)$", p)))
        if routed:
            router = tuple(p for p in (f"{block}.gate", f"{block}.router") if p in parts)
            if not experts or not router:
                return []
            shared = tuple(sorted(p for p in parts if re.match(rf"{block}[.]shared_expert", p) and _reads(p)))
            return [("post_attention_layernorm", (*router, *routed, *shared)), *_ups(parts)]
    reads = tuple(f"mlp.{name}" for name in ("gate_proj", "up_proj", "gate_up_proj") if f"mlp.{name}" in parts)
    return [("post_attention_layernorm", reads), *_ups(parts)] if reads else None


def _reads(part: str) -> bool:
    return part.endswith(("gate_proj", "up_proj", "shared_expert_gate"))


def _ups(parts: frozenset[str]) -> list[Pair]:
    """Up-projections: what they give goes, gated, into the down-projection beside them."""
    found = []
    for part in sorted(parts):
        block, _, last = part.rpartition(".")
        below = f"{block}.{'w2' if last == 'w3' else 'down_proj'}"
        if last in ("up_proj", "gate_up_proj", "w3") and below in parts:
            found.append((part, (below,)))
    return found
