"""What deployment files say, whatever their format: the picture that rules look at."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from selfhost.engines.patience import DISK_BYTES_PER_S
from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.models.arch import ModelArch
    from selfhost.render.lint.command import Engine

_LONGEST = 200
LOOPBACK = ("127.", "localhost", "::1", "[::1]")
"""How addresses begin that nobody reaches from elsewhere."""


class Kind(StrEnum):
    """The format of a file."""

    COMPOSE = "compose"
    QUADLET = "quadlet"
    SYSTEMD = "systemd"
    KUBERNETES = "kubernetes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One YAML document or unit file."""

    file: str
    data: Any
    lines: Mapping[str, int]
    """Line by place: `services.engine.image`."""

    def where(self, place: str) -> str:
        """`compose.yaml:12: services.engine.image`; the line is that of the nearest place above that has one."""
        known = place
        while known and known not in self.lines:
            known = known.rpartition(".")[0]
        line = f":{self.lines[known]}" if known else ""
        return f"{self.file}{line}: {place}" if place else f"{self.file}{line}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """Something mounted into a container."""

    target: str
    source: str = ""
    read_only: bool = False
    memory: bool = False
    """A tmpfs."""
    size_bytes: int | None = None
    image: str = ""
    """Of Kubernetes: the image whose files are mounted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A question whose failure has consequences."""

    place: str
    role: str
    """`startup`, `liveness`, `readiness`, or `health` where there is only one kind."""
    path: str = ""
    """Of a request over HTTP."""
    command: tuple[str, ...] = ()
    allowed_s: float | None = None
    """From the start of the container until failures of this probe end it; None where they do not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """A port of a container that is reachable from elsewhere."""

    place: str
    number: int
    """In the container; 0 when it cannot be told."""


