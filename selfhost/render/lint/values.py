"""Values of files whose authors may have written anything: the wrong type reads as nothing."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

SECRET = re.compile(r"(?:^|_)(?:API_?KEYS?|TOKEN|SECRET|SECRET_KEY|ACCESS_KEY)$|PASSW(?:OR)?D$", re.IGNORECASE)
"""Names of variables that hold something secret."""
_LONGEST_BITS = 1024


def mapping(value: object) -> dict[str, Any]:
    """A mapping with text as keys; empty for anything else."""
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """A list; empty for anything else."""
    return value if isinstance(value, list) else []


def mappings(value: object) -> Iterator[tuple[int, dict[str, Any]]]:
    """The mappings in a list, with their numbers."""
    for number, item in enumerate(sequence(value)):
        if isinstance(item, dict):
            yield number, mapping(item)


def below(value: object, *keys: str) -> Any:
    """What lies below keys; None when it is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text(value: object) -> str:
    """A scalar as the text it stands for in a file; empty for none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > _LONGEST_BITS:
        return hex(value)  # Python refuses to write it out in tens
    return "" if value is None or isinstance(value, (dict, list)) else str(value)


def words(value: object) -> tuple[str, ...]:
    """A command as a list of words, from a list or from one text."""
    if isinstance(value, list):
        return tuple(map(text, value))
    said = text(value)
    try:
        return tuple(shlex.split(said))
    except ValueError:
        return tuple(said.split())


def join(place: str, key: str) -> str:
    """The place of a key below a place: `services.engine`."""
    return f"{place}.{key}" if place else key


def expressions(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Queries of alert rules and dashboards, with their places."""
    if isinstance(value, dict):
        for key, item in value.items():
            at = join(place, str(key))
            if key in {"expr", "query"} and isinstance(item, str):
                yield at, item
            else:
                yield from expressions(item, at)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from expressions(item, f"{place}[{number}]")


def name_and_tag(image: str) -> tuple[str, str]:
    """Of an image, without registry, folders and digest; an empty tag when it is not said.

    >>> name_and_tag("localhost:5000/team/nginx:1.28@sha256:ab")
    ('nginx', '1.28')
    """
    name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    return name, tag


def pairs(lines: Mapping[str, Any] | list[Any] | None) -> dict[str, str | None]:
    """Variables from a mapping or from a list of `NAME=value`; None for one whose value comes from elsewhere."""
    if isinstance(lines, dict):
        return {str(name): None if value is None else text(value) for name, value in lines.items()}
    found: dict[str, str | None] = {}
    for line in sequence(lines):
        name, equals, value = text(line).partition("=")
        found[name] = value if equals else None
    return found


def env_file(content: str) -> dict[str, str]:
    """Variables of an environment file."""
    found = {}
    for line in content.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = value.strip().strip("\"'")
    return found


def device_count(paths: Collection[str]) -> int | None:
    """Accelerators among devices that are mapped: Ascend's by path, NVIDIA's by CDI; None as in `cdi_count`."""
    return sum(map(is_npu, paths)) or cdi_count(paths)


def is_npu(path: str) -> bool:
    """Whether a device is an Ascend chip, not one of the managers beside it."""
    return bool(re.fullmatch(r"/dev/davinci\d+", path))


def cdi_count(devices: Iterable[str]) -> int | None:
    """NVIDIA devices among names of CDI (`nvidia.com/gpu=0`); None for none of them, and for all."""
    gpus = [device for device in devices if device.startswith("nvidia.com/gpu=")]
    return None if any(device.endswith("=all") for device in gpus) else len(gpus) or None
