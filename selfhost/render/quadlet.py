"""Quadlet files: containers as units of systemd, made by podman 5.0 and newer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from selfhost.hardware.types import Platform
from selfhost.planner.layouts import FIRST_NODE
from selfhost.render import gateway
from selfhost.render.compose import site_example
from selfhost.render.containers import (
    ASCEND_GROUP,
    ascend_devices,
    binds,
    engine_parts,
    gateway_binds,
    gateway_parts,
    labels,
    node_health_code,
)
from selfhost.render.deployment import CACHE, GROUP_ID, HOME, USER_ID, Entry
from selfhost.render.handover import handover
from selfhost.render.rendered import RenderedFile, header, of_node
from selfhost.render.units import SITE, allowed_addresses, engine_word, quoted, unit_keys, unit_text, word

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment, Node
    from selfhost.render.units import Keys

_SPARE_S = 60
"""For podman itself, besides the engine's start."""
_HARDENED: Keys = [
    ("User", USER_ID),
    ("Group", GROUP_ID),
    ("ReadOnly", "true"),
    # podman mounts it `noexec` by itself, and what is compiled at run time is loaded from there.
    ("Tmpfs", "/tmp:exec"),  # noqa: S108 - of the container
    ("DropCapability", "all"),
    ("NoNewPrivileges", "true"),
    ("LogDriver", "journald"),
]


def quadlet(deployment: Deployment) -> list[RenderedFile]:
    """Units of the containers and of their volumes, in a folder per node where there are several; and the handover."""
    files = [of_node(deployment, node, file) for node in deployment.nodes for file in _of_node(deployment, node)]
    return [*files, *handover(deployment, "quadlet")]


def _of_node(deployment: Deployment, node: Node) -> list[RenderedFile]:
    name, start = deployment.name, header(deployment)
    files = [RenderedFile(path=f"{name}.container", text=start + _engine(deployment, node))]
    volumes = ["state", "cache"] if deployment.entry is Entry.SELFHOST else ["cache"]
    files += [
        RenderedFile(
            path=f"{name}-{volume}.volume",
            text=start + unit_text(("Volume", [("VolumeName", f"{name}-{volume}")])),
        )
        for volume in volumes
    ]
    if deployment.host_network:
        what = f"Copy to `{name}.env`, beside the units,"
        files.append(RenderedFile(path=f"{name}.env.example", text=site_example(deployment, what)))
    else:
        network = unit_text(("Network", [("NetworkName", name), ("DisableDNS", "true")]))
        files.append(RenderedFile(path=f"{name}.network", text=start + network))
    if deployment.gateway and not node.headless:
        files.append(RenderedFile(path=f"{name}-gateway.container", text=start + _gateway(deployment)))
        files += gateway_parts(deployment)
    files += engine_parts(deployment)
    return files


def _engine(deployment: Deployment, node: Node) -> str:
    container: Keys = [
        ("ContainerName", deployment.name),
        ("Image", deployment.engine.reference),
        ("Pull", "never"),
        *[("Label", quoted(f"{key}={value}")) for key, value in labels(deployment).items()],
        ("Entrypoint", node.argv[0]),
        ("Exec", " ".join(map(engine_word, node.argv[1:]))),
        *_init(deployment),
        *_HARDENED,
        *_devices(deployment),
        ("ShmSize", deployment.shm_bytes),
        ("Ulimit", "memlock=-1:-1"),
        ("Ulimit", "nofile=65536:65536"),
        *[("Environment", quoted(f"{key}={value}")) for key, value in _environment(node).items()],
        *[("Volume", _literal(f"{bind.source}:{bind.target}:ro")) for bind in binds(deployment)],
        *_volumes(deployment),
        *_network(deployment, node),
        *_health(deployment, node),
        ("StopTimeout", deployment.times.grace_s),
        ("PodmanArgs", f"--memory={deployment.memory_bytes}"),
    ]
    return unit_text(
        ("Unit", unit_keys(f"{deployment.plan.model}, node {node.number}")),
        ("Container", container),
        ("Service", _service(deployment)),
        ("Install", [("WantedBy", "multi-user.target default.target")]),
    )


def _init(deployment: Deployment) -> Keys:
    """`selfhost serve` reaps what its workers leave behind; a stock engine as the first process would not."""
    return [] if deployment.entry is Entry.SELFHOST else [("RunInit", "true")]


