"""What a script in the quantize environment is told, and what it answers: one JSON object a line.

    {"event": "plan", "files": N, "bytes": N}
    {"event": "progress", "done_bytes": N, "file": "model-00001-of-00004.safetensors"}
    {"event": "done", "files": [{"path": ..., "size": N, "sha256": ...}], "peak_rss_bytes": N}
    {"event": "error", "id": "quantize.no_space", "params": {...}}

Lines that are none of these are somebody else's (a library that prints) and are passed over.
"""

from __future__ import annotations

import json
from dataclasses import asdict, field
from typing import TYPE_CHECKING, Any

from selfhost.records import dataclass
from selfhost.weights.lock import LockedFile

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = 1
PROVENANCE_NAME = "selfhost-quantize.json"
"""Beside the result: what it was made of, by what, how."""
_BEGINNING = '{"event":'
_USED = ("device", "group_size", "calibration")
LOSS_NAME = "selfhost-loss.json"
"""Beside the result: what it lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """The text that goes through the model."""

    file: str | None
    """The user's own; None: the text that ships with the script."""
    samples: int
    """At most; each of as many tokens as the script takes on its device, whatever the passages of the text are."""
    sha256: str | None = None
    """Of the user's file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One run of a script."""

    scheme: str
    source: str
    """Directory of the model."""
    target: str
    """Directory that is filled; what is finished in it is kept by the next run of the same job."""
    group_size: int | None = None
    ignore: tuple[str, ...] = ()
    device: str = "auto"
    jobs: int = 1
    calibration: Calibration | None = None

    def as_dict(self) -> dict[str, Any]:
        """What the script reads."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "ignore": list(self.ignore)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """The script knows how much there is to do."""

    files: int
    total_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """So much of it is done."""

    done_bytes: int
    file: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """All is written and was read back."""

    files: tuple[LockedFile, ...]
    peak_rss_bytes: int | None
    used: Mapping[str, Any] = field(default_factory=dict)
    """What came of settings that were left open: device, group size, text and how much of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The script gave up, and says why."""

    id: str
    params: Mapping[str, Any]


Event = Planned | Progress | Done | Failed


def read_event(line: str) -> Event | None:
    """The event in a line; None for a line that is none, or whose values make no sense.

    Bars of a library may stand before it: they end without an end of line.
    """
    try:
        body = json.loads(line[max(0, line.rfind(_BEGINNING)) :])
        match body["event"]:
            case "plan":
                return Planned(files=int(body["files"]), total_bytes=int(body["bytes"]))
            case "progress":
                return Progress(done_bytes=int(body["done_bytes"]), file=str(body.get("file") or ""))
            case "done":
                return _done(body)
            case "error":
                return Failed(id=str(body["id"]), params=dict(body.get("params") or {}))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return None


def _done(body: Mapping[str, Any]) -> Done:
    files = tuple(
        LockedFile(path=str(one["path"]), size=int(one["size"]), sha256=str(one["sha256"])) for one in body["files"]
    )
    peak = body.get("peak_rss_bytes")
    used = {name: body[name] for name in _USED if body.get(name) is not None}
    return Done(files=files, peak_rss_bytes=None if peak is None else int(peak), used=used)
