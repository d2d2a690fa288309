"""What the headers of weight files say of a model, held against its config. Opens nothing.

Names and shapes are those of the tensors on disk. Only what every architecture has in common is compared: layers,
experts, vocabulary, the shapes of matrices that go by the names of the config's parts, the kinds of numbers.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.models.checkpoint import checkpoint_bytes
from selfhost.models.parts import Linear
from selfhost.models.safetensors import DTYPE_BITS, HeaderError
from selfhost.records import dataclass
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from selfhost.models.arch import ModelArch

_LENGTH_BYTES = 8
_LAYERS, _EXPERTS = "layers.", ".experts."
_QUANTIZED_ENDS = (
    ".qweight",
    ".qzeros",
    ".weight_packed",
    ".weight_scale",
    ".weight_scale_inv",
    ".SCB",
    ".absmax",
    ".weight_global_scale",
)
_QUANTIZED_DTYPES = frozenset({"F8_E4M3", "F8_E5M2", "I8", "U8", "F4", "F8_E8M0"})
_WHOLE_DTYPES = frozenset({"F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I8"})
"""Kinds in which a matrix has its own shape; others are packed."""
_CONFIG_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
_OFF = 0.02
"""Share by which the bytes of all tensors may differ from what the config leads to: norms of vision towers, copies of
tied heads and the like are not derivable."""


class Tensor(NamedTuple):
    """A tensor on disk."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Of its values."""
        return math.prod(self.shape) * DTYPE_BITS.get(self.dtype, 0) // 8


_NOTHING = Tensor("", ())


@dataclass(frozen=True, kw_only=True, slots=True)
class Headers:
    """What is known of the tensors of a model."""

    tensors: Mapping[str, Tensor]
    """Of the files whose headers were read."""
    names: frozenset[str] = frozenset()
    """Of all tensors: those above and those an index names."""
    data_bytes: int = 0
    """Of all files, headers not counted where they were read."""
    files: int = 0
    read: int = 0
    """Files whose headers were read."""

    @property
    def is_complete(self) -> bool:
        """Whether every header was read."""
        return self.read == self.files