def _service(deployment: Deployment) -> Keys:
    """With `Notify=healthy` a unit is starting until its first answer: systemd's 90 s would end it before that.

    Source: containers/podman#27290.
    """
    addresses: Keys = [("EnvironmentFile", _site_file(deployment))] if deployment.host_network else []
    return [
        *addresses,
        ("TimeoutStartSec", deployment.times.start_s + _SPARE_S),
        ("TimeoutStopSec", deployment.times.grace_s + _SPARE_S),
        ("Restart", "always"),
        ("RestartSec", 10),
        *allowed_addresses(beyond_loopback=True),
    ]


def _site_file(deployment: Deployment) -> str:
    # %E: /etc for root, else the user's own configuration directory.
    return f"%E/containers/systemd/{deployment.name}/{deployment.name}.env"


def _literal(text: str) -> str:
    """Of a value that quadlet takes as it is and hands on in a command line of systemd."""
    return text.replace("%", "%%").replace("$", "$$")


def _environment(node: Node) -> dict[str, str]:
    return {name: SITE.get(value) or value.replace("$", "$$") for name, value in node.env.items()}


def _devices(deployment: Deployment) -> Keys:
    if deployment.platform is Platform.ASCEND:
        devices: Keys = [("AddDevice", device) for device in ascend_devices(deployment)]
        return [*devices, ("PodmanArgs", f"--group-add={ASCEND_GROUP}")]
    if deployment.platform is not Platform.CUDA:
        return []
    if deployment.takes_all_devices:
        return [("AddDevice", "nvidia.com/gpu=all")]
    return [("AddDevice", f"nvidia.com/gpu={index}") for index in deployment.device_indices]


def _volumes(deployment: Deployment) -> Keys:
    name = deployment.name
    state: Keys = [("Volume", f"{name}-state.volume:{HOME}")] if deployment.entry is Entry.SELFHOST else []
    return [*state, ("Volume", f"{name}-cache.volume:{CACHE}")]


def _network(deployment: Deployment, node: Node) -> Keys:
    if deployment.host_network:
        return [("Network", "host")]
    port = f"{deployment.published}:{deployment.front_port}"
    return [("Network", f"{deployment.name}.network"), *([] if node.headless else [("PublishPort", port)])]


def _health(deployment: Deployment, node: Node) -> Keys:
    code = node_health_code(deployment, node, SITE[FIRST_NODE])
    if code is None:
        return []
    return [
        ("HealthCmd", json.dumps(["python3", "-c", code]).replace("%", "%%")),
        ("HealthInterval", "10s"),
        ("HealthTimeout", "5s"),
        ("HealthRetries", 3),
        ("HealthStartPeriod", f"{deployment.times.start_s}s"),
        ("HealthOnFailure", "kill"),
        ("Notify", "healthy"),
    ]


def _gateway(deployment: Deployment) -> str:
    assert deployment.gateway is not None
    name = deployment.name
    network = "host" if deployment.host_network else f"container:{name}"
    container: Keys = [
        ("ContainerName", f"{name}-gateway"),
        ("Image", deployment.gateway.reference),
        ("Pull", "never"),
        ("Entrypoint", gateway.ARGV[0]),
        ("Exec", " ".join(word(text) for text in gateway.ARGV[1:])),
        *_HARDENED,
        *[("Volume", f"{bind.source}:{bind.target}:ro") for bind in gateway_binds()],
        ("Network", network),
        ("StopTimeout", deployment.times.grace_s),
        ("PodmanArgs", f"--memory=512m --stop-signal={gateway.STOP_SIGNAL}"),
    ]
    # In its engine's network it can only start after it; in the host's beside it, and says 503 until it answers.
    after: Keys = [] if deployment.host_network else [("BindsTo", f"{name}.service"), ("After", f"{name}.service")]
    unit: Keys = [*unit_keys(f"{name}: gateway"), *after]
    service: Keys = [
        ("TimeoutStopSec", deployment.times.grace_s + _SPARE_S),
        ("Restart", "always"),
        ("RestartSec", 2),
    ]
    install: Keys = [("WantedBy", f"{name}.service multi-user.target default.target")]
    return unit_text(("Unit", unit), ("Container", container), ("Service", service), ("Install", install))
