"""SHA256SUMS, as `sha256sum` writes it: digests of the files of a directory."""

from __future__ import annotations

import re

SUMS_NAME = "SHA256SUMS"
_LINE = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)")
_ESCAPES = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}


def parse_sums(text: str) -> dict[str, str]:
    """Path -> sha256 in lower case. Raises ValueError, saying which line is none."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            msg = f"line {number} is not `<64 hex digits>  <path>`"
            raise ValueError(msg)
        path = match[3]
        if match[1]:  # the name has a backslash or a newline, which are written as two characters
            path = re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], path)
        digest = match[2].lower()
        path = path.removeprefix("./")
        if found.setdefault(path, digest) != digest:
            msg = f"line {number} gives `{path}` another digest than a line above"
            raise ValueError(msg)
    found.pop(SUMS_NAME, None)
    return found
