"""Terms of weights: what is accepted is remembered, what is not stops before anything is downloaded."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from selfhost import files
from selfhost.errors import TrustError, UsageError
from selfhost.messages import text

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from selfhost.home import Home
    from selfhost.recipe.schema import Licence

_ODD = re.compile(r"[^A-Za-z0-9.+-]+")


class Asking(Protocol):
    """A person who can be asked, or nobody."""

    def note(self, line: str) -> None:
        """Tell something."""

    def agrees(self, question: str) -> bool | None:
        """The answer to a yes-or-no question; None where nobody can be asked."""


def check(name: str, licence: Licence, home: Home, accepted: Collection[str], asking: Asking) -> None:
    """Tell the terms of a model in one line, and make sure that those of a research-only licence are accepted.

    accepted: ids that the command line accepts; they are remembered. Raises TrustError when the terms are not accepted,
    UsageError for an accepted id that is not this licence's.
    """
    if wrong := [given for given in accepted if given.lower() != licence.id.lower()]:
        raise UsageError("pull.wrong_licence", name=name, given=wrong[0], id=licence.id)
    if licence.conditions or licence.research_only:
        asking.note(text("pull.licence", id=licence.id, url=licence.url, conditions=_conditions(licence)))
    if not licence.research_only or is_accepted(home, licence):
        return
    if accepted or asking.agrees(text("pull.licence_question", id=licence.id)):
        _remember(home, licence)
        return
    told = _conditions(licence)
    raise TrustError("pull.licence_not_accepted", name=name, id=licence.id, url=licence.url, conditions=told)


def _conditions(licence: Licence) -> str:
    """All on one line; each ends as a sentence does, however the recipe has it."""
    return " ".join(one if one.endswith((".", "!", "?", "。")) else f"{one}." for one in licence.conditions)


def is_accepted(home: Home, licence: Licence) -> bool:
    """Whether these terms, with this text, were accepted here before."""
    return bool(accepted_at(home, licence))


def accepted_at(home: Home, licence: Licence) -> str:
    """When they were, in ISO 8601; empty when they were not."""
    said = files.read_json(_path(home, licence.id)) or {}
    same = said.get("id") == licence.id and said.get("url") == licence.url
    return str(said.get("accepted_at") or "unknown") if same else ""


def take_over(home: Home, licence_id: str, url: str, accepted_at: str) -> bool:
    """Remember what was accepted where a bundle was made; False when something of that name is remembered already."""
    if _path(home, licence_id).exists():
        return False
    _write(home, licence_id, url, accepted_at)
    return True


def _remember(home: Home, licence: Licence) -> None:
    _write(home, licence.id, licence.url, datetime.now(UTC).isoformat(timespec="seconds"))


def _write(home: Home, licence_id: str, url: str, at: str) -> None:
    path = _path(home, licence_id)
    files.make_directory(path.parent)
    files.write_json(path, {"schema_version": 1, "id": licence_id, "url": url, "accepted_at": at})


def _path(home: Home, licence_id: str) -> Path:
    return home.accepted / f"licence-{_ODD.sub('-', licence_id)}.json"