def tensors_of(data: bytes) -> dict[str, Tensor]:
    """Tensors of a file, from its start up to the end of its header. Raises HeaderError.

    Offsets are not looked at: whether a file is whole is `models.safetensors`' matter.
    """
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    try:
        header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        header.pop("__metadata__", None)
        return {name: _tensor(entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        message = f"no header of tensors: {str(error)[:100]}"
        raise HeaderError(message) from error


def _tensor(entry: Any) -> Tensor:
    shape = entry["shape"]
    if type(shape) is not list or not all(type(size) is int and size >= 0 for size in shape):
        message = f"shape {str(shape)[:60]}"
        raise TypeError(message)
    return Tensor(str(entry["dtype"]), tuple(shape))


class _Names(NamedTuple):
    """What the names of all tensors tell, looked at once: there may be a hundred thousand."""

    layers: frozenset[int]
    experts: int
    """One more than the highest number of an expert."""
    quantized: tuple[str, ...]


def _look_at(headers: Headers) -> _Names:
    layers: set[int] = set()
    experts, quantized = 0, []
    for name in headers.names:
        if (expert := _number(name, _EXPERTS)) is not None:
            experts = max(experts, expert + 1)  # its layer is named by others too
        elif (layer := _number(name, _LAYERS)) is not None and "visual" not in name:
            layers.add(layer)
        if name.endswith(_QUANTIZED_ENDS):
            quantized.append(name)
    quantized += [name for name, tensor in headers.tensors.items() if tensor.dtype in _QUANTIZED_DTYPES]
    return _Names(frozenset(layers), experts, tuple(sorted(set(quantized))))


def _number(name: str, after: str) -> int | None:
    """The number that stands after a word of a name. Check: `model.layers.12.mlp`, `layers.` -> 12."""
    start = name.find(after)
    if start < 0:
        return None
    digits = name[start + len(after) :].partition(".")[0]
    return int(digits) if digits.isdecimal() else None


def config_findings(arch: ModelArch, headers: Headers) -> list[Finding]:
    """Where files and config contradict each other; empty when nothing is known against them."""
    names = _look_at(headers)
    found = [*_layers(arch, names), *_experts(arch, names), *_ends(arch, headers), *_numbers(arch, headers, names)]
    return found or [*_shapes(arch, headers), *_total(arch, headers)]


def _finding(message_id: str, severity: Severity = Severity.ERROR, **params: object) -> Finding:
    return Finding(severity=severity, where="config.json", message=Message(message_id, params))


def _layers(arch: ModelArch, names: _Names) -> Iterator[Finding]:
    """Numbers of layers in names; layers of multi-token prediction come after the others, where they are at all."""
    if not names.layers:
        return
    count, most = arch.num_hidden_layers, arch.num_hidden_layers + arch.num_nextn_predict_layers
    missing = [layer for layer in range(count) if layer not in names.layers]
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")  # noqa: PLR2004
        found = len(names.layers.intersection(range(count)))
        yield _finding("arch.files_layers_missing", config=count, found=found, missing=shown)
    elif max(names.layers) >= most:
        yield _finding("arch.files_layers_more", Severity.WARNING, config=count, found=max(names.layers) + 1)


def _experts(arch: ModelArch, names: _Names) -> Iterator[Finding]:
    wanted = arch.experts.num_experts if arch.experts else 0
    if names.experts and names.experts != wanted:
        yield _finding("arch.files_experts", config=wanted, found=names.experts)


def _ends(arch: ModelArch, headers: Headers) -> Iterator[Finding]:
    """Embedding and head."""
    for ending in ("embed_tokens.weight", "lm_head.weight"):
        for name, tensor in headers.tensors.items():
            if name.endswith(ending) and "layers." not in name and tensor.dtype in _WHOLE_DTYPES:
                wanted = (arch.vocab_size, arch.hidden_size)
                if tensor.shape != wanted:
                    yield _finding("arch.files_shape", name=name, found=list(tensor.shape), wanted=list(wanted))
    heads = any(name.endswith(("lm_head.weight", "lm_head.qweight", "lm_head.weight_packed")) for name in headers.names)
    if headers.names and headers.is_complete and not arch.tie_word_embeddings and not heads:
        yield _finding("arch.files_no_head")


def _numbers(arch: ModelArch, headers: Headers, names: _Names) -> Iterator[Finding]:
    """Quantized or not, and in which dtype the rest is."""
    if names.quantized and arch.quantization is None:
        yield _finding("arch.files_quantized", name=names.quantized[0], count=len(names.quantized))
    if arch.quantization is not None and headers.is_complete and headers.tensors and not names.quantized:
        yield _finding("arch.files_not_quantized", method=arch.quantization.method)
    embeddings = ((name, tensor) for name, tensor in headers.tensors.items() if name.endswith("embed_tokens.weight"))
    name, tensor = next(embeddings, ("", _NOTHING))
    dtype = _CONFIG_DTYPES.get(tensor.dtype)
    if dtype is not None and dtype != arch.torch_dtype:
        yield _finding("arch.files_dtype", Severity.NOTE, name=name, found=dtype, config=arch.torch_dtype)


def _shapes(arch: ModelArch, headers: Headers) -> Iterator[Finding]:
    """Matrices by the names of the config's parts; the first few that differ."""
    differing = []
    for layer, place in enumerate(arch.layers):
        for part in arch.kinds[place].parts(arch.hidden_size):
            if not isinstance(part, Linear) or part.is_expert:
                continue
            outputs = part.outputs if len(part.outputs) == len(part.checkpoint_names) else (sum(part.outputs),)
            for name, rows in zip(part.checkpoint_names, outputs, strict=False):
                full = f"model.layers.{layer}.{name}.weight"
                tensor = headers.tensors.get(full)
                wanted = (rows, part.inputs)
                whole = tensor is not None and tensor.dtype in _WHOLE_DTYPES and len(tensor.shape) == len(wanted)
                if tensor is not None and whole and tensor.shape != wanted:
                    differing.append((full, tensor.shape, wanted))
    for full, found, wanted in differing[:3]:
        yield _finding("arch.files_shape", name=full, found=list(found), wanted=list(wanted))
    if len(differing) > 3:  # noqa: PLR2004
        yield _finding("arch.files_shapes_more", count=len(differing) - 3)


def _total(arch: ModelArch, headers: Headers) -> Iterator[Finding]:
    """Bytes of all tensors against what the config leads to.

    Without copies of a tied head and layers of multi-token prediction, which may be there or not.
    """
    if not headers.is_complete or not headers.tensors:
        return
    tied = arch.tie_word_embeddings
    found = sum(
        tensor.bytes
        for name, tensor in headers.tensors.items()
        if not (tied and "lm_head." in name) and not _is_extra(name, arch.num_hidden_layers)
    )
    wanted = checkpoint_bytes(replace(arch, num_nextn_predict_layers=0, draft=None))
    if abs(found - wanted) > _OFF * wanted:
        yield _finding("arch.files_total", Severity.WARNING, found=format_bytes(found), config=format_bytes(wanted))


def _is_extra(name: str, layers: int) -> bool:
    layer = _number(name, _LAYERS)
    return layer is not None and layer >= layers
