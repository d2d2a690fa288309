"""`selfhost key`: make, list and revoke API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import UsageError
from selfhost.home import find_home
from selfhost.serve import keys

if TYPE_CHECKING:
    from pathlib import Path


def new(name: str, output: Path | None = None) -> str:
    """Make a key and return it; with `output` also write it there (0600).

    Raises UsageError when `output` exists, or its directory does not, and for the name as `keys.new` does.
    """
    if output is not None and output.exists():
        raise UsageError("key.output_exists", path=output)
    if output is not None and not output.absolute().parent.is_dir():
        raise UsageError("key.no_directory", path=output.absolute().parent)
    home = find_home()
    key = keys.new(home, name)
    if output is not None:
        try:
            with files.atomic_write(output.absolute(), 0o600) as stream:
                stream.write(key.encode() + b"\n")
        except BaseException:
            # A key that nobody has must not stay in force.
            keys.revoke(home, name)
            raise
    return key


def ls() -> list[keys.ApiKey]:
    """The keys in force, in the order they were made."""
    return keys.load(find_home())


def revoke(name: str) -> None:
    """End a key. Raises UsageError for an unknown name."""
    keys.revoke(find_home(), name)
