"""Reads what pip prints while it installs a lock: how far it is, and what went wrong. Lines in, values out.

The lines are those of pip 23.2 to 25. A line that is not known is skipped: another wording costs a progress line only.
"""

from __future__ import annotations

import re
from enum import StrEnum

from selfhost.records import dataclass
from selfhost.units import parse_bytes

_COLLECT = re.compile(r"(?:Collecting|Processing) (\S+)")
_DOWNLOAD = re.compile(r"  Downloading (\S+\.whl) \(([0-9.]+ ?[kKMG]?B|[0-9]+ bytes)\)")
_IGNORE = re.compile(r"Ignoring ([A-Za-z0-9._-]+): markers")
_NO_MATCH = re.compile(r"ERROR: No matching distribution found for (\S+)")
_GOT = re.compile(r"\s+Got\s+([0-9a-f]{64})")
_EXPECTED = re.compile(r"\s+Expected (?:    or|sha256) ([0-9a-f]{64})")
# Of an error in an error in an error, the innermost.
_DETAIL = re.compile(r"\[(?:Errno|SSL)[^]]*\] [^'(\")]*|(?:\w+ )?[Tt]imed out|Tunnel connection failed: [^')\"]*")
_WHO = re.compile(r"    (\S+==\S+) from (\S+)")


class Phase(StrEnum):
    """What an installation is doing."""

    WAIT = "wait"
    PREPARE = "prepare"
    COLLECT = "collect"
    INSTALL = "install"


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far an installation is."""

    phase: Phase
    done: int = 0
    total: int = 0
    """Packages."""
    item: str = ""
    """What is being fetched: `torch==2.13.0+cpu`, or a file name."""
    item_done_bytes: int | None = None
    item_bytes: int | None = None
    """Of a download; None when the file is local or cached."""


class Failure(StrEnum):
    """Why pip gave up, as far as its output tells."""

    HASH = "hash"
    NOT_FOUND = "not_found"
    CERTIFICATE = "certificate"
    UNREACHABLE = "unreachable"
    NO_SPACE = "no_space"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """A failure of pip, with the line that tells it."""

    failure: Failure
    line: str
    requirement: str = ""
    """`name==version`, when one package is to blame."""
    wanted: str = ""
    found: str = ""
    """sha256, for a hash that does not match."""


class PipOutput:
    """Follows the output of one pip run, line by line."""

    def __init__(self, packages: int) -> None:
        self._packages = packages
        self._collected = 0
        self.ignored: set[str] = set()
        """Names whose marker is false here."""
        self.phase = Phase.COLLECT
        self.item = ""
        self.item_bytes: int | None = None
        self.lines: list[str] = []

    @property
    def total(self) -> int:
        """Packages that will be installed here."""
        return self._packages - len(self.ignored)

    @property
    def collected(self) -> int:
        """Packages that pip has seen so far, the one in work included."""
        return self._collected

    def feed(self, line: str) -> None:
        """Take one line, without its line break."""
        self.lines.append(line)
        if match := _IGNORE.match(line):
            self.ignored.add(match[1])
        elif match := _COLLECT.match(line):
            self._collected += 1
            self.item, self.item_bytes = match[1].rpartition("/")[2], None
        elif match := _DOWNLOAD.match(line):
            self.item = match[1]
            self.item_bytes = parse_bytes(match[2].replace("bytes", ""))
        elif line.startswith("Installing collected packages"):
            self.phase, self.item, self.item_bytes = Phase.INSTALL, "", None

    def cause(self) -> Cause:
        """Why pip failed; call it when its exit status was not 0."""
        text = "\n".join(self.lines)
        last = next((line for line in reversed(self.lines) if line.startswith("ERROR")), "")
        line = last or next((line for line in reversed(self.lines) if line.strip()), "")
        if "DO NOT MATCH THE HASHES" in text:
            return self._hash_cause()
        if space := _line_with(self.lines, "No space left on device", "Disk quota exceeded"):
            return Cause(failure=Failure.NO_SPACE, line=space)
        # A registry that cannot be reached ends as `No matching distribution`: look for the reason first.
        if certificate := _line_with(self.lines, "CERTIFICATE_VERIFY_FAILED", "problem confirming the ssl certificate"):
            return Cause(failure=Failure.CERTIFICATE, line=_connection(certificate))
        match = _NO_MATCH.search(text)
        requirement = match[1] if match else ""
        trouble = _line_with(
            self.lines,
            "after connection broken by",
            "ReadTimeoutError",
            "ProtocolError",
            "Max retries",
            "HTTPError",
            "HTTP error",
        )
        if trouble:
            return Cause(failure=Failure.UNREACHABLE, line=_connection(trouble), requirement=requirement)
        if match:
            return Cause(failure=Failure.NOT_FOUND, line=line, requirement=requirement)
        return Cause(failure=Failure.OTHER, line=line)

    def _hash_cause(self) -> Cause:
        text = "\n".join(self.lines)
        tail = text[text.index("DO NOT MATCH THE HASHES") :]
        who, got, expected = _WHO.search(tail), _GOT.search(tail), _EXPECTED.findall(tail)
        where = f"{who[1]} from {who[2]}" if who else "a package"
        return Cause(
            failure=Failure.HASH,
            line=where,
            requirement=who[1] if who else "",
            wanted=expected[0] if len(expected) == 1 else f"one of {len(expected)} in the lock",
            found=got[1] if got else "another",
        )


def _line_with(lines: list[str], *parts: str) -> str:
    """The last line that contains one of the parts; empty when none does."""
    return next((line.strip() for line in reversed(lines) if any(part in line for part in parts)), "")


def _connection(line: str) -> str:
    """What matters in one of pip's long lines about a connection; the whole line when it is not known.

    >>> _connection(
    ...     "... broken by 'NewConnectionError('<...>: Failed ...: [Errno 111] Connection refused')': /simple/a/"
    ... )
    'NewConnectionError: [Errno 111] Connection refused'
    """
    kind = re.search(r"broken by '(\w+)", line)
    detail = _DETAIL.search(line)
    if not detail:
        return line
    return f"{kind[1]}: {detail[0].strip()}" if kind else detail[0].strip()
