"""Which devices run a format: minimum compute capabilities from vLLM 0.32, layers/quantization/ and kernels/linear/."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.hardware.types import Platform
from selfhost.messages import Message
from selfhost.quant import ascend
from selfhost.quant.formats import Activations, Format

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
    Format.INT8_TENSOR: (7, 5),
    Format.INT8_BNB: (7, 0),
    Format.INT_GROUP: (7, 5),
    Format.W4A8_FP8: (9, 0),
    Format.NF4: (7, 0),
    Format.NVFP4: (7, 5),
    Format.MXFP4: (7, 5),
    Format.MXFP8: (7, 5),
}

_LATER: dict[tuple[str, Format], tuple[int, int]] = {
    ("modelopt", Format.FP8_TENSOR): (8, 0),
    ("modelopt", Format.FP8_CHANNEL): (8, 9),
    ("modelopt", Format.FP8_BLOCK): (9, 0),
    ("modelopt", Format.MXFP8): (8, 0),
    ("compressed-tensors", Format.MXFP4): (8, 0),
    ("online", Format.FP8_CHANNEL): (8, 9),
}
"""Methods that need more than the kernels of their format do."""
_ONLY: dict[tuple[str, Format], tuple[int, int]] = {
    ("compressed-tensors", Format.W4A8_FP8): (9, 0),
    ("online", Format.NVFP4): (10, 0),
}
"""Methods for one architecture."""
_BITS = {"gptq": (4, 8), "awq": (4,)}
_W8A8 = (Format.INT8_CHANNEL, Format.INT8_TENSOR)
_NO_INT8_FROM = (10, 0)
"""CUTLASS has no INT8 from here on (csrc/.../cutlass/c3x/scaled_mm_helper.hpp, vllm-project/vllm#28856)."""


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
        return _on_cpu(quantization)
    if device.platform is Platform.ASCEND:
        foreign = quantization.is_fp8 or quantization.method in ("awq", "gptq", "bitsandbytes")
        return Message("arch.format_ascend", {"format": name, "device": device.name}) if foreign else None
    return _by_the_engine(quantization) or _by_capability(quantization, device)


def _on_cpu(quantization: Quantization) -> Message | None:
    """Source: kernels/linear/mixed_precision/cpu.py `CPUWNA16LinearKernel`, seen to refuse uint8b128."""
    eight = quantization.format is Format.INT_GROUP and quantization.bits != 4  # noqa: PLR2004
    if eight and quantization.activations is Activations.PLAIN:
        return Message("arch.format_cpu_bits", {"bits": quantization.bits})
    return Message("arch.format_cpu", {"format": quantization.format.value}) if quantization.is_fp8 else None


def _by_capability(quantization: Quantization, device: Device) -> Message | None:
    name = quantization.format.value
    found = device.compute_capability
    wanted = _LATER.get((quantization.method, quantization.format), _MINIMUM[quantization.format])
    if found is None:
        return None
    only = _ONLY.get((quantization.method, quantization.format))
    if only and found[0] != only[0]:
        params = {"found": "{}.{}".format(*found), "only": "{}.{}".format(*only)}
        return Message("arch.format_only", {"format": name, "device": device.name, **params})
    multiplies_int8 = quantization.format in _W8A8 and quantization.activations is not Activations.PLAIN
    if multiplies_int8 and found >= _NO_INT8_FROM:
        return Message("arch.format_int8", {"format": name, "device": device.name, "found": "{}.{}".format(*found)})
    if found >= wanted:
        return None
    versions = {"found": "{}.{}".format(*found), "wanted": "{}.{}".format(*wanted)}
    return Message("arch.format_capability", {"format": name, "device": device.name, **versions})


def _by_the_engine(quantization: Quantization) -> Message | None:
    """What the engine runs on no device (config/model.py, layers/quantization/auto_gptq.py and auto_awq.py)."""
    formats = (quantization, *(group.format for group in quantization.groups if group.format))
    for one in formats:
        known = _BITS.get(one.method)
        if one.act_order:
            return Message("arch.format_order", {"method": one.method})
        if one.method == "gptq" and one.zero_points:
            return Message("arch.format_asymmetric", {"method": one.method})
        if known and one.bits not in known:
            params = {"method": one.method, "bits": one.bits, "known": " or ".join(map(str, known))}
            return Message("arch.format_bits", params)
    return None
