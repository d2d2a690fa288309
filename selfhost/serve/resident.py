"""Memory that processes hold and nothing else could have: what was allocated, not what was read from files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIELDS = re.compile(r"^(?:RssAnon|RssShmem):\s*(\d+) kB$", re.MULTILINE)
_PROC = Path("/proc")


def resident_bytes(pids: Iterable[int]) -> int:
    """RssAnon and RssShmem of the processes together; one that is gone holds nothing. Source: proc_pid_status(5).

    A page of shared memory counts for each process that has touched it: a bound from above.
    """
    total = 0
    for pid in pids:
        try:
            status = (_PROC / str(pid) / "status").read_text(errors="replace")
        except OSError:
            continue
        total += sum(int(found) << 10 for found in _FIELDS.findall(status))
    return total
