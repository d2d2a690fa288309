"""Writes SHA256SUMS as `sha256sum` does; `weights.places.sums` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def format_sums(digests: Mapping[str, str]) -> bytes:
    r"""The text for these paths and their sha256, sorted by path. Names in a bundle need no escapes.

    >>> format_sums({"b": "1" * 64, "a": "0" * 64}).split()[1::2]
    [b'a', b'b']
    """
    return "".join(f"{digests[path]}  {path}\n" for path in sorted(digests)).encode()
