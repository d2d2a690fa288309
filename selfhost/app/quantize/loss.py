"""What a variant lost against its source, measured by a script in the quantize environment; `--max-kl` is a gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.app.quantize import run
from selfhost.errors import IntegrityError, NoError
from selfhost.messages import text
from selfhost.quantize.job import LOSS_NAME, SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.app.quantize.types import Plan, Talk

SCRIPT = "selfhost_quantize_loss.py"


def measure(plan: Plan, talk: Talk) -> Mapping[str, Any] | None:
    """Compare the result with its source; the report, which then lies beside the result. None where none is wanted.

    Raises NoError where more is lost than `--max-kl` allows: the result is kept, and gets no name.
    """
    limit = plan.request.max_kl
    if plan.request.scheme.format is None or not (plan.request.loss or limit is not None):
        return None
    target, report = Path(plan.job.target), Path(plan.job.target) / LOSS_NAME
    if not report.is_file():
        job = plan.work / "loss.json"
        body = {**plan.job.as_dict(), "schema_version": SCHEMA_VERSION, "report": str(report)}
        run.write_job(job, body)
        with talk.following(text("quantize.comparing"), steps=True) as tell:
            run.run(plan.python, run.script(SCRIPT), job, plan.work / "log.txt", tell)
    found = files.read_json(report)
    if found is None or not isinstance(found.get("mean_kl"), (int, float)):
        raise IntegrityError("quantize.bad_result", path=target, detail=f"`{LOSS_NAME}` has no `mean_kl`")
    gate(limit, found, target)
    return found


def gate(limit: float | None, report: Mapping[str, Any], path: Path) -> None:
    """Raises NoError where a report says that more was lost than `limit`."""
    if limit is not None and not float(report["mean_kl"]) <= limit:
        raise NoError("quantize.too_much_lost", kl=float(report["mean_kl"]), limit=limit, path=path)
