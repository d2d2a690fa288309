"""Finding: one thing noticed about files, a recipe, a machine or a log, with its remedy."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.messages import Message


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing noticed; the sentences come from the catalogue."""

    severity: Severity
    where: str
    """What it is about: a path, a key, a device."""
    message: Message

    def as_dict(self) -> dict[str, str]:
        """For `--json`."""
        return {
            "severity": self.severity.value,
            "id": self.message.id,
            "where": self.where,
            "problem": self.message.what,
            "why": self.message.why,
            "fix": self.message.hint,
        }
