"""`serve`: plan, make sure of the weights and of the machine, claim a name, start, wait until ready.

Everything that can be refused is refused before anything is made: a refusal leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shlex
import shutil
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from selfhost.app import again, port, servers
from selfhost.app.allotment import facts_of
from selfhost.app.engine_env import engine_command, tls_options
from selfhost.app.orders import Limits, Orders, limits_of, now_text
from selfhost.errors import NoError, UsageError
from selfhost.planner.layouts import nodes_used
from selfhost.planner.plan import Verdict
from selfhost.records import dataclass
from selfhost.serve import certificate, generations, health, keys, logs, process, records
from selfhost.serve.lifecycle import Phase, State
from selfhost.serve.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from selfhost.home import Home
    from selfhost.planner.plan import ModelToPlan, Plan, PlanRequest
    from selfhost.serve.certificate import Pair

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NEW_MODEL_TOKENS = 64
"""Room in the context that the checked question itself takes."""
_ANY_ANSWER = "Hello"
"""Asked when no answer is known; any answer will do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeRequest:
    """What the user asked for."""

    target: str
    """The model as it was typed."""
    plan: PlanRequest
    variant: str | None = None
    name: str | None = None
    force: bool = False
    detached: bool = False
    restart: str = "never"
    """When it is started again; see `serve.restart`."""
    engine_python: str | None = None
    engine_version: str | None = None
    recipe_paths: tuple[str, ...] = ()
    """These three: where engine and recipe came from, kept so that it can be started the same again."""
    replaces: str | None = None
    """The server whose place it takes (`replace`): it gets the name of the next generation."""
    tls: Pair | None = None
    """Certificate and key to serve with; None: plain HTTP."""
    limits: Limits | None = None
    """Times; None takes the ones that fit the model's size."""


class Model(Protocol):
    """A model that was found: `app.model.ResolvedModel`."""

    def to_plan(self) -> ModelToPlan:
        """What the planner needs."""


class Tools(NamedTuple):
    """What `serve` needs from the rest of selfhost."""

    resolve: Callable[[str, str | None], Model]
    """(target, variant) -> the model."""
    make_plan: Callable[[ModelToPlan, PlanRequest], Plan]
    """The complete plan for this machine, with argv and env."""
    engine_python: Callable[[Plan], Path]
    """Python of the engine's environment. Raises MissingError."""
    ensure_weights: Callable[[Any, Path], Path]
    """(the model, the engine's Python) -> where its files are, fetched or checked."""
    machine_env: Callable[[Plan, Path], Mapping[str, str]] = lambda _plan, _python: {}
    """(the plan, the engine's Python) -> variables of this machine's installation (CANN). Raises MissingError."""
    of_variant: Callable[[Any, str], Model] = lambda found, _variant: found
    """(the model, the variant that was planned) -> the model in that variant."""
    check_stack: Callable[[Any, Plan, bool], None] = lambda _found, _plan, _force: None
    """(the model, the plan, `--force`). Raises MissingError when driver and packages do not match."""
    show_plan: Callable[[Plan], object] = lambda _plan: None
    """Told once, when the plan is decided and before weights are fetched."""
    tell: Callable[[str], object] = lambda _line: None
    """Told what is otherwise than usual."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """Everything decided; nothing made yet."""

    name: str
    plan: Plan
    argv: tuple[str, ...]
    require_key: bool
    certificate_sha256: str | None = None
    """Of the certificate it is to show; None: without TLS."""
    machine_env: Mapping[str, str] = field(default_factory=dict)
    """Beside the plan's variables, which win."""
    wanted: PlanRequest | None = None
    """What the plan was made for."""
    again: Callable[[PlanRequest], Plan] | None = None
    """The plan made once more, beside the servers that run then; None: it stands as it is."""
    beside: frozenset[str] = frozenset()
    """Marks of the servers that ran when the plan was made."""


