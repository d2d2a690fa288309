"""Quantization: what a checkpoint declares, how many bytes a linear layer takes, and which devices run it.

Byte formulas and minimum capabilities: vLLM 0.32, model_executor/layers/quantization/ and kernels/linear/.
"""

from __future__ import annotations

import difflib
import fnmatch
import math
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from selfhost.errors import NoError, UsageError
from selfhost.hardware.types import Platform
from selfhost.messages import Message
from selfhost.quant import ascend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.hardware.types import Device


class Format(StrEnum):
    """How the weights of a linear layer are stored."""

    FP8_BLOCK = "fp8-block"
    FP8_CHANNEL = "fp8-channel"
    FP8_TENSOR = "fp8-tensor"
    INT8_CHANNEL = "w8a8-int8"
    INT_GROUP = "int-group"
    """4 or 8 bit integers with a scale per group: AWQ, GPTQ, compressed-tensors W4A16."""
    NF4 = "nf4"
    MXFP4 = "mxfp4"
    """4-bit floats with a power of two per 32 inputs: the experts of DeepSeek-V4."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantization:
    """The quantization of a checkpoint, from its `quantization_config`."""

    method: str
    """As the checkpoint spells it: `fp8`, `awq`, `gptq`, `compressed-tensors`, `bitsandbytes`."""
    format: Format
    bits: int
    group_size: int | None = None
    """Inputs that share one scale; None: a whole channel."""
    block: tuple[int, int] | None = None
    """Rows and columns that share one scale (FP8 block)."""
    zero_points: bool = False
    ignored: tuple[str, ...] = ()
    """Modules that stay in the model's dtype, as the checkpoint names them."""
    expanded_scales: bool = False
    """Whether FP8 scales are laid out per output, as the weight-only kernels take them: see `expanded`."""
    scale_itemsize: int = 4
    """Bytes of a scale of an FP8 block: 1 where it is a power of two (ue8m0) and kept as one."""
    packed_scales: bool = False
    """Whether there is such a scale for every output, four in a word: see `loaded`."""
    experts: Quantization | None = None
    """The format of the routed experts, when it is another one."""
    experts_only: bool = False
    """Whether the engine has nothing but the routed experts in it, whatever the section says."""
    types: ascend.Types = ()
    """For weights as vllm-ascend keeps them: patterns of modules with their types, the first that matches decides."""

    @property
    def is_fp8(self) -> bool:
        """Whether the weights are FP8."""
        return self.format in (Format.FP8_BLOCK, Format.FP8_CHANNEL, Format.FP8_TENSOR)

    @property
    def expert_multiples(self) -> tuple[int, int]:
        """What an expert's width on a rank and its hidden size are rounded up to.

        MXFP4: 128 and 256, by whatever kernel (layers/fused_moe/oracle/mxfp4.py
        `mxfp4_round_up_hidden_size_and_intermediate_size`, utils/humming/moe.py).
        """
        return (128, 256) if self.format is Format.MXFP4 else (1, 1)

    def applies_to(self, module: str) -> bool:
        """Whether a module, by its name in the checkpoint, is quantized.

        `lm_head`, embeddings, norms and router gates never are.
        """
        if self.types and ascend.type_of(self.types, module) == ascend.FLOAT:
            return False
        names, patterns = _split(self.ignored)
        steps = module.split(".")
        ends = (".".join(steps[start:]) for start in range(len(steps)))
        if not names.isdisjoint(steps) or any(end in names for end in ends):
            return False
        return not any(pattern.match(module) for pattern in patterns)

    @property
    def names_layers(self) -> bool:
        """Whether modules are left out by the number of their layer, so that layers differ."""
        return any(_NUMBER.search(pattern) for pattern in self.ignored) or ascend.names_layers(self.types)

    def linear_tensors(  # noqa: PLR0913
        self,
        rows: int,
        columns: int,
        *,
        parts: int = 1,
        expert: bool = False,
        block: tuple[int, int] | None = None,
        module: str = "",
    ) -> dict[str, int]:
        """Bytes of the tensors of one linear layer on a rank: `rows` outputs, `columns` inputs; by kind of tensor.

        parts: matrices that were merged into one (gate and up: 2); each has a scale of its own with FP8 per tensor.
        block: of the scales, when the engine refined it. module: name in the checkpoint, where types differ by module
        (`*` for the number of the layer). Symmetric GPTQ loses its zero points after loading, but
        experts keep them (layers/quantization/auto_gptq.py, kernels/linear/mixed_precision/marlin.py).
        Check: DeepSeek-V3 o_proj at TP8, FP8 block, 7168 x 2048 -> 14_680_064 and 4 * 56 * 16 = 3_584 of scales.
        """
        if self.types:
            return ascend.linear_tensors(self.types, module, rows, columns, self.group_size)
        return self._linear_tensors(rows, columns, parts, block, expert=expert)

    def _linear_tensors(
        self, rows: int, columns: int, parts: int, block: tuple[int, int] | None, *, expert: bool
    ) -> dict[str, int]:
        weights = rows * columns * self.bits // 8
        if self.format is Format.FP8_BLOCK:
            height, width = block or self.block or (128, 128)
            across = math.ceil(columns / width)
            scales = self.scale_itemsize * math.ceil(rows / height) * across
            if self.expanded_scales:
                scales = 2 * rows * across
            if self.packed_scales:
                scales = 4 * rows * math.ceil(across / 4)
            return {"weight": weights, "weight_scale": scales}
        if self.is_fp8 and self.expanded_scales:
            return {"weight": weights, "weight_scale": 2 * rows}
        if self.format in (Format.FP8_CHANNEL, Format.INT8_CHANNEL):
            return {"weight": weights, "weight_scale": 4 * rows}
        if self.format is Format.FP8_TENSOR:
            return {"weight": weights, "weight_scale": 4 * parts}
        if self.format in (Format.NF4, Format.MXFP4):
            # NF4: double quantization is expanded to one float32 per 64 weights on loading (vllm-bnb-plugin).
            nf4 = self.format is Format.NF4
            scales = 4 * math.ceil(rows * columns / 64) if nf4 else rows * (columns // 32)
            return {"weight": weights, "absmax" if nf4 else "weight_scale": scales}
        groups = columns // (self.group_size or columns)
        kept = self.zero_points or (expert and self.method == "gptq")
        zeros = {"qzeros": groups * rows * self.bits // 8} if kept else {}
        return {"qweight": weights, "scales": 2 * groups * rows, **zeros}

    def stored_bytes(self, rows: int, columns: int, dtype_bytes: int, *, module: str = "") -> int:
        """Bytes of one linear layer in the checkpoint, where nothing is merged, dropped or widened.

        Scales of channels are in the model's dtype there; GPTQ has zero points and a group index per input.
        """
        if self.types:
            return ascend.stored_bytes(self.types, module, rows, columns, self.group_size)
        total = sum(self.linear_tensors(rows, columns).values())
        if self.format in (Format.FP8_CHANNEL, Format.INT8_CHANNEL):
            return total + rows * (dtype_bytes - 4)
        if self.method == "gptq":
            zeros = 0 if self.zero_points else columns // (self.group_size or columns) * rows * self.bits // 8
            return total + zeros + 4 * columns
        return total


_NUMBER = re.compile(r"\d")


@lru_cache(maxsize=64)
def _split(ignored: tuple[str, ...]) -> tuple[frozenset[str], tuple[re.Pattern[str], ...]]:
    """Names, which may be many hundreds, and patterns."""
    patterns = tuple(entry for entry in ignored if entry.startswith("re:") or "*" in entry)
    return frozenset(ignored).difference(patterns), tuple(re.compile(_expression(pattern)) for pattern in patterns)


def _expression(pattern: str) -> str:
    return pattern.removeprefix("re:") if pattern.startswith("re:") else fnmatch.translate(pattern)


_MOST_BITS = 16
_METHODS = ("fp8", "awq", "gptq", "compressed-tensors", "bitsandbytes", ascend.METHOD)


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
        return _checked(_with_experts(_READERS[method](section), config))
    except KeyError as missing:
        if missing.args[0] == method and method not in _READERS:
            nearest = difflib.get_close_matches(method, _METHODS, 1) or list(_METHODS)
            raise NoError("arch.quantization_unknown", method=method, nearest=", ".join(nearest)) from None
        raise UsageError("arch.bad_quantization", detail=f"`{method}` lacks `{missing.args[0]}`") from None
    except (TypeError, ValueError, AttributeError, LookupError, OverflowError, StopIteration, re.error) as error:
        raise UsageError("arch.bad_quantization", detail=str(error)[:200] or "a part is empty") from error


def _with_experts(quantization: Quantization, config: Mapping[str, Any]) -> Quantization:
    """DeepSeek-V4 says beside its section what the experts are in: FP4, then all scales are powers of two, or FP8.

    Of Kimi-K3 the engine takes compressed-tensors' MXFP4 for the experts only. Sources: vLLM 0.32
    models/deepseek_v4/quant_config.py; models/config.py `KimiK3ForConditionalGenerationConfig`, quantization/mxfp4.py.
    """
    section = config.get("quantization_config")
    if isinstance(section, dict) and section.get("format") == "mxfp4-pack-quantized":
        if "KimiK3ForConditionalGeneration" not in (config.get("architectures") or ()):
            message = "`mxfp4-pack-quantized` is known of Kimi-K3 only"
            raise ValueError(message)
        return Quantization(
            method="compressed-tensors", format=Format.MXFP4, bits=4, ignored=quantization.ignored, experts_only=True
        )
    kind = config.get("expert_dtype", "fp4")
    if config.get("model_type") != "deepseek_v4" or quantization.format is not Format.FP8_BLOCK or kind == "fp8":
        return quantization
    if kind != "fp4":
        message = f"`expert_dtype` is {kind!r}: fp4 or fp8 is wanted"
        raise ValueError(message)
    experts = Quantization(method=quantization.method, format=Format.MXFP4, bits=4)
    return replace(quantization, scale_itemsize=1, experts=experts)


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
    return tuple(section.get("modules_to_not_convert") or section.get("ignore") or ())


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
    return Quantization(
        method="gptq",
        format=Format.INT_GROUP,
        bits=int(section["bits"]),
        group_size=_group(section["group_size"]),
        zero_points=not section.get("sym", True),
        ignored=_ignored(section),
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


_READERS = {
    "fp8": _fp8,
    "awq": _awq,
    "gptq": _gptq,
    "compressed-tensors": _compressed_tensors,
    "bitsandbytes": _bitsandbytes,
    ascend.METHOD: _modelslim,
}

_MINIMUM: dict[Format, tuple[int, int]] = {
    # FP8 weights run as w8a16 by Marlin below 8.9 (marlin_utils_fp8.py `is_fp8_marlin_supported`); integer groups by
    # Marlin; INT8 activations by CUTLASS.
    Format.FP8_BLOCK: (7, 5),
    Format.FP8_CHANNEL: (7, 5),
    Format.FP8_TENSOR: (7, 5),
    Format.INT8_CHANNEL: (7, 5),
    Format.INT_GROUP: (7, 5),
    Format.NF4: (7, 0),
    Format.MXFP4: (8, 0),
}

_NO_INT8_FROM = (10, 0)
"""CUTLASS has no INT8 from here on (csrc/.../cutlass/c3x/scaled_mm_helper.hpp, vllm-project/vllm#28856)."""
_FP8_IN_HARDWARE = (8, 9)


def is_weight_only(quantization: Quantization | None, device: Device) -> bool:
    """Whether FP8 weights run as w8a16 by Marlin, since the GPU has no FP8 arithmetic."""
    old = device.compute_capability is not None and device.compute_capability < _FP8_IN_HARDWARE
    return quantization is not None and quantization.is_fp8 and old


def expanded(quantization: Quantization) -> Quantization:
    """The format as it lies in the memory of a device without FP8 arithmetic.

    Marlin takes one 16-bit scale per output and block of inputs where the checkpoint has one of 32 bits per square
    block: +1.6 % (vLLM 0.32 layers/quantization/utils/marlin_utils_fp8.py `prepare_fp8_layer_for_marlin`).
    Check: 7168 x 2048 -> 2 * 7168 * 16 = 229_376 bytes of scales instead of 3_584.
    """
    return replace(quantization, expanded_scales=True)


def loaded(quantization: Quantization, device: Device) -> Quantization:
    """The format as it lies in a device's memory once the engine has prepared it for its kernels.

    Scales that are powers of two become float32 on compute capability 9; from 10 on there is one for every output, in a
    byte, four in a word (DeepGEMM `transform_sf_into_required_layout`, utils/fp8_utils.py). Source only, not measured.
    Check: 1536 x 4096 -> 384 bytes of scales in the checkpoint, 1_536 on a H100, 49_152 on a B200.
    """
    if is_weight_only(quantization, device):
        return expanded(quantization)
    capability = device.compute_capability
    if quantization.scale_itemsize > 1 or capability is None or device.platform is not Platform.CUDA:
        return quantization
    return replace(quantization, scale_itemsize=4, packed_scales=capability[0] >= _PACKED_FROM)


_PACKED_FROM = 10


def runs_on(quantization: Quantization | None, device: Device) -> tuple[bool, Message | None]:
    """Whether the engine has kernels for a format on a device; if not, the reason.

    An unknown compute capability counts as able: the device was assumed by the user.
    """
    if quantization is not None and quantization.method == ascend.METHOD and device.platform is not Platform.ASCEND:
        return False, Message("arch.format_only_ascend", {"device": device.name})
    reason = None if quantization is None else _refusal(quantization, device)
    return reason is None, reason


def _refusal(quantization: Quantization, device: Device) -> Message | None:
    name = quantization.format.value
    if device.platform is Platform.CPU:
        return Message("arch.format_cpu", {"format": name}) if quantization.is_fp8 else None
    if device.platform is Platform.ASCEND:
        foreign = quantization.is_fp8 or quantization.method in ("awq", "gptq", "bitsandbytes")
        return Message("arch.format_ascend", {"format": name, "device": device.name}) if foreign else None
    found, wanted = device.compute_capability, _MINIMUM[quantization.format]
    if found is None:
        return None
    if quantization.format is Format.INT8_CHANNEL and quantization.method != "bitsandbytes" and found >= _NO_INT8_FROM:
        return Message("arch.format_int8", {"format": name, "device": device.name, "found": "{}.{}".format(*found)})
    if found >= wanted:
        return None
    versions = {"found": "{}.{}".format(*found), "wanted": "{}.{}".format(*wanted)}
    return Message("arch.format_capability", {"format": name, "device": device.name, **versions})
