"""`smoke`: a small model of the same architecture and layout, with random weights, is started here, asked and stopped.

It proves driver, collective library, shared memory, memory and ports before anything large is moved. The start is the
one of `serve`, with the same plan's layout and settings; nothing of the model's files is needed.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost import files
from selfhost.app import serve, servers, start
from selfhost.app.endpoint import endpoint_of
from selfhost.app.smoke_report import Proof, Report
from selfhost.errors import NoError, SelfhostError
from selfhost.hardware.types import Platform
from selfhost.messages import text
from selfhost.models import small, stand_in
from selfhost.planner.plan import ModelToPlan, PlanRequest, Verdict
from selfhost.quant import ascend
from selfhost.records import dataclass
from selfhost.serve import health, logs, records, stages
from selfhost.serve.stages import Stage
from selfhost.units import GIB

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.app.model import ResolvedModel
    from selfhost.app.orders import Orders
    from selfhost.home import Home
    from selfhost.models.small import Small
    from selfhost.planner.plan import Layout, Plan
    from selfhost.serve.records import Record

_CONTEXT_TOKENS = 4096
_MOST_BYTES = {Platform.CPU: 4 * GIB}
_MOST_BYTES_PER_DEVICE = 8 * GIB
"""Random weights of so many are made in seconds; DeepSeek-V3 on eight GPUs keeps all its experts."""
_MEMORY_PART = 4
"""And no more than a fourth of a device: what is proven is the start, not the fit."""
_LONG_PROMPT = "0123456789abcdef"
_PROMPT_TOKENS = 1024
_ANSWER_TOKENS = 64
_WAIT_S = 600.0
_DUMMY = ("--load-format", "dummy")


class Tell(NamedTuple):
    """Where things are told while it runs."""

    note: Callable[[str], None]
    warn: Callable[[str], None]
    progress: Callable[[str, str], None]
    """As `start.StartReport` takes it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _SmallModel:
    """A small model in place of the one that was found, for `serve.prepare`."""

    name: str
    variant: str
    small: Small
    path: Path
    max_model_len: int
    engine_args: tuple[str, ...]

    def to_plan(self) -> ModelToPlan:
        """What the planner needs."""
        return ModelToPlan(
            name=self.name,
            variant=self.variant,
            arch=self.small.arch,
            model_path=str(self.path),
            served_model_name=self.name,
            max_model_len=self.max_model_len,
            engine_args=self.engine_args,
        )


def run(home: Home, request: serve.ServeRequest, tools: serve.Tools, tell: Tell) -> Report:
    """Start, ask, stop; what was proven, with the error of what failed. Nothing is left running.

    Raises what forbids a start: UsageError, NoError, MissingError.
    """
    began = time.monotonic()
    found: Any = tools.resolve(request.target, request.variant)
    whole = tools.make_plan(found.to_plan(), request.plan)
    found = tools.of_variant(found, whole.variant)
    if not whole.fits:
        tell.warn(text("smoke.does_not_fit", name=whole.model, hardware=whole.hardware.text, verdict=whole.verdict))
    with tempfile.TemporaryDirectory(prefix="selfhost-smoke-") as folder:
        directory = Path(folder) / "model"
        made, model, wanted = _small_plan(found, whole, request, tools, directory)
        _write(directory, made.config, model.max_model_len)
        own = tools._replace(
            resolve=lambda _target, _variant: model,
            make_plan=lambda given, asked: replace(tools.make_plan(given, asked), subject=None, check=None),
            ensure_weights=lambda _found, _python: directory,
            of_variant=lambda given, _variant: given,
            check_stack=lambda _given, plan, force: tools.check_stack(found, plan, force),
        )
        for reduction in made.reductions:
            tell.note(text("smoke.reduced", what=reduction.message.what))
        named = replace(request, plan=wanted, name=request.name or f"smoke-{serve.server_name(None, found.name)}"[:63])
        prepared = serve.prepare(home, named, own)
        report = Report(whole=whole, plan=prepared.plan, server=prepared.name, reductions=made.reductions)
        record, orders = serve.claim(home, replace(named, detached=True), prepared)
        report = _prove(home, record, orders, report, tell)
    return replace(report, seconds=time.monotonic() - began)


def _small_plan(
    found: ResolvedModel, whole: Plan, request: serve.ServeRequest, tools: serve.Tools, directory: Path
) -> tuple[Small, _SmallModel, PlanRequest]:
    """The small model, and what to ask of the planner for it; without quantization where no kernels are for it.

    Raises NoError when it cannot be served here either way.
    """
    wanted, form = _request(whole, request.plan), found.arch.quantization
    # vllm-ascend reads the type of each tensor from a file of the model's own, which names every layer.
    for plain in (found.in_flight or form is None or form.method == ascend.METHOD, True):
        made = small.shrink(found.config, _room(whole, wanted, plain=plain))
        model = _SmallModel(
            name=found.name,
            variant=found.variant,
            small=made,
            path=directory,
            max_model_len=min(_CONTEXT_TOKENS, made.arch.max_position_embeddings),
            engine_args=(*_DUMMY, *(found.recipe.serving.engine_args if found.recipe else ())),
        )
        plan = tools.make_plan(model.to_plan(), wanted)
        if plan.verdict is not Verdict.UNSUPPORTED:
            return made, model, wanted
    reasons = "\n".join(plan.reasons)
    raise NoError("smoke.not_here", name=found.name, hardware=plan.hardware.text, reasons=reasons)


