"""Log lines as other programs keep them: what Docker, Kubernetes, compose, journald and Ray put around a line."""

from __future__ import annotations

import json
import re

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)"
_AROUND = (
    # compose: `vllm-1  | `
    re.compile(r"^[\w.-]{1,80} +\| "),
    # containerd and CRI-O, in /var/log/pods; `docker logs -t`, `kubectl logs --timestamps`
    re.compile(rf"^{_TIME} (?:(?:stdout|stderr) [FP] )?"),
    # journald and syslog: `Nov 22 04:08:47 host vllm[123]: `, and with ISO times
    re.compile(rf"^(?:[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d|{_TIME}) [\w.-]+ [\w./@-]+(?:\[\d+\])?: "),
)
_JSON_FILE = '{"log":'


def unwrap(line: str) -> str:
    r"""The line as the engine wrote it.

    >>> unwrap("vllm-1  | 2026-11-22T04:08:47.1Z ValueError: x")
    'ValueError: x'
    """
    if line.startswith(_JSON_FILE):
        line = _from_json(line)
    if "\x1b" in line:
        line = _COLOUR.sub("", line)
    # The order is from the outside in; syslog's own time must not be taken for that of `docker logs -t`.
    for pattern in (_AROUND[0], _AROUND[2], _AROUND[1]):
        line = pattern.sub("", line, count=1)
    return line


def _from_json(line: str) -> str:
    """Docker's json-file."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return line
    text = said.get("log") if isinstance(said, dict) else None
    return text.rstrip("\n") if isinstance(text, str) else line
