"""`serve`: plan, make sure of the weights and of the machine, claim a name, start, wait until ready.

Everything that can be refused is refused before anything is made: a refusal leaves nothing behind.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import secrets
import shlex
from dataclasses import asdict, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from selfhost.app import compat, servers
from selfhost.app.engine_env import engine_command, of_machine
from selfhost.app.orders import Limits, Orders, limits_of, now_text
from selfhost.errors import MissingError, NoError, UsageError
from selfhost.messages import text
from selfhost.planner.layouts import nodes_used
from selfhost.planner.plan import Verdict
from selfhost.records import dataclass
from selfhost.serve import health, keys, ports, process, records
from selfhost.serve.lifecycle import Phase, State
from selfhost.serve.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from selfhost.app.pull import Talk
    from selfhost.hardware.types import Hardware
    from selfhost.home import Home
    from selfhost.planner.plan import ModelToPlan, Plan, PlanRequest

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """Everything decided; nothing made yet."""

    name: str
    plan: Plan
    argv: tuple[str, ...]
    require_key: bool
    machine_env: Mapping[str, str] = field(default_factory=dict)
    """Beside the plan's variables, which win."""


def prepare(home: Home, request: ServeRequest, tools: Tools) -> Prepared:
    """Decide everything. Raises what forbids the start: UsageError, NoError, MissingError, TrustError."""
    found = tools.resolve(request.target, request.variant)
    model = found.to_plan()
    name = server_name(request.name, model.name)
    check_name(home, name)
    wanted = request.plan
    if wanted.port == 0:
        wanted = replace(wanted, port=_any_port(wanted.host))
    require_key = keys.check_exposure(wanted.host, has_keys=keys.has_keys(home))
    check_port(home, request.target, wanted.host, wanted.port)
    plan = tools.make_plan(model, wanted)
    if plan.argv and (plan.fits or request.force):
        tools.check_stack(found, plan, request.force)
    check_fits(request, plan)
    tools.show_plan(plan)
    found = tools.of_variant(found, plan.variant)
    python = tools.engine_python(plan)
    machine_env = tools.machine_env(plan, python)
    path = str(tools.ensure_weights(found, python))
    if path != plan.model_path:
        plan = tools.make_plan(replace(found.to_plan(), model_path=path), wanted)
        check_fits(request, plan)
    argv = engine_command(python, plan)
    return Prepared(name=name, plan=plan, argv=argv, require_key=require_key, machine_env=machine_env)


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
    """Raises NoError when a server of that name runs."""
    record = records.read(home, name)
    if record and (server := servers.look(record)).state.running:
        raise NoError("serve.name_taken", name=name, state=server.state.value, url=record.url)


def _any_port(host: str) -> int:
    try:
        return ports.free_port(host)
    except OSError as error:
        raise MissingError("serve.bad_host", host=host, detail=error.strerror or error) from error


def check_port(home: Home, target: str, host: str, port: int) -> None:
    """Raises MissingError when the port cannot be listened on, or another server of ours is about to."""
    error = ports.bind_error(host, port)
    # An engine binds at once and listens only when it is loaded: until then the port looks free.
    ours = next((server for server in servers.list_servers(home)[0] if _uses(server, port)), None)
    if error is None and ours is None:
        return
    if error is not None and error.errno == errno.EACCES:
        raise MissingError("serve.port_forbidden", port=port, model=shlex.quote(target)) from error
    if error is not None and error.errno != errno.EADDRINUSE:
        raise MissingError("serve.bad_host", host=host, detail=error.strerror or error) from error
    holder = None if ours else ports.port_holder(port)
    raise MissingError(
        "serve.port_taken",
        port=port,
        host=host,
        holder=_holder_text(ours, holder),
        model=shlex.quote(target),
        free=ports.next_free_port(host, port) or 0,
    )


def _uses(server: servers.Server, port: int) -> bool:
    return server.state.running and server.record.port == port


def _holder_text(ours: servers.Server | None, holder: ports.PortHolder | None) -> str:
    if ours:
        return text("serve.holder_server", name=ours.record.name)
    if holder and holder.pid:
        return text("serve.holder_process", name=holder.name or "?", pid=holder.pid)
    return text("serve.holder_unknown")


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


def claim(home: Home, request: ServeRequest, prepared: Prepared) -> tuple[Record, Orders]:
    """Take the name and the port, and write the record and the front door's settings. Raises NoError, MissingError."""
    plan, name = prepared.plan, prepared.name
    mark = f"{name}:{secrets.token_hex(8)}"
    record = Record(
        name=name,
        mark=mark,
        model=plan.model,
        target=request.target,
        variant=plan.variant,
        served_model_name=plan.served_model_name,
        host=plan.host,
        port=plan.port,
        url=health.base_url(plan.host, plan.port),
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
    )
    with records.exclusive(home):
        # Again, now that nobody else decides: fetching the weights may have taken hours.
        check_name(home, name)
        check_port(home, request.target, plan.host, plan.port)
        folder = records.make_folder(home, name)
        key = keys.write_gate(folder.gate, require_key=prepared.require_key, keys_file=keys.keys_file(home))
        records.write_control_key(home, name, key)
        folder.set_log_aside()
        records.write(home, record)
    return record, _orders(request, prepared, mark)


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
    )


def real_tools(
    home: Home, engine_python: Path | None, talk: Talk, recipe_paths: Sequence[Path] = (), accept: Sequence[str] = ()
) -> Tools:
    """The rest of selfhost, for the machine this runs on.

    engine_python: another environment's Python. accept: licences that the command line accepts.
    """
    from selfhost.app import detect, model, repository, weights
    from selfhost.app.plan import plan_to_start
    from selfhost.app.pull import PullRequest
    from selfhost.engines import environment

    @functools.cache
    def hardware() -> Hardware:
        # Vendors' tools may take seconds: asked once, and only when nothing cheaper forbids the start.
        found = detect.hardware_for(None, home)
        for why in detect.why_cpu(found):
            talk.warn(why)
        return found

    def python_for(plan: Plan) -> Path:
        if engine_python is not None:
            return environment.from_python(engine_python).python
        return environment.require(home, plan.engine.name).python

    return Tools(
        machine_env=of_machine,
        resolve=lambda target, variant: model.resolve(
            target, variant=variant, recipe_paths=recipe_paths, ask=repository.describe
        ),
        make_plan=lambda found, request: plan_to_start(found, hardware(), request, home),
        engine_python=python_for,
        ensure_weights=lambda found, python: weights.ensure(
            found, home, PullRequest(engine_python=python, accept_licence=tuple(accept)), talk
        ),
        of_variant=lambda found, variant: found.of_variant(variant),
        check_stack=lambda found, plan, force: compat.check(found, plan, engine_python, talk.warn, force=force),
    )
