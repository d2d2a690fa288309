"""From the `quantization_config` of a checkpoint to its format; one reader for each method."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from selfhost.errors import NoError, UsageError
from selfhost.quant.formats import Format, Quantization

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_BITS = 16
_METHODS = ("fp8", "awq", "gptq", "compressed-tensors", "bitsandbytes")


def quantization_from_config(config: Mapping[str, Any]) -> Quantization | None:
    """The `quantization_config` (or `compression_config`) of a model's config; None when there is none.

    Raises NoError for a method that is not known, UsageError for a malformed section.
    """
    section = config.get("quantization_config") or config.get("compression_config")
    if not section:
        return None
    if not isinstance(section, dict) or not isinstance(section.get("quant_method"), str):
        raise UsageError("arch.bad_quantization", detail="`quantization_config` has no `quant_method`")
    method: str = section["quant_method"].lower()[:80]
    try:
        return _checked(_READERS[method](section))
    except KeyError as missing:
        if missing.args[0] == method and method not in _READERS:
            nearest = difflib.get_close_matches(method, _METHODS, 1) or list(_METHODS)
            raise NoError("arch.quantization_unknown", method=method, nearest=", ".join(nearest)) from None
        raise UsageError("arch.bad_quantization", detail=f"`{method}` lacks `{missing.args[0]}`") from None
    except (TypeError, ValueError, AttributeError, LookupError, OverflowError, StopIteration, re.error) as error:
        raise UsageError("arch.bad_quantization", detail=str(error)[:200] or "a part is empty") from error


def _checked(quantization: Quantization) -> Quantization:
    """The same; raises ValueError for what the byte formulas cannot take, re.error for a pattern that is none."""
    if not 1 <= quantization.bits <= _MOST_BITS:
        message = f"{quantization.bits} bits: 1 to {_MOST_BITS} are wanted"
        raise ValueError(message)
    if quantization.block is not None and min(quantization.block) < 1:
        message = f"block {list(quantization.block)}: two sizes above 0 are wanted"
        raise ValueError(message)
    for pattern in quantization.ignored:
        re.compile(pattern.removeprefix("re:") if pattern.startswith("re:") else "")
    return quantization


def _ignored(section: Mapping[str, Any]) -> tuple[str, ...]:
    keys = ("ignored_layers", "modules_to_not_convert", "ignore")
    return tuple(next((section[key] for key in keys if section.get(key)), ()))


def _fp8(section: Mapping[str, Any]) -> Quantization:
    block = section.get("weight_block_size")
    return Quantization(
        method="fp8",
        format=Format.FP8_BLOCK if block else Format.FP8_TENSOR,
        bits=8,
        block=(int(block[0]), int(block[1])) if block else None,
        ignored=_ignored(section),
    )


def _awq(section: Mapping[str, Any]) -> Quantization:
    return Quantization(
        method="awq",
        format=Format.INT_GROUP,
        bits=int(section["bits"]),
        group_size=_group(section["group_size"]),
        zero_points=bool(section.get("zero_point", True)),
        ignored=_ignored(section),
    )


def _gptq(section: Mapping[str, Any]) -> Quantization:
    # g_idx and the zero points of symmetric GPTQ are dropped after loading (auto_gptq.py, Marlin).
    rules = section.get("dynamic") or {}
    for rule, changes in rules.items():
        if rule.startswith("-:") or not isinstance(changes, dict):
            continue
        if any(section.get(key) != value for key, value in changes.items()):
            message = f"`dynamic` gives modules of `{rule[:80]}` another format; only one is known here"
            raise ValueError(message)
    excluded = tuple(f"re:{rule.removeprefix('-:')}" for rule in rules if rule.startswith("-:"))
    return Quantization(
        method="gptq",
        format=Format.INT_GROUP,
        bits=int(section["bits"]),
        group_size=_group(section["group_size"]),
        zero_points=not section.get("sym", True),
        ignored=excluded,
    )


def _group(value: object) -> int | None:
    size = int(str(value))
    return size if size > 0 else None


def _compressed_tensors(section: Mapping[str, Any]) -> Quantization:
    group = next(iter(section["config_groups"].values()))
    weights = group["weights"]
    strategy = weights.get("strategy", "tensor")
    blocks = weights.get("block_structure") if strategy == "block" else None
    if weights["type"] == "float":
        kind = {"block": Format.FP8_BLOCK, "channel": Format.FP8_CHANNEL}.get(strategy, Format.FP8_TENSOR)
    elif strategy in ("channel", "tensor") and group.get("input_activations"):
        kind = Format.INT8_CHANNEL
    else:
        kind = Format.INT_GROUP
    return Quantization(
        method="compressed-tensors",
        format=kind,
        bits=int(weights["num_bits"]),
        group_size=_group(weights.get("group_size") or -1) if kind is Format.INT_GROUP else None,
        block=(int(blocks[0]), int(blocks[1])) if blocks else None,
        zero_points=kind is Format.INT_GROUP and not weights.get("symmetric", True),
        ignored=_ignored(section),
    )


def _bitsandbytes(section: Mapping[str, Any]) -> Quantization:
    four = bool(section.get("load_in_4bit") or section.get("_load_in_4bit"))
    return Quantization(
        method="bitsandbytes",
        format=Format.NF4 if four else Format.INT8_CHANNEL,
        bits=4 if four else 8,
        ignored=_ignored({**section, "ignore": section.get("llm_int8_skip_modules")}),
    )


_READERS = {
    "fp8": _fp8,
    "awq": _awq,
    "gptq": _gptq,
    "compressed-tensors": _compressed_tensors,
    "bitsandbytes": _bitsandbytes,
}
