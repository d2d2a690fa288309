"""Units of systemd and podman's quadlets -> containers.

Source: podman-systemd.unit(5), systemd.service(5), systemd.exec(5).
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from selfhost.errors import IntegrityError
from selfhost.records import dataclass
from selfhost.render.lint.command import engine_of
from selfhost.render.lint.quantity import number, seconds, size
from selfhost.render.lint.site import LOOPBACK, Container, Document, Kind, Mount, Port, Probe, note
from selfhost.render.lint.values import device_count, env_file, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from selfhost.render.lint.site import Site

ENDINGS = (
    *(".container", ".service", ".network", ".volume", ".image", ".build", ".pod", ".kube"),
    *(".socket", ".target", ".timer", ".slice"),
)
_PODMAN_STOP_S = 10.0
_SYSTEMD_LIMIT_S = 90.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A unit file: the values of each key, in order."""

    document: Document
    values: Mapping[str, tuple[str, ...]]
    """By `Section.Key`."""

    def all(self, key: str) -> tuple[str, ...]:
        """All values since the last empty one, which takes back those before it."""
        found: tuple[str, ...] = ()
        for value in self.values.get(key, ()):
            found = (*found, value) if value else ()
        return found

    def last(self, key: str) -> str:
        """The value that counts of a key that has one."""
        return next(reversed(self.all(key)), "")


