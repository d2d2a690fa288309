"""Weights made by msModelSlim for Ascend: which module has which type, and the bytes vllm-ascend keeps of each.

A checkpoint lists every tensor with its type in `quant_model_description.json`. Here a type is given to patterns of
modules, the first that matches decides: in a recipe as

    [variant.quantization_config]
    quant_method = "ascend"

    [variant.quantization_config.types]
    "*.kv_b_proj" = "FLOAT"
    "*.self_attn.*" = "W8A8"
    "*.mlp.*" = "W8A8_DYNAMIC"

and from a description by `condensed`. Byte formulas: vllm-ascend 0.23.0, quantization/methods/, after loading. Int8
matrices are cast to the NZ format (utils.py `maybe_trans_nz`), whose fractals of 16 x 32 they are padded to. Not
covered: 310P, where scales are wider (+4 bytes per output), and the types for Ascend 950 only.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter, defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from selfhost.quant.ignored import LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

METHOD = "ascend"
DESCRIPTION = "quant_model_description.json"
"""Lies beside config.json: names of tensors with their types, and a few settings."""
FLOAT = "FLOAT"
BITS = {"W8A8": 8, "W8A8_DYNAMIC": 8, "W8A8_MIX": 8, "W8A16": 8, "W4A8_DYNAMIC": 4, "W4A16": 4}
"""Types that are known here, and the bits of their weights."""

Types = tuple[tuple[str, str], ...]

_LAYER = re.compile(r"^(.*?\.layers\.)(\d+)\.(.*)$")
_EXPERT = re.compile(r"\.experts\.\d+\.")
_FRACTAL = (16, 32)
_PARAM_BYTES = 2
"""Scales and offsets are in the model's dtype, which is 16 bits wide."""


def read_types(section: Mapping[str, Any]) -> Types:
    """Patterns with their types, in order. Raises KeyError when there are none, ValueError for an unknown type."""
    types = tuple((str(pattern), str(kind)) for pattern, kind in section["types"].items())
    for pattern, kind in types:
        if kind not in (FLOAT, *BITS):
            message = f"type `{kind}` of `{pattern}` is not known; known: {', '.join((FLOAT, *BITS))}"
            raise ValueError(message)
    if all(kind == FLOAT for _, kind in types):
        message = "`types` leaves everything as it is"
        raise ValueError(message)
    return types


def renamed(types: Types, renames: Iterable[tuple[str, str]]) -> Types:
    """Types with parts of their names replaced, in order.

    Check: `*.block_sparse_moe.experts.*.w1` -> `*.mlp.experts.*.w1` with (("block_sparse_moe.", "mlp."),).
    """
    for old, new in renames:
        types = tuple((name.replace(old, new), kind) for name, kind in types)
    return types


def least_bits(types: Types) -> int:
    """Bits of the narrowest weights."""
    return min(BITS[kind] for _, kind in types if kind != FLOAT)


def has_static(types: Types) -> bool:
    """Whether some activations are quantized by one scale that was measured beforehand."""
    return any(kind in ("W8A8", "W8A8_MIX") for _, kind in types)


def names_layers(types: Types) -> bool:
    """Whether layers differ."""
    return any(_LAYER.match(pattern) for pattern, _ in types)


@lru_cache(maxsize=64)
def _compiled(types: Types) -> tuple[dict[str, str], tuple[tuple[re.Pattern[str], str], ...]]:
    """Whole names, and patterns."""
    names = {pattern: kind for pattern, kind in reversed(types) if "*" not in pattern}
    return names, tuple((re.compile(fnmatch.translate(p)), kind) for p, kind in types if "*" in p)


def type_of(types: Types, module: str) -> str:
    """The type of a module by its name in the checkpoint; what nothing matches is not quantized.

    Whole names come before patterns. Check: with the three patterns above `model.layers.3.self_attn.kv_b_proj` ->
    `FLOAT`, `model.layers.3.mlp.experts.7.up_proj` -> `W8A8_DYNAMIC`.
    """
    names, patterns = _compiled(types)
    if module in names:
        return names[module]
    return next((kind for pattern, kind in patterns if pattern.match(module)), FLOAT)


class LeftFloat(LeftOut):
    """What stays as it is: matrices of type FLOAT, and what has one among those that are merged into it."""

    def __init__(self, types: Types) -> None:
        super().__init__(())
        self.types = types

    def __call__(self, module: str, shards: tuple[str, ...] = ()) -> bool:
        """Whether a module, or one of the matrices merged into it, is of that type."""
        return any(self.one(name) for name in shards or (module,))

    def one(self, name: str) -> bool:
        """Whether a matrix is."""
        return type_of(self.types, name) == FLOAT


