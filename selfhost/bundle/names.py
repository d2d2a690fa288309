"""Names that files may have on every file system a bundle may meet, and paths that a volume may have."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from selfhost.errors import IntegrityError
from selfhost.weights.lock import path_problem

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_PATH_BYTES = 1024
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?", re.ASCII)


def paths_problem(paths: Iterable[str]) -> str:
    """Why these cannot be the files of one directory anywhere; empty when they can.

    >>> paths_problem(["config.json", "Config.json"])
    "'Config.json' and 'config.json' are one file where upper and lower case are the same"
    """
    listed = list(paths)
    if problem := path_problem(listed):
        return problem
    folded: dict[str, str] = {}
    for path in sorted(listed):
        if problem := _problem(path):
            return problem
        # Folders too: `A/x` and `a/y` are one folder there.
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            name = "/".join(parts[:end])
            if (other := folded.setdefault(name.casefold(), name)) != name:
                return f"{other!r} and {name!r} are one file where upper and lower case are the same"
    return ""


def _problem(path: str) -> str:
    if unicodedata.normalize("NFC", path) != path:
        return f"{path!r} is not in Unicode's normal form C"
    try:
        if len(path.encode()) > _MAX_PATH_BYTES:
            return f"{path[:80]!r}... is longer than {_MAX_PATH_BYTES} bytes"
    except UnicodeEncodeError:
        return f"{path!r} is not UTF-8"
    for part in path.split("/"):
        if _RESERVED.fullmatch(part):
            return f"{path!r} has a name that is reserved on Windows"
        if _FORBIDDEN.search(part) or part[-1:] in (".", " ") or part.startswith(" "):
            return f"{path!r} has a name that some file systems do not take"
    return ""


def check_paths(paths: Iterable[str], where: str) -> None:
    """Raises IntegrityError, naming `where` they were read, for paths that cannot be files of one directory."""
    if problem := paths_problem(paths):
        raise IntegrityError("bundle.bad_paths", path=where, detail=problem)


def is_label(label: str) -> bool:
    """Whether this can be the name of a bundle: ASCII letters, digits, `.`, `_`, `-`; at most 100."""
    return bool(_LABEL.fullmatch(label)) and not _RESERVED.fullmatch(label)
