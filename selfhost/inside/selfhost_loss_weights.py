"""Weights of a checkpoint as the numbers that they stand for, whatever their format, a tensor at a time.

Formats: plain; compressed-tensors 0.19 (whole numbers packed or not, FP8 by tensor, channel, block); DeepSeek's FP8
(`weight_scale_inv`); bitsandbytes 0.50 (NF4, and LLM.int8() with `SCB`). And what the engine does to the inputs of such
a layer, where it rounds those too. Needs torch, and the library of the format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from selfhost_quantize_config import section
from selfhost_quantize_events import Refused
from selfhost_quantize_files import CONFIG, read_header, read_json, weight_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rounding = "Callable[[torch.Tensor], torch.Tensor]"

_FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)
_FP8_MOST, _INT8_MOST = 448.0, 127.0
_NF4 = ".quant_state.bitsandbytes__nf4"
_OUTLIER = 6.0
"""From which on LLM.int8() keeps a column of inputs as it is (arXiv:2208.07339, 3.2)."""


class Weights:
    """The tensors of a directory, by the names of modules."""

    def __init__(self, directory: Path) -> None:
        self.config = read_json(directory / CONFIG)
        self.section = section(self.config)
        self._files = {name: path for path in weight_files(directory) for name in read_header(path)}
        self._open: dict[Path, Any] = {}
        self._args = self._weight_args()

    def _weight_args(self) -> dict[str, Any]:
        groups = self.section.get("config_groups") or {}
        if len(groups) > 1:
            raise Refused("quantize.unsupported", detail="several groups of layers with formats of their own")
        return next(iter(groups.values()), {})

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def raw(self, name: str) -> torch.Tensor:
        """A tensor as it is stored."""
        path = self._files[name]
        if path not in self._open:
            self._open[path] = safe_open(path, framework="pt")
        return self._open[path].get_tensor(name)

    def is_rounded(self, module: str) -> bool:
        """Whether a module's weight is quantized."""
        name = f"{module}.weight"
        return f"{name}_packed" in self or self._scale(module) is not None or f"{name}{_NF4}" in self

    def value(self, name: str, dtype: torch.dtype) -> torch.Tensor | None:
        """The numbers of a parameter; None where the checkpoint has none of that name."""
        module = name.removesuffix(".weight")
        if module != name and self.is_rounded(module):
            return self._value(module).to(dtype)
        return self.raw(name).to(dtype) if name in self else None

    def _scale(self, module: str) -> str | None:
        names = (f"{module}.weight_scale", f"{module}.weight_scale_inv", f"{module}.SCB")
        return next((name for name in names if name in self), None)

    def _value(self, module: str) -> torch.Tensor:
        if f"{module}.weight_packed" in self:
            return self._packed(module)
        weight = self.raw(f"{module}.weight")
        if f"{module}.weight{_NF4}" in self:
            return self._nf4(module, weight)
        name = str(self._scale(module))
        scale = self.raw(name).float()
        if name.endswith(".SCB"):
            scale = scale.reshape(-1, 1) / _INT8_MOST
        return weight.float() * _spread(scale, weight.shape, self._block())

    def _block(self) -> tuple[int, int] | None:
        said = self.section.get("weight_block_size") or (self._args.get("weights") or {}).get("block_structure")
        return (int(said[0]), int(said[1])) if said else None

    def _packed(self, module: str) -> torch.Tensor:
        """Whole numbers of few bits, in words of 32."""
        from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32

        bits = int(self._args["weights"]["num_bits"])
        shape = torch.Size(self.raw(f"{module}.weight_shape").tolist())
        scale = self.raw(f"{module}.weight_scale").float()
        numbers = unpack_from_int32(self.raw(f"{module}.weight_packed"), bits, shape).float()
        wide = -(-shape[1] // scale.shape[1])
        if f"{module}.weight_zero_point" in self:
            packed = self.raw(f"{module}.weight_zero_point")
            zeros = unpack_from_int32(packed, bits, scale.shape, packed_dim=0).float()
            numbers -= zeros.repeat_interleave(wide, 1)[:, : shape[1]]
        return numbers * scale.repeat_interleave(wide, 1)[:, : shape[1]]

    def _nf4(self, module: str, weight: torch.Tensor) -> torch.Tensor:
        from bitsandbytes import functional

        prefix = f"{module}.weight."
        parts = {name.removeprefix(prefix): self.raw(name) for name in self._files if name.startswith(prefix)}
        state = functional.QuantState.from_dict(parts, device=torch.device("cpu"))
        return functional.dequantize_4bit(weight, state).float()

    def rounding(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """What is done to the inputs of quantized layers; None where they stay as they are."""
        if self.section.get("quant_method") == "bitsandbytes":
            return _llm_int8 if self.section.get("load_in_8bit") else None
        if self.section.get("quant_method") == "fp8":
            return lambda inputs: _fp8(inputs, (self._block() or (0, 128))[1] if self._block() else None)
        said = self._args.get("input_activations")
        if not said:
            return None
        if not said.get("dynamic") or int(said.get("num_bits", 8)) != 8:  # noqa: PLR2004
            raise Refused("quantize.unsupported", detail="inputs that are rounded by fixed scales")
        if said.get("type") == "float":
            return lambda inputs: _fp8(inputs, said.get("group_size"))
        return _int8


def _spread(scale: torch.Tensor, shape: torch.Size, block: tuple[int, int] | None) -> torch.Tensor:
    """A scale for each number: of all, of a row, of a block."""
    if scale.numel() == 1 or scale.dim() < 2 or scale.shape[1] == 1:  # noqa: PLR2004
        return scale.reshape(-1, 1)
    height, width = block or (128, 128)
    return scale.repeat_interleave(height, 0)[: shape[0]].repeat_interleave(width, 1)[:, : shape[1]]


def _int8(inputs: torch.Tensor) -> torch.Tensor:
    """Each token to 255 steps between plus and minus its largest number, as the engine's kernel."""
    scale = inputs.abs().amax(-1, keepdim=True).clamp(min=1e-10) / _INT8_MOST
    return (inputs / scale).round().clamp(-_INT8_MOST - 1, _INT8_MOST) * scale


def _fp8(inputs: torch.Tensor, group: int | None) -> torch.Tensor:
    """Each token, or each group of a token's numbers, to FP8."""
    parts = inputs.unflatten(-1, (-1, group)) if group and inputs.shape[-1] % group == 0 else inputs
    scale = parts.abs().amax(-1, keepdim=True).clamp(min=1e-10) / _FP8_MOST
    rounded = (parts / scale).to(torch.float8_e4m3fn).to(inputs.dtype) * scale
    return rounded.reshape(inputs.shape)


def _llm_int8(inputs: torch.Tensor) -> torch.Tensor:
    """As `_int8`, but columns with an outlier stay as they are."""
    kept = (inputs.abs() >= _OUTLIER).flatten(0, -2).any(0)
    return torch.where(kept, inputs, _int8(inputs.masked_fill(kept, 0)))
