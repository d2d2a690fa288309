"""Kubernetes: a plan on several machines as a LeaderWorkerSet, with the engine's own commands for several nodes.

The controller (github.com/kubernetes-sigs/lws, v1 of its API) gives each pod LWS_LEADER_ADDRESS and LWS_WORKER_INDEX
before all other variables, so that command lines may name them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.errors import UsageError
from selfhost.render.k8s_files import cluster_files
from selfhost.render.k8s_names import base_name, labels, metadata
from selfhost.render.k8s_pod import POD_IP, pod

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment, Node
    from selfhost.render.rendered import RenderedFile

_AFTER_START = "leaderworkerset.sigs.k8s.io/experimental-recreate-group-after-start"
"""Groups are not recreated while a pod still waits for its image (kubernetes-sigs/lws#725); since 0.8."""


def lws(deployment: Deployment) -> list[RenderedFile]:
    """Files for `kubectl apply -k`. Raises UsageError for a plan on one node."""
    if len(deployment.nodes) == 1:
        raise UsageError("render.one_node", name=deployment.plan.model)
    return cluster_files(deployment, "leaderworkerset.yaml", _group(deployment))


def _group(deployment: Deployment) -> dict[str, Any]:
    leader, worker = deployment.nodes[:2]
    meta = metadata(deployment, base_name(deployment))
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": meta | {"annotations": {_AFTER_START: "true"}},
        "spec": {
            "replicas": 1,
            "startupPolicy": "LeaderCreated",
            "rolloutStrategy": {
                "type": "RollingUpdate",
                # A second group beside the first would need the accelerators twice.
                "rollingUpdateConfiguration": {"maxUnavailable": 1, "maxSurge": 0},
            },
            "networkConfig": {"subdomainPolicy": "Shared"},
            "leaderWorkerTemplate": {
                "size": len(deployment.nodes),
                # Ranks cannot rejoin: when one is gone, all start again.
                "restartPolicy": "RecreateGroupOnPodRestart",
                # The first node listens at its own address: sockets are not bound to names.
                "leaderTemplate": _apart(deployment, leader, f"$({POD_IP})"),
                "workerTemplate": _apart(deployment, worker, "$(LWS_LEADER_ADDRESS)"),
            },
        },
    }


def _apart(deployment: Deployment, node: Node, first_node: str) -> dict[str, Any]:
    """A pod of which no machine runs two."""
    template = pod(deployment, node, first_node)
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels(deployment)}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return template | {"spec": {"affinity": apart} | template["spec"]}
