"""All rules over all facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.doctor import rules_ascend, rules_cuda, rules_detect, rules_gpu, rules_host
from selfhost.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selfhost.doctor.facts import Facts
    from selfhost.findings import Finding

RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    *rules_detect.RULES,
    *rules_cuda.RULES,
    *rules_gpu.RULES,
    *rules_ascend.RULES,
    *rules_host.RULES,
)
_ORDER = list(Severity)


def examine(facts: Facts) -> tuple[Finding, ...]:
    """What is wrong, errors first; of one kind in the order of the rules."""
    found = [finding for rule in RULES for finding in rule(facts)]
    found += facts.judged
    return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity)))
