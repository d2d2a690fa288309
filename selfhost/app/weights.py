"""The weights that a server is about to open: there, whole, and what was verified; fetched where they are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.app import pull, verify, wanted
from selfhost.weights import check
from selfhost.weights.lock import LOCK_NAME
from selfhost.weights.move.types import MoveOptions

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.app.model import ResolvedModel
    from selfhost.app.pull import PullRequest, Talk
    from selfhost.home import Home


def ensure(
    resolved: ResolvedModel,
    home: Home,
    request: PullRequest,
    talk: Talk,
    options: MoveOptions | None = None,
) -> Path:
    """The directory the engine opens, whole. Fetches what is missing, after saying what that takes.

    Raises IntegrityError, TrustError and others for a directory that is not whole (`weights.check`), and what
    `app.pull` raises.
    """
    told = verify.Told(progress=lambda _phase, _done, _total: None, note=lambda message: talk.note(message.what))
    if resolved.directory is not None:
        if (resolved.directory / LOCK_NAME).exists():
            verify.recheck(resolved.directory, resolved.hub_id or str(resolved.directory), home, told)
        check.check_directory(resolved.directory)
        return resolved.directory
    if resolved.recipe is not None:
        model = wanted.of_recipe(resolved.recipe, home, resolved.variant)
    else:
        model = wanted.of_repository(resolved.hub_id or resolved.name, home)
    pull.pull(model, request, home, options or MoveOptions(), talk, serving=True)
    name = f"{model.name} --variant {model.variant}" if model.variant else model.name
    verify.recheck(model.directory, name, home, told)
    return model.directory
