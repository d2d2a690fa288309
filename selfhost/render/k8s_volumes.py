"""What the containers of a pod mount, and where it comes from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from selfhost.render import templates
from selfhost.render.deployment import ACCEPTED, BLOBS, CACHE, HOME, KEYS, MODELS, RECIPES, Entry
from selfhost.render.k8s_names import base_name, claim_name
from selfhost.render.kubernetes import Storage
from selfhost.render.places import IMAGE, directory_mount
from selfhost.units import MIB

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment, Image, Node


def model_mounts(deployment: Deployment) -> list[dict[str, Any]]:
    """Where a container finds the model."""
    if deployment.model_image:
        return [{"name": "store", "mountPath": IMAGE, "readOnly": True}]
    claim = deployment.kubernetes.storage is Storage.CLAIM
    if deployment.directory:
        mount = directory_mount(deployment.directory)
        part = {"subPath": mount.target.rpartition("/")[2]} if claim else {}
        return [{"name": "store", "mountPath": mount.target, **part, "readOnly": True}]
    # Models are links into `../../../blobs`: both are there under the same names as in the store.
    return [
        {"name": "store", "mountPath": MODELS, "subPath": "models", "readOnly": True},
        {"name": "store", "mountPath": BLOBS, "subPath": "blobs", "readOnly": True},
    ]


def mounts(deployment: Deployment) -> list[dict[str, Any]]:
    """All that the engine's container mounts."""
    own = deployment.entry is Entry.SELFHOST
    found: list[dict[str, Any]] = [{"name": "state", "mountPath": HOME}] if own else []
    found += model_mounts(deployment)
    if own:
        found.append({"name": "keys", "mountPath": KEYS, "readOnly": True})
    if deployment.research_only:
        found.append({"name": "store", "mountPath": ACCEPTED, "subPath": "accepted", "readOnly": True})
    if deployment.recipe:
        found.append({"name": "recipes", "mountPath": RECIPES, "readOnly": True})
    if deployment.chat_template:
        found.append({"name": templates.FOLDER, "mountPath": templates.MOUNTED, "readOnly": True})
    return [
        *found,
        {"name": "cache", "mountPath": CACHE},
        {"name": "dshm", "mountPath": "/dev/shm"},  # noqa: S108 - of the container
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container
    ]


def volumes(deployment: Deployment, node: Node) -> list[dict[str, Any]]:
    """What the containers of a node's pod mount."""
    name = base_name(deployment)
    own, keys = deployment.entry is Entry.SELFHOST, {"secretName": f"{name}-keys", "defaultMode": 0o440}
    found: list[dict[str, Any]] = [{"name": "store", **_store(deployment)}]
    if own:
        found += [{"name": "state", "emptyDir": {}}]
    if not node.headless:
        found += [{"name": "keys", "secret": keys}]
    if deployment.gateway and not node.headless:
        found += [
            {"name": "gateway", "configMap": {"name": f"{name}-gateway"}},
            {"name": "gateway-tmp", "emptyDir": {}},
        ]
    if deployment.recipe:
        found += [{"name": "recipes", "configMap": {"name": f"{name}-recipes"}}]
    if deployment.chat_template:
        found += [{"name": templates.FOLDER, "configMap": {"name": f"{name}-{templates.FOLDER}"}}]
    shared = {"medium": "Memory", "sizeLimit": f"{math.ceil(deployment.shm_bytes / MIB)}Mi"}
    return [
        *found,
        {"name": "cache", "emptyDir": {}},
        {"name": "dshm", "emptyDir": shared},
        {"name": "tmp", "emptyDir": {}},
    ]


def _store(deployment: Deployment) -> dict[str, Any]:
    """Where the model comes from."""
    if image := deployment.model_image:
        return {"image": {"reference": image.reference, "pullPolicy": pull_policy(image)}}
    if deployment.kubernetes.storage is Storage.CLAIM:
        return {"persistentVolumeClaim": {"claimName": claim_name(deployment), "readOnly": True}}
    place = directory_mount(deployment.directory).source if deployment.directory else deployment.store
    return {"hostPath": {"path": place, "type": "Directory"}}


def pull_policy(image: Image) -> str:
    """An image that was made here is in no registry."""
    return "Never" if image.is_local else "IfNotPresent"
