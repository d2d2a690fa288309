"""Checkpoints as files: headers of safetensors, which file holds which tensor, the index, and what is no weight.

Standard library only. The format: https://github.com/huggingface/safetensors (README, "Format").
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost_quantize_events import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
SUFFIX = ".safetensors"
ITEM_BITS = {
    **dict.fromkeys(("F64", "I64", "U64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 8),
}
_LEAST_HEADER, _MOST_HEADER = 2, 100_000_000
"""Bytes, as the format says."""
_NO_COPY = (SUFFIX, ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".onnx_data", ".index.json")
"""Weights in whatever format, and lists of them."""
_NO_COPY_NAMES = (CONFIG, "hf_quant_config.json", "quantize_config.json")
"""Written anew, or about the source's own quantization."""
_OUR_RECORDS = "selfhost-"
"""Files that tell of the source, and would not be true of the result, begin so."""
_VENDORS_OWN = "consolidated"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in a file, or a stretch of one: `start` and `size` are bytes of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Out:
    """A tensor to be written."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * ITEM_BITS[self.dtype] // 8


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of a file in the order of their bytes; raises Refused for a file that is none or is cut off."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not _LEAST_HEADER <= length <= _MOST_HEADER:
                raise ValueError(f"a header of {length} bytes")  # noqa: TRY301, EM102
            header: dict[str, Any] = json.loads(stream.read(length))
            whole = os.fstat(stream.fileno()).st_size
        found = [_tensor(path, 8 + length, name, entry) for name, entry in header.items() if name != "__metadata__"]
        for tensor in found:
            if tensor.start + tensor.size > whole:
                raise ValueError(f"it ends at byte {whole}, inside {tensor.name}")  # noqa: TRY301, EM102
    except OSError as error:
        raise Refused("quantize.unreadable", path=str(path), detail=error.strerror or str(error)) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Refused("quantize.broken_file", path=str(path), detail=str(error)[:200]) from error
    return {tensor.name: tensor for tensor in sorted(found, key=lambda tensor: tensor.start)}


def _tensor(path: Path, data: int, name: str, entry: dict[str, Any]) -> Tensor:
    begin, end = entry["data_offsets"]
    shape, dtype = tuple(int(size) for size in entry["shape"]), str(entry["dtype"])
    if dtype in ITEM_BITS and end - begin != math.prod(shape) * ITEM_BITS[dtype] // 8:
        raise ValueError(f"{name} has {end - begin} bytes, which is not {dtype} {list(shape)}")  # noqa: EM102
    return Tensor(name, dtype, shape, path, data + begin, end - begin)


def layout(outs: Iterable[Out]) -> tuple[bytes, dict[str, int]]:
    """Header of a file of these tensors, and where each begins in the file; wide items first, so that all align."""
    ordered = sorted(outs, key=lambda out: -ITEM_BITS[out.dtype])
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    begins = {}
    for out in ordered:
        begins[out.name] = end
        header[out.name] = {"dtype": out.dtype, "shape": list(out.shape), "data_offsets": [end, end + out.size]}
        end += out.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = 8 + len(text)
    return len(text).to_bytes(8, "little") + text, {name: data + begin for name, begin in begins.items()}


def weight_files(source: Path) -> list[Path]:
    """The files that hold the model, in order; raises Refused where there are none, or one that the index names."""
    index = source / INDEX
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict):
            raise Refused("quantize.broken_file", path=str(index), detail="no `weight_map`")
        names = sorted({str(name) for name in weight_map.values()})
    else:
        names = sorted(path.name for path in source.glob(f"*{SUFFIX}"))
        names = [name for name in names if not name.startswith(_VENDORS_OWN)]
    if not names:
        raise Refused("quantize.no_weights", path=str(source))
    if any("/" in name or name.startswith(".") for name in names):
        raise Refused("quantize.broken_file", path=str(index), detail="a file of another folder")
    return [source / name for name in names]


def read_json(path: Path) -> dict[str, Any]:
    """An object; raises Refused for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused("quantize.unreadable", path=str(path), detail=error.strerror or str(error)) from error
    except ValueError as error:
        raise Refused("quantize.broken_file", path=str(path), detail=str(error)[:200]) from error
    if not isinstance(found, dict):
        raise Refused("quantize.broken_file", path=str(path), detail="no JSON object")
    return found


def write_json(path: Path, value: object) -> None:
    """Indented, in the given order, in place of what was there."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def others(source: Path) -> list[Path]:
    """What goes along as it is, relative to the source: tokenizer, templates, code, licence."""
    found = []
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = (Path(folder) / name).relative_to(source)
            if not name.startswith((".", _OUR_RECORDS)) and not name.endswith(_NO_COPY) and name not in _NO_COPY_NAMES:
                found.append(path)
    return found
