"""Quantization: what a checkpoint declares, how many bytes a linear layer takes, and which devices run it."""

from selfhost.quant.formats import Activations, Format, Quantization, is_weight_only
from selfhost.quant.kernels import Capability, gpu_of
from selfhost.quant.read import quantization_from_config
from selfhost.quant.support import runs_on

__all__ = [
    "Activations",
    "Capability",
    "Format",
    "Quantization",
    "gpu_of",
    "is_weight_only",
    "quantization_from_config",
    "runs_on",
]