def _request(whole: Plan, asked: PlanRequest) -> PlanRequest:
    """What was asked for, in the layout of the whole model's plan, on a free port unless one was named."""
    layout: Layout = whole.layout
    return replace(
        asked,
        tensor_parallel_size=asked.tensor_parallel_size or layout.tensor_parallel_size,
        pipeline_parallel_size=asked.pipeline_parallel_size or layout.pipeline_parallel_size,
        data_parallel_size=asked.data_parallel_size or layout.data_parallel_size,
        enable_expert_parallel=layout.enable_expert_parallel
        if asked.enable_expert_parallel is None
        else asked.enable_expert_parallel,
        auto_max_model_len=False,
        max_model_len=min(asked.max_model_len or _CONTEXT_TOKENS, _CONTEXT_TOKENS, whole.settings.max_model_len),
        goal=None,
        port=0 if asked.port_is_free else asked.port,
    )


def _room(whole: Plan, wanted: PlanRequest, *, plain: bool) -> small.Room:
    hardware, stages_ = whole.hardware, wanted.pipeline_parallel_size or 1
    ranks = (wanted.tensor_parallel_size or 1) * (wanted.data_parallel_size or 1)
    part = hardware.visible_memory_bytes // _MEMORY_PART
    most = _MOST_BYTES.get(hardware.device.platform or Platform.CUDA)
    return small.Room(
        most_bytes=min(most, part) if most else min(_MOST_BYTES_PER_DEVICE, part) * ranks * stages_,
        stages=stages_,
        expert_ranks=ranks if wanted.enable_expert_parallel else 1,
        plain=plain,
        drafts=bool(whole.settings.num_speculative_tokens),
    )


def _write(directory: Path, config: Any, max_model_len: int) -> None:
    directory.mkdir()
    files.write_json(directory / "config.json", config, 0o644)
    for name, value in stand_in.tokenizer_files(config["vocab_size"], max_model_len).items():
        files.write_json(directory / name, value, 0o644)


def _prove(home: Home, record: Record, orders: Orders, report: Report, tell: Tell) -> Report:
    """The report with what the start, the questions and the stop have proven, and the error that ended them."""
    proofs: list[Proof] = []
    error: SelfhostError | None = None
    try:
        try:
            ready = start.run_detached(home, record, orders, start.StartReport(tell.progress))
        finally:
            log = logs.read_ends(records.folder(home, record.name).engine_log)
            proofs += [Proof(stage=stage) for stage in stages.reached(log)]
        proofs.append(Proof(stage=Stage.ANSWER, detail=_work(home, ready)))
    except SelfhostError as failed:
        error = failed
    finally:
        stopped, error = _stop(home, record.name, error)
    if error is None:
        proofs.append(Proof(stage=Stage.STOP, detail=stopped))
        shutil.rmtree(records.folder(home, record.name).path, ignore_errors=True)
    return replace(report, proofs=tuple(proofs), error=error)


def _stop(home: Home, name: str, error: SelfhostError | None) -> tuple[str, SelfhostError | None]:
    """What the stop said, and the first error."""
    if error is not None:
        # A start that failed has ended its server itself.
        with contextlib.suppress(SelfhostError):
            if servers.find_server(home, name).state.running:
                servers.stop(home, name)
        return "", error
    try:
        return servers.stop(home, name).what, None
    except SelfhostError as failed:
        return "", failed


def _work(home: Home, record: Record) -> str:
    """Have a long prompt read and many tokens made; what came, in words. Raises SelfhostError.

    Communication and kernels are chosen by the number of tokens in a step: the checked question is a short one.
    """
    context = record.plan["settings"]["max_model_len"]
    length, answer = min(_PROMPT_TOKENS, context // 2), min(_ANSWER_TOKENS, context // 8)
    body = {
        "model": record.served_model_name,
        "prompt": (_LONG_PROMPT * (1 + length // len(_LONG_PROMPT)))[:length],
        "max_tokens": answer,
        "ignore_eos": True,
        "temperature": 0,
    }
    try:
        said = health.ask_json(endpoint_of(home, record), "POST", "/v1/completions", body, _WAIT_S)
    except health.RefusedError as error:
        failure = servers.find_server(home, record.name).record.failure
        if failure is not None:
            from selfhost.app import failures

            raise failures.as_error(record, failure) from error
        raise SelfhostError("smoke.no_answer", name=record.name, detail=error.detail) from error
    usage = said.get("usage") or {}
    if usage.get("completion_tokens") != answer:
        raise SelfhostError("smoke.no_answer", name=record.name, detail=f"usage: {usage}, wanted: {answer} tokens")
    return text("smoke.answered", prompt=usage.get("prompt_tokens"), answer=answer)
