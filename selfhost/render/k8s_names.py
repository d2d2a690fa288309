"""Names and labels of what is rendered for Kubernetes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment

NAME_CHARACTERS = 40
"""Controllers and we ourselves append to names, which have 63 characters at most."""
FRONT = "http"
"""Of the port where requests come in."""


def base_name(deployment: Deployment) -> str:
    """The deployment's name, short enough to append to."""
    return deployment.name[:NAME_CHARACTERS].rstrip("-")


def service_name(deployment: Deployment) -> str:
    """Of the API. Not the name alone: LeaderWorkerSet makes a headless service of that name."""
    return f"{base_name(deployment)}-api"


def labels(deployment: Deployment, role: str = "") -> dict[str, str]:
    """What pods and everything else of a deployment carry."""
    said = {
        "app.kubernetes.io/name": "selfhost",
        "app.kubernetes.io/instance": base_name(deployment),
    }
    return said | ({"app.kubernetes.io/component": role} if role else {})


def claim_name(deployment: Deployment) -> str:
    """The PersistentVolumeClaim of the store."""
    return deployment.kubernetes.claim or f"{base_name(deployment)}-store"


def metadata(deployment: Deployment, name: str) -> dict[str, Any]:
    """Of an object in the namespace."""
    return {"name": name, "namespace": deployment.kubernetes.namespace, "labels": labels(deployment)}
