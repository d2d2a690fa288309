"""Compose files: one per node, with its engine and, where there is one, the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.hardware.types import Platform
from selfhost.render.deployment import BLOBS, CACHE, GROUP_ID, HOME, KEYS, MODELS, USER_ID
from selfhost.render.rendered import RenderedFile, header, yaml_text

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment, Node

_HEALTH = "import urllib.request as u; u.urlopen('http://127.0.0.1:{port}/health', timeout=4)"
"""`curl` may be absent from an image; Python is not."""


def compose(deployment: Deployment) -> list[RenderedFile]:
    """`compose.yaml`, in a folder per node where there are several."""
    several = len(deployment.nodes) > 1
    return [
        RenderedFile(
            path=f"node{node.number}/compose.yaml" if several else "compose.yaml",
            text=header(deployment) + yaml_text(_document(deployment, node)),
        )
        for node in deployment.nodes
    ]


def _document(deployment: Deployment, node: Node) -> dict[str, Any]:
    return {
        "name": deployment.name,
        "services": {"engine": _engine(deployment, node)},
        "volumes": {"state": {}, "cache": {}},
    }


def _engine(deployment: Deployment, node: Node) -> dict[str, Any]:
    service: dict[str, Any] = {
        "image": deployment.engine.reference,
        "pull_policy": "never",
        "entrypoint": list(node.argv[:2]),
        "command": list(node.argv[2:]),
        "user": f"{USER_ID}:{GROUP_ID}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "ipc": "private",
        "shm_size": deployment.shm_bytes,
        "mem_limit": deployment.memory_bytes,
        "environment": dict(node.env),
        "tmpfs": ["/tmp"],  # noqa: S108 - of the container
        "volumes": [
            f"{deployment.store}/models:{MODELS}:ro",
            f"{deployment.store}/blobs:{BLOBS}:ro",
            f"{deployment.store}/keys:{KEYS}:ro",
            f"state:{HOME}",
            f"cache:{CACHE}",
        ],
        "ports": [f"{deployment.address}:{deployment.port}:{deployment.front_port}"],
        "healthcheck": {
            "test": ["CMD", "python3", "-c", _HEALTH.format(port=deployment.front_port)],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": f"{deployment.times.start_s}s",
        },
        "stop_grace_period": f"{deployment.times.grace_s}s",
        "restart": "unless-stopped",
    }
    if deployment.platform is Platform.CUDA:
        reserved = {"driver": "nvidia", "count": deployment.devices_per_node, "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [reserved]}}}
    return service
