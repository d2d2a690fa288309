"""What a hub, a mirror or a directory says of a model: small files, sizes, headers of weights; no weights."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from selfhost.app import repository, sources, wanted
from selfhost.app.model import directory_name
from selfhost.app.model_files import contradictions_in
from selfhost.errors import IncompleteError, IntegrityError, MissingError, UsageError
from selfhost.home import find_home
from selfhost.recipe.draft import Seen, arch_of
from selfhost.recipe.draft_licence import front_matter, licence_of
from selfhost.recipe.schema import HUBS, Source, SourceKind
from selfhost.weights import store
from selfhost.weights.checkpoint import CONFIG, shown
from selfhost.weights.headers import in_directory
from selfhost.weights.lock import LOCK_NAME
from selfhost.weights.places import choose, hub, modelscope, names
from selfhost.weights.places.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from selfhost.weights.headers import OpenRange, Piece
    from selfhost.weights.lock import Origin
    from selfhost.weights.remote import Listing, Place, RemoteFile

_README, _GENERATION, _TOKENIZER = "README.md", "generation_config.json", "tokenizer_config.json"
_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth")
_MOST_TEXT = 1 << 20
_PUBLIC = {SourceKind.HUGGINGFACE: hub.DEFAULT_ENDPOINT, SourceKind.MODELSCOPE: modelscope.DEFAULT_ENDPOINT}


def at_hub(hub_id: str, source: str | None, revision: str | None) -> Seen:
    """What the first of its places that answers, or the one that is named, says of a repository.

    Raises UsageError for what is not there or no model, TrustError for a gated one or pickles only, NoError for GGUF
    only, IncompleteError when no place can be reached.
    """
    chosen = sources.choose(wanted.of_repository(hub_id, find_home()), source, revision)
    if isinstance(chosen, sources.FromWheel):
        raise UsageError("pull.no_hub_id", name=hub_id)
    if isinstance(chosen.place, Folder):
        raise UsageError("draft.directory_source", option="--source", path=source)
    listing = sources.listing(chosen.place, revision)
    origin = listing.origin
    found = Source(kind=SourceKind(origin.kind), id=origin.id, revision=origin.revision)
    endpoint = getattr(chosen.place, "endpoint", None)
    return _seen(chosen.place, listing, hub_id.partition("/")[2], found, endpoint)


def in_folder(path: Path) -> Seen:
    """What a directory holds; where a lock or the hub's cache tells where it came from, as from there.

    Raises what `at_hub` raises for the same files, MissingError for those that this user may not read.
    """
    place = Folder(path)
    if path.is_dir() and os.access(path, os.R_OK):
        names = sorted(one.name for one in path.iterdir())
        if not any(name in (CONFIG, "snapshots") or name.endswith(_WEIGHTS) for name in names):
            # Not searched through: `/` and a home hold a great many files.
            raise UsageError("places.no_config", name=str(path), found=shown(names))
    listing = place.listing()
    found = _origin(path, listing.origin)
    return _seen(place, listing, _name(path, found), found, _PUBLIC.get(found.kind))


def _origin(path: Path, listed: Origin) -> Source:
    if (path / LOCK_NAME).is_file() and (source := store.read_lock(path).source).kind in HUBS:
        return Source(kind=SourceKind(source.kind), id=source.id, revision=source.revision)
    cache = path.absolute().parent.parent if path.absolute().parent.name == "snapshots" else path.absolute()
    organisation, apart, name = cache.name.removeprefix("models--").partition("--")
    if cache.name.startswith("models--") and apart and listed.revision:
        return Source(kind=SourceKind.HUGGINGFACE, id=f"{organisation}/{name}", revision=listed.revision)
    return Source(kind=SourceKind.DIRECTORY, id=listed.id)


def _name(path: Path, source: Source) -> str:
    return source.id.rpartition("/")[2] if source.kind in HUBS else directory_name(path.absolute())


def _seen(place: Place | Folder, listing: Listing, name: str, source: Source, endpoint: str | None) -> Seen:
    files = {file.path: file for file in listing.files}
    label = source.id if isinstance(place, Folder) else name
    needed = choose.choose(place, listing, name=label).files
    if CONFIG not in files:
        raise UsageError("places.no_config", name=label, found=CONFIG)
    config = repository.config_of(place, files)
    card = front_matter(_text(place, files.get(_README)) or "")
    licence = next((file for file in listing.files if _is_licence(file.path)), None)
    urls = _urls(source, endpoint, licence)
    told = licence_of(card, _text(place, licence), page=urls.get(""), file=urls.get("licence file"))
    weights, arch = repository.weight_files(place, files, needed), arch_of(config)
    open_range = _local(place) if isinstance(place, Folder) else repository.over(place, listing)
    return Seen(
        repository=name,
        config=config,
        weight_bytes=weights.bytes,
        sources=(source,),
        licence=told,
        hub_id=source.id if source.kind is SourceKind.HUGGINGFACE else None,
        generation=_object(place, files.get(_GENERATION)),
        urls=urls | ({"licence": urls["licence file"]} if "licence file" in urls and not card.get("license") else {}),
        base_models=_base_models(card),
        tokenizer_is_code="auto_map" in _object(place, files.get(_TOKENIZER)),
        contradictions=contradictions_in(arch, open_range, weights) if arch else (),
    )


def _is_licence(path: str) -> bool:
    return "/" not in path and path.lower().startswith(("licen", "copying")) and names.is_licence(path)


def _urls(source: Source, endpoint: str | None, licence: RemoteFile | None) -> dict[str, str]:
    """Where files of a repository can be looked at, `""` being the list of them; nothing for what is at no hub."""
    if endpoint is None or source.kind not in HUBS:
        return {}
    if source.kind is SourceKind.MODELSCOPE:
        page = f"{endpoint}/models/{source.id}"
        files = dict.fromkeys((CONFIG, _GENERATION, "licence", "licence file"), page)
        return {"": page, **files} if licence else {"": page, CONFIG: page, _GENERATION: page, "licence": page}
    page, at = f"{endpoint}/{source.id}", source.revision or "main"
    found = {"": f"{page}/tree/{at}", "licence": f"{page}/blob/{at}/{_README}"}
    found |= {name: f"{page}/blob/{at}/{name}" for name in (CONFIG, _GENERATION)}
    return found | ({"licence file": f"{page}/blob/{at}/{licence.path}"} if licence else {})


def _text(place: Place | Folder, file: RemoteFile | None) -> str | None:
    """A text for people; None where there is none, where it is long, or where it is not given to us."""
    if file is None or (file.size or 0) > _MOST_TEXT:
        return None
    try:
        return choose.read_small(place, file).decode("utf-8", "replace")
    except (MissingError, IncompleteError):
        return None


def _object(place: Place | Folder, file: RemoteFile | None) -> dict[str, Any]:
    """A JSON object; empty where there is none."""
    if file is None:
        return {}
    try:
        found = json.loads(choose.read_small(place, file))
    except (ValueError, RecursionError) as error:
        raise IntegrityError("model.config_not_json", path=f"{place.label}: {file.path}", detail=error) from error
    return found if isinstance(found, dict) else {}


def _base_models(card: Mapping[str, Any]) -> tuple[str, ...]:
    value = card.get("base_model")
    listed = value if isinstance(value, list) else [value]
    return tuple(one for one in listed if isinstance(one, str) and wanted.is_hub_id(one))


def _local(place: Folder) -> OpenRange:
    """Pieces of the files of a directory, links of the hub's cache followed."""

    def open_range(name: str, begin: int, end: int) -> Piece:
        path = place.local_path(name)
        return in_directory(path.parent)(path.name, begin, end)

    return open_range
