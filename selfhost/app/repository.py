"""A repository that no recipe has, planned from what its hub says: configuration, sizes, headers of a few weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from selfhost.app import sources, wanted
from selfhost.app.model import ResolvedModel
from selfhost.app.model_files import arch_of_files, contradictions_in
from selfhost.errors import IncompleteError, IntegrityError, MissingError, UsageError
from selfhost.home import find_home
from selfhost.quant import ascend
from selfhost.weights.check import WeightFiles
from selfhost.weights.checkpoint import CONFIG, shown
from selfhost.weights.headers import Piece
from selfhost.weights.move.pool import fetch_range
from selfhost.weights.move.types import MoveOptions
from selfhost.weights.places import choose, names
from selfhost.weights.places.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from selfhost.weights.headers import OpenRange
    from selfhost.weights.remote import Listing, Place, RemoteFile

_HEADERS_READ = 4
"""Files whose headers are compared with the configuration: each is a request or two, and a plan is waited for."""
_OPTIONS = MoveOptions(attempts=2, stall_s=10.0)


def describe(hub_id: str, variant: str | None = None) -> ResolvedModel:
    """The model at a hub; a few small files are read, nothing is kept.

    Raises UsageError for what is not there or no model, IncompleteError when no hub can be reached.
    """
    if variant is not None:
        raise UsageError("pull.no_variants", name=hub_id, variant=variant)
    home = find_home()
    repository = wanted.of_repository(hub_id, home)
    chosen = sources.choose(repository, None, None)
    # What no recipe has is at a hub or nowhere.
    if isinstance(chosen, sources.FromWheel) or isinstance(chosen.place, Folder):
        raise UsageError("pull.no_hub_id", name=hub_id)
    return _read(chosen.place, repository)


def _read(place: Place, repository: wanted.Wanted) -> ResolvedModel:
    listing = place.listing()
    paths = {file.path: file for file in listing.files}
    needed = choose.choose(place, listing, name=repository.name).files
    files = weight_files(place, paths, needed)
    if CONFIG not in paths:
        raise UsageError("places.no_config", name=repository.name, found=shown(paths))
    config = config_of(place, paths)
    arch = arch_of_files(config, files.bytes)
    return ResolvedModel(
        name=repository.directory.name,
        variant="directory",
        arch=arch,
        directory=None,
        model_path=repository.directory,
        max_model_len=arch.max_position_embeddings,
        weight_bytes_total=files.bytes or None,
        notes=contradictions_in(arch, over(place, listing), files),
        hub_id=repository.name,
        config=config,
    )


def weight_files(place: Place | Folder, files: Mapping[str, RemoteFile], needed: Sequence[RemoteFile]) -> WeightFiles:
    """The weights among the files that are needed; those whose headers are worth reading are the present ones.

    Raises IntegrityError for an index that is no JSON object.
    """
    index_name = names.index_name(files)
    index = _object(place, files[index_name]) if index_name else None
    tensors = sorted(file.path for file in needed if file.path.endswith(".safetensors"))
    return WeightFiles(
        present=frozenset(tensors[:_HEADERS_READ]),
        absent=frozenset(tensors[_HEADERS_READ:]),
        tensor_names=frozenset(index["weight_map"]) if index else frozenset(),
        bytes=sum(files[path].size or 0 for path in tensors),
    )


def config_of(place: Place | Folder, files: Mapping[str, RemoteFile]) -> dict[str, Any]:
    """Its config.json, with the types of weights made for Ascend, which lie in a file of their own.

    Raises what `choose.read_small` raises, IntegrityError for what is no JSON object.
    """
    config = _object(place, files[CONFIG])
    if ascend.DESCRIPTION in files:
        config["quantization_config"] = ascend.condensed(_object(place, files[ascend.DESCRIPTION]))
    return config


def over(place: Place, listing: Listing) -> OpenRange:
    """Pieces of the files of a place, by range requests; a file that is not given to us is one that cannot be read."""
    sizes = {file.path: file.size or 0 for file in listing.files}

    def open_range(name: str, begin: int, end: int) -> Piece:
        pieces = fetch_range(lambda: place.address(name), begin, min(end, sizes[name]), _OPTIONS, name)
        try:
            return Piece(b"".join(pieces), sizes[name])
        except MissingError as error:
            raise IncompleteError("model.header_unread", name=name, detail=error.message.what) from error

    return open_range


def _object(place: Place | Folder, file: RemoteFile) -> dict[str, Any]:
    """A configuration; that it is a JSON object was seen when files were chosen, but for Ascend's description."""
    try:
        found = json.loads(choose.read_small(place, file))
    except (ValueError, RecursionError) as error:
        raise IntegrityError("model.config_not_json", path=f"{place.label}: {file.path}", detail=error) from error
    if not isinstance(found, dict):
        raise IntegrityError("model.config_not_object", path=f"{place.label}: {file.path}", found=type(found).__name__)
    return found