def condensed(description: Mapping[str, Any]) -> dict[str, Any]:
    """A `quant_model_description.json` as the section above: one pattern for what is the same in all layers.

    Where layers differ, the odd ones come as whole names before the pattern of the others.
    """
    stems: dict[str, dict[str, str]] = defaultdict(dict)
    for tensor, kind in description.items():
        if not tensor.endswith(".weight") or not isinstance(kind, str) or "norm" in tensor.rsplit(".", 2)[-2]:
            continue
        module = tensor.removesuffix(".weight")
        layer = _LAYER.match(module)
        stem = f"{layer[1]}*.{layer[3]}" if layer else module
        stems[_EXPERT.sub(".experts.*.", stem)][module] = kind
    whole: dict[str, str] = {}
    patterns: dict[str, str] = {}
    for stem, modules in stems.items():
        counts = Counter(kind for kind in modules.values() if kind != FLOAT)
        common = counts.most_common(1)[0][0] if counts else FLOAT
        patterns[stem] = common
        whole |= {module: kind for module, kind in modules.items() if kind != common}
    group = {"group_size": description["group_size"]} if "group_size" in description else {}
    return {"quant_method": METHOD, **group, "types": {**whole, **patterns}}


def linear_tensors(types: Types, module: str, rows: int, columns: int, group_size: int | None) -> dict[str, int]:
    """Bytes of the tensors kept of one linear layer, or of one expert's matrix: `rows` outputs, `columns` inputs.

    module: its name in the checkpoint; those of experts are kept differently.
    Check: DeepSeek-V3 o_proj at TP4, W8A8, 7168 x 4096 -> 29_360_128, 86_016 per output and 24_579 per input.
    """
    kind = type_of(types, module)
    if kind == FLOAT:
        return {"weight": rows * columns * _PARAM_BYTES}
    expert = module.rpartition(".")[2] if ".experts." in module else ""
    groups = columns // group_size if group_size else 1
    if kind == "W4A16":
        return {"weight": rows * columns // 2, **_scales(rows * groups, _PARAM_BYTES, _PARAM_BYTES)}
    if kind == "W4A8_DYNAMIC":
        return _four_bits(rows, columns, groups if group_size else 0, expert=bool(expert))
    found = {"weight": _padded(columns, _FRACTAL[0]) * _padded(rows, _FRACTAL[1])}
    found |= _scales(rows, _PARAM_BYTES, _PARAM_BYTES)
    # The second matrix of experts takes its scale as it is.
    if kind in ("W8A8_DYNAMIC", "W8A8_MIX") and expert not in ("down_proj", "w2"):
        found["weight_scale_fp32"] = 4 * rows
    if expert:
        return found | ({"deq_scale": 4 * rows, "input_offset": 1} if kind == "W8A8_MIX" else {})
    return found | (_static(rows, columns) if kind in ("W8A8", "W8A8_MIX") else {})


def _static(rows: int, columns: int) -> dict[str, int]:
    """What a scale measured beforehand adds: it and its offset once per input, three vectors in all."""
    vectors = ("aclnn_input_scale", "aclnn_input_scale_reciprocal", "aclnn_input_offset")
    return {
        "quant_bias": 4 * rows,
        "deq_scale": 4 * rows,
        "input_scale": _PARAM_BYTES,
        "input_offset": 1,
        **dict.fromkeys(vectors, _PARAM_BYTES * columns),
    }


def _four_bits(rows: int, columns: int, groups: int, *, expert: bool) -> dict[str, int]:
    """W4A8: scales of experts become 64 bits wide; `groups` is 0 for one scale per output."""
    weight = {"weight": rows * columns // 2, "scale_bias": 4 * rows}
    if expert:
        return {**weight, **_scales(1, 8 * rows * max(1, groups), 4 * rows)}
    second = {"weight_scale_second": 4 * rows * groups, "weight_offset_second": _PARAM_BYTES * rows * groups}
    return {**weight, **_scales(rows, 4, _PARAM_BYTES), **second}


def _scales(count: int, scale_bytes: int, offset_bytes: int) -> dict[str, int]:
    return {"weight_scale": count * scale_bytes, "weight_offset": count * offset_bytes}


def _padded(size: int, to: int) -> int:
    return -(-size // to) * to


def stored_bytes(types: Types, module: str, rows: int, columns: int, group_size: int | None) -> int:
    """Bytes of one linear layer in the checkpoint: weights, and two numbers of 32 bits per output, or per group.

    Check: 1024 x 512, W8A8 -> 524_288 + 8_192.
    """
    kind = type_of(types, module)
    if kind == FLOAT:
        return rows * columns * _PARAM_BYTES
    groups = columns // group_size if group_size and BITS[kind] == 4 else 1  # noqa: PLR2004
    return rows * columns * BITS[kind] // 8 + 8 * rows * groups
