"""Quantization: what a checkpoint declares, how many bytes a linear layer takes, and which devices run it."""

from selfhost.quant.formats import Format, Quantization, expanded, is_weight_only
from selfhost.quant.read import quantization_from_config
from selfhost.quant.support import runs_on

__all__ = ["Format", "Quantization", "expanded", "is_weight_only", "quantization_from_config", "runs_on"]
