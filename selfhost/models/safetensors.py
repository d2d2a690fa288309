"""The safetensors format: header bytes -> tensors, and what is wrong with a file. Opens nothing.

A file is 8 bytes little-endian header length, a JSON header, and the tensors back to back.
Source: https://github.com/huggingface/safetensors (README, "Format").
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MAX_HEADER_BYTES = 100_000_000
"""The reference implementation refuses longer headers."""
_LENGTH_BYTES = 8

DTYPE_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorEntry:
    """One tensor of a file; offsets count from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class HeaderError(ValueError):
    """The header says something that cannot be; the text says what."""


def header_length(data: bytes, file_size: int) -> int:
    """Length of the JSON header, from the first 8 bytes. Raises HeaderError."""
    if len(data) < _LENGTH_BYTES or file_size < _LENGTH_BYTES:
        msg = f"{file_size} bytes; a header length alone takes 8"
        raise HeaderError(msg)
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        msg = f"header length {length} is beyond the format's limit of {MAX_HEADER_BYTES}: not a safetensors file"
        raise HeaderError(msg)
    if _LENGTH_BYTES + length > file_size:
        msg = f"truncated: header of {length} bytes in a file of {file_size}"
        raise HeaderError(msg)
    return length


def parse_header(data: bytes, file_size: int) -> tuple[TensorEntry, ...]:
    """Tensors of a file, in the order of their offsets. `data` is the start of the file, header included.

    Raises HeaderError: truncated or foreign file, unknown dtype, sizes that do not match shapes, overlaps, holes.
    """
    length = header_length(data, file_size)
    try:
        header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
    except (ValueError, RecursionError) as error:
        msg = f"the header is not JSON: {error}"
        raise HeaderError(msg) from error
    if not isinstance(header, dict):
        msg = "the header is not a JSON object"
        raise HeaderError(msg)
    entries = [_entry(name, value) for name, value in header.items() if name != "__metadata__"]
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    _check_offsets(entries, file_size - _LENGTH_BYTES - length)
    return tuple(entries)


def _entry(name: str, value: Any) -> TensorEntry:
    try:
        dtype, shape, (begin, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        well_formed = all(isinstance(x, int) and not isinstance(x, bool) and x >= 0 for x in (*shape, begin, end))
    except (KeyError, TypeError, ValueError):
        well_formed = False
    if not well_formed:
        msg = f"tensor `{name}` has no usable dtype, shape and offsets"
        raise HeaderError(msg)
    if dtype not in DTYPE_BITS:
        msg = f"tensor `{name}` has the unknown dtype {dtype!r}"
        raise HeaderError(msg)
    needs = math.prod(shape) * DTYPE_BITS[dtype] // 8
    if end - begin != needs:
        msg = f"tensor `{name}` ({dtype} {list(shape)}) needs {needs} bytes, its offsets give {end - begin}"
        raise HeaderError(msg)
    return TensorEntry(name=name, dtype=dtype, shape=shape, begin=begin, end=end)


def _check_offsets(entries: list[TensorEntry], data_bytes: int) -> None:
    position, previous = 0, "the header"
    for entry in entries:
        if entry.begin < position:
            msg = f"tensor `{entry.name}` overlaps `{previous}` by {position - entry.begin} bytes"
            raise HeaderError(msg)
        if entry.begin > position:
            msg = f"{entry.begin - position} bytes between `{previous}` and `{entry.name}` belong to no tensor"
            raise HeaderError(msg)
        position, previous = entry.end, entry.name
    if position > data_bytes:
        msg = f"truncated: tensors need {position} bytes after the header, the file has {data_bytes}"
        raise HeaderError(msg)
    if position < data_bytes:
        msg = f"{data_bytes - position} bytes after the last tensor belong to nothing"
        raise HeaderError(msg)


def header_findings(name: str, data: bytes, file_size: int) -> list[Finding]:
    """What is wrong with a file, given its start and its size; empty when the structure is sound."""
    try:
        parse_header(data, file_size)
    except HeaderError as error:
        message = Message("arch.header", {"file": name, "detail": error, "size": f"{file_size:,}"})
        return [Finding(severity=Severity.ERROR, where=f"{name}: {error}", message=message)]
    return []


def index_problems(index: Mapping[str, Any], tensors_by_file: Mapping[str, Collection[str]]) -> list[Finding]:
    """Where a `model.safetensors.index.json` and the files disagree: absent files, absent tensors."""
    weight_map: Mapping[str, str] = index.get("weight_map", {})
    where = "model.safetensors.index.json"
    if absent := sorted(set(weight_map.values()) - set(tensors_by_file)):
        message = Message("arch.index_files", {"files": ", ".join(absent)})
        return [Finding(severity=Severity.ERROR, where=where, message=message)]
    lost = sorted(name for name, file in weight_map.items() if name not in tensors_by_file[file])
    if not lost:
        return []
    detail = f"{len(lost)} tensors of the index are not in their files: {', '.join(lost[:3])}"
    return [Finding(severity=Severity.ERROR, where=where, message=Message("arch.index_tensors", {"detail": detail}))]
