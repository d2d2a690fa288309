"""What a smoke run has proven, for people and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.messages import text
from selfhost.records import dataclass
from selfhost.serve.stages import Stage

if TYPE_CHECKING:
    from selfhost.errors import SelfhostError
    from selfhost.models.small import Reduction
    from selfhost.planner.plan import Plan

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """A stage that was reached."""

    stage: Stage
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A smoke run."""

    whole: Plan
    """The plan of the model itself."""
    plan: Plan
    """The plan that was started."""
    server: str
    reductions: tuple[Reduction, ...]
    proofs: tuple[Proof, ...] = ()
    error: SelfhostError | None = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every stage was reached."""
        return self.error is None

    def lines(self) -> list[str]:
        """One line for each stage; the first one that was not reached is the one that failed."""
        known = {proof.stage: proof for proof in self.proofs}
        told, failed = [], False
        for stage in Stage:
            proof = known.get(stage)
            state = "ok" if proof else ("-" if failed else "failed")
            failed = failed or proof is None
            detail = (proof.detail if proof else "") or self._about(stage)
            told.append(f"{stage.value:8}  {state:6}  {detail}".rstrip())
        return told

    def _about(self, stage: Stage) -> str:
        plan, layout = self.plan, self.plan.layout
        return {
            Stage.ENGINE: f"{plan.engine.name} {plan.engine.version}",
            Stage.RANKS: text(
                "smoke.ranks",
                count=layout.world_size,
                tp=layout.tensor_parallel_size,
                pp=layout.pipeline_parallel_size,
                dp=layout.data_parallel_size,
                ep=" EP" if layout.enable_expert_parallel else "",
                hardware=plan.hardware.text,
            ),
            Stage.WEIGHTS: text("smoke.weights", dtype=self._format()),
        }.get(stage, "")

    def _format(self) -> str:
        left = next((one for one in self.reductions if one.name == "quantization"), None)
        return f"{self.plan.variant}, without {left.before}" if left else self.plan.variant

    def as_dict(self) -> dict[str, Any]:
        """The contract of `smoke --json`."""
        plan, error = self.plan, self.error
        message = error.message if error else None
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.whole.model,
            "variant": self.whole.variant,
            "passed": self.passed,
            "seconds": round(self.seconds, 1),
            "model_fits_here": self.whole.fits,
            "verdict": self.whole.verdict.value,
            "reductions": [reduction.as_dict() for reduction in self.reductions],
            "stages": [
                {"stage": stage.value, "reached": any(proof.stage is stage for proof in self.proofs)} for stage in Stage
            ],
            "server": self.server,
            "plan": plan.as_dict(),
            "error": {
                "id": message.id,
                "code": int(error.code),
                "what": message.what,
                "why": message.why,
                "hint": message.hint,
            }
            if error and message
            else None,
        }
