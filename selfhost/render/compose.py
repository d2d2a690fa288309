"""Compose files: one per node, with its engine and, where there is one, the gateway."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost.hardware.types import Platform
from selfhost.render import gateway
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
from selfhost.render.rendered import RenderedFile, header, of_node, yaml_text
from selfhost.render.resolve import Site, at_site

if TYPE_CHECKING:
    from selfhost.render.containers import Bind
    from selfhost.render.deployment import Deployment, Node

SITE = Site(
    first_node="${FIRST_NODE:?see .env.example}",
    this_node="${THIS_NODE:?see .env.example}",
    interface="${INTERFACE:?see .env.example}",
)
_HARDENED: dict[str, Any] = {
    "user": f"{USER_ID}:{GROUP_ID}",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    # Container engines mount it `noexec` by themselves, and what is compiled at run time is loaded from there.
    "tmpfs": ["/tmp:exec"],  # noqa: S108 - of the container
}
_ENDS: dict[str, Any] = {
    "restart": "unless-stopped",
    "logging": {"driver": "json-file", "options": {"max-size": "20m", "max-file": "5"}},
}


def compose(deployment: Deployment) -> list[RenderedFile]:
    """`compose.yaml` and what it mounts, in a folder per node where there are several; and the handover."""
    files = [file for node in deployment.nodes for file in _of_node(deployment, node)]
    return [*files, *handover(deployment, "compose")]


def _of_node(deployment: Deployment, node: Node) -> list[RenderedFile]:
    text = header(deployment) + yaml_text(_document(deployment, node))
    files = [RenderedFile(path="compose.yaml", text=text)]
    if deployment.host_network:
        files.append(RenderedFile(path=".env.example", text=site_example(deployment, "Copy to `.env`")))
    if not node.headless:
        files += gateway_parts(deployment)
    files += engine_parts(deployment)
    return [of_node(deployment, node, file) for file in files]


def site_example(deployment: Deployment, what_to_do: str) -> str:
    """Addresses and the interface of a node, for people to fill in."""
    return header(deployment) + (
        f"# {what_to_do} and fill in. Nodes talk to each other without keys and in the clear: a network of their own.\n"
        "# Address of the first node, the same on all of them.\n"
        "FIRST_NODE=\n"
        "# Address of this node, in the same network; on the first node the same again.\n"
        "THIS_NODE=\n"
        "# Interface that has this address: `ip -brief address`.\n"
        "INTERFACE=\n"
    )


def _document(deployment: Deployment, node: Node) -> dict[str, Any]:
    services = {"engine": _engine(deployment, _literal(node))}
    if deployment.gateway and not node.headless:
        services["gateway"] = _gateway(deployment)
    volumes: dict[str, Any] = {"state": {}} if deployment.entry is Entry.SELFHOST else {}
    return {"name": deployment.name, "services": services, "volumes": volumes | {"cache": {}}}


def _literal(node: Node) -> Node:
    """With `$` doubled, which compose would take for a variable; then the variables that are meant."""
    doubled = replace(
        node,
        argv=tuple(word.replace("$", "$$") for word in node.argv),
        env={name: value.replace("$", "$$") for name, value in node.env.items()},
    )
    return at_site(doubled, SITE)


def _engine(deployment: Deployment, node: Node) -> dict[str, Any]:
    own = deployment.entry is Entry.SELFHOST
    # `selfhost serve` reaps what its workers leave behind; a stock engine as the first process would not.
    init = {} if own else {"init": True}
    return {
        "image": deployment.engine.reference,
        "pull_policy": "never",
        "labels": labels(deployment),
        "entrypoint": list(node.argv[:2]),
        "command": list(node.argv[2:]),
        **init,
        **_HARDENED,
        **_devices(deployment),
        "ipc": "private",
        "shm_size": deployment.shm_bytes,
        "mem_limit": deployment.memory_bytes,
        "ulimits": {"memlock": -1, "nofile": 65536},
        "environment": dict(node.env),
        "volumes": [*map(_mounted, binds(deployment)), *([f"state:{HOME}"] if own else []), f"cache:{CACHE}"],
        **_network(deployment, node),
        **_health(deployment, node),
        "stop_grace_period": f"{deployment.times.grace_s}s",
        **_ENDS,
    }


def _mounted(bind: Bind) -> dict[str, Any]:
    """In the long form, in which a path that is not there is an error, not an empty directory of root's."""
    return {
        "type": "bind",
        "source": bind.source.replace("$", "$$"),
        "target": bind.target.replace("$", "$$"),
        "read_only": True,
        "bind": {"create_host_path": False},
    }


def _network(deployment: Deployment, node: Node) -> dict[str, Any]:
    """Where it is reached; the gateway has the engine's network, so its port is published here."""
    if deployment.host_network:
        return {"network_mode": "host"}
    if node.headless:
        return {}
    return {"ports": [f"{deployment.published}:{deployment.front_port}"]}


def _devices(deployment: Deployment) -> dict[str, Any]:
    if deployment.platform is Platform.ASCEND:
        return {
            "group_add": [str(ASCEND_GROUP)],
            "devices": [f"{device}:{device}" for device in ascend_devices(deployment)],
        }
    if deployment.platform is not Platform.CUDA:
        return {}
    which: dict[str, Any] = {"count": deployment.devices_per_node}
    if deployment.plan.hardware.device_indices:
        which = {"device_ids": [str(index) for index in deployment.device_indices]}
    return {"deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia", **which, **_GPU}]}}}}


_GPU: dict[str, Any] = {"capabilities": ["gpu"]}


def _health(deployment: Deployment, node: Node) -> dict[str, Any]:
    code = node_health_code(deployment, node, SITE.first_node)
    if code is None:
        return {}
    return {
        "healthcheck": {
            "test": ["CMD", "python3", "-c", code],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": f"{deployment.times.start_s}s",
        }
    }


def _gateway(deployment: Deployment) -> dict[str, Any]:
    assert deployment.gateway is not None
    return {
        "image": deployment.gateway.reference,
        "pull_policy": "never",
        "entrypoint": [gateway.ARGV[0]],
        "command": list(gateway.ARGV[1:]),
        **_HARDENED,
        "mem_limit": "512m",
        "network_mode": "host" if deployment.host_network else "service:engine",
        "volumes": [*map(_mounted, gateway_binds())],
        "depends_on": {"engine": {"condition": "service_started"}},
        "stop_signal": gateway.STOP_SIGNAL,
        "stop_grace_period": f"{deployment.times.grace_s}s",
        **_ENDS,
    }
