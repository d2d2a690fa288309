"""Terms of weights as a repository tells them: the metadata of its README, else the beginning of its licence file.

A hub's model card is the README: what its API calls card data is the metadata at the head of that file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from selfhost.messages import text
from selfhost.recipe.schema import LICENCE_UNKNOWN
from selfhost.recipe.table import shown
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

_CC = "https://creativecommons.org/licenses"
_KNOWN = {
    "apache-2.0": ("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    "mit": ("MIT", "https://opensource.org/license/mit"),
    "bsd-2-clause": ("BSD-2-Clause", "https://opensource.org/license/bsd-2-clause"),
    "bsd-3-clause": ("BSD-3-Clause", "https://opensource.org/license/bsd-3-clause"),
    "cc0-1.0": ("CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "cc-by-4.0": ("CC-BY-4.0", f"{_CC}/by/4.0/"),
    "cc-by-sa-4.0": ("CC-BY-SA-4.0", f"{_CC}/by-sa/4.0/"),
    "cc-by-nc-4.0": ("CC-BY-NC-4.0", f"{_CC}/by-nc/4.0/"),
    "cc-by-nc-sa-4.0": ("CC-BY-NC-SA-4.0", f"{_CC}/by-nc-sa/4.0/"),
}
"""What hubs call a licence, in lower case: its SPDX id, and where its text is."""
_TEXTS = (
    ("apache-2.0", re.compile(r"apache license\s+version 2\.0")),
    ("mit", re.compile(r"permission is hereby granted, free of charge")),
)
_HEAD_CHARACTERS = 2000
_RESEARCH = re.compile(r"(^|[^a-z])(research|nc|non-?commercial)([^a-z]|$)")
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|\Z)", re.DOTALL)
_ODD = re.compile(r"[^A-Za-z0-9.+-]+")
_ADDRESS = re.compile(r"https?://\S+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a repository says of its terms."""

    id: str
    url: str | None
    """Where the text is; None where no address is known."""
    research_only: bool = False
    own_terms: bool = False
    """Whether it is no licence that everybody knows, so that its conditions have to be read."""
    doubts: tuple[str, ...] = ()
    """What was not proved, one sentence each."""

    @property
    def is_known(self) -> bool:
        """Whether anything told."""
        return self.id != LICENCE_UNKNOWN


def front_matter(readme: str) -> dict[str, Any]:
    r"""The metadata at the head of a README; empty without any that can be read.

    >>> front_matter("---\nlicense: mit\n---\n# A model")
    {'license': 'mit'}
    """
    found = _FRONT.match(readme)
    try:
        data = yaml.safe_load(found[1]) if found else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return {str(key): value for key, value in data.items()} if isinstance(data, dict) else {}


def licence_of(card: Mapping[str, Any], licence_text: str | None, *, page: str | None, file: str | None) -> Told:
    """The terms; `page` is the address of the repository, `file` that of its licence file, where they have any."""
    named = _word(card, "license").lower()
    by_text = None if licence_text is None else _recognised(licence_text)
    if named in _KNOWN:
        spdx, url = _KNOWN[named]
        doubt = None if by_text == named else "draft.licence_not_read" if by_text is None else "draft.licence_differs"
        doubts = () if doubt is None else (text(doubt, id=spdx, other=_KNOWN[by_text][0] if by_text else ""),)
        return Told(id=spdx, url=url, research_only="-NC" in spdx, doubts=doubts)
    if named and named != "unknown":
        name = _word(card, "license_name") or named
        link = _word(card, "license_link")
        return Told(
            id=f"LicenseRef-{_ODD.sub('-', name).strip('-')[:80] or 'other'}",
            url=link if _ADDRESS.fullmatch(link) else file or page,
            research_only=_RESEARCH.search(name.lower()) is not None,
            own_terms=True,
            doubts=(text("draft.licence_terms"),),
        )
    if by_text is not None:
        spdx, url = _KNOWN[by_text]
        return Told(id=spdx, url=url, doubts=(text("draft.licence_by_text", id=spdx),))
    return Told(id=LICENCE_UNKNOWN, url=file or page, own_terms=True, doubts=(text("draft.licence_unknown"),))


def _word(card: Mapping[str, Any], key: str) -> str:
    """A string of the metadata, on one line; of a list its first."""
    value = card.get(key)
    value = value[0] if isinstance(value, list) and value else value
    return value.strip() if isinstance(value, str) and shown(value.strip()) == value.strip() else ""


def _recognised(licence_text: str) -> str | None:
    head = " ".join(licence_text[:_HEAD_CHARACTERS].lower().split())
    return next((name for name, pattern in _TEXTS if pattern.search(head)), None)