def prepare(home: Home, request: ServeRequest, tools: Tools) -> Prepared:
    """Decide everything. Raises what forbids the start: UsageError, NoError, MissingError, TrustError."""
    found = tools.resolve(request.target, request.variant)
    model = found.to_plan()
    name = _name(home, request, model.name)
    certificate_sha256 = certificate.check(request.tls) if request.tls else None
    _log_bytes()
    require_key = keys.check_exposure(request.plan.host, has_keys=keys.has_keys(home))
    wanted, said = port.settle(home, request.target, request.plan)
    if said:
        tools.tell(said)
    beside = servers.running_marks(home)
    plan = tools.make_plan(model, wanted)
    if plan.argv and (plan.fits or request.force):
        tools.check_stack(found, plan, request.force)
    check_fits(request, plan)
    tools.show_plan(plan)
    found = tools.of_variant(found, plan.variant)
    python = tools.engine_python(plan)
    machine_env = tools.machine_env(plan, python)
    path = str(tools.ensure_weights(found, python))

    def again(asked: PlanRequest) -> Plan:
        return tools.make_plan(replace(found.to_plan(), model_path=path), asked)

    if path != plan.model_path:
        beside = servers.running_marks(home)
        plan = again(wanted)
        check_fits(request, plan)
    return Prepared(
        name=name,
        plan=plan,
        argv=(*engine_command(python, plan), *tls_options(request.tls)),
        require_key=require_key,
        certificate_sha256=certificate_sha256,
        machine_env=machine_env,
        wanted=wanted,
        again=again,
        beside=beside,
    )


def _name(home: Home, request: ServeRequest, model: str) -> str:
    if request.replaces is not None:
        return generations.following(records.names(home), request.replaces)
    name = server_name(request.name, model)
    check_name(home, name)
    return name


def server_name(given: str | None, model: str) -> str:
    """The name of a server: the given one as it is, else the model's made into one. Raises UsageError.

    >>> server_name(None, "Qwen2.5-7B Instruct")
    'qwen2.5-7b-instruct'
    """
    # A name in another script leaves nothing over.
    made = re.sub(r"[^a-z0-9._-]+", "-", model.lower()).strip("-._")[:63] or "model"
    name = made if given is None else given
    if not _NAME.fullmatch(name):
        raise UsageError("serve.bad_name", name=name)
    return name


def check_name(home: Home, name: str) -> None:
    """Raises NoError when a server of that name runs, of whatever generation."""
    if server := next(iter(servers.running_generations(home, name)), None):
        free = next(made for number in itertools.count(2) if not _is_taken(home, made := _numbered(name, number)))
        raise NoError("serve.name_taken", name=name, state=server.state.value, url=server.record.url, free=free)


def _numbered(name: str, number: int) -> str:
    return f"{name[: 62 - len(str(number))]}-{number}"


def _is_taken(home: Home, name: str) -> bool:
    return bool(servers.running_generations(home, name))


def check_fits(request: ServeRequest, plan: Plan) -> None:
    """Raises NoError for a plan that cannot run, with what could; `--force` lets pass what is only too tight."""
    if (nodes := nodes_used(plan.hardware, plan.layout)) > 1:
        commands = "\n".join(f"`{shlex.join(argv)}`" for argv in plan.node_argv)
        values = {"name": plan.model, "nodes": nodes, "hardware": plan.hardware.text, "commands": commands}
        raise NoError("serve.several_nodes", **values)
    if plan.fits or (request.force and plan.verdict is not Verdict.UNSUPPORTED and plan.argv):
        return
    target = shlex.quote(request.target)
    reasons = "\n".join(plan.reasons)
    if plan.verdict is Verdict.UNSUPPORTED:
        raise NoError("serve.unsupported", name=plan.model, hardware=plan.hardware.text, reasons=reasons, model=target)
    if plan.blocked_by:
        values = {"name": plan.model, "hardware": plan.hardware.text, "reasons": reasons}
        raise NoError("serve.blocked", servers=" ".join(plan.blocked_by), **values)
    changes = [remedy.change for remedy in plan.remedies if remedy.fits]
    here = next((f"selfhost serve {target} {change}" for change in changes if not change.startswith("--on")), None)
    there = next((f"selfhost plan {target} {change}" for change in changes), f"selfhost plan {target}")
    raise NoError(
        "serve.does_not_fit",
        name=plan.model,
        hardware=plan.hardware.text,
        reasons=reasons,
        command=here or there,
    )


