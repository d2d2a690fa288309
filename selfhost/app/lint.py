"""`recipe lint`: findings about recipes, with what the pinned engine has."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.app.model import from_recipe
from selfhost.app.plan import engine_for, plan_model
from selfhost.engines import known, owned
from selfhost.errors import SelfhostError, UsageError
from selfhost.hardware import spec
from selfhost.hardware.types import Platform
from selfhost.home import find_home
from selfhost.messages import Message
from selfhost.planner import ascend_terms
from selfhost.planner.plan import PlanRequest, Verdict
from selfhost.recipe import load
from selfhost.recipe.claims import Judged
from selfhost.recipe.lint import LintEngine, duplicate_hub_ids, lint
from selfhost.recipe.table import shown
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from selfhost.findings import Finding, Severity
    from selfhost.planner.plan import ModelToPlan, Plan
    from selfhost.recipe.claims import Claim
    from selfhost.recipe.schema import Recipe

_ENGINE = "vllm"


@dataclass(frozen=True, kw_only=True, slots=True)
class LintedFile:
    """One recipe file: what was found in it, or why it cannot be read."""

    name: str
    path: Path
    findings: tuple[Finding, ...] = ()
    unreadable: Message | None = None

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        error = self.unreadable
        return {
            "name": self.name,
            "path": str(self.path),
            "readable": error is None,
            "error": None if error is None else {"what": error.what, "why": error.why, "hint": error.hint},
            "findings": [finding.as_dict() for finding in self.findings],
        }

    def count(self, severity: Severity) -> int:
        """Findings that bad."""
        return sum(finding.severity is severity for finding in self.findings)


def lint_recipes(what: Sequence[str], recipe_paths: Sequence[Path] = ()) -> list[LintedFile]:
    """Findings of the recipes named, or of those in the files named; of all for nothing named.

    Each is compared with all recipes that can be found. Raises UsageError for a name or file that is not there.
    """
    found = load.find_recipes(find_home(), recipe_paths)
    wanted = [_path(text, found) for text in what] or list(found.values())
    others: dict[Path, Recipe] = {}
    for path in found.values():
        try:
            others[path] = load.read_recipe(path)
        except UsageError:
            continue  # told below when it was asked for
    return [_lint_file(path, others) for path in dict.fromkeys(wanted)]


def _path(text: str, found: dict[str, Path]) -> Path:
    if path := found.get(text.lower()):
        return path
    path = Path(text)
    if path.suffix == ".toml" or "/" in text:
        if not path.is_file():
            raise UsageError("recipe.no_file", path=path)
        return path
    load.load_recipe(text, find_home())  # raises, with the nearest names
    raise UsageError("recipe.unknown", name=text, count=len(found))


def _lint_file(path: Path, others: dict[Path, Recipe]) -> LintedFile:
    try:
        recipe = load.read_recipe(path)
    except UsageError as error:
        return LintedFile(name=path.stem, path=path, unreadable=error.message)
    return _linted(recipe, path, others.values())


def lint_text(content: str, path: Path) -> LintedFile:
    """Findings about a recipe that is not written yet, as if it lay at `path`; compared with all that can be found."""
    try:
        recipe = load.parse_recipe(content.encode(), path)
    except UsageError as error:
        return LintedFile(name=path.stem, path=path, unreadable=error.message)
    others = []
    for other in load.find_recipes(find_home()).values():
        try:
            others.append(load.read_recipe(other))
        except UsageError:
            continue  # another recipe's mistake; `recipe lint` tells it
    return _linted(recipe, path, others)


def _linted(recipe: Recipe, path: Path, others: Iterable[Recipe]) -> LintedFile:
    findings = lint(recipe, pinned_engine(), folder=_folder(path))
    return LintedFile(name=recipe.name, path=path, findings=(*findings, *duplicate_hub_ids(recipe, others)))


def _folder(path: Path) -> str | None:
    """The family's folder; None for a file that lies where files of all families may."""
    directory = path.absolute().parent
    root = directory.parent
    return directory.name if root in (load.builtin_directory(), find_home().recipes) else None


