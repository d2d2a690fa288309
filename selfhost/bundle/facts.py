"""Reads of a model what its risks and its closure are judged by: small JSON files, headers, and first bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.bundle.risks import HEAD_BYTES, ModelFacts
from selfhost.weights.check import structure_problems
from selfhost.weights.places.names import is_licence

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from selfhost.weights.lock import LockedFile

_MAX_CONFIG_BYTES = 16 << 20
_MAX_LICENCE_BYTES = 1 << 20
_CONFIGS = ("config.json", "params.json")
"""How the names of files end that an engine takes settings from: `config.json`, `tokenizer_config.json`, ..."""


def read_facts(name: str, directory: Path, locked: Iterable[LockedFile]) -> ModelFacts:
    """What is to be known of a model in a directory; some hundred bytes of each file are read.

    Raises MissingError for files that this user may not read.
    """
    listed = tuple(sorted(locked, key=lambda file: file.path))
    configs: dict[str, Any] = {}
    heads: dict[str, bytes] = {}
    problems = [_one_line(f"{error.message.what}: {error.message.why}") for error in structure_problems(directory)]
    for file in listed:
        path = directory / file.path
        with files.explain_os_errors(path):
            try:
                with path.open("rb") as stream:
                    heads[file.path] = stream.read(HEAD_BYTES)
                    if file.path.endswith(_CONFIGS) and file.size <= _MAX_CONFIG_BYTES:
                        configs |= _config(file.path, heads[file.path] + stream.read())
            except FileNotFoundError:
                problems.append(f"absent: {file.path}")
            except ValueError as error:
                problems.append(f"not JSON: {file.path}: {error}")
    return ModelFacts(name=name, files=listed, configs=configs, heads=heads, problems=tuple(dict.fromkeys(problems)))


def read_licences(directory: Path, locked: Iterable[LockedFile]) -> dict[str, str]:
    """The texts of terms in a model's directory, by path; what is no text, or far too long for one, is left out."""
    found: dict[str, str] = {}
    for file in sorted(locked, key=lambda file: file.path):
        if is_licence(file.path) and file.size <= _MAX_LICENCE_BYTES:
            try:
                found[file.path] = (directory / file.path).read_text(encoding="utf-8")
            except (OSError, ValueError):
                continue
    return found


def _config(path: str, data: bytes) -> dict[str, dict[str, Any]]:
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return {path: value} if isinstance(value, dict) else {}


def _one_line(text: str) -> str:
    return " ".join(text.split())
