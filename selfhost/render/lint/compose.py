"""Compose files -> containers.

Source: github.com/compose-spec/compose-spec, 05-services.md and 12-interpolation.md.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from selfhost.render.lint.command import engine_of
from selfhost.render.lint.quantity import number, seconds, size
from selfhost.render.lint.site import LOOPBACK, Container, Kind, Mount, Port, Probe
from selfhost.render.lint.values import (
    SECRET,
    below,
    cdi_count,
    device_count,
    env_file,
    mapping,
    mappings,
    pairs,
    sequence,
    text,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from selfhost.render.lint.site import Document, Site

_GRACE_S = 10.0
_PIECES = re.compile(r"(?:\$\{[^}]*\}|[^:])+")
"""Of `SOURCE:TARGET:OPTIONS`; a colon inside `${DIR:?say where}` is no end."""
_VARIABLE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)(?:(:?[-?+])([^}]*))?\})")


def read(site: Site, document: Document, files: Mapping[str, str]) -> None:
    """Add the services of a compose file."""
    folder = posixpath.dirname(document.file)
    values: dict[str, str] = {}
    for name in (".env.example", ".env"):
        values |= env_file(files.get(posixpath.join(folder, name), ""))
    services = mapping(_interpolated(mapping(below(document.data, "services")), values))
    for name, service in services.items():
        if isinstance(service, dict):
            said = mapping(service)
            shared = text(said.get("network_mode")).partition("service:")[2]
            # The ports of the service whose network it shares lead to it as well.
            said["ports"] = [*sequence(said.get("ports")), *sequence(below(services, shared, "ports"))]
            site.containers.append(_container(document, str(name), said, _env(said, folder, files)))
    for name, config in mapping(below(document.data, "configs")).items():
        if content := text(below(config, "content")):
            site.configs.append((document.where(f"configs.{name}.content"), content))


def _interpolated(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        # A secret that comes from beside the file is not in it.
        return {k: v if SECRET.search(str(k)) else _interpolated(v, values) for k, v in value.items()}
    if isinstance(value, list):
        return [_interpolated(item, values) for item in value]
    if isinstance(value, str) and SECRET.search(value.partition("=")[0]):
        return value
    return _VARIABLE.sub(lambda found: _value(found, values), value) if isinstance(value, str) else value


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    name = found[1] or found[2]
    if not name:
        return "$"
    if values.get(name):
        return values[name]
    return found[4] if found[3] in {"-", ":-"} else found[0]


def _env(service: Mapping[str, Any], folder: str, files: Mapping[str, str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    listed = service.get("env_file")
    for item in listed if isinstance(listed, list) else [listed]:
        name = text(item.get("path") if isinstance(item, dict) else item)
        found |= env_file(files.get(posixpath.normpath(posixpath.join(folder, name)), "")) if name else {}
    return found | pairs(service.get("environment"))


def _container(document: Document, name: str, said: Mapping[str, Any], env: dict[str, str | None]) -> Container:
    image, place = text(said.get("image")), f"services.{name}"
    command = (*words(said.get("entrypoint")), *words(said.get("command")))
    reserved = tuple(device for _, device in mappings(below(said, "deploy", "resources", "reservations", "devices")))
    paths = tuple(text(item).partition(":")[0] for item in sequence(said.get("devices")))
    limit = size(said.get("mem_limit")) or size(below(said, "deploy", "resources", "limits", "memory"))
    return Container(
        document=document,
        place=place,
        kind=Kind.COMPOSE,
        name=name,
        group=document.file,
        image=image,
        pull=text(said.get("pull_policy")),
        command=command,
        explicit=bool(command),
        env=env,
        ports=tuple(_ports(said.get("ports"))),
        host_network=text(said.get("network_mode")) == "host",
        host_ipc=text(said.get("ipc")) == "host",
        mounts=(*_mounts(said.get("volumes")), *_tmpfs(said.get("tmpfs"))),
        read_only_root=said.get("read_only") is True,
        privileged=said.get("privileged") is True,
        device_count=_devices((*reserved, *_gpus(said.get("gpus"))), paths),
        device_paths=paths,
        reservations=reserved,
        shm_bytes=size(said.get("shm_size")),
        memory_bytes=limit,
        probes=tuple(_probes(said.get("healthcheck"))),
        grace_s=seconds(said["stop_grace_period"]) if "stop_grace_period" in said else _GRACE_S,
        labels={key: value or "" for key, value in pairs(said.get("labels")).items()},
        runtime=text(said.get("runtime")),
        engine=engine_of(image, command, replaced=bool(said.get("entrypoint"))),
    )


def _devices(reserved: tuple[Mapping[str, Any], ...], paths: tuple[str, ...]) -> int | None:
    if mapped := device_count(paths):
        return mapped
    counts = [_count(device) for device in reserved]
    return None if None in counts else sum(filter(None, counts)) or None


def _count(device: Mapping[str, Any]) -> int | None:
    if ids := sequence(device.get("device_ids")):
        cdi = [text(one) for one in ids if "=" in text(one)]
        return cdi_count(cdi) if cdi else len(ids)
    return number(device.get("count"))


def _gpus(said: object) -> Iterator[Mapping[str, Any]]:
    """Of the short form, `gpus: all` or a list of devices."""
    for _, device in mappings(said if isinstance(said, list) else [{"count": said}] if said else []):
        yield device


def _ports(listed: object) -> Iterator[Port]:
    for place, item in enumerate(sequence(listed)):
        if isinstance(item, dict):
            host, target = text(item.get("host_ip")), item.get("target")
        else:
            host, _, target = text(item).partition("/")[0].rpartition(":")
        if not host.startswith(LOOPBACK):
            yield Port(place=f"ports[{place}]", number=number(target) or 0)


def _mounts(listed: object) -> Iterator[Mount]:
    for item in sequence(listed):
        if isinstance(item, dict):
            yield Mount(
                target=text(item.get("target")),
                source=text(item.get("source")),
                read_only=item.get("read_only") is True or item.get("type") == "image",
                memory=item.get("type") == "tmpfs",
            )
            continue
        source, *rest = _PIECES.findall(text(item)) or [""]
        target, options = rest[0] if rest else source, rest[1] if len(rest) > 1 else ""
        yield Mount(target=target, source=source, read_only="ro" in options.split(","))


def _tmpfs(listed: object) -> Iterator[Mount]:
    for item in listed if isinstance(listed, list) else [listed]:
        if target := text(item).partition(":")[0]:
            yield Mount(target=target, memory=True)


def _probes(check: object) -> Iterator[Probe]:
    said = mapping(check)
    if said and said.get("disable") is not True:
        test = said.get("test")
        command = words(test)
        if isinstance(test, list) and command[:1] in {("CMD",), ("CMD-SHELL",)}:
            command = command[1:]
        if command != ("NONE",):
            yield Probe(place="healthcheck", role="health", command=command, allowed_s=_allowed(said))


def _allowed(said: Mapping[str, Any]) -> float:
    every, tries = seconds(said.get("interval", 30)) or 30, number(said.get("retries", 3)) or 3
    return (seconds(said.get("start_period", 0)) or 0) + every * tries