@cache
def pinned_engine() -> LintEngine:
    """What the rules must know of the engine that selfhost installs."""
    facts = known.load(_ENGINE)
    return LintEngine(
        name=facts.ref.name,
        version=facts.ref.version,
        architectures=facts.architectures,
        tool_call_parsers=facts.tool_call_parsers,
        reasoning_parsers=facts.reasoning_parsers,
        flag_problems=_flag_problems,
        judge_claim=judge_claim,
    )


def judge_claim(recipe: Recipe, claim: Claim) -> Judged:
    """What `selfhost plan` says of a published way to run a variant."""
    try:
        model = _model_of(recipe, claim)
        engine = engine_for(spec.parse(claim.hardware)).ref.name
        plan = _plan_of(model, claim)
    except SelfhostError as error:
        return Judged(problems=(_cut(error.message),))
    if plan.fits:
        return Judged(engine=engine, fits=True)
    if plan.verdict is Verdict.UNSUPPORTED or not plan.memory.budget_bytes:
        return Judged(engine=engine, refused=True, reason=plan.reasons[0])
    missing = max(plan.missing_bytes, _missing_beside(model, plan))
    return Judged(engine=engine, missing_bytes=missing, reason=plan.reasons[0])


def _cut(message: Message) -> Message:
    """With long values of the recipe cut."""
    params = {name: shown(value) if isinstance(value, str) else value for name, value in message.params.items()}
    return Message(message.id, params)


def plan_claim(recipe: Recipe, claim: Claim) -> Plan:
    """The plan for a claim's variant, hardware and options. Raises UsageError for one of them that is not known."""
    return _plan_of(_model_of(recipe, claim), claim)


def _model_of(recipe: Recipe, claim: Claim) -> ModelToPlan:
    """Only the variant that the claim is about, so that its plan's reasons do not begin with that it was asked for."""
    return replace(from_recipe(recipe, Path(), claim.variant, find_home()).to_plan(), variants=())


def _plan_of(model: ModelToPlan, claim: Claim) -> Plan:
    hardware = spec.parse(claim.hardware)
    request = owned.absorb(PlanRequest(engine_args=claim.options), engine_for(hardware))
    # What was published leaves to the engine's defaults: one rank of each kind, experts not spread.
    request = replace(
        request,
        tensor_parallel_size=request.tensor_parallel_size or 1,
        pipeline_parallel_size=request.pipeline_parallel_size or 1,
        data_parallel_size=request.data_parallel_size or 1,
        enable_expert_parallel=request.enable_expert_parallel or False,
    )
    return plan_model(model, hardware, request, with_remedies=False)


def _missing_beside(model: ModelToPlan, plan: Plan) -> int:
    """What graphs lack beside the budget on Ascend, in bytes; 0 elsewhere."""
    hardware, settings = plan.hardware, plan.settings
    if hardware.device.platform is not Platform.ASCEND:
        return 0
    taken = ascend_terms.beside(model.arch, hardware, plan.layout, eager=settings.enforce_eager)
    return max(0, plan.memory.budget_bytes + taken.likely - hardware.visible_memory_bytes)


def _flag_problems(arguments: Sequence[str]) -> list[Message]:
    """What is wrong with each flag of `engine_args`; one at a time, so that the first does not hide the others."""
    facts = known.load(_ENGINE)
    problems: list[Message] = []
    for option in _options(arguments):
        try:
            left = owned.absorb(PlanRequest(engine_args=option), facts).engine_args
        except SelfhostError as error:
            problems.append(error.message)
        else:
            if not left:
                problems.append(Message("lint.setting", {"flag": option[0]}))
    return problems


def _options(arguments: Sequence[str]) -> list[tuple[str, ...]]:
    """A flag with the words that follow it, one tuple each."""
    found: list[tuple[str, ...]] = []
    for word in arguments:
        if found and not word.startswith("--"):
            found[-1] += (word,)
        else:
            found.append((word,))
    return found
