"""Lint rule: a variant's scheme against what its config says of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.quant import ascend as modelslim
from selfhost.quant.schemes import Activations, Format
from selfhost.recipe.table import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.models.arch import ModelArch
    from selfhost.quant.schemes import Quantization
    from selfhost.recipe.schema import Variant


class _Wanted(NamedTuple):
    formats: tuple[Format, ...]
    bits: int
    method: str | None = None
    """None: any."""


_PLAIN = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_FP8 = (Format.FP8_BLOCK, Format.FP8_CHANNEL, Format.FP8_TENSOR)
_SCHEMES = {
    "fp8": _Wanted(_FP8, 8),
    "w8a8": _Wanted((Format.INT8_CHANNEL, Format.INT8_TENSOR), 8),
    "w4a8": _Wanted((Format.INT_GROUP, Format.W4A8_FP8), 4),
    "w4a16": _Wanted((Format.INT_GROUP,), 4),
    "w8a16": _Wanted((Format.INT_GROUP,), 8),
    "awq-int4": _Wanted((Format.INT_GROUP,), 4, "awq"),
    "gptq-int4": _Wanted((Format.INT_GROUP,), 4, "gptq"),
    "gptq-int8": _Wanted((Format.INT_GROUP,), 8, "gptq"),
    "int8": _Wanted((Format.INT8_CHANNEL, Format.INT8_TENSOR, Format.INT8_BNB, Format.INT_GROUP), 8),
    "nf4": _Wanted((Format.NF4,), 4, "bitsandbytes"),
    "nvfp4": _Wanted((Format.NVFP4,), 4),
    "mxfp4": _Wanted((Format.MXFP4,), 4),
    "mxfp8": _Wanted((Format.MXFP8,), 8),
}
SCHEMES = (*_PLAIN, *_SCHEMES)
"""All that a variant may name."""


def scheme_of(arch: ModelArch) -> str | None:
    """The scheme that a config means; None where no name is known for it.

    Weights of 4 or 8 bits in groups are named by what happens to activations: W4A8 where they are quantized too.
    """
    if arch.quantization is None:
        return next((name for name, dtype in _PLAIN.items() if dtype == arch.torch_dtype), None)
    found = [name for name, wanted in _SCHEMES.items() if _is(arch.quantization, wanted)]
    own = [name for name in found if _SCHEMES[name].method is not None]
    as_named = own or [name for name in found if ("a16" in name) == _leaves_activations(arch.quantization)]
    return next(iter((*as_named, *found)), None)


def _leaves_activations(quantization: Quantization) -> bool:
    if quantization.types:
        return all(kind == modelslim.FLOAT or kind.endswith("A16") for _, kind in quantization.types)
    return quantization.activations is Activations.PLAIN


def scheme_findings(where: str, variant: Variant, arch: ModelArch) -> Iterator[Finding]:
    """One finding when name and config disagree."""
    names = {"variant": shown(variant.name), "scheme": variant.scheme}
    if variant.scheme not in SCHEMES:
        params = {"variant": shown(variant.name), "found": shown(variant.scheme), "known": ", ".join(SCHEMES)}
        yield Finding(severity=Severity.ERROR, where=f"{where}.scheme", message=Message("lint.scheme_unknown", params))
    elif not _agrees(variant.scheme, arch):
        params = {**names, "wanted": _wanted(variant.scheme), "found": _found(arch)}
        yield Finding(severity=Severity.ERROR, where=f"{where}.scheme", message=Message("lint.scheme", params))


def _agrees(scheme: str, arch: ModelArch) -> bool:
    if scheme in _PLAIN:
        return arch.quantization is None and arch.torch_dtype == _PLAIN[scheme]
    return arch.quantization is not None and _is(arch.quantization, _SCHEMES[scheme])


def _is(quantization: Quantization, wanted: _Wanted) -> bool:
    same_method = wanted.method in (None, quantization.method)
    return same_method and quantization.format in wanted.formats and quantization.bits == wanted.bits


def _wanted(scheme: str) -> str:
    if scheme in _PLAIN:
        return f"no quantization_config, torch_dtype {_PLAIN[scheme]}"
    wanted = _SCHEMES[scheme]
    formats = " or ".join(format_.value for format_ in wanted.formats)
    return f"{wanted.method or 'any method'}, {formats}, {wanted.bits} bit"


def _found(arch: ModelArch) -> str:
    if arch.quantization is None:
        return f"no quantization_config, torch_dtype {arch.torch_dtype}"
    return f"{arch.quantization.method}, {arch.quantization.format.value}, {arch.quantization.bits} bit"
