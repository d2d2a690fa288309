"""R3, R8, R12, R19: who reaches what, and who reads what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.render.gateway import ANTHROPIC, KEYED, OPEN
from selfhost.render.lint.site import Container, Kind, error, warning
from selfhost.render.lint.values import SECRET, env_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from selfhost.findings import Finding
    from selfhost.render.lint.command import Engine
    from selfhost.render.lint.site import Service, Site

_LOCATION = re.compile(r"\blocation\s+(?:(=|~\*|~|\^~)\s+)?(\"[^\"]*\"|[^\s{]+)\s*\{")
_ASKED = re.compile(r"\"~\^([A-Z]+)(\\\+websocket)? (/[^\s(\"]*)\(\\\?\|\$\)\"")
"""In a map of request lines: `"~^POST /v1/completions(\\?|$)"`."""
_GUARDED = re.compile(r"\bif\s*\([^)]*\)\s*\{\s*return\s+40[134]\b")
_METRICS = "/metrics"
"""For Prometheus, not for clients: a gateway may do without it."""
_KEY = re.compile(r"\b(?:hf_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{20,}|ms-[0-9a-f]{8}-[0-9a-f-]{20,}|ghp_[A-Za-z0-9]{30,})")
_DEFAULT = re.compile(r"\$\{\w+:?-([^}]*)\}")
_GIVEN_ELSEWHERE = ("$", "<", "{")
_NO_SECRETS = {"EMPTY", "empty", "none", "None"}
"""What clients of servers without a key are told to send."""
_OTHERS = 0o077


def ports(site: Site) -> Iterator[Finding]:
    """R3: a stock engine is reached through an allow-list only; its own listener stays inside."""
    for container, engine in site.engines:
        if engine.own or engine.headless or engine.on_loopback:
            continue
        for port in container.ports:
            if port.number in {engine.port, 0}:
                yield error(container.at(port.place), "render_lint.r3_published", port=port.number or "a variable")
        if container.host_network:
            yield error(container.at(), "render_lint.r3_host_network", port=engine.port)
        for service in site.services:
            yield from _services(service, container, engine)
    for where, text in site.configs:
        if "proxy_pass" in text:
            yield from _gateway(where, text)


def _services(service: Service, container: Container, engine: Engine) -> Iterator[Finding]:
    if not _selects(service.selector, container) or service.namespace != container.namespace or service.headless:
        return
    for place, target in service.ports:
        if container.named_ports.get(str(target), target) == engine.port:
            where = service.document.where(place)
            yield error(where, "render_lint.r3_service", name=service.name, port=engine.port, container=container.name)


def _selects(selector: Mapping[str, str], container: Container) -> bool:
    labels = container.labels
    return container.kind is Kind.KUBERNETES and bool(selector) and selector.items() <= labels.items()


def _gateway(where: str, text: str) -> Iterator[Finding]:
    """Of nginx: what leads on is one exact path, or has been looked up in a map of exact request lines."""
    bare = re.sub(r"(?m)(?:^|\s)#.*$", "", text)
    let_through = {path for _, _, path in _ASKED.findall(bare)}
    looked_up = bool(let_through)
    for found in _LOCATION.finditer(bare):
        block = _block(bare, found.end())
        if "proxy_pass" not in block or (looked_up and _GUARDED.search(block)):
            continue
        if found[1] == "=":
            let_through.add(found[2].strip('"'))
        else:
            yield error(where, "render_lint.r3_prefix", location=found[2])
    if not let_through:
        return
    wanted = {path for _, path in (*KEYED, *ANTHROPIC)}
    for path in sorted(let_through - wanted.union(path for _, path in OPEN)):
        yield error(where, "render_lint.r3_route", path=path)
    if lacking := sorted(wanted - let_through - {_METRICS}):
        yield warning(where, "render_lint.r3_lacking", paths=", ".join(lacking))


def _block(text: str, start: int) -> str:
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start:place]
    return text[start:]


def service_names(site: Site) -> Iterator[Finding]:
    """R8: Kubernetes sets no variable that the engine takes for its own (`VLLM_PORT`)."""
    for service in site.services:
        # Without an address of its own (a LeaderWorkerSet makes such a one, too) no variable is set for it.
        if service.name == "vllm" and not service.headless:
            where = f"{service.place}.metadata.name" if service.place else "metadata.name"
            yield error(service.document.where(where), "render_lint.r8_name", name=service.name)
    for container, _ in site.engines:
        if container.service_links:
            yield warning(container.at(), "render_lint.r8_links", name=container.name)


def _is_written_out(value: str) -> bool:
    """Whether a value is a secret itself, not the name of one; what stands in for one that is not given counts."""
    value = _DEFAULT.sub(r"\1", value)
    return bool(value) and not value.startswith(_GIVEN_ELSEWHERE) and value not in _NO_SECRETS


def secrets(site: Site) -> Iterator[Finding]:
    """R12: no secret is written into a file that is passed around, or that others read."""
    for container in site.containers:
        for name, value in container.env.items():
            if SECRET.search(name) and _is_written_out(value or ""):
                yield error(container.at(), "render_lint.r12_variable", variable=name)
        for flag in ("--api-key", "--hf-token"):
            key = container.engine.text(flag) if container.engine else ""
            if _is_written_out(key):
                yield error(container.at("command"), "render_lint.r12_argument", flag=flag)
    for where in site.secrets:
        yield error(where, "render_lint.r12_object")
    for path, text in site.texts.items():
        for number, line in enumerate(text.splitlines(), start=1):
            if found := _KEY.search(line):
                yield error(f"{path}:{number}", "render_lint.r12_key", start=found[0][:6])
    yield from _readable(site)


def _readable(site: Site) -> Iterator[Finding]:
    for path, text in site.texts.items():
        mode = site.beside.modes.get(path, 0)
        if path.endswith(".env") and mode & _OTHERS:
            for name, value in env_file(text).items():
                if value and SECRET.search(name):
                    yield error(path, "render_lint.r12_mode", variable=name, mode=f"{mode & 0o777:04o}", path=path)


def network(site: Site) -> Iterator[Finding]:
    """R19: the cluster or the kernel keeps an engine off the network."""
    for container, _ in site.engines:
        if container.kind is Kind.SYSTEMD and container.allowed_addresses:
            yield error(container.at(), "render_lint.r19_unit", name=container.name)
        elif container.kind is Kind.QUADLET and container.allowed_addresses:
            yield warning(container.at(), "render_lint.r19_unit", name=container.name)
        elif container.kind is Kind.KUBERNETES and not any(
            policy.egress and policy.covers(container) for policy in site.policies
        ):
            yield error(container.at(), "render_lint.r19_policy", name=container.name)
