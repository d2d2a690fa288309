"""Text of systemd's and quadlet's unit files."""

from __future__ import annotations

from selfhost.planner.layouts import FIRST_NODE
from selfhost.render.deployment import INTERFACE, THIS_NODE

Keys = list[tuple[str, object]]
SITE = {FIRST_NODE: "${FIRST_NODE}", THIS_NODE: "${THIS_NODE}", INTERFACE: "${INTERFACE}"}
"""Stand-ins of the machines' addresses -> variables of a unit: systemd fills them in when it starts a command."""
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10")
"""Networks that are not the internet. Source: RFC 1918, RFC 4193."""


def unit_text(*sections: tuple[str, Keys]) -> str:
    """Sections with their keys in order; a key may come several times."""
    return "\n".join(f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in keys) for name, keys in sections)


def unit_keys(description: str) -> Keys:
    """`[Unit]` of everything that is rendered: with a network, and given up when it fails again and again."""
    return [
        ("Description", description),
        ("After", "network-online.target"),
        ("Wants", "network-online.target"),
        ("StartLimitIntervalSec", "1h"),
        ("StartLimitBurst", 5),
    ]


def word(text: str) -> str:
    r"""A word of a command line as systemd reads it: nothing in it is a variable, a specifier or an escape.

    Source: systemd.service(5), COMMAND LINES; systemd.syntax(7), QUOTING.

    >>> print(*map(word, ["a", "b c", '{"x": "5%"}', "$HOME"]))
    a "b c" "{\"x\": \"5%%\"}" $$HOME
    """
    return quoted(text.replace("$", "$$"))


def engine_word(text: str) -> str:
    """A word of the engine's command line, in which nothing is a variable but the first node's address."""
    return quoted(SITE[text]) if text == FIRST_NODE else word(text)


def quoted(text: str) -> str:
    """A word in which variables count, as `${NAME}`; specifiers and escapes do not."""
    made = text.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    plain = made == text.replace("%", "%%") and not set(text) & set(" \t';#") and text
    return made if plain else f'"{made}"'


def allowed_addresses(*, beyond_loopback: bool) -> Keys:
    """Which addresses the kernel lets a unit talk to: an air gap that does not depend on the engine's good will."""
    keys: Keys = [("IPAddressDeny", "any"), ("IPAddressAllow", "localhost")]
    return keys + [("IPAddressAllow", network) for network in PRIVATE if beyond_loopback]
