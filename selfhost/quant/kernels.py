"""What vLLM 0.32 makes of the matrices of a model in a GPU's memory: its kernels pad, widen and rearrange them.

Which kernel takes a matrix follows from its format, the compute capability and its size on the rank, in the order of
model_executor/kernels/linear/ and of layers/fused_moe/oracle/. All of it is derived from the source, and held against
the engine's own choice and its own code after loading on six capabilities: see `tests/oracle/meta_loaded.py`.
Not in that oracle: NF4 and INT8 of bitsandbytes, which are read from the plugin's source.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware.types import Platform
from selfhost.quant.formats import SCALE_GROUPS, Activations, Format
from selfhost.units import round_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.hardware.types import Device
    from selfhost.quant.formats import Quantization

Sizes = dict[str, int]
"""Bytes of the tensors of a matrix, by kind."""
Capability = tuple[int, int]

AMPERE = (8, 0)
"""Also stands for what is older."""
ADA = (8, 9)
HOPPER = (9, 0)
BLACKWELL = (10, 0)
CONSUMER_BLACKWELL = (12, 0)

HALF = 2
FLOAT32 = 4
_TILE_ROWS, _TILE_COLUMNS = 256, 128
"""What Humming rounds a matrix up to (utils/humming/linear.py)."""
LOCKS_BYTES = 4 * 1056
"""What Humming keeps for each matrix, or for all experts of a layer."""
_MARLIN = 64
"""Marlin takes rows and columns in multiples of it, one of them of twice as much."""


class Matrix(NamedTuple):
    """A linear layer on a rank, or the matrices of one expert that are merged."""

    rows: int
    """Outputs."""
    columns: int
    """Inputs."""
    parts: int = 1
    """Matrices of the checkpoint that are merged; an expert's first is gate and up, its second is one."""
    bias: bool = False


