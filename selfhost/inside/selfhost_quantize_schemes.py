"""Schemes that need no data: a stretch of rows in, the same rows quantized out. Runs in the `quantize` environment.

A scheme says which tensors a weight becomes (`outs`), converts rows (`convert`; any number of threads at once), and
makes the rest of what it found out on the way (`finish`). int8 and nf4 are bitsandbytes' own results, bit by bit.
Sources: compressed-tensors 0.19 quantization/utils/helpers.py `calculate_qparams` (symmetric scales) and
compressors/pack_quantized/; bitsandbytes 0.50 nn/modules.py `Int8Params`, `Params4bit`, functional.py `QuantState`.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from selfhost_quantize_config import BLOCK, BNB_BLOCK
from selfhost_quantize_events import Refused
from selfhost_quantize_files import Out, Tensor
from selfhost_quantize_names import is_merged

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "I64": torch.int64,
    "I32": torch.int32,
    "I8": torch.int8,
    "U8": torch.uint8,
}
PLAIN = ("F32", "F16", "BF16")
FP8_MOST = 448.0
"""The largest float8_e4m3fn."""
Found = tuple[torch.Tensor, Any]
"""Rows as they are stored, and what `finish` wants to know of them."""


def module_of(tensor: Tensor) -> str:
    """`model.layers.0.mlp.up_proj.weight` -> `model.layers.0.mlp.up_proj`."""
    return tensor.name.removesuffix(".weight")


def _finite(most: torch.Tensor, tensor: Tensor) -> torch.Tensor:
    """Largest values, which are NaN or infinite where a weight is; raises Refused for such."""
    if not bool(torch.isfinite(most).all()):
        raise Refused("quantize.not_finite", tensor=tensor.name, path=str(tensor.file))
    return most


def _most(values: torch.Tensor, dim: int | tuple[int, int]) -> torch.Tensor:
    """Largest magnitude along a dimension as float32, NaN if there is one; by bits where that is faster."""
    if values.dtype in (torch.bfloat16, torch.float16):
        return (values.view(torch.int16) & 0x7FFF).amax(dim).view(values.dtype).float()
    return values.abs().amax(dim).float()


class Scheme(ABC):
    """One weight, converted row by row."""

    name = ""
    share = 1
    """What part of a usual stretch of weights is taken at a time; less for what needs much more memory on the way."""

    def __init__(self, group_size: int | None = None) -> None:
        self.group_size = group_size

    @abstractmethod
    def outs(self, tensor: Tensor) -> tuple[Out, ...]:
        """The tensors it becomes, that of its values first; raises Refused for a shape or dtype it does not take."""

    def step(self, tensor: Tensor) -> int:
        """Rows that have to be converted together."""
        del tensor
        return 1

    def offset(self, tensor: Tensor, row: int) -> int:
        """Bytes before a row in the tensor of values."""
        out = self.outs(tensor)[0]
        return row * out.size // tensor.shape[0]

    @abstractmethod
    def convert(self, tensor: Tensor, values: torch.Tensor, row: int) -> Found:
        """Rows from `row` on; raises Refused for values that are not finite."""

    def room(self, tensor: Tensor) -> Out | None:
        """What `convert` finds in all rows together, as a tensor: the scales, if it is not said otherwise."""
        return self.outs(tensor)[1]

    def place(self, tensor: Tensor, row: int) -> int:
        """Where in it what was found from a row on begins."""
        del tensor
        return row

    @abstractmethod
    def finish(self, tensor: Tensor, found: torch.Tensor) -> dict[str, torch.Tensor]:
        """The tensors beside the values, from what was found in all rows."""

    def _plain(self, tensor: Tensor, multiple: int = 1) -> None:
        rows, columns = tensor.shape
        if tensor.dtype not in PLAIN:
            raise Refused("quantize.dtype", tensor=tensor.name, dtype=tensor.dtype)
        if columns % multiple or not rows * columns:
            raise self._shape(tensor, multiple)

    def _shape(self, tensor: Tensor, multiple: int) -> Refused:
        rows, columns = tensor.shape
        params = {"rows": rows, "columns": columns, "multiple": multiple, "scheme": self.name}
        return Refused("quantize.shape", tensor=tensor.name, **params)


class _Fp8Channel(Scheme):
    """FP8 E4M3 with a float32 scale for each output; activations are quantized by the engine as they come."""

    name = "fp8"

    def outs(self, tensor: Tensor) -> tuple[Out, ...]:
        self._plain(tensor)
        values = Out(tensor.name, "F8_E4M3", tensor.shape)
        return values, Out(f"{module_of(tensor)}.weight_scale", "F32", (tensor.shape[0], 1))

    def convert(self, tensor: Tensor, values: torch.Tensor, row: int) -> Found:
        del row
        scale = _scale(_finite(_most(values, 1), tensor) / FP8_MOST).unsqueeze(1)
        return values.float().div_(scale).to(torch.float8_e4m3fn), scale

    def finish(self, tensor: Tensor, found: torch.Tensor) -> dict[str, torch.Tensor]:
        return {f"{module_of(tensor)}.weight_scale": found}


def _scale(scale: torch.Tensor) -> torch.Tensor:
    """Scales that can be divided by: of nothing but zeros, 1."""
    return torch.where(scale == 0, torch.ones_like(scale), scale)


class _Fp8Block(Scheme):
    """FP8 E4M3 with a float32 scale for each 128 x 128 weights; the last rows may be fewer."""

    name = "fp8-block"

    def place(self, tensor: Tensor, row: int) -> int:
        del tensor
        return row // BLOCK

    def outs(self, tensor: Tensor) -> tuple[Out, ...]:
        self._plain(tensor, BLOCK)
        rows, columns = tensor.shape
        if rows % BLOCK and is_merged(module_of(tensor)):
            raise self._shape(tensor, BLOCK)
        scales = (math.ceil(rows / BLOCK), columns // BLOCK)
        return Out(tensor.name, "F8_E4M3", tensor.shape), Out(f"{module_of(tensor)}.weight_scale", "F32", scales)

    def step(self, tensor: Tensor) -> int:
        del tensor
        return BLOCK

    def convert(self, tensor: Tensor, values: torch.Tensor, row: int) -> Found:
        del row
        rows, columns = values.shape
        padded = torch.nn.functional.pad(values, (0, 0, 0, -rows % BLOCK)) if rows % BLOCK else values
        blocks = padded.view(-1, BLOCK, columns // BLOCK, BLOCK)
        scale = _scale(_finite(_most(blocks, (1, 3)), tensor) / FP8_MOST)
        scaled = blocks.float().div_(scale[:, None, :, None])
        return scaled.view(padded.shape)[:rows].to(torch.float8_e4m3fn), scale

    def finish(self, tensor: Tensor, found: torch.Tensor) -> dict[str, torch.Tensor]:
        return {f"{module_of(tensor)}.weight_scale": found}


class _W8A16(Scheme):
    """8 bit integers, four in an int32, with a scale in the model's dtype for each output, or for each group of it."""

    name = "w8a16"

    def _dtype(self, tensor: Tensor) -> str:
        return "BF16" if tensor.dtype == "F32" else tensor.dtype

    def outs(self, tensor: Tensor) -> tuple[Out, ...]:
        self._plain(tensor, self.group_size or 4)
        rows, columns = tensor.shape
        if columns % 4:
            raise self._shape(tensor, 4)
        module, groups = module_of(tensor), columns // (self.group_size or columns)
        return (
            Out(f"{module}.weight_packed", "I32", (rows, columns // 4)),
            Out(f"{module}.weight_scale", self._dtype(tensor), (rows, groups)),
            Out(f"{module}.weight_shape", "I64", (2,)),
        )

    def convert(self, tensor: Tensor, values: torch.Tensor, row: int) -> Found:
        del row
        rows, columns = values.shape
        groups = values.view(rows, -1, self.group_size or columns)
        # Rounded as it is stored before anything is divided by it; 127.5: half of the 255 steps from -128 to 127.
        scale = _scale((_finite(_most(groups, 2), tensor) / 127.5).to(DTYPES[self._dtype(tensor)]))
        steps = groups.float().div_(scale.float().unsqueeze(2)).round_().clamp_(-128, 127)
        packed = steps.add_(128).to(torch.uint8).view(rows, columns).view(torch.int32)
        return packed, scale

    def finish(self, tensor: Tensor, found: torch.Tensor) -> dict[str, torch.Tensor]:
        module = module_of(tensor)
        shape = torch.tensor(tensor.shape, dtype=torch.int64)
        return {f"{module}.weight_scale": found, f"{module}.weight_shape": shape}


class _Int8(Scheme):
    """bitsandbytes' 8 bit: integers of -127 to 127 with the largest value of each output as float32."""

    name = "int8"

    def outs(self, tensor: Tensor) -> tuple[Out, ...]:
        self._plain(tensor)
        module, values = module_of(tensor), Out(tensor.name, "I8", tensor.shape)
        return values, Out(f"{module}.SCB", "F32", tensor.shape[:1]), Out(f"{module}.weight_format", "U8", ())

    def convert(self, tensor: Tensor, values: torch.Tensor, row: int) -> Found:
        del row
        from bitsandbytes.functional import int8_vectorwise_quant

        quantized, largest, _ = int8_vectorwise_quant(values.to(torch.float16))
        if not bool(torch.isfinite(largest).all()):
            found = float(_finite(_most(values, 1), tensor).max())
            raise Refused("quantize.too_large", tensor=tensor.name, value=found, most=65504.0)
        return quantized, largest

    def finish(self, tensor: Tensor, found: torch.Tensor) -> dict[str, torch.Tensor]:
        module = module_of(tensor)
        # 0: by row (bitsandbytes utils.py LINEAR_8BIT_WEIGHTS_FORMAT_MAPPING).
        return {f"{module}.SCB": found, f"{module}.weight_format": torch.tensor(0, dtype=torch.uint8)}


class _Nf4(Scheme):
    """bitsandbytes' NF4: two weights in a byte, a scale for each 64, and those quantized again by 256."""

    name = "nf4"
    share = 8  # bitsandbytes compares each weight with all 16 values at once
    _STATE = 192
    """Bytes of the JSON beside the tensors, with blanks at its end: the longest is some 170."""
    _NESTED = 256

    def outs(self, tensor: Tensor) -> tuple[Out, ...]:
        self._plain(tensor)
        count = math.prod(tensor.shape)
        if count % 2:
            raise self._shape(tensor, 2)
        blocks = math.ceil(count / BNB_BLOCK)
        return (
            Out(tensor.name, "U8", (count // 2, 1)),
            Out(f"{tensor.name}.absmax", "U8", (blocks,)),
            Out(f"{tensor.name}.quant_map", "F32", (16,)),
            Out(f"{tensor.name}.nested_absmax", "F32", (math.ceil(blocks / self._NESTED),)),
            Out(f"{tensor.name}.nested_quant_map", "F32", (256,)),
            Out(f"{tensor.name}.quant_state.bitsandbytes__nf4", "U8", (self._STATE,)),
        )

    def step(self, tensor: Tensor) -> int:
        return BNB_BLOCK // math.gcd(BNB_BLOCK, tensor.shape[1])

    def room(self, tensor: Tensor) -> Out:
        return Out("largest", "F32", (math.ceil(math.prod(tensor.shape) / BNB_BLOCK),))

    def place(self, tensor: Tensor, row: int) -> int:
        return row * tensor.shape[1] // BNB_BLOCK

    def convert(self, tensor: Tensor, values: torch.Tensor, row: int) -> Found:
        del row
        from bitsandbytes.functional import quantize_4bit

        packed, state = quantize_4bit(values, blocksize=BNB_BLOCK, quant_type="nf4")
        return packed, _finite(state.absmax, tensor)

    def finish(self, tensor: Tensor, found: torch.Tensor) -> dict[str, torch.Tensor]:
        from bitsandbytes.functional import QuantState, get_4bit_type, quantize_blockwise

        # As `quantize_4bit` with `compress_statistics` does for a whole tensor.
        offset = found.mean()
        absmax, nested = quantize_blockwise(found - offset, blocksize=self._NESTED)
        state = QuantState(
            absmax=absmax,
            shape=torch.Size(tensor.shape),
            dtype=DTYPES[tensor.dtype],
            blocksize=BNB_BLOCK,
            code=get_4bit_type("nf4", device=found.device),
            quant_type="nf4",
            offset=offset,
            state2=nested,
        )
        tensors = {f"{tensor.name}.{key}": value for key, value in state.as_dict(packed=True).items()}
        key = f"{tensor.name}.quant_state.bitsandbytes__nf4"
        text = bytes(tensors[key].tolist())
        json.loads(text)
        tensors[key] = torch.tensor(list(text.ljust(self._STATE)), dtype=torch.uint8)
        return tensors


SCHEMES: dict[str, type[Scheme]] = {kind.name: kind for kind in (_Fp8Channel, _Fp8Block, _W8A16, _Int8, _Nf4)}
"""Those that take plain weights."""
