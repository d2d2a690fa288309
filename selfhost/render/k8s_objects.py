"""What stands around the pods: namespace, service, network policy, disruption budget, claim, configuration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from selfhost.render import templates
from selfhost.render.alerts import groups
from selfhost.render.dashboard import dashboard_text
from selfhost.render.deployment import ENGINE_PORT, GATEWAY_PORT
from selfhost.render.gateway import GatewayOptions, nginx_text
from selfhost.render.k8s_names import FRONT, base_name, claim_name, labels, metadata, service_name
from selfhost.render.kubernetes import IMAGE_VOLUME_RESTRICTED_MINOR, Storage
from selfhost.units import GIB

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment

ACCESS = "selfhost/access"
"""Label of namespaces whose pods may send requests."""
_SPARE = 1.2
_DNS = (53, 5353)


def namespace(deployment: Deployment) -> dict[str, Any]:
    """With the Pod Security Standard that the pods keep; directories of the host are allowed by `privileged` only."""
    cluster = deployment.kubernetes
    level = "privileged" if cluster.storage is Storage.HOST else "restricted"
    if deployment.model_image and cluster.minor < IMAGE_VOLUME_RESTRICTED_MINOR:
        level = "baseline"
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": deployment.kubernetes.namespace,
            "labels": {"pod-security.kubernetes.io/enforce": level, "pod-security.kubernetes.io/warn": "restricted"},
        },
    }


def service(deployment: Deployment) -> dict[str, Any]:
    """The API, inside the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(deployment, service_name(deployment)),
        "spec": {
            "type": "ClusterIP",
            "selector": labels(deployment, "leader"),
            "ports": [{"name": FRONT, "port": deployment.port, "targetPort": FRONT}],
        },
    }


def network_policies(deployment: Deployment) -> list[dict[str, Any]]:
    """Nothing in and out, but requests at the front door, and pods of one deployment among themselves.

    The traffic between nodes is neither encrypted nor authenticated: nobody else may reach it.
    """
    front = GATEWAY_PORT if deployment.gateway else ENGINE_PORT
    allowed = [{"podSelector": {}}, {"namespaceSelector": {"matchLabels": {ACCESS: "true"}}}]
    requests = {
        "podSelector": {"matchLabels": labels(deployment, "leader")},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": allowed, "ports": [{"protocol": "TCP", "port": front}]}],
    }
    deny = {
        "podSelector": {"matchLabels": labels(deployment)},
        "policyTypes": ["Ingress", "Egress"],
    }
    made = {"deny": deny, "requests": requests}
    if len(deployment.nodes) > 1:
        group = [{"podSelector": {"matchLabels": labels(deployment)}}]
        # Of pods in any namespace: labels of the cluster's DNS differ, and OpenShift's listens on 5353.
        names = [{"protocol": protocol, "port": port} for port in _DNS for protocol in ("UDP", "TCP")]
        dns = {"to": [{"namespaceSelector": {}}], "ports": names}
        made["group"] = {
            "podSelector": {"matchLabels": labels(deployment)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": group}],
            "egress": [{"to": group}, dns],
        }
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(deployment, f"{base_name(deployment)}-{name}"),
            "spec": spec,
        }
        for name, spec in made.items()
    ]


def disruption_budget(deployment: Deployment) -> dict[str, Any]:
    """No pod is evicted on its own: without one of them nobody is served, and a start takes long."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(deployment, base_name(deployment)),
        "spec": {"minAvailable": len(deployment.nodes), "selector": {"matchLabels": labels(deployment)}},
    }


def claim(deployment: Deployment) -> list[dict[str, Any]]:
    """The store's volume, where no existing one was named; read by the pods of all nodes."""
    if deployment.kubernetes.storage is not Storage.CLAIM or deployment.kubernetes.claim:
        return []
    size = max(1, math.ceil(deployment.plan.weight_bytes_total * _SPARE / GIB))
    several = len(deployment.nodes) > 1
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata(deployment, claim_name(deployment)),
            "spec": {
                "accessModes": ["ReadWriteMany" if several else "ReadWriteOnce"],
                "resources": {"requests": {"storage": f"{size}Gi"}},
            },
        }
    ]


def config_maps(deployment: Deployment) -> list[dict[str, Any]]:
    """The gateway's configuration, the user's own recipe, a chat template."""
    made: dict[str, dict[str, str]] = {}
    if deployment.gateway:
        options = GatewayOptions(listen=str(GATEWAY_PORT), engine=f"127.0.0.1:{deployment.engine_port}")
        made["gateway"] = {"nginx.conf": nginx_text(options)}
    if deployment.recipe:
        made["recipes"] = {f"{deployment.plan.model}.toml": deployment.recipe}
    if deployment.chat_template:
        made[templates.FOLDER] = {templates.NAME: deployment.chat_template}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(deployment, f"{base_name(deployment)}-{name}"),
            "data": data,
        }
        for name, data in made.items()
    ]


def monitoring(deployment: Deployment) -> list[dict[str, Any]]:
    """For the Prometheus operator and a Grafana that looks for labelled ConfigMaps."""
    name = base_name(deployment)
    token = {"name": f"{name}-metrics", "key": "token"}
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "ServiceMonitor",
            "metadata": metadata(deployment, name),
            "spec": {
                "jobLabel": "app.kubernetes.io/instance",
                "selector": {"matchLabels": labels(deployment)},
                "endpoints": [
                    {
                        "port": FRONT,
                        "path": "/metrics",
                        "interval": "15s",
                        "authorization": {"type": "Bearer", "credentials": token},
                    }
                ],
            },
        },
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": metadata(deployment, name),
            "spec": groups(deployment, job=name),
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _labelled(metadata(deployment, f"{name}-dashboard"), {"grafana_dashboard": "1"}),
            "data": {f"{name}.json": dashboard_text(deployment, job=name)},
        },
    ]


def _labelled(meta: dict[str, Any], more: dict[str, str]) -> dict[str, Any]:
    return meta | {"labels": meta["labels"] | more}


def kustomization(resources: list[str]) -> dict[str, Any]:
    """What `kubectl apply -k` applies."""
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources}