def linear(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:
    """The tensors of a linear layer after loading, with its bias.

    Checks: 7168 x 2048 in FP8 blocks on an A100 -> 229_376 bytes of scales (2 * 7168 * 16), on a H100 3_584, on a B200
    114_688 (4 * 7168 * 4); 2112 x 7168 in AWQ of groups of 64 on a H100 -> 2304 rows.
    """
    return _LINEAR[quantization.format](quantization, matrix, gpu)


def gpu_of(device: Device) -> Capability | None:
    """The compute capability that stands for all with the same kernels; None where nothing is rearranged here.

    Check: 8.6 -> 8.0; 10.3 -> 10.0.
    """
    found = device.compute_capability
    if found is None or device.platform is not Platform.CUDA:
        return None
    for least in (CONSUMER_BLACKWELL, BLACKWELL, HOPPER, ADA):
        if found >= least:
            return least
    return AMPERE


def _bias(matrix: Matrix, rows: int, count: int = 1) -> Sizes:
    names = ("bias", "zero_bias")[:count] if matrix.bias else ()
    return dict.fromkeys(names, HALF * rows)


# Kernels.


def marlin_size(matrix: Matrix, group: int | None) -> tuple[int, int]:
    """Rows and columns as Marlin has them (quantization/utils/marlin_utils.py `marlin_padded_nk`)."""
    rows, columns, group = matrix.rows, matrix.columns, group or 1
    sizes = (
        (round_up(rows, _MARLIN), round_up(columns, math.lcm(2 * _MARLIN, group))),
        (round_up(rows, 2 * _MARLIN), round_up(columns, math.lcm(_MARLIN, group))),
    )
    return min(sizes, key=lambda size: (size[0] * size[1], sum(size)))


def humming(  # noqa: PLR0913  (what it keeps differs in these)
    matrix: Matrix,
    bits: int,
    group: int | None,
    *,
    scale_bits: int = 16,
    block_rows: int = 1,
    zero_points: bool = False,
    second_scale: bool = False,
    alone: bool = True,
) -> Sizes:
    """Humming: rows and columns in multiples of 256 and 128, locks of its own, and two biases instead of one."""
    rows, columns = round_up(matrix.rows, _TILE_ROWS), round_up(matrix.columns, _TILE_COLUMNS)
    groups = columns // (group or columns)
    sizes = {
        "weight": rows * columns * bits // 8,
        "weight_scale": rows // block_rows * groups * scale_bits // 8,
        **({"zero_point": rows * groups * bits // 8} if zero_points else {}),
        **({"weight_scale_2": HALF * rows} if second_scale else {}),
        **({"locks": LOCKS_BYTES} if alone else {}),
    }
    return sizes | (_bias(matrix, rows, 2) if alone else {})


def packed_scales(rows: int, blocks: int) -> int:
    """Powers of two for each row and block of inputs, four to a word, rows aligned: DeepGEMM from Blackwell on."""
    return 4 * round_up(rows, 4) * math.ceil(blocks / 4)


# Formats of linear layers.


def _fp8_linear(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:
    block = quantization.block if quantization.format is Format.FP8_BLOCK else None
    by_humming = quantization.method == "compressed-tensors" and (
        gpu < ADA or quantization.activations is Activations.PLAIN
    )
    if by_humming:
        if block is None:
            return humming(matrix, 8, None)
        return humming(matrix, 8, block[1], scale_bits=32, block_rows=block[0])
    if gpu < ADA or (block and gpu < HOPPER):
        rows, columns = marlin_size(matrix, block[1] if block else None)
        groups = columns // block[1] if block else 1
        sizes = {"weight": rows * columns, "weight_scale": HALF * rows * groups}
    elif block:
        rows, columns = matrix.rows, matrix.columns
        high, wide = math.ceil(rows / block[0]), math.ceil(columns / block[1])
        scales = FLOAT32 * high * wide if gpu < BLACKWELL else packed_scales(rows, wide)
        sizes = {"weight": rows * columns, "weight_scale": scales}
    else:
        # CUTLASS takes multiples of 16; FlashInfer, which comes before it where all scales are single, what there is.
        single = quantization.format is Format.FP8_TENSOR and quantization.activations is Activations.STATIC
        multiple = 1 if single and gpu >= BLACKWELL else 16
        rows, columns = round_up(matrix.rows, multiple), round_up(matrix.columns, multiple)
        scales = FLOAT32 * (rows if quantization.format is Format.FP8_CHANNEL else 1)
        sizes = {"weight": rows * columns, "weight_scale": scales}
        if quantization.activations is Activations.STATIC:
            sizes["input_scale"] = FLOAT32
    return sizes | _bias(matrix, rows)


def _int8_linear(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:  # noqa: ARG001
    per_row = quantization.format is not Format.INT8_TENSOR or matrix.parts > 1
    sizes = {
        "weight": matrix.rows * matrix.columns,
        "weight_scale": FLOAT32 * (matrix.rows if per_row else 1),
    }
    if quantization.activations is Activations.STATIC:
        sizes["input_scale"] = FLOAT32
    if quantization.activations is Activations.ASYMMETRIC:
        sizes["azp_adj"] = FLOAT32 * matrix.rows
    return sizes | _bias(matrix, matrix.rows)


def _int_linear(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:
    bits, group, zeros = quantization.bits, quantization.group_size, quantization.zero_points
    symmetric_awq = quantization.method == "awq" and not zeros
    by_marlin = gpu[0] != HOPPER[0] and (bits == 4 or not zeros)  # noqa: PLR2004
    if symmetric_awq or by_marlin:
        rows, columns = matrix[:2] if symmetric_awq else marlin_size(matrix, group)
        groups = columns // (group or columns)
        kept = {"qzeros": rows * groups * bits // 8} if zeros or symmetric_awq else {}
        return {"qweight": rows * columns * bits // 8, "scales": HALF * rows * groups, **kept} | _bias(matrix, rows)
    if gpu[0] != HOPPER[0] or not _by_machete(matrix, group):
        return humming(matrix, bits, group, zero_points=zeros)
    rows, columns = matrix[:2]
    groups = columns // (group or columns)
    kept = {"qzeros": HALF * rows * groups} if zeros else {}
    if quantization.method == "gptq":
        kept = {"qzeros": rows * groups * bits // 8}
    return {"qweight": rows * columns * bits // 8, "scales": HALF * rows * groups, **kept} | _bias(matrix, rows)


def _by_machete(matrix: Matrix, group: int | None) -> bool:
    """Whether Machete takes it on Hopper (quantization/utils/machete_utils.py)."""
    return matrix.columns % 64 == 0 and matrix.rows % 128 == 0 and group in (None, matrix.columns, 64, 128)


def _w4a8_fp8_linear(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:  # noqa: ARG001
    return w4a8_fp8(quantization, matrix) | _bias(matrix, matrix.rows)


def w4a8_fp8(quantization: Quantization, matrix: Matrix) -> Sizes:
    """4-bit integers with FP8 scales of groups, each eight times, and a scale for each row; on Hopper alone."""
    size = matrix.rows * matrix.columns
    scales = 8 * size // (quantization.group_size or matrix.columns)
    return {"weight": size // 2, "weight_scale": scales, "weight_chan_scale": FLOAT32 * matrix.rows}


def _float_groups_linear(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:
    """NVFP4, MXFP4 and MXFP8: one byte of scale for 16 or 32 inputs."""
    bits, group = quantization.bits, SCALE_GROUPS[quantization.format]
    nvfp4 = quantization.format is Format.NVFP4
    if gpu[0] == HOPPER[0]:
        second = nvfp4 and matrix.parts > 1
        return humming(matrix, bits, group, scale_bits=8, second_scale=second)
    if gpu < HOPPER or quantization.format is Format.MXFP4:
        rows, columns = marlin_size(matrix, group)
        sizes = {"weight": rows * columns * bits // 8, "weight_scale": rows * columns // group}
    else:
        rows, columns = (round_up(matrix.rows, 32), round_up(matrix.columns, 32)) if nvfp4 else matrix[:2]
        # Scales lie in tiles of 128 rows and 4 groups.
        scales = round_up(matrix.rows, 128) * round_up(columns // group, 4)
        sizes = {"weight": rows * columns * bits // 8, "weight_scale": scales}
    return sizes | _bias(matrix, rows)


def _nf4_linear(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:  # noqa: ARG001
    """Double quantization is expanded to one float32 per 64 weights on loading (vllm-bnb-plugin)."""
    size = matrix.rows * matrix.columns
    return {"weight": size // 2, "absmax": FLOAT32 * math.ceil(size / 64)} | _bias(matrix, matrix.rows)


_LINEAR: dict[Format, Callable[[Quantization, Matrix, Capability], Sizes]] = {
    Format.FP8_BLOCK: _fp8_linear,
    Format.FP8_CHANNEL: _fp8_linear,
    Format.FP8_TENSOR: _fp8_linear,
    Format.INT8_CHANNEL: _int8_linear,
    Format.INT8_TENSOR: _int8_linear,
    Format.INT8_BNB: _int8_linear,
    Format.INT_GROUP: _int_linear,
    Format.W4A8_FP8: _w4a8_fp8_linear,
    Format.NVFP4: _float_groups_linear,
    Format.MXFP4: _float_groups_linear,
    Format.MXFP8: _float_groups_linear,
    Format.NF4: _nf4_linear,
}
