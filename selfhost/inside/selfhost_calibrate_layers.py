"""Which layers a calibrated scheme takes: a group size that divides, which norms feed which layers.

Names and shapes in, patterns out; no torch. Patterns are those of compressed-tensors: `re:` and an expression that is
tried from the beginning of a name.

llm-compressor's own pairs are not taken for models with routed experts: where the first layers are dense they collapse
into one set (`match_modules_set`), and where the router is left out of a pair it would read scaled inputs and choose
other experts. Read in llm-compressor 0.14: modifiers/transform/awq/mappings.py, smoothquant/utils.py beside it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost_quantize_config import model_types
from selfhost_quantize_events import Refused
from selfhost_quantize_names import choose as entries_chosen
from selfhost_quantize_names import entries_of, pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Pair = tuple[str, tuple[str, ...]]
"""A pattern of what is scaled, and patterns of the layers that read it."""

GROUP_SIZES = (128, 64, 32)
"""What engines have kernels for, best known first (vLLM 0.32 marlin_utils.py: -1, 32, 64, 128)."""
_SHOWN = 3
_TOWER = re.compile(r"(^|[.])(visual|vision_|audio_)")
_LAYER = re.compile(r"^(.*[.]layers[.])(\d+)[.](.+)$")
_MLA = r"re:.*[.]self_attn[.](q_a_proj|kv_a_proj_with_mqa|kv_b_proj)$"
"""The engine multiplies `kv_b_proj` into others when it loads (MLAAttention.process_weights_after_loading), so that few
bits save nothing; and all three are the narrow part that everything cached goes through."""


class Choice(NamedTuple):
    """What is quantized, and patterns of what is not."""

    layers: dict[str, tuple[int, ...]]
    """Name -> shape."""
    plain: tuple[str, ...]


def choose(config: dict[str, Any], shapes: Mapping[str, tuple[int, ...]], more: Iterable[str]) -> Choice:
    """The linear layers of a checkpoint, less what stays in the model's dtype: by the list of the data-free schemes,
    and the narrow parts of MLA. Layers after the last one are those of multi-token prediction: nothing calibrates them.

    shapes: of all tensors. Raises Refused where nothing is left.
    """
    text = config.get("text_config") or config
    extra = [_MLA] if text.get("kv_lora_rank") else []
    depth = int(text.get("num_hidden_layers") or 0)
    extra += [
        rf"re:.*[.]layers[.]{depth + number}([.].*)?$"
        for number in range(int(text.get("num_nextn_predict_layers") or 0))
    ]
    entries = entries_of(model_types(config), (*more, *extra))
    stacks = {name for name, shape in shapes.items() if len(shape) == 3 and ".experts." in name}  # noqa: PLR2004
    matrices = {name for name, shape in shapes.items() if len(shape) == 2 and name.endswith(".weight")}  # noqa: PLR2004
    names = {name.removesuffix(".weight"): shapes[name] for name in matrices | stacks}
    choice = entries_chosen(names, entries)
    if not choice.quantized:
        raise Refused("quantize.unsupported", detail="it has no linear layers that the scheme takes")
    plain = tuple(f"re:{pattern(entry)}" for entry in choice.entries)
    return Choice({name: names[name] for name in sorted(choice.quantized)}, plain)


def is_plain(name: str, patterns: Iterable[str]) -> bool:
    """Whether a module's name begins with a pattern of the list."""
    return any(re.match(pattern.removeprefix("re:"), name) for pattern in patterns)


def group_size(layers: Mapping[str, tuple[int, ...]], wanted: int | None) -> int:
    """Columns that share a scale: what was asked for, or the largest size that divides every layer.

    Raises Refused with the layers that the size does not divide. Check: 576 and 1536 columns -> 64.
    """
    columns = {name: shape[-1] for name, shape in layers.items()}
    fitting = [size for size in GROUP_SIZES if all(count % size == 0 for count in columns.values())]
    if wanted is None and fitting:
        return fitting[0]
    size = wanted or GROUP_SIZES[-1]
    left = {name: count for name, count in columns.items() if count % size}
    if left:
        named = ", ".join(f"{name} ({count} inputs)" for name, count in sorted(left.items())[:_SHOWN])
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        sizes = ", ".join(map(str, fitting)) or "none that is known"
        raise Refused("quantize.bad_shape", detail=f"groups of {size} do not divide {named}{more}; what does: {sizes}")
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
        if (found := _LAYER.match(name)) and not _TOWER.search(name):
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


def _any_quantized(tails: tuple[str, ...], layer: int, plain: tuple[str, ...]) -> bool:
    return any(not is_plain(f"model.layers.{layer}.{tail}", plain) for tail in tails)


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
