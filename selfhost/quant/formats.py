"""Formats of weights: what a checkpoint declares, and how many bytes a linear layer takes.

Byte formulas: vLLM 0.32, model_executor/layers/quantization/ and kernels/linear/.
"""

from __future__ import annotations

import math
import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from selfhost.quant import ascend
from selfhost.quant.ignored import LeftOut, left_out
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.hardware.types import Device


class Format(StrEnum):
    """How the weights of a linear layer are stored."""

    FP8_BLOCK = "fp8-block"
    FP8_CHANNEL = "fp8-channel"
    FP8_TENSOR = "fp8-tensor"
    INT8_CHANNEL = "w8a8-int8"
    INT8_TENSOR = "w8a8-int8-tensor"
    INT8_BNB = "bnb-int8"
    INT_GROUP = "int-group"
    """4 or 8 bit integers with a scale per group: AWQ, GPTQ, compressed-tensors W4A16 and W4A8."""
    W4A8_FP8 = "w4a8-fp8"
    """4 bit integers for FP8 activations."""
    NF4 = "nf4"
    MXFP4 = "mxfp4"
    MXFP8 = "mxfp8"
    NVFP4 = "nvfp4"


ONLINE = "online"
"""The method of what is quantized while loading."""
PER_ROW = (Format.FP8_CHANNEL, Format.INT8_CHANNEL, Format.INT8_BNB)
"""With a float32 scale for each output."""
PER_TENSOR = (Format.FP8_TENSOR, Format.INT8_TENSOR)
"""With one for each matrix."""
SCALE_GROUPS = {Format.NVFP4: 16, Format.MXFP4: 32, Format.MXFP8: 32}
"""Inputs that share a scale of one byte."""


class Activations(StrEnum):
    """What activations are turned into before they are multiplied."""

    PLAIN = "plain"
    """Nothing: weights alone are quantized."""
    DYNAMIC = "dynamic"
    STATIC = "static"
    """By a scale that the checkpoint brings."""
    ASYMMETRIC = "asymmetric"
    """With a zero point."""


class Group(NamedTuple):
    """Modules of one format, where a checkpoint mixes several."""

    targets: tuple[str, ...]
    """Names of modules, and patterns that begin with `re:`."""
    format: Quantization | None
    """None: the model's dtype."""

    def takes(self, name: str) -> bool:
        """Whether a module, by its name, is one of them."""
        return name in self.targets or any(pattern.match(name) for pattern in _patterns(self.targets))


