"""Which files of a model serving needs, decided from their names, the index of its weights and its configuration.

Taken are files at the top of the repository: what vLLM 0.32.0 and Transformers open by name there. Not taken: pickles,
GGUF, ONNX, `original/` and other second copies of the weights, adapters, pictures, documents. The few folders that are
read are those of sentence-transformers (`1_Pooling/`) and of further chat templates.
"""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, Any

from selfhost.errors import IncompleteError, IntegrityError, NoError, TrustError, UsageError
from selfhost.records import dataclass
from selfhost.weights.checkpoint import CONFIG, CONSOLIDATED, INDEX, pickles, shown, siblings
from selfhost.weights.lock import LOCK_NAME, path_problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from selfhost.weights.remote import RemoteFile

CONSOLIDATED_INDEX = "consolidated.safetensors.index.json"
_PARAMS = "params.json"
"""Mistral's own configuration; beside weights in its own layout only."""
_READ_FIRST = (
    CONFIG,
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
)
"""Those that may name code to run (`auto_map`)."""
_WANTED = (
    # config.json, generation_config.json, tokenizer_config.json, processors, and beside them what engines read of a
    # quantization: hf_quant_config.json, quantize_config.json, quant_config.json, torchao_config.json, ...
    "*config.json",
    "quant_model_description*.json",
    "*.safetensors.index.json",
    # tokenizers
    "tokenizer.json",
    "*.model",
    "tokenizer.model.v*",
    "vocab.*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.tiktoken",
    "*.spm",
    "tekken.json",
    # chat templates
    "*.jinja",
    "chat_template.json",
    # sentence-transformers
    "modules.json",
    "config_sentence_transformers.json",
)
_UNWANTED = ("adapter_config.json",)
_NESTED = re.compile(r"additional_chat_templates/[^/]+\.jinja|\d+_[A-Za-z]+/(config\.json|model\.safetensors)")
_LICENCE = re.compile(r"[^/]*(licen[cs]e|copying|notice|use_policy)[^/]*", re.IGNORECASE)
_LICENCE_ENDS = ("", ".txt", ".md", ".rst", ".pdf")
_ADAPTER = "adapter_model"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteCode:
    """Python that the configuration of a model asks to run."""

    files: tuple[RemoteFile, ...]
    """Those named, and all beside them, since they import one another."""
    absent: tuple[str, ...]
    """Named, but not in the listing."""
    elsewhere: tuple[str, ...]
    """Repositories whose code is named (`org/name--module.Class`): it does not come with the model."""


def check_path(path: str, name: str) -> None:
    """Raises IntegrityError for a path that could lead out of a directory, or that no terminal shows as it is."""
    parts = path.split("/")
    long = len(path) > _MAX_PATH_BYTES or any(len(part.encode(errors="replace")) > _MAX_NAME_BYTES for part in parts)
    if long or _UNSAFE.search(path) or not all(part not in {"", ".", ".."} for part in parts):
        raise IntegrityError("places.unsafe_path", name=name, path=ascii(path[:200]))


def read_first(files: Iterable[RemoteFile]) -> tuple[RemoteFile, ...]:
    """The small files that `needed` wants to know the content of: the index, and those that may name code."""
    by_path = {file.path: file for file in files}
    index = index_name(by_path)
    return tuple(by_path[path] for path in (*_READ_FIRST, index) if path in by_path)


def index_name(paths: Collection[str]) -> str:
    """The index that says which weight files hold the model; empty when none does."""
    if INDEX in paths:
        return INDEX
    return CONSOLIDATED_INDEX if CONSOLIDATED_INDEX in paths and _only_consolidated(paths) else ""


def _only_consolidated(paths: Collection[str]) -> bool:
    return all(path.startswith(CONSOLIDATED) for path in _tensors(paths))


def _tensors(paths: Iterable[str]) -> set[str]:
    """Weight files at the top that are no adapter."""
    return {
        path for path in paths if path.endswith(".safetensors") and "/" not in path and not path.startswith(_ADAPTER)
    }


