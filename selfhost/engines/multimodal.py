"""Reads what an engine command line says about images and videos.

Source: vLLM 0.32 engine/arg_utils.py (the group "MultiModalConfig") and config/multimodal.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from selfhost.errors import UsageError
from selfhost.models.media import Media
from selfhost.models.vision import TowerMode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from selfhost.engines.owned import Option

_MODE, _TEXT_ONLY = "--mm-encoder-tp-mode", "--language-model-only"
_LIMITS, _PROCESSOR = "--limit-mm-per-prompt", "--mm-processor-kwargs"
_UNPROFILED, _UNCHUNKED = "--skip-mm-profiling", "--disable-chunked-mm-input"
FLAGS = frozenset([_MODE, _TEXT_ONLY, _LIMITS, _PROCESSOR, _UNPROFILED, _UNCHUNKED])
_COUNT = "count"


def read_media(options: Iterable[Option]) -> Media:
    """What the options say; the last of equal ones stands, and keys of a JSON option add up.

    Raises UsageError for a value that is not a JSON object, and for a limit that is no number.
    """
    last: dict[str, Option] = {}
    keys: dict[str, dict[str, object]] = {_LIMITS: {}, _PROCESSOR: {}}
    for option in options:
        last[option.flag.name] = option
        if option.flag.name in keys:
            keys[option.flag.name] |= _read(option)
    area = _areas(keys[_PROCESSOR])
    return Media(
        mode=TowerMode(last[_MODE].values[0]) if _MODE in last else TowerMode.WEIGHTS,
        text_only=_on(last.get(_TEXT_ONLY)),
        limits=tuple(sorted((kind, _limit(value)) for kind, value in keys[_LIMITS].items())),
        image_pixels=area.get("images_kwargs"),
        video_pixels=area.get("videos_kwargs"),
        profiled=not _on(last.get(_UNPROFILED)),
        chunked=not _on(last.get(_UNCHUNKED)),
    )


def counted(options: Iterable[Option]) -> frozenset[str]:
    """Flags of these options whose effect on memory is in a plan's figures.

    Not in them: sizes of dummy items in a limit, and settings of a processor beside its largest area.
    """
    return FLAGS - {option.flag.name for option in options if _says_more(option)}


def _says_more(option: Option) -> bool:
    if option.flag.name == _LIMITS:
        return any(isinstance(value, dict) and set(value) - {_COUNT} for value in _read(option).values())
    return option.flag.name == _PROCESSOR and not set(_read(option)) <= _AREA_KEYS


_AREA_KEYS = {"max_pixels", "min_pixels", "size", "images_kwargs", "videos_kwargs"}


def _on(option: Option | None) -> bool:
    return option is not None and not option.given.startswith("--no-")


def _read(option: Option) -> dict[str, object]:
    """The object of a JSON option; `--a.b.c 1` is one with a key in a key."""
    value, path = option.values[0] if option.values else "", option.given.split(".")[1:]
    try:
        read: object = json.loads(value)
    except ValueError:
        read = value if path else None
    for key in reversed(path):
        read = {key: read}
    if not isinstance(read, dict):
        raise UsageError("owned.not_an_object", flag=option.flag.name, value=value[:80])
    return read


def _limit(value: object) -> int:
    """A number, or an object with one; without one the engine's own 999."""
    count = value.get(_COUNT, 999) if isinstance(value, dict) else value
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise UsageError("owned.not_a_number", flag=_LIMITS, value=value)
    return count


def _areas(given: Mapping[str, object]) -> dict[str, int]:
    """Largest areas in pixels, of images and of videos; what is given for both comes first."""
    found = {}
    for scope in ("images_kwargs", "videos_kwargs"):
        inner = given.get(scope)
        for said in (given, inner if isinstance(inner, dict) else {}):
            size = said.get("size")
            for area in (size.get("longest_edge") if isinstance(size, dict) else None, said.get("max_pixels")):
                if isinstance(area, int) and area > 0:
                    found[scope] = area
    return found