def parse(path: str, text: str) -> Unit:
    """Raises IntegrityError for a line that is neither section nor key."""
    values: dict[str, tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    section, pending, start = "", "", 0
    for number_, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line[:1] in {"#", ";"} or not (line or pending):
            continue
        start = start if pending else number_
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        line, pending = pending + line, ""
        if found := re.fullmatch(r"\[([^\]]+)\]", line):
            section = found[1]
            continue
        key, equals, value = line.partition("=")
        if not equals or not section:
            raise IntegrityError("render_lint.bad_unit", file=path, line=start, text=line[:80])
        name = f"{section}.{key.strip()}"
        values[name] = (*values.get(name, ()), value.strip())
        lines.setdefault(name, start)
    return Unit(document=Document(file=path, data=None, lines=lines), values=values)


def read(site: Site, path: str, text: str, files: Mapping[str, str]) -> None:
    """Add what a unit runs. Raises IntegrityError."""
    unit = _with_drop_ins(parse(path, text), files)
    if path.endswith(".container"):
        site.containers.append(_quadlet(unit, files))
    elif path.endswith(".service"):
        found = _service(unit, files)
        if _by_hand(found.command):
            site.notes.append(note(found.at("command"), "render_lint.by_hand"))
        site.containers.append(found)


def _by_hand(command: tuple[str, ...]) -> bool:
    """Whether a unit runs a container with a line of options: which of them take a value, only the program knows."""
    return bool(command) and posixpath.basename(command[0]) in {"docker", "podman", "nerdctl"} and "run" in command


def changed_unit(path: str) -> str:
    """The unit that a drop-in changes, `a.service` for `a.service.d/b.conf`; empty for other files."""
    folder = posixpath.dirname(path)
    unit = folder.removesuffix(".d")
    return unit if path.endswith(".conf") and folder.endswith(".d") and unit.endswith(ENDINGS) else ""


def _with_drop_ins(unit: Unit, files: Mapping[str, str]) -> Unit:
    path, values, lines = unit.document.file, dict(unit.values), dict(unit.document.lines)
    for name in sorted(name for name in files if changed_unit(name) == path):
        for key, added in parse(name, files[name]).values.items():
            values[key] = (*values.get(key, ()), *added)
            lines.pop(key, None)  # no longer what stands in that line
    return Unit(document=Document(file=path, data=None, lines=lines), values=values)


def _beside(unit: Unit, name: str, files: Mapping[str, str]) -> Unit | None:
    """Another unit of the same folder, which is named in this one."""
    path = posixpath.join(posixpath.dirname(unit.document.file), name)
    return _with_drop_ins(parse(path, files[path]), files) if path in files else None


def _image(unit: Unit, files: Mapping[str, str]) -> str:
    """The image that runs; empty for one that a unit builds, and for one of a unit that is not there."""
    image = unit.last("Container.Image")
    if not image.endswith((".image", ".build")):
        return image
    named = _beside(unit, image, files)
    return named.last("Image.Image") if named else ""


def _podman_arg(unit: Unit, name: str) -> str:
    """The value of an option among `PodmanArgs`: `--ipc=host`, `--ipc host`."""
    given = [word for line in unit.all("Container.PodmanArgs") for word in words(line)]
    for place, word in enumerate(given):
        option, equals, value = word.partition("=")
        if option == f"--{name}":
            return value if equals else "".join(given[place + 1 : place + 2])
    return ""


def _env(unit: Unit, section: str, files: Mapping[str, str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    folder = posixpath.dirname(unit.document.file)
    for name in unit.all(f"{section}.EnvironmentFile"):
        given = name.removeprefix("-")
        inside = posixpath.join(folder, posixpath.basename(given))
        found |= env_file(files.get(given, files.get(inside, "")))
    for line in unit.all(f"{section}.Environment"):
        for word in words(line):
            key, equals, value = word.partition("=")
            found[key] = value if equals else None
    for secret in unit.all(f"{section}.Secret"):
        if target := re.search(r"target=(\w+)", secret):
            found.setdefault(target[1], None)
    return found


def _limit(unit: Unit, key: str) -> float | None:
    """What systemd gives a start (`TimeoutStartSec`) or a stop (`TimeoutStopSec`); None: no limit, as for 0."""
    said = unit.last(f"Service.{key}") or unit.last("Service.TimeoutSec")
    return seconds(said) or None if said else _SYSTEMD_LIMIT_S


def _start_limit(unit: Unit, *, waits: bool) -> float | None:
    """How long a start may take: systemd only waits for services that tell when they are ready."""
    return _limit(unit, "TimeoutStartSec") if waits else None


def _quadlet(unit: Unit, files: Mapping[str, str]) -> Container:
    image, command = _image(unit, files), words(unit.last("Container.Exec"))
    entry = words(unit.last("Container.Entrypoint"))
    path = unit.document.file
    devices = tuple(value.partition(":")[0] for value in unit.all("Container.AddDevice"))
    stop = unit.last("Container.StopTimeout") or _podman_arg(unit, "stop-timeout")
    pod = _beside(unit, unit.last("Container.Pod") or ".", files)
    networks = (*unit.all("Container.Network"), *(pod.all("Pod.Network") if pod else ()))
    kill = _limit(unit, "TimeoutStopSec")
    grace = seconds(stop) if stop else _PODMAN_STOP_S
    return Container(
        document=unit.document,
        place="Container",
        kind=Kind.QUADLET,
        name=posixpath.basename(path).removesuffix(".container"),
        group=posixpath.dirname(path) or "here",
        image=image,
        pull=unit.last("Container.Pull"),
        command=(*entry, *command),
        explicit=bool(entry or command),
        env=_env(unit, "Container", files),
        ports=tuple(_ports(unit, pod)),
        host_network="host" in (*networks, _podman_arg(unit, "network")),
        host_ipc=_podman_arg(unit, "ipc") == "host",
        mounts=tuple(_mounts(unit)),
        read_only_root=unit.last("Container.ReadOnly").lower() in {"true", "yes", "1", "on"},
        device_count=device_count(devices),
        device_paths=devices,
        privileged="--privileged" in " ".join(unit.all("Container.PodmanArgs")).split(),
        shm_bytes=size(unit.last("Container.ShmSize") or _podman_arg(unit, "shm-size")),
        memory_bytes=_memory(unit),
        probes=tuple(_probes(unit)),
        start_limit_s=_start_limit(unit, waits=unit.last("Container.Notify").lower() in {"healthy", "true"}),
        grace_s=min(grace or 0, kill) if kill else grace,
        allowed_addresses=not _denied(unit),
        engine=engine_of(image, (*entry, *command), replaced=bool(entry)),
    )


def _memory(unit: Unit) -> int | None:
    """Of a container: podman has a key for it since 5.6 only."""
    said = _podman_arg(unit, "memory") or unit.last("Container.Memory") or unit.last("Service.MemoryMax")
    return size(said)


def _denied(unit: Unit) -> bool:
    return "any" in " ".join(unit.all("Service.IPAddressDeny")).split()


def _ports(unit: Unit, pod: Unit | None) -> Iterator[Port]:
    """Of a container, and of the pod that it is in."""
    for value in (*unit.all("Container.PublishPort"), *(pod.all("Pod.PublishPort") if pod else ())):
        host, _, target = value.partition("/")[0].rpartition(":")
        if not host.startswith(LOOPBACK):
            yield Port(place="PublishPort", number=number(target) or 0)


def _mounts(unit: Unit) -> Iterator[Mount]:
    for value in unit.all("Container.Volume"):
        source, colon, rest = value.partition(":")
        target, _, options = rest.partition(":")
        yield Mount(target=target if colon else source, source=source, read_only="ro" in options.split(","))
    for value in unit.all("Container.Mount"):
        said = dict(part.partition("=")[::2] for part in value.split(","))
        target = said.get("target") or said.get("destination") or said.get("dst") or ""
        only = any(said.get(key, "no") in {"", "true"} for key in ("ro", "readonly")) or said.get("type") == "artifact"
        yield Mount(target=target, source=said.get("source", said.get("src", "")), read_only=only)
    for value in unit.all("Container.Tmpfs"):
        yield Mount(target=value.partition(":")[0], memory=True)


def _probes(unit: Unit) -> Iterator[Probe]:
    command = unit.last("Container.HealthCmd")
    if command and command != "none":
        every = seconds(unit.last("Container.HealthInterval") or 30) or 30
        tries = number(unit.last("Container.HealthRetries")) or 3
        start = seconds(unit.last("Container.HealthStartPeriod") or 0) or 0
        yield Probe(place="HealthCmd", role="health", command=words(command), allowed_s=start + every * tries)


def _service(unit: Unit, files: Mapping[str, str]) -> Container:
    starts = unit.all("Service.ExecStart")
    command = words(starts[0].lstrip("@-:+!")) if starts else ()
    path = unit.document.file
    return Container(
        document=unit.document,
        place="Service",
        kind=Kind.SYSTEMD,
        name=posixpath.basename(path).removesuffix(".service"),
        group=posixpath.dirname(path) or "here",
        command=command,
        before=tuple(words(line.lstrip("@-:+!")) for line in unit.all("Service.ExecStartPre")),
        env=_env(unit, "Service", files),
        host_network=True,
        host_ipc=True,
        memory_bytes=size(unit.last("Service.MemoryMax")),
        start_limit_s=_start_limit(unit, waits=unit.last("Service.Type").startswith("notify")),
        grace_s=_limit(unit, "TimeoutStopSec"),
        allowed_addresses=not _denied(unit),
        engine=None if _by_hand(command) else engine_of("", command),
    )
