"""`ls`, `rm`, `gc`: what is stored, and giving the space back."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.app import servers, stored
from selfhost.app.quantize import leftovers, user_recipe
from selfhost.bundle import image_store
from selfhost.errors import NoError
from selfhost.weights import inventory, reclaim
from selfhost.weights.blobs import Blobs
from selfhost.weights.reclaim import GcOptions, Reclaimed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from selfhost.bundle.image_store import StoredImage
    from selfhost.home import Home
    from selfhost.weights.inventory import Inventory

PARTIAL_DAYS = 7
"""Older partial downloads are removed by `gc`."""
_DAY_S = 86400


def ls(home: Home, model: str | None) -> Inventory:
    """Everything in the store, or one model. Raises NoError when it is not there."""
    found = inventory.take(home.models, Blobs(home.blobs))
    if model is None:
        return found
    wanted = _find(model, None, home)
    return replace(found, models=tuple(one for one in found.models if one.directory in wanted), partials=())


def images(home: Home) -> tuple[StoredImage, ...]:
    """Container images that bundles brought."""
    return tuple(image_store.stored(home.images))


def _find(model: str, variant: str | None, home: Home) -> list[Path]:
    found = stored.find(model, variant, home)
    if not found:
        name = f"{model} ({variant})" if variant else model
        raise NoError("storage.unknown", name=name, known=stored.names(home))
    return found


def planned_removal(home: Home, model: str, variant: str | None) -> Reclaimed:
    """What `rm` would remove. Raises NoError for a model that is not there or that a running server uses."""
    found = _find(model, variant, home)
    check_unused(home, found)
    return reclaim.remove_models(found, home.models, Blobs(home.blobs), _nobody, dry_run=True)


def rm(home: Home, directories: Sequence[Path], waiting: Callable[[], None]) -> Reclaimed:
    """Remove models, and what the user's recipes say of those that were made here.

    Raises NoError when a running server uses one of them.
    """
    check_unused(home, directories)
    removed = reclaim.remove_models(directories, home.models, Blobs(home.blobs), waiting, dry_run=False)
    user_recipe.forget(directories, home)
    return removed


def forget_in_flight(home: Home, model: str, variant: str | None, *, dry_run: bool) -> Path | None:
    """Take a variant that has no files out of the user's recipe; that recipe, None where this is no such variant."""
    return user_recipe.forget_in_flight(model, variant, home, dry_run=dry_run) if variant else None


def _nobody() -> None:
    """A dry run waits for nobody."""


def check_unused(home: Home, directories: Sequence[Path]) -> None:
    """Raises NoError when a running server uses one of these models."""
    wanted = {os.path.realpath(directory): directory for directory in directories}
    for server in servers.list_servers(home)[0]:
        if not server.state.running:
            continue
        record = server.record
        # The draft of a server is a word of its command line, or of a JSON object in it.
        words = (str(record.plan.get("model_path", "")), *record.argv)
        for real, directory in wanted.items():
            if any(_names(word, (real, str(directory))) for word in words):
                raise NoError("storage.in_use", path=directory, server=record.name)


def _names(word: str, paths: Sequence[str]) -> bool:
    real = os.path.realpath(word) if word.startswith("/") else word
    return any(path == real or f'"{path}"' in word or word.endswith(f"={path}") for path in paths)


def gc(home: Home, *, partials: bool, dry_run: bool, given_up: Sequence[str] = ()) -> Reclaimed:
    """Remove what no model has; given_up: as `GcOptions` has it. Raises NoError while a download runs."""
    now = time.time()
    before = now + _DAY_S if partials else now - PARTIAL_DAYS * _DAY_S
    options = GcOptions(
        partials_before=before, dry_run=dry_run, given_up=tuple(given_up), beside=(home.wheelhouses, home.images)
    )
    done = reclaim.collect(home.models, Blobs(home.blobs), options)
    left, freed = leftovers.remove(home, before, dry_run=dry_run)
    return replace(done, leftovers=(*done.leftovers, *left), freed_bytes=done.freed_bytes + freed)
