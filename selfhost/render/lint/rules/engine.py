"""R2, R13, R16, R20: what engines are told, and what is asked about them."""

from __future__ import annotations

import difflib
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from selfhost.engines import additional_config, known
from selfhost.errors import UsageError
from selfhost.messages import word
from selfhost.render.lint.command import commands
from selfhost.render.lint.site import error, note, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from selfhost.findings import Finding
    from selfhost.render.lint.command import Engine
    from selfhost.render.lint.site import Container, Site

_YES = {"1", "true", "yes", "on"}
_QUIET = ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK")
_LOADERS = re.compile(
    r"(?:^|\s|/)(?:(?:uv\s+)?pip[\d.]*\s+(?:-\S+\s+)*(?:install|download)|-m\s+pip\s+(?:-\S+\s+)*(?:install|download)|uv\s+(?:sync|add)"
    r"|(?:apt|apt-get|dnf|yum|microdnf|apk|zypper)\s+(?:-\S+\s+)*(?:install|add|update|upgrade)|conda\s+install"
    r"|npm\s+(?:install|ci)|git\s+clone|(?:hf|huggingface-cli|modelscope)\s+download|snapshot_download"
    r"|aws\s+s3\s+(?:cp|sync)|gsutil\s+(?:-\S+\s+)*cp)(?=\s|$|\()"
)
_FETCH = re.compile(r"(?:^|\s|/)(?:curl|wget)\s")
_ADDRESS = re.compile(r"(?:https?|ftp)://([^\s/:'\"]+)")
_HERE = ("localhost", "127.", "[::1]", "0.0.0.0", "$")  # noqa: S104 - compared with, not listened on
_INSIDE = (".svc", ".svc.cluster.local", ".local", ".internal", ".localhost")
_EXPRESSION = re.compile(r"""(?m)["']?\b(?:expr|query)["']?[ ]*:[ ]*(.+)""")
_METRIC = re.compile(r"\bvllm:[A-Za-z0-9_]++(?![:.])")
"""Not the name of a recorded rule (`vllm:tokens:rate5m`), nor the beginning of a pattern (`vllm:num_.*`)."""


def offline(site: Site) -> Iterator[Finding]:
    """R2: an engine is told to stay off the network."""
    for container, engine in site.engines:
        values = {**container.env, **_assigned(container)}
        if engine.own and ("--offline" in container.command or (values.get("SELFHOST_OFFLINE") or "").lower() in _YES):
            continue
        if (values.get("HF_HUB_OFFLINE") or "").lower() not in _YES:
            yield error(container.at(), "render_lint.r2_online", name=container.name)
        elif not any((values.get(name) or "").lower() in _YES for name in _QUIET):
            yield warning(container.at(), "render_lint.r2_usage", name=container.name)


def _assigned(container: Container) -> dict[str, str | None]:
    """Variables that a script sets for its commands: `HF_HUB_OFFLINE=1 vllm serve ...`, `export HF_HUB_OFFLINE=1`."""
    words = [word for command in commands(container.command) for word in command]
    return {found[1]: found[2] for word in words if (found := re.fullmatch(r"([A-Z][A-Z0-9_]*)=(.*)", word, re.DOTALL))}


def _is_far(host: str) -> bool:
    """Whether a host is one of another site: neither this machine, nor a name without a domain, nor a private one."""
    if host.startswith(_HERE) or "." not in host or host.endswith(_INSIDE):
        return False
    try:
        return not ip_address(host).is_private
    except ValueError:
        return True


def downloads(site: Site) -> Iterator[Finding]:
    """R13: nothing is installed or fetched when a container starts."""
    for container in site.containers:
        where, run = container.at("command"), (container.command, *container.before)
        said = [" ".join(words) for command in run for words in commands(command)]
        installs = [found[0].strip(" /") for line in said if (found := _LOADERS.search(line))]
        hosts = [host for line in said if _FETCH.search(line) for host in _ADDRESS.findall(line)]
        if installs:
            yield error(where, "render_lint.r13_installs", commands=", ".join(dict.fromkeys(installs)))
        elif far := list(filter(_is_far, hosts)):
            yield error(where, "render_lint.r13_fetches", host=far[0])


def metrics(site: Site) -> Iterator[Finding]:
    """R16: alert rules and dashboards ask for metrics that the pinned engine has."""
    engines = [engine.facts.series for _, engine in site.engines] or [known.load("vllm").series]
    there = frozenset[str].intersection(*engines)
    # Dashboards and rules inside of a ConfigMap are texts.
    inside = [(where, line[1]) for where, text in site.configs for line in _EXPRESSION.finditer(text)]
    for where, text in (*site.expressions, *inside):
        for name in sorted(set(_METRIC.findall(text))):
            if name not in there:
                yield error(where, "render_lint.r16_metric", metric=name, nearest=_nearest(name, there))


def _nearest(name: str, known: frozenset[str]) -> str:
    return ", ".join(difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.6)) or word("none")


def flags(site: Site) -> Iterator[Finding]:
    """R20: the pinned engine has every option, and every choice."""
    for container, engine in site.engines:
        where = container.at("command")
        pinned = f"{engine.facts.ref.name} {engine.facts.ref.version}"
        if engine.other_version:
            yield note(where, "render_lint.r20_version", other=engine.other_version, pinned=pinned)
            continue
        for name in engine.unknown:
            nearest = _nearest(name, frozenset(engine.facts.flags))
            yield error(where, "render_lint.r20_flag", flag=name, engine=pinned, nearest=nearest)
        for name, whole in engine.shortened:
            yield warning(where, "render_lint.r20_shortened", flag=name, whole=whole)
        yield from _choices(container, engine, pinned)


def _choices(container: Container, engine: Engine, pinned: str) -> Iterator[Finding]:
    for name, values in engine.flags.items():
        flag = engine.facts.flags.get(name)
        if engine.own or flag is None:
            continue
        where = container.at("command")
        if name == "--model":
            yield warning(where, "render_lint.r20_model", model=" ".join(values))
        if name == additional_config.FLAG:
            yield from _keys(where, engine, pinned, values)
        for value in values:
            if flag.choices and "$" not in value and value not in flag.choices:
                choices = ", ".join(flag.choices)
                yield error(where, "render_lint.r20_choice", flag=name, value=value, engine=pinned, choices=choices)


def _keys(where: str, engine: Engine, pinned: str, values: Sequence[str]) -> Iterator[Finding]:
    """Keys of `--additional-config` that the engine ignores; where one is in the option's own name, it is not seen."""
    text = " ".join(values)
    if not text.startswith("{") or "$" in text:
        return
    try:
        unknown = additional_config.unknown(additional_config.FLAG, values, engine.facts)
    except UsageError:
        yield error(where, "render_lint.r20_object", flag=additional_config.FLAG, value=text)
        return
    for key in unknown:
        has = engine.facts.additional_config or {}
        nearest = _nearest(key.rpartition(".")[2], frozenset(has.get(key.rpartition(".")[0]) or has))
        yield error(where, "render_lint.r20_key", flag=additional_config.FLAG, key=key, engine=pinned, nearest=nearest)
