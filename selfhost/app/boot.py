"""Boot records, written when a start has measured something; `known_boots` finds them again for later plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.errors import SelfhostError
from selfhost.messages import text
from selfhost.planner.boots import Measured, Outcome
from selfhost.serve import boots, figures, logs, records
from selfhost.units import GIB, format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from selfhost.home import Home
    from selfhost.serve.records import Failure, Record

SCHEMA_VERSION = 1
_OUTCOMES = {
    "diagnose.kv_too_small": Outcome.KV_TOO_SMALL,
    "diagnose.no_kv_memory": Outcome.KV_TOO_SMALL,
    "diagnose.out_of_memory": Outcome.OUT_OF_MEMORY,
    "diagnose.oom_killer": Outcome.OUT_OF_MEMORY,
}
_SAYS_SOMETHING = ("weight_bytes", "kv_cache_bytes", "kv_cache_tokens")


def write(home: Home, record: Record, subject: Mapping[str, Any] | None, phases: Mapping[str, float]) -> Path | None:
    """Keep what a server that just became ready measured: `boot.json` beside it, and the boot record of its plan.

    phases: seconds after the start at which each phase began; `serving` is when it was ready. None when there is
    nothing to keep it under, or it cannot be written: a full disk is no reason to end a server that answers.
    """
    folder = records.folder(home, record.name)
    log = logs.read_ends(folder.engine_log)
    boot = _boot(log, record, phases, Outcome.STARTED)
    try:
        what = {name: record.plan.get(name) for name in ("engine", "hardware", "layout", "settings")}
        files.write_json(folder.boot, {"schema_version": SCHEMA_VERSION, "mark": record.mark, **what, **boot}, 0o600)
        return boots.add(home, _as_it_ran(subject, log), boot) if subject else None
    except (SelfhostError, OSError):
        return None


def write_failed(
    home: Home, record: Record, subject: Mapping[str, Any] | None, failure: Failure, phases: Mapping[str, float]
) -> Path | None:
    """Keep what a failed start had measured of memory, which says as much about the fit; None when that is nothing."""
    log = logs.read_ends(records.folder(home, record.name).engine_log)
    boot = _boot(log, record, phases, _OUTCOMES.get(failure.message_id, Outcome.FAILED))
    measured: Mapping[str, Any] = boot["measured"]
    if subject is None or all(measured[name] is None for name in _SAYS_SOMETHING):
        return None
    try:
        return boots.add(home, _as_it_ran(subject, log), {**boot, "failure": failure.message_id})
    except (SelfhostError, OSError):
        return None


def _boot(log: str, record: Record, phases: Mapping[str, float], outcome: Outcome) -> dict[str, Any]:
    plan = record.plan
    return {
        "model": record.model,
        "variant": record.variant,
        "started_at": record.started_at,
        "outcome": outcome.value,
        "predicted": {"per_rank": plan.get("per_rank"), "kv_cache": plan.get("kv_cache")},
        "measured": figures.read_measured(log).as_dict(),
        "phases_s": {name: round(seconds, 2) for name, seconds in phases.items()},
    }


def _as_it_ran(subject: Mapping[str, Any], log: str) -> dict[str, Any]:
    """The subject with the version that ran: `--engine-python` may name another one than was planned for."""
    engine = subject["engine"]
    return {**subject, "engine": {**engine, "version": figures.read_version(log) or engine["version"]}}


def of_server(home: Home, record: Record) -> dict[str, Any] | None:
    """What a server measured when it became ready the last time; None where that is not there, or another one's."""
    boot = files.read_json(records.folder(home, record.name).boot)
    return boot if boot and boot.get("mark") == record.mark else None


def ready_lines(home: Home, record: Record) -> list[str]:
    """What the plan had said beside what was measured, for who started a server; and where that is kept."""
    boot = of_server(home, record)
    if boot is None:
        return [text("boot.not_kept", path=home.boots)]
    measured = Measured(**{name: boot["measured"].get(name) for name in Measured.__dataclass_fields__})
    per_rank, kv = record.plan["per_rank"], record.plan["kv_cache"]
    told = []
    for message, predicted, actual in (
        ("boot.weights", per_rank["weight_bytes"], measured.weight_bytes),
        ("boot.kv", per_rank["kv_cache_bytes"], measured.kv_cache_bytes),
    ):
        if actual is not None:
            told.append(text(message, predicted=f"{predicted / GIB:,.2f}", actual=f"{actual / GIB:,.2f}"))
    if measured.kv_cache_tokens is not None:
        told.append(text("boot.tokens", predicted=kv["tokens"], actual=measured.kv_cache_tokens))
    told.append(text("boot.time", actual=format_duration(boot["phases_s"]["serving"])))
    where = text("boot.kept", path=record.boot_record) if record.boot_record else text("boot.not_kept", path=home.boots)
    return [text("boot.ready", figures=", ".join(told)), where]
