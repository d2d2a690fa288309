"""FP8 weights back to bfloat16: the exact product of weight and scale, rounded once. Needs torch.

A float8 has 4 significant bits and a scale 24: float32 rounds their product, and rounding that to bfloat16 rounds
twice, which differs from rounding once only where the float32 lies halfway between two bfloat16. Whether that can
happen at all is known from the scale and the eight significands; if so, the halves are decided by the float64 product.
Sources: deepseek-ai/DeepSeek-V3 inference/fp8_cast_bf16.py (`weight_scale_inv`, blocks of 128 x 128);
compressed-tensors 0.19 (`weight_scale` of a tensor, of rows, of blocks).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from selfhost_quantize_config import BLOCK
from selfhost_quantize_events import Refused
from selfhost_quantize_files import Out, Tensor
from selfhost_quantize_schemes import Found, Scheme

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FP8 = ("F8_E4M3", "F8_E5M2")
SCALES = ("_scale_inv", "_scale")
"""What follows a weight's name, as DeepSeek and as compressed-tensors spell it; both are multiplied with."""
DROPPED = ("input_scale", "activation_scale", "k_scale", "v_scale", "q_scale", "kv_scale", "output_scale")
"""Last steps of names of scales that say nothing about weights."""
_HALF = 0x8000
_SMALLEST = 2.0**-100
"""Scales below this may make products that float32 has no full significand for."""


def scale_names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The scale of each FP8 weight; raises Refused for a weight that has none, or is of another dtype of 8 bits."""
    found = {}
    for tensor in tensors.values():
        if tensor.dtype in FP8:
            names = [f"{tensor.name}{ending}" for ending in SCALES]
            scale = next((name for name in names if name in tensors), None)
            if scale is None:
                raise Refused("quantize.no_scale", tensor=tensor.name, wanted=names[0])
            found[tensor.name] = scale
    return found


def is_dropped(name: str) -> bool:
    """Whether a tensor that is no weight's scale goes all the same."""
    return name.rpartition(".")[2] in DROPPED


def to_bf16(scales: Mapping[str, Tensor], read: Callable[[Tensor], torch.Tensor], block: Any = None) -> Scheme:
    """The scheme, given the scale of each weight, a reader of scales, and the config's `weight_block_size`."""
    return _ToBf16(scales, read, block)


class _ToBf16(Scheme):
    """FP8 with scales to bfloat16."""

    name = "bf16"

    def __init__(self, scales: Mapping[str, Tensor], read: Callable[[Tensor], torch.Tensor], block: Any = None) -> None:
        super().__init__()
        self._scales, self._read = scales, read
        self._block = (int(block[0]), int(block[1])) if block else None

    def outs(self, tensor: Tensor) -> tuple[Out, ...]:
        self._height(tensor)
        return (Out(tensor.name, "BF16", tensor.shape),)

    def step(self, tensor: Tensor) -> int:
        return self._height(tensor)

    def room(self, tensor: Tensor) -> None:
        del tensor

    def finish(self, tensor: Tensor, found: torch.Tensor) -> dict[str, torch.Tensor]:
        del tensor, found
        return {}

    def convert(self, tensor: Tensor, values: torch.Tensor, row: int) -> Found:
        rows, columns = values.shape
        grid = self._grid(tensor)
        height, width = self._size(tensor)
        scale = grid[row // height : math.ceil((row + rows) / height)].to(values.device)
        spread = scale.repeat_interleave(height, 0)[:rows] if height > 1 else scale
        if width < columns:
            spread = spread.repeat_interleave(width, 1)[:, :columns]
        product = _widened(values, tensor).mul_(spread)
        if rounds_twice(scale):
            return _rounded_once(product, values.double().mul_(spread.double())), None
        return product.to(torch.bfloat16), None

    def _height(self, tensor: Tensor) -> int:
        height, _ = self._size(tensor)
        return height if height < tensor.shape[0] else 1

    def _size(self, tensor: Tensor) -> tuple[int, int]:
        """Rows and columns that share a scale."""
        rows, columns = tensor.shape
        scale = self._scales[tensor.name]
        shape = scale.shape
        if math.prod(shape) == 1:
            return rows, columns
        if shape in ((rows,), (rows, 1)):
            return 1, columns
        height, width = self._block or (BLOCK, BLOCK)
        if shape != (math.ceil(rows / height), math.ceil(columns / width)):
            raise Refused("quantize.scale_shape", tensor=tensor.name, shape=list(tensor.shape), scale=list(shape))
        return height, width

    def _grid(self, tensor: Tensor) -> torch.Tensor:
        """Scales as float32, a row for each row of blocks; raises Refused for what cannot be multiplied with."""
        scale = self._read(self._scales[tensor.name]).float()
        if not bool(torch.isfinite(scale).all()):
            raise Refused("quantize.not_finite", tensor=self._scales[tensor.name].name, path=str(tensor.file))
        return scale.reshape(-1, 1) if scale.dim() < 2 else scale  # noqa: PLR2004


def _widened(values: torch.Tensor, tensor: Tensor) -> torch.Tensor:
    """FP8 as float32; raises Refused for NaN. By bits for E4M3: five times as fast as the library's conversion."""
    if values.dtype is not torch.float8_e4m3fn:
        wide = values.float()
        if not bool(torch.isfinite(wide).all()):
            raise Refused("quantize.not_finite", tensor=tensor.name, path=str(tensor.file))
        return wide
    bits = values.view(torch.int8)
    if int((bits & 0x7F).amax()) == 0x7F:  # noqa: PLR2004 (the one NaN of E4M3)
        raise Refused("quantize.not_finite", tensor=tensor.name, path=str(tensor.file))
    # The same exponent and significand as float16, whose bias is 15 where E4M3's is 7: 2^8 too small.
    half = bits.to(torch.int16).bitwise_left_shift_(7).bitwise_and_(~0x4000)
    return half.view(torch.float16).float().mul_(256.0)


def rounds_twice(scale: torch.Tensor) -> bool:
    """Whether a product of a float8 with one of these scales may be rounded to a half that it is not."""
    flat = scale.reshape(-1, 1)
    if bool(((flat.abs() < _SMALLEST) & (flat != 0)).any()):
        return True
    significands = torch.arange(8, 16, device=scale.device, dtype=torch.float32)
    product = flat * significands
    halves = (product.view(torch.int32) & 0xFFFF) == _HALF
    return bool((halves & (product.double() != flat.double() * significands.double())).any())


def _rounded_once(product: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """float32 products to bfloat16, with halves decided by the exact ones."""
    bits = product.view(torch.int32)
    rest = exact.abs() - product.double().abs()
    halves = (bits & 0xFFFF) == _HALF
    # A step of the last place up or down takes a float32 off the half, to the side where the exact product is.
    bits += (halves & (rest > 0)).int() - (halves & (rest < 0)).int()
    return product.to(torch.bfloat16)
