"""The `quantization_config` of compressed-tensors: groups of modules, each with a format of weights and activations.

Which format the engine makes of a group: vLLM 0.32 layers/quantization/compressed_tensors/compressed_tensors.py
`_get_scheme_from_parts` and compressed_tensors_moe/.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost.errors import NoError
from selfhost.quant.formats import Activations, Format, Group, Quantization

if TYPE_CHECKING:
    from collections.abc import Mapping

METHOD = "compressed-tensors"
_ALL = "Linear"
"""The target that stands for every linear layer, and for experts."""
_EIGHT_BITS = {"block": Format.FP8_BLOCK, "channel": Format.FP8_CHANNEL, "tensor": Format.FP8_TENSOR}
_GROUPED_FLOATS = {
    ("tensor_group", 4, 16): Format.NVFP4,
    ("group", 4, 32): Format.MXFP4,
    ("group", 8, 32): Format.MXFP8,
}
_INT = "int"
"""The type where none is named (compressed_tensors `QuantizationArgs`)."""
_REORDERED = ("group", "dynamic")
"""Values of `actorder` whose order is not in the files' layout."""


def read_compressed(section: Mapping[str, Any], ignored: tuple[str, ...]) -> Quantization | None:
    """The formats of all groups as one; None when no group has weights.

    Raises NoError for a format that the engine has no kernels for, or selfhost no size of.
    """
    common = str(section.get("format") or "")
    found: list[tuple[tuple[str, ...], Quantization]] = []
    for group in section["config_groups"].values():
        if group.get("weights"):
            targets = tuple(str(target) for target in group.get("targets") or (_ALL,))
            found.append((targets, _format(group, str(group.get("format") or common), ignored)))
    if not found:
        return None
    whole = next((quantization for targets, quantization in found if _ALL in targets), None)
    if whole is not None and len(found) == 1:
        return whole
    named = tuple(Group(targets, quantization) for targets, quantization in found if _ALL not in targets)
    return replace(whole or found[0][1], groups=named, only_groups=whole is None)


def _format(group: Mapping[str, Any], layout: str, ignored: tuple[str, ...]) -> Quantization:
    weights, inputs = group["weights"], group.get("input_activations")
    strategy, bits = weights.get("strategy") or _strategy(weights), int(weights.get("num_bits", 8))
    size = int(weights.get("group_size") or 0)
    activations = _activations(inputs)
    blocks = None
    if weights.get("type", _INT) == "float":
        found = _GROUPED_FLOATS.get((strategy, bits, size)) or (_EIGHT_BITS.get(strategy) if bits == 8 else None)  # noqa: PLR2004
        blocks = weights["block_structure"] if found is Format.FP8_BLOCK else None
    else:
        found = _integers(strategy, bits, inputs, layout)
    if found is None or (found is Format.FP8_TENSOR and weights.get("dynamic")):
        raise _unknown(group, layout)
    grouped = found in (Format.INT_GROUP, Format.W4A8_FP8)
    return Quantization(
        method=METHOD,
        format=found,
        bits=bits,
        group_size=size if grouped and size > 0 else None,
        block=(int(blocks[0]), int(blocks[1])) if blocks else None,
        zero_points=grouped and not weights.get("symmetric", True),
        activations=activations,
        act_order=weights.get("actorder") in _REORDERED,
        ignored=ignored,
    )


def _strategy(weights: Mapping[str, Any]) -> str:
    """What is meant when none is named."""
    size = int(weights.get("group_size") or 0)
    return "group" if size > 0 else "channel" if size < 0 else "tensor"


def _activations(inputs: Mapping[str, Any] | None) -> Activations:
    if not inputs:
        return Activations.PLAIN
    if not inputs.get("symmetric", True):
        return Activations.ASYMMETRIC
    return Activations.DYNAMIC if inputs.get("dynamic") else Activations.STATIC


def _integers(strategy: str, bits: int, inputs: Mapping[str, Any] | None, layout: str) -> Format | None:
    """Of weights that are whole numbers."""
    if not inputs:
        packed = layout in ("pack-quantized", "") and strategy in ("group", "channel")
        return Format.INT_GROUP if packed else None
    is_float = inputs.get("type", _INT) == "float"
    if int(inputs.get("num_bits", 8)) != 8:  # noqa: PLR2004
        return None
    if bits == 4:  # noqa: PLR2004
        return Format.W4A8_FP8 if is_float else Format.INT_GROUP
    if bits == 8 and not is_float:  # noqa: PLR2004
        return {"channel": Format.INT8_CHANNEL, "tensor": Format.INT8_TENSOR}.get(strategy)
    return None


def _unknown(group: Mapping[str, Any], layout: str) -> NoError:
    weights, inputs = group["weights"], group.get("input_activations") or {}
    said = [weights.get("num_bits"), weights.get("type", _INT), weights.get("strategy")]
    then = f", activations of {inputs.get('num_bits')} bits {inputs.get('type')}" if inputs else ""
    detail = f"weights of {said[0]} bits {said[1]} by {said[2]}{then}, stored as `{layout}`"[:200]
    return NoError("arch.compressed_unknown", detail=detail)
