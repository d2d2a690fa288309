"""Formats that the engine makes of plain weights while it loads them: `--quantization NAME` after `--`.

Source: vLLM 0.32 config/quantization.py `_ONLINE_SHORTHANDS`, layers/quantization/online/.
"""

from __future__ import annotations

from selfhost.quant.formats import ONLINE as METHOD
from selfhost.quant.formats import Activations, Format, Quantization

_BLOCK = (128, 128)
_PER_TENSOR = Quantization(method=METHOD, format=Format.FP8_TENSOR, bits=8)

ONLINE: dict[str, Quantization] = {
    "fp8": _PER_TENSOR,
    "fp8_per_tensor": _PER_TENSOR,
    "fp8_per_block": Quantization(method=METHOD, format=Format.FP8_BLOCK, bits=8, block=_BLOCK),
    "fp8_per_channel": Quantization(method=METHOD, format=Format.FP8_CHANNEL, bits=8),
    "int8_per_channel_weight_only": Quantization(
        method=METHOD,
        format=Format.INT8_CHANNEL,
        bits=8,
        activations=Activations.PLAIN,
        experts_only=True,
    ),
    "mxfp8": Quantization(method=METHOD, format=Format.MXFP8, bits=8),
    "mxfp4": Quantization(method=METHOD, format=Format.MXFP4, bits=4),
    "nvfp4_per_token": Quantization(method=METHOD, format=Format.NVFP4, bits=4, experts_only=True),
}
"""By the engine's name; what is not here the engine makes nothing of, or selfhost has no figures for."""
