"""Schemes that `selfhost quantize` makes: by which script, of what, and the config.json section of the result."""

from __future__ import annotations

import difflib
from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.errors import UsageError
from selfhost.quant.formats import Format
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCK = (128, 128)
"""Rows and columns that share a scale with `fp8-block`, as DeepSeek has them."""
GROUP_SIZES = (128, 64, 32)
"""Inputs that may share a scale, the usual first: the largest that divides every layer is taken."""


class Script(StrEnum):
    """What makes a scheme, in the quantize environment."""

    STREAM = "selfhost_quantize_stream.py"
    """Tensor by tensor, from files to files."""
    CALIBRATED = "selfhost_quantize_calibrated.py"
    """By what goes through the layers while text is read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheme:
    """One way to store weights."""

    name: str
    """After `--scheme`."""
    recipe_scheme: str
    """What the variant's `scheme` says: several ways lead to one."""
    script: Script
    format: Format | None
    """Of the result; None: not quantized."""
    bits: int
    grouped: bool = False
    """Whether inputs share a scale in groups of `--group-size`."""

    @property
    def calibrated(self) -> bool:
        """Whether text has to go through the model."""
        return self.script is Script.CALIBRATED


def _scheme(  # noqa: PLR0913 - a row of a table
    name: str, recipe_scheme: str, script: Script, form: Format | None, bits: int, *, grouped: bool = False
) -> Scheme:
    return Scheme(name=name, recipe_scheme=recipe_scheme, script=script, format=form, bits=bits, grouped=grouped)


SCHEMES = (
    _scheme("fp8", "fp8", Script.STREAM, Format.FP8_CHANNEL, 8),
    _scheme("fp8-block", "fp8", Script.STREAM, Format.FP8_BLOCK, 8),
    _scheme("w8a16", "w8a16", Script.STREAM, Format.INT_GROUP, 8),
    _scheme("int8", "int8", Script.STREAM, Format.INT8_BNB, 8),
    _scheme("nf4", "nf4", Script.STREAM, Format.NF4, 4),
    _scheme("bf16", "bf16", Script.STREAM, None, 16),
    _scheme("w8a8", "w8a8", Script.CALIBRATED, Format.INT8_CHANNEL, 8),
    _scheme("w4a16-gptq", "w4a16", Script.CALIBRATED, Format.INT_GROUP, 4, grouped=True),
    _scheme("w4a16-awq", "w4a16", Script.CALIBRATED, Format.INT_GROUP, 4, grouped=True),
)


def find(name: str) -> Scheme:
    """The scheme of a name. Raises UsageError with the names there are."""
    for scheme in SCHEMES:
        if scheme.name == name.lower():
            return scheme
    names = [scheme.name for scheme in SCHEMES]
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.3)
    raise UsageError("quantize.unknown_scheme", name=name, names=", ".join(names), nearest=(near or names)[0])


def quantization_config(
    scheme: Scheme, ignored: Sequence[str] = (), group_size: int | None = None
) -> dict[str, object] | None:
    """What config.json of the result says, as far as planning reads it; None when it is not quantized.

    Sources: presets of compressed-tensors 0.19 quant_scheme.py (FP8_DYNAMIC, FP8_BLOCK, W8A16, W8A8, W4A16),
    transformers BitsAndBytesConfig.
    """
    if scheme.format is None:
        return None
    if scheme.format in (Format.NF4, Format.INT8_BNB):
        four = scheme.format is Format.NF4
        kind: dict[str, object] = {"bnb_4bit_quant_type": "nf4"} if four else {}
        size = "load_in_4bit" if four else "load_in_8bit"
        return {"quant_method": "bitsandbytes", size: True, **kind, "llm_int8_skip_modules": _steps(ignored)}
    return _compressed(scheme, ignored, group_size)


def _steps(ignored: Sequence[str]) -> list[str]:
    """Last steps of names: bitsandbytes knows no patterns."""
    return [entry.removesuffix("$").rpartition(".")[2] or entry for entry in ignored]


def _compressed(scheme: Scheme, ignored: Sequence[str], group_size: int | None) -> dict[str, object]:
    weights: dict[str, object] = {"num_bits": scheme.bits, "type": "int", "symmetric": True, "dynamic": False}
    inputs: dict[str, object] | None = None
    layout = "pack-quantized"
    if scheme.format in (Format.FP8_CHANNEL, Format.FP8_BLOCK):
        blocks = scheme.format is Format.FP8_BLOCK
        weights |= {"type": "float", "strategy": "block" if blocks else "channel"}
        weights |= {"block_structure": list(BLOCK)} if blocks else {}
        shared = {"strategy": "group", "group_size": BLOCK[1]} if blocks else {"strategy": "token"}
        inputs = {"num_bits": 8, "type": "float", "symmetric": True, "dynamic": True, **shared}
        layout = "float-quantized"
    elif scheme.format is Format.INT8_CHANNEL:
        weights |= {"strategy": "channel"}
        inputs = {"num_bits": 8, "type": "int", "symmetric": True, "dynamic": True, "strategy": "token"}
        layout = "int-quantized"
    else:
        weights |= {"strategy": "group", "group_size": group_size} if group_size else {"strategy": "channel"}
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "config_groups": {"group_0": group},
        "ignore": list(ignored),
    }
