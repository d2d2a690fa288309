"""R4, R5: nobody is killed who only needs longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.engines.vllm import SHUTDOWN_TIMEOUT_S
from selfhost.render.lint.quantity import number
from selfhost.render.lint.site import error, warning
from selfhost.render.times import times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.findings import Finding
    from selfhost.render.lint.command import Engine
    from selfhost.render.lint.site import Container, Site

_SPARE_S = 10
_READY = "VLLM_ENGINE_READY_TIMEOUT_S"
_DEFAULT_S = times(0).engine_ready_s
"""The engine's own limit for its start, and that of its groups of processes."""


def grace(site: Site) -> Iterator[Finding]:
    """R4: between TERM and KILL there is time for the wait before the stop, running requests, and ten seconds."""
    for container, engine in site.engines:
        drain = engine.number("--shutdown-timeout", SHUTDOWN_TIMEOUT_S if engine.own else 0)
        if drain is None:
            continue
        if not drain and not engine.headless:
            yield warning(container.at("command"), "render_lint.r4_cut", name=container.name)
        needed = container.pre_stop_s + (times(0, drain_s=drain).grace_s if engine.own else drain + _SPARE_S)
        if container.grace_s is not None and container.grace_s < needed:
            yield error(
                container.at(),
                "render_lint.r4_grace",
                name=container.name,
                grace=f"{container.grace_s:g}",
                needed=f"{needed:g}",
                pre_stop=f"{container.pre_stop_s:g}",
                drain=drain,
            )


def start(site: Site) -> Iterator[Finding]:
    """R5: every limit of a start is longer than the start."""
    for container, engine in site.engines:
        ready = number(container.env.get(_READY, _DEFAULT_S))
        if ready is None:
            continue
        yield from _weights(site, container, ready)
        if container.start_limit_s is not None and container.start_limit_s < ready:
            yield error(
                container.at(),
                "render_lint.r5_killed",
                name=container.name,
                limit=f"{container.start_limit_s:g}",
                ready=ready,
            )
        for probe in container.probes:
            if probe.role == "health" and probe.allowed_s is not None and probe.allowed_s < ready:
                yield warning(
                    container.at(probe.place), "render_lint.r5_health", limit=f"{probe.allowed_s:g}", ready=ready
                )
        yield from _groups(container, engine, ready)


def _weights(site: Site, container: Container, ready: int) -> Iterator[Finding]:
    """Twice the time that reading the weights takes."""
    weights, speed = site.beside.weight_bytes, site.beside.disk_bytes_per_s
    if weights is None:
        return
    wanted = times(weights, speed)
    if ready < wanted.engine_ready_s:
        yield error(
            container.at(),
            "render_lint.r5_weights",
            name=container.name,
            ready=ready,
            needed=wanted.engine_ready_s,
            load=wanted.load_s,
            speed=speed // 1_000_000,
        )


def _groups(container: Container, engine: Engine, ready: int) -> Iterator[Finding]:
    """A node that is ready first waits for the slowest, within the limit of the process group."""
    limit = engine.number("--distributed-timeout-seconds", _DEFAULT_S)
    if engine.several_nodes and limit is not None and limit < ready:
        yield error(container.at("command"), "render_lint.r5_group", limit=limit, ready=ready)