@lru_cache(maxsize=64)
def _patterns(targets: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(target.removeprefix("re:")) for target in targets if target.startswith("re:"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantization:
    """The quantization of a checkpoint, from its `quantization_config`."""

    method: str
    """As the checkpoint spells it: `fp8`, `awq`, `gptq`, `compressed-tensors`, `modelopt`, `bitsandbytes`."""
    format: Format
    bits: int
    group_size: int | None = None
    """Inputs that share one scale; None: a whole channel."""
    block: tuple[int, int] | None = None
    """Rows and columns that share one scale (FP8 block)."""
    zero_points: bool = False
    activations: Activations = Activations.DYNAMIC
    ignored: tuple[str, ...] = ()
    """Modules that stay in the model's dtype, and patterns of them, which begin with `re:`."""
    scale_itemsize: int = 4
    """Bytes of a scale of an FP8 block: 1 where it is a power of two (ue8m0) and kept as one."""
    head: bool = False
    """Whether the head is quantized too."""
    act_order: bool = False
    """Whether groups are formed of inputs in another order (GPTQ `desc_act`, `actorder` of compressed-tensors)."""
    groups: tuple[Group, ...] = ()
    """Modules in other formats, in the order in which they are looked up; this format is that of the rest."""
    experts: Quantization | None = None
    """The format of the routed experts, when it is another one."""
    experts_only: bool = False
    """Whether nothing but the routed experts is quantized."""
    only_groups: bool = False
    """Whether what is in no group is not quantized."""
    types: ascend.Types = ()
    """For weights as vllm-ascend keeps them: patterns of modules with their types, the first that matches decides."""

    @property
    def is_fp8(self) -> bool:
        """Whether the weights are FP8."""
        return self.format in (Format.FP8_BLOCK, Format.FP8_CHANNEL, Format.FP8_TENSOR)

    @property
    def is_online(self) -> bool:
        """Whether the engine makes it of plain weights while it loads them (`quant.online`)."""
        return self.method == ONLINE

    @property
    def left_out(self) -> LeftOut:
        """Tells which modules are not quantized, by their names in the engine.

        Embeddings, norms and gates that the engine never quantizes are not asked about.
        """
        return ascend.LeftFloat(self.types) if self.types else left_out(self.method, self.ignored)

    @property
    def expert_multiples(self) -> tuple[int, int]:
        """What an expert's width on a rank and its hidden size are rounded up to.

        MXFP4: 128 and 256, by whatever kernel (layers/fused_moe/oracle/mxfp4.py
        `mxfp4_round_up_hidden_size_and_intermediate_size`, utils/humming/moe.py).
        """
        return (128, 256) if self.format is Format.MXFP4 else (1, 1)

    @property
    def files_decide(self) -> bool:
        """Whether the engine goes by what is quantized in the files, beside what the config says.

        Source: vLLM 0.32 layers/quantization/auto_gptq.py and auto_awq.py `maybe_update_config`.
        """
        return self.method == "gptq" or (self.method == "awq" and not self.ignored)

    @property
    def names_layers(self) -> bool:
        """Whether modules are named by the number of their layer, so that layers differ."""
        named = (*self.ignored, *(target for group in self.groups for target in group.targets))
        return any(_NUMBER.search(pattern) for pattern in named) or ascend.names_layers(self.types)

    def of(self, module: str, shards: tuple[str, ...] = ()) -> Quantization | None:
        """The format of a module of the engine that is not left out; None: the model's dtype.

        shards: names of the matrices that are merged into it. A group takes a module by its name, or by those of all
        its shards (compressed_tensors/utils.py `find_matched_target`, utils/gptq_utils.py `get_dynamic_override`).
        """
        for group in self.groups:
            if group.takes(module) or (shards and all(group.takes(shard) for shard in shards)):
                return group.format
        return None if self.only_groups else self

    def of_head(self, prefix: str = "") -> Quantization | None:
        """The format of the head, whose module is called `lm_head` after `prefix`; None: the model's dtype."""
        name = f"{prefix}lm_head"
        if self.left_out(name):
            return None
        named = [group.format for group in self.groups if group.takes(name)]
        return named[0] if named else self if self.head else None

    def linear_tensors(
        self, rows: int, columns: int, *, parts: int = 1, expert: bool = False, module: str = ""
    ) -> dict[str, int]:
        """Bytes of the tensors of one linear layer on a rank: `rows` outputs, `columns` inputs; by kind of tensor.

        parts: matrices that were merged into one (gate and up: 2); each has a scale of its own with FP8 per tensor.
        module: name in the checkpoint, where types differ by module (`*` for the number of the layer). Symmetric GPTQ
        loses its zero points after loading, but experts keep them (layers/quantization/auto_gptq.py,
        kernels/linear/mixed_precision/marlin.py).
        Check: DeepSeek-V3 o_proj at TP8, FP8 block, 7168 x 2048 -> 14_680_064 and 4 * 56 * 16 = 3_584 of scales.
        """
        if self.types:
            return ascend.linear_tensors(self.types, module, rows, columns, self.group_size)
        return self._linear_tensors(rows, columns, parts, expert=expert)

    def _linear_tensors(self, rows: int, columns: int, parts: int, *, expert: bool) -> dict[str, int]:
        weights, format_ = rows * columns * self.bits // 8, self.format
        if format_ is Format.FP8_BLOCK:
            height, width = self.block or (128, 128)
            scales = self.scale_itemsize * math.ceil(rows / height) * math.ceil(columns / width)
            return {"weight": weights, "weight_scale": scales}
        if format_ in PER_ROW:
            return {"weight": weights, "weight_scale": 4 * rows}
        if format_ in PER_TENSOR:
            return {"weight": weights, "weight_scale": 4 * parts}
        if format_ in SCALE_GROUPS:
            return {"weight": weights, "weight_scale": rows * math.ceil(columns / SCALE_GROUPS[format_])}
        if format_ is Format.NF4:
            # Double quantization is expanded to one float32 per 64 weights on loading (vllm-bnb-plugin).
            return {"weight": weights, "absmax": 4 * math.ceil(rows * columns / 64)}
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
        if self.format is Format.NF4:
            # Scales of 64 weights are quantized themselves: a byte each, and a float32 per 256 of them.
            return rows * columns // 2 + math.ceil(rows * columns / 64) + 4 * math.ceil(rows * columns / (64 * 256))
        total = sum(self.linear_tensors(rows, columns).values())
        if self.format in PER_ROW and self.format is not Format.INT8_BNB:
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
