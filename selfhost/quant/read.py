"""From the `quantization_config` of a checkpoint to its format; one reader for each method."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost.errors import NoError, UsageError
from selfhost.quant import ascend, compressed
from selfhost.quant.formats import Activations, Format, Group, Quantization

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MOST_BITS = 16
_UNSIZED = (
    "auto-round",
    "experts_int8",
    "fbgemm_fp8",
    "fp_quant",
    "gpt_oss_mxfp4",
    "humming",
    "inc",
    "modelopt_mixed",
    "moe_wna16",
    "mxfp4",
    "quark",
    "torchao",
)
"""Methods that vLLM 0.32 has and selfhost has no sizes for (layers/quantization/__init__.py)."""


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
    if method in _UNSIZED:
        raise NoError("arch.quantization_unsized", method=method)
    try:
        return _checked(_with_experts(_READERS[method](section), config))
    except KeyError as missing:
        if missing.args[0] == method and method not in _READERS:
            nearest = difflib.get_close_matches(method, _READERS, 1) or list(_NAMED)
            raise NoError("arch.quantization_unknown", method=method, nearest=", ".join(nearest)) from None
        raise UsageError("arch.bad_quantization", detail=f"`{method}` lacks `{missing.args[0]}`") from None
    except (TypeError, ValueError, AttributeError, LookupError, OverflowError, StopIteration, re.error) as error:
        raise UsageError("arch.bad_quantization", detail=str(error)[:200] or "a part is empty") from error


def _with_experts(quantization: Quantization | None, config: Mapping[str, Any]) -> Quantization | None:
    """DeepSeek-V4 says beside its section what the experts are in: FP4, then all scales are powers of two, or FP8.

    Of Kimi-K3 the engine takes compressed-tensors' MXFP4 for the experts only. Sources: vLLM 0.32
    models/deepseek_v4/quant_config.py; models/config.py `KimiK3ForConditionalGenerationConfig`, quantization/mxfp4.py.
    """
    if quantization is None:
        return None
    kimi = "KimiK3ForConditionalGeneration" in (config.get("architectures") or ())
    if kimi and quantization.format is Format.MXFP4:
        return replace(quantization, experts_only=True)
    kind = config.get("expert_dtype", "fp4")
    if config.get("model_type") != "deepseek_v4" or quantization.format is not Format.FP8_BLOCK or kind == "fp8":
        return quantization
    if kind != "fp4":
        message = f"`expert_dtype` is {kind!r}: fp4 or fp8 is wanted"
        raise ValueError(message)
    experts = Quantization(method=quantization.method, format=Format.MXFP4, bits=4)
    return replace(quantization, scale_itemsize=1, experts=experts)


def _checked(quantization: Quantization | None) -> Quantization | None:
    """The same; raises ValueError for what the byte formulas cannot take, re.error for a pattern that is none."""
    if quantization is None:
        return None
    for one in (quantization, *(group.format for group in quantization.groups if group.format)):
        if not 1 <= one.bits <= _MOST_BITS:
            message = f"{one.bits} bits: 1 to {_MOST_BITS} are wanted"
            raise ValueError(message)
        if one.block is not None and min(one.block) < 1:
            message = f"block {list(one.block)}: two sizes above 0 are wanted"
            raise ValueError(message)
    targets = (target for group in quantization.groups for target in group.targets)
    for pattern in (*quantization.ignored, *targets):
        re.compile(pattern.removeprefix("re:") if pattern.startswith("re:") else "")
    return quantization


def _ignored(section: Mapping[str, Any]) -> tuple[str, ...]:
    keys = ("ignored_layers", "modules_to_not_convert", "ignore")
    return tuple(next((section[key] for key in keys if section.get(key)), ()))


def _fp8(section: Mapping[str, Any]) -> Quantization:
    block = section.get("weight_block_size")
    static = section.get("activation_scheme") == "static"
    return Quantization(
        method="fp8",
        format=Format.FP8_BLOCK if block else Format.FP8_TENSOR,
        bits=8,
        block=(int(block[0]), int(block[1])) if block else None,
        activations=Activations.STATIC if static else Activations.DYNAMIC,
        ignored=_ignored(section),
    )


def _awq(section: Mapping[str, Any]) -> Quantization:
    return Quantization(
        method="awq",
        format=Format.INT_GROUP,
        bits=int(_first(section, "bits", "w_bit")),
        group_size=_group(_first(section, "group_size", "q_group_size")),
        zero_points=bool(section.get("zero_point", True)),
        activations=Activations.PLAIN,
        ignored=_ignored(section),
        head=bool(section.get("lm_head")),
    )


def _gptq(section: Mapping[str, Any]) -> Quantization:
    # g_idx and the zero points of symmetric GPTQ are dropped after loading (auto_gptq.py, Marlin).
    rules = section.get("dynamic") or {}
    excluded = tuple(f"re:{rule.removeprefix('-:')}" for rule in rules if rule.startswith("-:"))
    base = _gptq_format(section)
    # Of rules that exclude and rules that change the format, the first that matches a module counts.
    groups = tuple(
        Group((_pattern(rule),), None if rule.startswith("-:") else _gptq_format({**section, **changes}))
        for rule, changes in rules.items()
    )
    changing = [group for group in groups if group.format not in (None, base)]
    return replace(base, groups=groups) if changing else replace(base, ignored=excluded)


def _pattern(rule: str) -> str:
    return f"re:{rule[2:] if rule[:2] in ('-:', '+:') else rule}"


def _gptq_format(section: Mapping[str, Any]) -> Quantization:
    return Quantization(
        method="gptq",
        format=Format.INT_GROUP,
        bits=int(section["bits"]),
        group_size=_group(section["group_size"]),
        zero_points=not section.get("sym", True),
        activations=Activations.PLAIN,
        act_order=bool(section.get("desc_act")) and _group(section["group_size"]) is not None,
        head=bool(section.get("lm_head")),
    )


def _first(section: Mapping[str, Any], key: str, alias: str) -> Any:
    return section[alias] if alias in section else section[key]


def _group(value: object) -> int | None:
    size = int(str(value))
    return size if size > 0 else None


def _compressed_tensors(section: Mapping[str, Any]) -> Quantization | None:
    return compressed.read_compressed(section, _ignored(section))


def _modelopt(section: Mapping[str, Any]) -> Quantization:
    """Of `config.json`, or the older form of `hf_quant_config.json` with everything in `quantization`."""
    nested = section.get("quantization")
    inner = nested if isinstance(nested, dict) else section
    # MiniMax tags its files `mxfp8` and says no more (modelopt.py `ModelOptMxFp8Config`).
    algorithm = str(inner.get("quant_algo") or ("MXFP8" if section["quant_method"].lower() == "mxfp8" else "")).upper()
    if algorithm not in _MODELOPT:
        raise NoError("arch.quantization_unsized", method=f"modelopt {algorithm}"[:80])
    form, bits, activations = _MODELOPT[algorithm]
    key = "exclude_modules" if nested else "ignore"
    ignored = tuple(inner.get(key) or section.get("ignored_layers") or ())
    return Quantization(
        method="modelopt",
        format=form,
        bits=bits,
        block=(128, 128) if form is Format.FP8_BLOCK else None,
        activations=activations,
        ignored=ignored,
        head=True,
    )


_MODELOPT: dict[str, tuple[Format, int, Activations]] = {
    "FP8": (Format.FP8_TENSOR, 8, Activations.STATIC),
    "FP8_PER_CHANNEL_PER_TOKEN": (Format.FP8_CHANNEL, 8, Activations.DYNAMIC),
    "FP8_PB_WO": (Format.FP8_BLOCK, 8, Activations.DYNAMIC),
    "NVFP4": (Format.NVFP4, 4, Activations.STATIC),
    "MXFP8": (Format.MXFP8, 8, Activations.DYNAMIC),
}


def _bitsandbytes(section: Mapping[str, Any]) -> Quantization:
    four = bool(section.get("load_in_4bit") or section.get("_load_in_4bit"))
    return Quantization(
        method="bitsandbytes",
        format=Format.NF4 if four else Format.INT8_BNB,
        bits=4 if four else 8,
        activations=Activations.PLAIN,
        ignored=_ignored({**section, "ignore": section.get("llm_int8_skip_modules")}),
    )


def _modelslim(section: Mapping[str, Any]) -> Quantization:
    types = ascend.read_types(section)
    bits = ascend.least_bits(types)
    return Quantization(
        method=ascend.METHOD,
        format=Format.INT8_CHANNEL if bits == 8 else Format.INT_GROUP,  # noqa: PLR2004
        bits=bits,
        group_size=_group(section.get("group_size") or -1),
        types=types,
    )


_NAMED = ("fp8", "awq", "gptq", "compressed-tensors", "modelopt", "bitsandbytes", ascend.METHOD)
_READERS: dict[str, Callable[[Mapping[str, Any]], Quantization | None]] = {
    "fp8": _fp8,
    "awq": _awq,
    "awq_marlin": _awq,
    "auto_awq": _awq,
    "gptq": _gptq,
    "gptq_marlin": _gptq,
    "auto_gptq": _gptq,
    "compressed-tensors": _compressed_tensors,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "modelopt_mxfp8": _modelopt,
    "mxfp8": _modelopt,
    "bitsandbytes": _bitsandbytes,
    ascend.METHOD: _modelslim,
}