_KEYS_OF_UNITS: Mapping[Kind, Mapping[str, str]] = {
    Kind.QUADLET: {"image": "Image", "command": "Exec", "devices": "AddDevice"},
    Kind.SYSTEMD: {"command": "ExecStart"},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """A container, or the process of a unit."""

    document: Document
    place: str
    kind: Kind
    name: str
    group: str
    """The same for containers that share a network namespace: a pod, a compose project, a folder of units."""
    image: str = ""
    pull: str = ""
    command: tuple[str, ...] = ()
    before: tuple[tuple[str, ...], ...] = ()
    """What is run before the command."""
    explicit: bool = True
    """The file says what to run; otherwise it is up to the image."""
    env: Mapping[str, str | None] = field(default_factory=dict)
    """None: the value comes from elsewhere (a secret, a field)."""
    ports: tuple[Port, ...] = ()
    named_ports: Mapping[str, int] = field(default_factory=dict)
    """Of Kubernetes: what a Service may call a port."""
    host_network: bool = False
    host_ipc: bool = False
    mounts: tuple[Mount, ...] = ()
    read_only_root: bool = False
    device_count: int | None = None
    """Accelerators; None when it is not said, or all of them."""
    device_paths: tuple[str, ...] = ()
    privileged: bool = False
    """Every device of the host is there."""
    reservations: tuple[Mapping[str, Any], ...] = ()
    """Of compose: `deploy.resources.reservations.devices`."""
    shm_bytes: int | None = None
    memory_bytes: int | None = None
    probes: tuple[Probe, ...] = ()
    start_limit_s: float | None = None
    """How long a start may take; None: no limit."""
    grace_s: float | None = None
    """Between TERM and KILL; the format's default when the file does not say it."""
    pre_stop_s: float = 0
    """Taken from the grace."""
    service_links: bool = False
    """Kubernetes sets variables for every Service of the namespace."""
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    runtime: str = ""
    allowed_addresses: bool = True
    """False: the unit denies addresses (IPAddressDeny=any)."""
    engine: Engine | None = None

    def at(self, place: str = "") -> str:
        """Where something of it is written: a key as compose and Kubernetes call it."""
        place = _KEYS_OF_UNITS.get(self.kind, {}).get(place, place)
        return self.document.where(f"{self.place}.{place}" if place and self.place else place or self.place)

    def mount_of(self, path: str) -> Mount | None:
        """The mount that a path of the container lies in."""
        above = [mount for mount in self.mounts if f"{path}/".startswith(f"{mount.target.rstrip('/')}/")]
        return max(above, key=lambda mount: len(mount.target), default=None)

    @property
    def deployment(self) -> str:
        """The same for the nodes of one deployment: folders `node0`, `node1` are one."""
        folders = [part for part in self.document.file.split("/")[:-1] if not part.startswith("node")]
        return "/".join(folders) if self.kind is not Kind.KUBERNETES else self.document.file


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageVolume:
    """An image of Kubernetes that is mounted, not run."""

    document: Document
    place: str
    image: str
    pull: str = ""
    kind: Kind = Kind.KUBERNETES

    def at(self, _place: str = "") -> str:
        """Where it is named."""
        return self.document.where(f"{self.place}.reference")


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A Service of Kubernetes."""

    document: Document
    place: str
    name: str
    namespace: str
    selector: Mapping[str, str]
    ports: tuple[tuple[str, int | str], ...]
    """Where each is written, and the port of the pod it leads to, by number or name."""
    headless: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """A NetworkPolicy of Kubernetes."""

    namespace: str
    selector: Mapping[str, str]
    """Labels of the pods it is about; empty: all."""
    expressions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """Key, operator and values that labels of the pods meet as well."""
    egress: bool

    def covers(self, container: Container) -> bool:
        """Whether it is about the pod of a container."""
        labels = container.labels
        return (
            self.namespace == container.namespace
            and self.selector.items() <= labels.items()
            and all(_meets(labels.get(key), operator, values) for key, operator, values in self.expressions)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """What is known besides the files; what is None is not checked."""

    images: frozenset[str] | None = None
    """References that a bundle brings."""
    arch: ModelArch | None = None
    weight_bytes: int | None = None
    disk_bytes_per_s: int = DISK_BYTES_PER_S
    cuda_ceiling: tuple[int, int] | None = None
    """Of the driver."""
    soc_family: str | None = None
    """Of the Ascend devices: `A2`, `A3`, `310P`, `950`."""
    modes: Mapping[str, int] = field(default_factory=dict)
    """Permissions of files, by path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Everything the files say."""

    beside: Beside
    containers: list[Container] = field(default_factory=list)
    image_volumes: list[ImageVolume] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    config_maps: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    """Data of ConfigMaps, by namespace and name."""
    expressions: list[tuple[str, str]] = field(default_factory=list)
    """Queries of alert rules and dashboards: where, and the text."""
    secrets: list[str] = field(default_factory=list)
    """Where a Secret with its values is written."""
    texts: Mapping[str, str] = field(default_factory=dict)
    configs: list[tuple[str, str]] = field(default_factory=list)
    """Configuration files of other programs, on their own or inside an object: where, and the text."""
    notes: list[Finding] = field(default_factory=list)

    @property
    def engines(self) -> list[tuple[Container, Engine]]:
        """Containers that run an engine, with its command."""
        return [(container, container.engine) for container in self.containers if container.engine]


def _meets(label: str | None, operator: str, values: tuple[str, ...]) -> bool:
    """Source: kubernetes.io/docs/concepts/overview/working-with-objects/labels, set-based requirements."""
    match operator:
        case "In":
            return label in values
        case "NotIn":
            return label not in values
        case "Exists":
            return label is not None
        case "DoesNotExist":
            return label is None
    return False


def error(where: str, message_id: str, /, **params: object) -> Finding:
    """A finding that makes the answer `no`."""
    return Finding(severity=Severity.ERROR, where=where, message=_message(message_id, params))


def warning(where: str, message_id: str, /, **params: object) -> Finding:
    """A finding to think about."""
    return Finding(severity=Severity.WARNING, where=where, message=_message(message_id, params))


def note(where: str, message_id: str, /, **params: object) -> Finding:
    """A finding to know about."""
    return Finding(severity=Severity.NOTE, where=where, message=_message(message_id, params))


def _message(message_id: str, params: Mapping[str, object]) -> Message:
    # A file may say things of any length.
    return Message(
        message_id,
        {
            name: f"{value[:_LONGEST]}..." if isinstance(value, str) and len(value) > _LONGEST else value
            for name, value in params.items()
        },
    )
