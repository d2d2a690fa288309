"""R6, R7: probes ask what can be answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.render.lint.site import Kind, error, warning
from selfhost.render.lint.values import name_and_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.findings import Finding
    from selfhost.render.lint.site import Container, Probe, Site

_URL = re.compile(r"https?://[^\s/'\"]+(/[^\s'\"?]*)?")
_HERE = re.compile(r"https?://(?:localhost|127\.|\[::1\]|0\.0\.0\.0)")
_GATEWAYS = ("nginx", "caddy", "haproxy", "traefik", "envoy")


def paths(site: Site) -> Iterator[Finding]:
    """R6: probes ask `/health`, which needs no key; `/v1/*` answers 401 where one is set."""
    keyed = {container.group for container in site.containers if _asks_for_key(container)}
    for container in site.containers:
        for probe in container.probes:
            path = _path(probe)
            if path.startswith("/v1") and container.group in keyed:
                yield error(container.at(probe.place), "render_lint.r6_keyed", path=path)
    for container, engine in site.engines:
        if not container.probes and not engine.headless and container.kind is not Kind.SYSTEMD:
            yield warning(container.at(), "render_lint.r6_none", name=container.name)


def _asks_for_key(container: Container) -> bool:
    name, _ = name_and_tag(container.image)
    keyed = container.engine is not None and (container.engine.keyed or "VLLM_API_KEY" in container.env)
    return keyed or name.startswith(_GATEWAYS)


def _path(probe: Probe) -> str:
    found = _URL.search(" ".join(probe.command))
    return probe.path or (found[1] or "/" if found else "")


def headless(site: Site) -> Iterator[Finding]:
    """R7: a node without HTTP is watched by a probe that dials the first node."""
    for container, engine in site.engines:
        if not engine.headless or container.kind is Kind.SYSTEMD:
            continue
        watching = [probe for probe in container.probes if probe.role != "readiness"]
        if not watching:
            yield error(container.at(), "render_lint.r7_unwatched", name=container.name)
        for probe in watching:
            # One that asks the first node is as good as one that dials it.
            if (path := _path(probe)) and (probe.path or _HERE.search(" ".join(probe.command))):
                yield error(container.at(probe.place), "render_lint.r7_http", path=path, name=container.name)