def claim(home: Home, request: ServeRequest, prepared: Prepared, keep: Collection[str] = ()) -> tuple[Record, Orders]:
    """Take name, port and devices, and write the record and the front door's settings. Raises NoError, MissingError.

    keep: other generations of the name whose records and logs stay, besides the one that is replaced.
    """
    name = prepared.name
    with records.exclusive(home):
        # Again, now that nobody else decides: fetching the weights may have taken hours.
        if request.replaces is None:
            check_name(home, name)
        prepared = _settled(home, request, prepared)
        record = _record_of(request, prepared)
        servers.forget_generations(home, name, keep=(*keep, *([request.replaces] if request.replaces else [])))
        with _folder(home, name) as folder:
            key = keys.write_gate(
                folder.gate,
                require_key=prepared.require_key,
                keys_file=keys.keys_file(home),
                access_log=folder.access_log,
                log_bytes=_log_bytes(),
            )
            records.write_control_key(home, name, key)
            folder.set_log_aside()
            records.write(home, record)
    return record, _orders(request, prepared, record.mark)


@contextlib.contextmanager
def _folder(home: Home, name: str) -> Iterator[records.Folder]:
    """Where a server's files go; taken away again when its record did not come into it."""
    folder = records.make_folder(home, name)
    try:
        yield folder
    finally:
        if not folder.record.exists():
            shutil.rmtree(folder.path, ignore_errors=True)


def _log_bytes() -> int:
    return logs.wanted_bytes(os.environ.get("SELFHOST_LOG_SIZE"))


def _settled(home: Home, request: ServeRequest, prepared: Prepared) -> Prepared:
    """With the port and the devices that are free now; planned once more when servers came or went meanwhile."""
    plan, wanted = prepared.plan, prepared.wanted
    if wanted is None or prepared.again is None:
        port.check_port(home, request.target, plan.host, plan.port)
        return prepared
    now = port.settle(home, request.target, wanted).request
    if now == wanted and servers.running_marks(home) == prepared.beside:
        return prepared
    plan = prepared.again(now)
    check_fits(request, plan)
    argv = (*engine_command(Path(prepared.argv[0]), plan), *tls_options(request.tls))
    return replace(prepared, plan=plan, argv=argv)


def _record_of(request: ServeRequest, prepared: Prepared) -> Record:
    plan, name = prepared.plan, prepared.name
    return Record(
        name=name,
        mark=f"{name}:{secrets.token_hex(8)}",
        model=plan.model,
        target=request.target,
        variant=plan.variant,
        served_model_name=plan.served_model_name,
        host=plan.host,
        port=plan.port,
        url=health.base_url(plan.host, plan.port, tls=prepared.certificate_sha256 is not None),
        certfile=str(request.tls.certfile.absolute()) if request.tls else None,
        certificate_sha256=prepared.certificate_sha256,
        argv=prepared.argv,
        plan=plan.as_dict(),
        state=State.STARTING,
        phase=Phase.LOADING,
        started_at=now_text(),
        supervisor=process.identify(os.getpid()),
        detached=request.detached,
        forced=not plan.fits,
        require_key=prepared.require_key,
        restart=request.restart,
        request=again.kept(request),
        **facts_of(plan),
    )


def _orders(request: ServeRequest, prepared: Prepared, mark: str) -> Orders:
    plan = prepared.plan
    check = plan.check
    return Orders(
        mark=mark,
        env={**prepared.machine_env, **plan.env},
        prompt=check.prompt if check else _ANY_ANSWER,
        expect=check.expect if check else "",
        max_tokens=max(1, plan.settings.max_model_len - _NEW_MODEL_TOKENS),
        limits=request.limits or limits_of(plan),
        subject=asdict(plan.subject) if plan.subject else None,
        log_bytes=_log_bytes(),
    )
