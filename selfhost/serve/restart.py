"""Whether and when a server that failed is started again: `never`, `on-failure`, `on-failure:N`, as docker has it.

Only a server that was ready once is: a first start that fails has a cause that waiting does not cure. A crash loop is
more than N restarts with no ten minutes of serving between any two of them. A window of time would not do: a model that
takes a quarter of an hour to load would crash for ever without filling it.
"""

from __future__ import annotations

import re

from selfhost.errors import UsageError
from selfhost.records import dataclass

RESTARTS = 5
"""N of `on-failure`."""
SETTLED_S = 600.0
"""Serving for this long, a server is well: what happens then is a new failure, not the same again."""
_FIRST_S = 1.0
_LONGEST_S = 60.0
_POLICY = re.compile(r"never|on-failure(?::([1-9]\d{0,5}))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class RestartPolicy:
    """How often in a row a server is started again; 0 is never."""

    most: int = 0

    def __str__(self) -> str:
        return f"on-failure:{self.most}" if self.most else "never"


def parse(text: str) -> RestartPolicy:
    """The policy that a text names. Raises UsageError.

    >>> str(parse("on-failure")), str(parse("on-failure:3")), str(parse("never"))
    ('on-failure:5', 'on-failure:3', 'never')
    """
    if (match := _POLICY.fullmatch(text)) is None:
        raise UsageError("supervise.bad_restart", value=text)
    return RestartPolicy(most=0 if text == "never" else int(match[1] or RESTARTS))


def backoff_s(tries: int) -> float:
    """Seconds to wait after `tries` failures in a row.

    >>> [backoff_s(n) for n in range(1, 9)]
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    """
    return min(_FIRST_S * 2.0 ** min(tries - 1, 10), _LONGEST_S)


def failures_in_a_row(before: int, served_s: float | None) -> int:
    """How many times in a row it has failed with this one; `served_s`: how long it was ready, None when it was not."""
    return 1 if served_s is not None and served_s >= SETTLED_S else before + 1
