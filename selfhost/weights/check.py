"""Whether a model directory is whole: decided from names, sizes and headers, before an engine reads gigabytes of it.

Tensors themselves are not read here. The functions that open files are the last ones.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost.errors import (
    IncompleteError,
    IntegrityError,
    MissingError,
    NoError,
    SelfhostError,
    TrustError,
    UsageError,
)
from selfhost.models.safetensors import MAX_HEADER_BYTES, header_findings, index_problems, parse_header
from selfhost.quant import ascend
from selfhost.records import dataclass
from selfhost.weights.checkpoint import CONFIG, CONSOLIDATED, INDEX, pickles, shown, siblings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tiktoken.model", "tekken.json")
_LFS = b"version https://git-lfs"
_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFiles:
    """The files of a whole model directory."""

    config: dict[str, Any]
    weights: tuple[str, ...]
    """Names of the safetensors files that hold the model."""
    weight_bytes: int


def weight_names(names: Iterable[str], index: dict[str, Any] | None) -> set[str]:
    """The safetensors files that hold the model; with an index, those that it names.

    Without one, `consolidated.*.safetensors` beside others is a second copy in the vendor's own layout.
    """
    if index is not None:
        return {str(name) for name in index["weight_map"].values()}
    tensors = {name for name in names if name.endswith(".safetensors")}
    return {name for name in tensors if not name.startswith(CONSOLIDATED)} or tensors


def has_tokenizer(names: Iterable[str]) -> bool:
    """Whether one of the files that hold a tokenizer is there."""
    return any(name in TOKENIZERS or name.endswith(".tiktoken") for name in names)


# Reading


@contextlib.contextmanager
def _explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        path = error.filename or directory
        raise MissingError("model.not_readable", path=path, detail=error.strerror, directory=directory) from error


def _names(directory: Path) -> set[str]:
    """Names of the files in a directory; a link that leads nowhere is no file."""
    with _explained(directory):
        return {path.name for path in directory.iterdir() if path.is_file()}


def read_config(directory: Path) -> dict[str, Any]:
    """config.json of a model, with the types of weights made for Ascend, which lie in a file of their own.

    Raises UsageError when there is none, IntegrityError when one of them is not a JSON object.
    """
    with _explained(directory):
        if not (directory / CONFIG).is_file():
            _raise_no_config(directory)
        described = (directory / ascend.DESCRIPTION).is_file()
    config = _read_object(directory, CONFIG)
    if described:
        # As vllm-ascend does (quantization/utils.py): the description decides, whatever config.json says.
        config["quantization_config"] = ascend.condensed(_read_object(directory, ascend.DESCRIPTION))
    return config


def _read_object(directory: Path, name: str) -> dict[str, Any]:
    path = directory / name
    with _explained(directory):
        data = path.read_bytes()
    _check_lfs(directory, {name: data})
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("model.config_not_json", path=path, detail=error) from error
    if not isinstance(found, dict):
        raise IntegrityError("model.config_not_object", path=path, found=type(found).__name__)
    return found


def _raise_no_config(directory: Path) -> None:
    nested = sorted(path.parent for pattern in ("*", "snapshots/*") for path in directory.glob(f"{pattern}/{CONFIG}"))
    if nested:
        raise UsageError("model.no_config_here", path=directory, nested=nested[0])
    raise UsageError("model.no_config", path=directory, found=shown(_names(directory)))


class WeightFiles(NamedTuple):
    """The weight files of a directory, as names and index tell them; nothing is said about whether they are whole."""

    present: frozenset[str]
    absent: frozenset[str]
    tensor_names: frozenset[str]
    """From an index; empty without one."""
    bytes: int


def weight_files(directory: Path) -> WeightFiles:
    """What there is of the weights. Raises IntegrityError for an index that is none."""
    names = _names(directory)
    index = _read_index(directory) if INDEX in names else None
    wanted = weight_names(names, index)
    return WeightFiles(
        present=frozenset(wanted & names),
        absent=frozenset(wanted - names),
        tensor_names=frozenset(index["weight_map"]) if index else frozenset(),
        bytes=sum((directory / name).stat().st_size for name in wanted & names),
    )


def check_directory(directory: Path) -> ModelFiles:
    """The files of a model directory that is whole.

    Raises UsageError without config.json, TrustError for pickles only, NoError for GGUF only, IncompleteError without
    weights or tokenizer, IntegrityError for files that are damaged or named by an index and absent, MissingError for
    files that this user may not read.
    """
    config, names = read_config(directory), _names(directory)
    if not any(name.endswith(".safetensors") for name in names):
        _raise_no_weights(directory, names)
    index = _read_index(directory) if INDEX in names else None
    wanted = weight_names(names, index)
    if absent := (wanted | (siblings(names) if index is None else set())) - names:
        by = f"`{INDEX}`" if index is not None else "the numbers in the names of the others"
        raise IntegrityError("model.absent_shards", path=directory, count=len(absent), by=by, names=shown(absent))
    total = _check_headers(directory, wanted, index)
    if not has_tokenizer(names):
        raise IncompleteError("model.no_tokenizer", path=directory, wanted=", ".join(TOKENIZERS))
    with _explained(directory):
        heads = {name: _head(directory / name) for name in sorted(names & set(TOKENIZERS))}
    _check_lfs(directory, heads)
    return ModelFiles(config=config, weights=tuple(sorted(wanted)), weight_bytes=total)


def structure_problems(directory: Path) -> list[SelfhostError]:
    """What keeps an engine from opening a directory; IntegrityError among them means damage, the others a lack."""
    try:
        check_directory(directory)
    except MissingError:  # about this user's rights, not about the files
        raise
    except SelfhostError as error:
        return [error]
    return []


def _raise_no_weights(directory: Path, names: set[str]) -> None:
    if found := pickles(names):
        raise TrustError("model.only_pickle", path=directory, found=shown(found))
    if found := [name for name in names if name.endswith(".gguf")]:
        raise NoError("model.only_gguf", path=directory, found=shown(found))
    raise IncompleteError("model.no_weights", path=directory, found=shown(names))


def _read_index(directory: Path) -> dict[str, Any]:
    path = directory / INDEX
    try:
        with _explained(directory):
            index = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise IntegrityError("model.bad_index", path=path, detail=error) from error
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise IntegrityError("model.bad_index", path=path, detail="it has no `weight_map`")
    return {"weight_map": weight_map}


def _check_headers(directory: Path, names: Iterable[str], index: dict[str, Any] | None) -> int:
    """Bytes of all files together, once each header was found sound and the index agrees with them."""
    problems: list[str] = []
    pointers, tensors, total = {}, {}, 0
    for name in sorted(names):
        path = directory / name
        with _explained(directory), path.open("rb") as stream:
            size = path.stat().st_size
            head = stream.read(len(_LFS))
            if head == _LFS:
                pointers[name] = head
                continue
            stream.seek(0)
            data = stream.read(8 + min(int.from_bytes(head[:8], "little"), MAX_HEADER_BYTES, size))
        total += size
        if found := header_findings(name, data, size):
            problems += [f"{name}: {finding.message.why}" for finding in found]
        else:
            tensors[name] = {entry.name for entry in parse_header(data, size)}
    _check_lfs(directory, pointers)
    if index is not None and not problems:
        problems = [f"{INDEX}: {finding.message.why}" for finding in index_problems(index, tensors)]
    if problems:
        raise IntegrityError("model.broken_weights", path=directory, problems="\n".join(problems[:_SHOWN]))
    return total


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(len(_LFS))


def _check_lfs(directory: Path, heads: dict[str, bytes]) -> None:
    if names := [name for name, head in heads.items() if head.startswith(_LFS)]:
        raise IntegrityError("model.git_lfs", path=directory, count=len(names), names=shown(names))
