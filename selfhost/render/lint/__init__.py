"""Findings about deployment files, ours or anybody's: compose, quadlet, systemd, Kubernetes, nginx, alert rules.

Files are read into one picture, the `Site`: containers with their commands, mounts, probes and limits. Each rule, R1 to
R20, is a function from that picture to findings. Nothing in the files is run, and nothing is opened.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.findings import Severity
from selfhost.render.lint.read import read
from selfhost.render.lint.rules import RULES
from selfhost.render.lint.site import Beside

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from selfhost.findings import Finding

_RULE = re.compile(r"render_lint\.r(\d+)_")


def lint(files: Mapping[str, str], beside: Beside | None = None, ignore: Collection[str] = ()) -> list[Finding]:
    """All findings about files (text by path), errors first; `ignore` names rules: `R5`.

    Raises IntegrityError for a file that cannot be read, UsageError when none of them is of a kind that is known.
    """
    site = read(files, beside or Beside())
    found = [*site.notes]
    for number, rule in RULES:
        if f"R{number}" not in ignore:
            found += rule(site)
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))


def rule_of(finding: Finding) -> str:
    """`R5` of a finding; empty for one that is of no rule (a file that is not known)."""
    found = _RULE.match(finding.message.id)
    return f"R{found[1]}" if found else ""