def needed(
    files: Sequence[RemoteFile],
    *,
    name: str,
    index: Mapping[str, Any] | None = None,
    configs: Sequence[Mapping[str, Any]] = (),
    listed: Collection[str] = (),
) -> tuple[RemoteFile, ...]:
    """The files to fetch, by path; `listed` (by a recipe) are taken as they are.

    `index` and `configs` are the content of the files that `read_first` names. Raises IntegrityError for paths that are
    unsafe, TrustError for pickles only, NoError for GGUF only, UsageError for what is no model, IncompleteError for
    files that are named and not there.
    """
    by_path: dict[str, RemoteFile] = {}
    for file in files:
        check_path(file.path, name)
        if by_path.setdefault(file.path, file) != file:
            raise IntegrityError("places.listed_twice", name=name, path=file.path)
    if listed:
        wanted = set(listed)
    else:
        weights = _weights(by_path, name, index)
        code = {file.path for file in remote_code(files, configs).files}
        wanted = weights | _beside(by_path, weights) | code
    if absent := wanted - by_path.keys():
        raise IncompleteError("places.absent", name=name, count=len(absent), names=shown(absent))
    if problem := path_problem(wanted):
        raise IntegrityError("storage.bad_paths", name=name, detail=problem)
    return tuple(by_path[path] for path in sorted(wanted))


def _weights(paths: Collection[str], name: str, index: Mapping[str, Any] | None) -> set[str]:
    tensors = _tensors(paths)
    if not tensors:
        _raise_no_weights(paths, name)
    if CONFIG not in paths and _PARAMS not in paths:
        raise UsageError("places.no_config", name=name, found=shown(paths))
    if index is not None:
        return _indexed(index, name)
    # `consolidated.*` beside others is a second copy in the vendor's own layout.
    taken = {path for path in tensors if not path.startswith(CONSOLIDATED)} or tensors
    return taken | siblings(taken)


def _indexed(index: Mapping[str, Any], name: str) -> set[str]:
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise IntegrityError("places.bad_index", name=name, detail="it has no `weight_map`")
    taken = {str(path) for path in weight_map.values()}
    for path in taken:
        check_path(path, name)
        if not path.endswith(".safetensors"):
            raise IntegrityError("places.bad_index", name=name, detail=f"it names `{path}`")
    return taken


def _beside(paths: Iterable[str], weights: Collection[str]) -> set[str]:
    """What goes with these weights."""
    own_layout = _only_consolidated(weights)
    return {path for path in paths if _goes_with(path, own_layout=own_layout)}


def _goes_with(path: str, *, own_layout: bool) -> bool:
    if path == LOCK_NAME or path in _UNWANTED:
        return False
    if "/" in path:
        return _NESTED.fullmatch(path) is not None
    if path == _PARAMS or path.startswith(CONSOLIDATED):
        return own_layout and path.endswith(".json")
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in _WANTED) or is_licence(path)


def is_licence(path: str) -> bool:
    """Whether a file of this name holds terms of use."""
    stem, dot, end = path.rpartition(".")
    return _LICENCE.fullmatch(path) is not None and (f"{dot}{end}".lower() in _LICENCE_ENDS or not stem)


def _raise_no_weights(paths: Collection[str], name: str) -> None:
    if found := pickles(paths):
        raise TrustError("model.only_pickle", path=name, found=shown(found))
    if found := [path for path in paths if path.endswith(".gguf")]:
        raise NoError("model.only_gguf", path=name, found=shown(found))
    if found := [path for path in paths if path.startswith(_ADAPTER)]:
        raise UsageError("places.adapter", name=name, found=shown(found))
    raise UsageError("places.no_weights", name=name, found=shown(paths))


# Code


def remote_code(files: Iterable[RemoteFile], configs: Sequence[Mapping[str, Any]]) -> RemoteCode:
    """The code that a model would run, by the `auto_map` of its configurations.

    Modules in folders are not among them: Transformers 5 takes `file.Class`, and looks for imports beside that file.
    """
    modules, elsewhere = set(), set()
    for reference in _references(configs):
        repository, apart, local = reference.rpartition("--")
        if apart:
            elsewhere.add(repository)
        else:
            modules.add(f"{local.partition('.')[0]}.py")
    by_path = {file.path: file for file in files}
    beside = {path for path in by_path if path.endswith(".py") and "/" not in path} if modules else set()
    return RemoteCode(
        files=tuple(by_path[path] for path in sorted(beside)),
        absent=tuple(sorted(modules - beside)),
        elsewhere=tuple(sorted(elsewhere)),
    )


def _references(configs: Sequence[Mapping[str, Any]]) -> set[str]:
    """`module.Class` of all `auto_map`s; a tokenizer has a list of two, one of which may be null."""
    found: set[str] = set()
    for config in configs:
        auto_map = config.get("auto_map")
        if isinstance(auto_map, (list, tuple)):  # the older form of tokenizers
            auto_map = {"AutoTokenizer": auto_map}
        for value in auto_map.values() if isinstance(auto_map, dict) else ():
            found |= {one for one in (value if isinstance(value, (list, tuple)) else (value,)) if isinstance(one, str)}
    return found
