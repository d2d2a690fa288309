"""Formats of weights: what a checkpoint declares, and how many bytes a linear layer takes.

Byte formulas: vLLM 0.32, model_executor/layers/quantization/ and kernels/linear/.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.quant.ignored import LeftOut, left_out

if TYPE_CHECKING:
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
    """Modules that stay in the model's dtype, and patterns of them, which begin with `re:`."""
    expanded_scales: bool = False
    """Whether FP8 scales are laid out per output, as the weight-only kernels take them: see `expanded`."""

    @property
    def is_fp8(self) -> bool:
        """Whether the weights are FP8."""
        return self.format in (Format.FP8_BLOCK, Format.FP8_CHANNEL, Format.FP8_TENSOR)

    @property
    def left_out(self) -> LeftOut:
        """Tells which modules are not quantized, by their names in the engine.

        Embeddings, norms and gates that the engine never quantizes are not asked about.
        """
        return left_out(self.method, self.ignored)

    @property
    def files_decide(self) -> bool:
        """Whether the engine goes by what is quantized in the files, beside what the config says.

        Source: vLLM 0.32 layers/quantization/auto_gptq.py and auto_awq.py `maybe_update_config`.
        """
        return self.method == "gptq" or (self.method == "awq" and not self.ignored)

    @property
    def names_layers(self) -> bool:
        """Whether modules are left out by the number of their layer, so that layers differ."""
        return any(_NUMBER.search(pattern) for pattern in self.ignored)

    def linear_tensors(
        self, rows: int, columns: int, *, parts: int = 1, expert: bool = False, block: tuple[int, int] | None = None
    ) -> dict[str, int]:
        """Bytes of the tensors of one linear layer on a rank: `rows` outputs, `columns` inputs; by kind of tensor.

        parts: matrices that were merged into one (gate and up: 2); each has a scale of its own with FP8 per tensor.
        block: of the scales, when the engine refined it. Symmetric GPTQ loses its zero points after loading, but
        experts keep them (layers/quantization/auto_gptq.py, kernels/linear/mixed_precision/marlin.py).
        Check: DeepSeek-V3 o_proj at TP8, FP8 block, 7168 x 2048 -> 14_680_064 and 4 * 56 * 16 = 3_584 of scales.
        """
        weights = rows * columns * self.bits // 8
        if self.format is Format.FP8_BLOCK:
            height, width = block or self.block or (128, 128)
            scales = 4 * math.ceil(rows / height) * math.ceil(columns / width)
            if self.expanded_scales:
                scales = 2 * rows * math.ceil(columns / width)
            return {"weight": weights, "weight_scale": scales}
        if self.is_fp8 and self.expanded_scales:
            return {"weight": weights, "weight_scale": 2 * rows}
        if self.format in (Format.FP8_CHANNEL, Format.INT8_CHANNEL):
            return {"weight": weights, "weight_scale": 4 * rows}
        if self.format is Format.FP8_TENSOR:
            return {"weight": weights, "weight_scale": 4 * parts}
        if self.format is Format.NF4:
            # Double quantization is expanded to one float32 per 64 weights on loading (vllm-bnb-plugin).
            return {"weight": weights, "absmax": 4 * math.ceil(rows * columns / 64)}
        groups = columns // (self.group_size or columns)
        kept = self.zero_points or (expert and self.method == "gptq")
        zeros = {"qzeros": groups * rows * self.bits // 8} if kept else {}
        return {"qweight": weights, "scales": 2 * groups * rows, **zeros}

    def stored_bytes(self, rows: int, columns: int, dtype_bytes: int) -> int:
        """Bytes of one linear layer in the checkpoint, where nothing is merged, dropped or widened.

        Scales of channels are in the model's dtype there; GPTQ has zero points and a group index per input.
        """
        total = sum(self.linear_tensors(rows, columns).values())
        if self.format in (Format.FP8_CHANNEL, Format.INT8_CHANNEL):
            return total + rows * (dtype_bytes - 4)
        if self.method == "gptq":
            zeros = 0 if self.zero_points else columns // (self.group_size or columns) * rows * self.bits // 8
            return total + zeros + 4 * columns
        return total


_NUMBER = re.compile(r"\d")


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
