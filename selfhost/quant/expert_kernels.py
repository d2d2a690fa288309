"""What vLLM 0.32 makes of the matrices of experts in a GPU's memory; as `kernels`, which see, for linear layers.

Source: layers/fused_moe/oracle/ for the order of kernels, and each one's preparation of weights.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from selfhost.quant.formats import SCALE_GROUPS, Activations, Format
from selfhost.quant.kernels import (
    ADA,
    AMPERE,
    BLACKWELL,
    CONSUMER_BLACKWELL,
    FLOAT32,
    HALF,
    HOPPER,
    LOCKS_BYTES,
    Capability,
    Matrix,
    Sizes,
    humming,
    packed_scales,
    w4a8_fp8,
)
from selfhost.units import round_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.quant.formats import Quantization

_MARLIN_WIDTH = 64
_FINEST_GROUP = 32


def expert(quantization: Quantization | None, matrix: Matrix, gpu: Capability, itemsize: int = 2) -> Sizes:
    """The tensors of one expert after loading; without quantization too, since one kernel pads what is narrow.

    A matrix of two parts is gate and up, of one part down. Checks, 2 * 176 x 4096: bfloat16 -> 2_883_584 bytes and on a
    B200 4_194_304; FP8 by channel -> 1_441_792 and 1_408 of scales, on an A100 1_572_864 and 768.
    """
    if quantization is None:
        padded = _wider(matrix, 128) if gpu[0] == BLACKWELL[0] else matrix
        return {"weight": padded.rows * padded.columns * itemsize}
    return _KERNELS[quantization.format](quantization, matrix, gpu)


def stands_for(quantization: Quantization | None, gpu: Capability | None) -> Capability | None:
    """A capability on which a model takes the same memory, so that what is known of one is known of the other.

    Without quantization kernels look at one thing only: `expert`. Check: 9.0 -> 8.0, 10.0 -> 10.0; in FP8 9.0 -> 9.0.
    """
    if gpu is None or quantization is not None:
        return gpu
    return BLACKWELL if gpu[0] == BLACKWELL[0] else AMPERE


def common_tensors(
    quantization: Quantization | None, experts: int, gpu: Capability
) -> tuple[tuple[str, int, int], ...]:
    """What the experts of a layer have in common after loading: name, bytes and number of tensors.

    Humming keeps locks, grouped products of CUTLASS their strides for every expert of the rank.
    """
    if quantization is None:
        return ()
    if gpu[0] == HOPPER[0] and (_by_humming(quantization) or quantization.format in SCALE_GROUPS):
        return (("locks", LOCKS_BYTES, 1),)
    if quantization.format is Format.W4A8_FP8:
        return (("strides", 8 * experts, 3), ("scale_strides", 16 * experts, 2))
    grouped = gpu[0] in (HOPPER[0], BLACKWELL[0])
    return (("strides", 8 * experts, 3),) if grouped and quantization.format is Format.FP8_CHANNEL else ()


def _wider(matrix: Matrix, multiple: int) -> Matrix:
    """With the width of the expert rounded up: rows of gate and up each, or columns of down."""
    if matrix.parts == 1:
        return matrix._replace(columns=round_up(matrix.columns, multiple))
    return matrix._replace(rows=matrix.parts * round_up(matrix.rows // matrix.parts, multiple))


def _by_humming(quantization: Quantization) -> bool:
    """Whether Humming takes integer experts on Hopper: not those of compressed-tensors with zero points."""
    with_zeros = quantization.method == "compressed-tensors" and quantization.zero_points
    return quantization.format is Format.INT_GROUP and not with_zeros


def _fp8(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:
    block = quantization.block if quantization.format is Format.FP8_BLOCK else None
    if block and quantization.is_online:
        matrix = _wider(matrix, block[1])
    if gpu < ADA:
        rows, columns, *_ = _wider(matrix, math.lcm(_MARLIN_WIDTH, block[1] if block else 1))
        return {"weight": rows * columns, "weight_scale": HALF * rows * (columns // block[1] if block else 1)}
    rows, columns, *_ = matrix
    if block:
        high, wide = math.ceil(rows / block[0]), math.ceil(columns / block[1])
        packed = gpu >= CONSUMER_BLACKWELL and block == _DEEP_GEMM_BLOCK
        return {"weight": rows * columns, "weight_scale": packed_scales(rows, wide) if packed else 4 * high * wide}
    scales = FLOAT32 * (rows if quantization.format is Format.FP8_CHANNEL else 1)
    return {"weight": rows * columns, "weight_scale": scales}


_DEEP_GEMM_BLOCK = (128, 128)


def _int8(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:  # noqa: ARG001
    return {"weight": matrix.rows * matrix.columns, "weight_scale": FLOAT32 * matrix.rows}


def _integers(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:
    """AWQ, GPTQ and compressed-tensors; zero points of symmetric GPTQ stay where Marlin takes the experts."""
    bits, zeros = quantization.bits, quantization.zero_points
    group = finer_group(quantization, matrix)
    if gpu[0] == HOPPER[0] and _by_humming(quantization):
        return humming(matrix, bits, group, zero_points=zeros, alone=False)
    if group == quantization.group_size:
        matrix = _wider(matrix, math.lcm(_MARLIN_WIDTH, group or 1))
        zeros = zeros or quantization.method == "gptq"
    rows, columns, *_ = matrix
    groups = columns // (group or columns)
    kept = {"qzeros": rows * groups * bits // 8} if zeros else {}
    return {"qweight": rows * columns * bits // 8, "scales": HALF * rows * groups, **kept}


def finer_group(quantization: Quantization, matrix: Matrix) -> int | None:
    """Inputs that share a scale; halved where a group does not divide the width, and then other kernels take over.

    Only AWQ and GPTQ are so flexible (layers/quantization/moe_wna16.py). Check: groups of 128, width 192 -> 64.
    """
    group = quantization.group_size
    if group is None or quantization.method not in ("awq", "gptq"):
        return group
    sizes = (matrix.rows // matrix.parts, matrix.columns)
    while group > _FINEST_GROUP and any(size % group for size in sizes):
        group //= 2
    return group


def _float_groups(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:
    """NVFP4, MXFP4 and MXFP8."""
    bits, group = quantization.bits, SCALE_GROUPS[quantization.format]
    if gpu[0] == HOPPER[0]:
        second = quantization.format is Format.NVFP4 and matrix.parts > 1
        return humming(matrix, bits, group, scale_bits=8, second_scale=second, alone=False)
    if gpu < HOPPER or (quantization.format is Format.NVFP4 and gpu[0] == BLACKWELL[0]):
        matrix = _wider(matrix, _MARLIN_WIDTH)
    rows, columns, *_ = matrix
    if quantization.format is Format.NVFP4 and gpu[0] == BLACKWELL[0]:
        # FlashInfer's kernels take hidden sizes in multiples of 256.
        rows, columns = (round_up(rows, 256), columns) if matrix.parts == 1 else (rows, round_up(columns, 256))
    return {"weight": rows * columns * bits // 8, "weight_scale": rows * columns // group}


def _nf4(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:  # noqa: ARG001
    size = matrix.rows * matrix.columns
    return {"weight": size // 2, "absmax": FLOAT32 * math.ceil(size / 64)}


def _w4a8_fp8(quantization: Quantization, matrix: Matrix, gpu: Capability) -> Sizes:  # noqa: ARG001
    return w4a8_fp8(quantization, matrix)


def refusal(quantization: Quantization, width: int, hidden_size: int, gpu: Capability) -> str | None:
    """Why the engine has no kernel for experts of `width` on a rank: id of a message.

    Sources: compressed_tensors_moe/, utils/flashinfer_fp4_moe.py `prepare_nvfp4_moe_layer_for_fi_or_cutlass`.
    """
    integers = quantization.format is Format.INT_GROUP and quantization.method == "compressed-tensors"
    if integers and quantization.activations is not Activations.PLAIN:
        return "arch.experts_w4a8"
    if integers and quantization.group_size is None and gpu[0] == HOPPER[0] and not quantization.zero_points:
        return "arch.experts_channels"
    if quantization.format is Format.W4A8_FP8 and (width % 256 or hidden_size % 256):
        return "arch.experts_w4a8_width"
    if quantization.format is Format.NVFP4 and gpu >= CONSUMER_BLACKWELL and width % _MARLIN_WIDTH:
        return "arch.experts_nvfp4_width"
    return None


_KERNELS: dict[Format, Callable[[Quantization, Matrix, Capability], Sizes]] = {
    Format.FP8_BLOCK: _fp8,
    Format.FP8_CHANNEL: _fp8,
    Format.FP8_TENSOR: _fp8,
    Format.INT8_CHANNEL: _int8,
    Format.INT8_TENSOR: _int8,
    Format.INT8_BNB: _int8,
    Format.INT_GROUP: _integers,
    Format.W4A8_FP8: _w4a8_fp8,
    Format.NVFP4: _float_groups,
    Format.MXFP4: _float_groups,
    Format.MXFP8: _float_groups,
    Format.NF4: _nf4,
}
