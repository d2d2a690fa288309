"""What a registry wants to see, in the headers of its 401. Source: RFC 9110, 11.6.1; distribution, docs/spec/auth."""

from __future__ import annotations

import re

from selfhost.records import dataclass

_MAX_CHARS = 8192
_STEP = re.compile(
    r"""\s*,?\s*(?:
        (?P<name>[A-Za-z0-9_-]{1,64})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]+))
        |(?P<scheme>[A-Za-z0-9_-]{1,64})(?=\s|,|$)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Challenge:
    """One way to prove who one is."""

    scheme: str
    """`bearer`, `basic`."""
    realm: str = ""
    """For `bearer`: the address that gives tokens."""
    service: str = ""
    scope: str = ""


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of a `WWW-Authenticate`; what is none of ours is left out.

    >>> parse_challenges('Bearer realm="https://a/t",service="a",scope="repository:x:pull"')[0].service
    'a'
    """
    found: list[tuple[str, dict[str, str]]] = []
    place, header = 0, header[:_MAX_CHARS]
    while step := _STEP.match(header, place):
        place = step.end()
        if step["scheme"]:
            found.append((step["scheme"].lower(), {}))
        elif found:
            value = re.sub(r"\\(.)", r"\1", step["quoted"]) if step["plain"] is None else step["plain"]
            found[-1][1].setdefault(step["name"].lower(), value)
    return tuple(
        Challenge(scheme=scheme, **{name: values.get(name, "") for name in ("realm", "service", "scope")})
        for scheme, values in found
        if scheme in ("bearer", "basic")
    )
