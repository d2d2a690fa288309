"""Of a log, the last lines that have the form of log lines: what else stands there may be what a user wrote."""

from __future__ import annotations

import re

from selfhost.serve.phases import split_lines, strip_prefix

_LINE = re.compile(
    r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)(?: \d\d-\d\d |: {4})|Traceback \(most|During handling of"
    r"|The above exception"
    r"|[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Warning)\b|\[(?:ERROR|WARNING|INFO|DEBUG|EVENT)\]"
    r"|\[PID: \d+\]|E[A-Z]\d{4}\b|Loading \w+ checkpoint shards|Capturing .{0,80}\|"
)
_FRAME = re.compile(r'  File "[^"]+", line \d+')
_LONGEST = 400


def excerpt(log: str, most: int) -> list[str]:
    """At most `most` lines; others are told by their length. A line of source follows its place in a traceback."""
    found: list[str] = []
    after_frame = False
    for line in split_lines(log)[-most:]:
        bare = strip_prefix(line)
        frame = bool(_FRAME.match(bare))
        known = frame or _LINE.match(line) or _LINE.match(bare) or bare != line
        if known or (after_frame and bare.startswith("    ")):
            found.append(line[:_LONGEST])
        else:
            found.append(f"[a line of {len(line)} characters]")
        after_frame = frame
    return found
