"""The boot record: what an engine measured at its start, beside what the plan had said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost import files
from selfhost.serve import logs, phases

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.serve.records import Folder, Record

SCHEMA_VERSION = 1


def write(folder: Folder, record: Record, phase_times: Mapping[str, float]) -> None:
    """Write `boot.json` of a server that just became ready.

    phase_times: seconds after the start at which each phase began; `serving` is when it was ready.
    """
    plan = record.plan
    measured = phases.read_measured(logs.read_ends(folder.engine_log))
    boot = {
        "schema_version": SCHEMA_VERSION,
        "model": record.model,
        "variant": record.variant,
        "started_at": record.started_at,
        "engine": plan.get("engine"),
        "hardware": plan.get("hardware"),
        "layout": plan.get("layout"),
        "settings": plan.get("settings"),
        "predicted": {"per_rank": plan.get("per_rank"), "kv_cache": plan.get("kv_cache")},
        "measured": measured.as_dict(),
        "phases_s": {name: round(seconds, 2) for name, seconds in phase_times.items()},
    }
    files.write_json(folder.boot, boot, 0o600)
