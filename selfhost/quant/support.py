"""Which devices run a format: minimum compute capabilities from vLLM 0.32, layers/quantization/ and kernels/linear/."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.hardware.types import Platform
from selfhost.messages import Message
from selfhost.quant.formats import Format

if TYPE_CHECKING:
    from selfhost.hardware.types import Device
    from selfhost.quant.formats import Quantization

_MINIMUM: dict[Format, tuple[int, int]] = {
    # FP8 weights run as w8a16 by Marlin below 8.9 (marlin_utils_fp8.py `is_fp8_marlin_supported`); integer groups by
    # Marlin; INT8 activations by CUTLASS.
    Format.FP8_BLOCK: (7, 5),
    Format.FP8_CHANNEL: (7, 5),
    Format.FP8_TENSOR: (7, 5),
    Format.INT8_CHANNEL: (7, 5),
    Format.INT_GROUP: (7, 5),
    Format.NF4: (7, 0),
}

_NO_INT8_FROM = (10, 0)
"""CUTLASS has no INT8 from here on (csrc/.../cutlass/c3x/scaled_mm_helper.hpp, vllm-project/vllm#28856)."""


def runs_on(quantization: Quantization | None, device: Device) -> tuple[bool, Message | None]:
    """Whether the engine has kernels for a format on a device; if not, the reason.

    An unknown compute capability counts as able: the device was assumed by the user.
    """
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
