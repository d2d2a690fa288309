"""Kubernetes: a plan on one machine as a Deployment with what stands around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.errors import UsageError
from selfhost.render.k8s_files import cluster_files
from selfhost.render.k8s_names import base_name, labels, metadata
from selfhost.render.k8s_pod import pod

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment
    from selfhost.render.rendered import RenderedFile


def k8s(deployment: Deployment) -> list[RenderedFile]:
    """Files for `kubectl apply -k`. Raises UsageError for a plan on several nodes."""
    if len(deployment.nodes) > 1:
        raise UsageError("render.several_nodes", name=deployment.plan.model, nodes=len(deployment.nodes))
    return cluster_files(deployment, "deployment.yaml", _deployment(deployment))


def _deployment(deployment: Deployment) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(deployment, base_name(deployment)),
        "spec": {
            "replicas": 1,
            # A second pod beside the first would need the accelerators twice.
            "strategy": {"type": "Recreate"},
            # 600 s without it: a start of an hour would count as failed.
            "progressDeadlineSeconds": deployment.times.start_s + deployment.times.grace_with_pre_stop_s,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": labels(deployment, "leader")},
            "template": pod(deployment, deployment.nodes[0], first_node=""),
        },
    }
