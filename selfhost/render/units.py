"""Text of systemd's and quadlet's unit files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10")
"""Networks that are not the internet. Source: RFC 1918, RFC 4193."""


def unit_text(*sections: tuple[str, Sequence[tuple[str, object]]]) -> str:
    """Sections with their keys in order; a key may come several times."""
    return "\n".join(f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in keys) for name, keys in sections)


def words(argv: Iterable[str]) -> str:
    r"""A command line as systemd reads it: nothing in it is a variable, a specifier or an escape.

    Source: systemd.service(5), COMMAND LINES; systemd.syntax(7), QUOTING.

    >>> words(["a", "b c", '{"x": "5%"}', "$HOME"])
    'a "b c" "{\\"x\\": \\"5%%\\"}" $$HOME'
    """
    return " ".join(word(text) for text in argv)


def word(text: str) -> str:
    """One word of it."""
    return quoted(text.replace("$", "$$"))


def quoted(text: str) -> str:
    """A word in which variables count, as `${NAME}`; specifiers and escapes do not."""
    made = text.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    plain = made == text.replace("%", "%%") and not set(text) & set(" \t';#") and text
    return made if plain else f'"{made}"'


def allowed_addresses(*, beyond_loopback: bool) -> list[tuple[str, object]]:
    """Which addresses the kernel lets a unit talk to: an air gap that does not depend on the engine's good will."""
    keys: list[tuple[str, object]] = [("IPAddressDeny", "any"), ("IPAddressAllow", "localhost")]
    return keys + [("IPAddressAllow", network) for network in PRIVATE if beyond_loopback]
