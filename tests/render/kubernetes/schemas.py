"""Bodies of custom kinds as we write them, as JSON Schemas: no field that is not here, none that is not in their APIs.

Sources: kubernetes-sigs/lws api/leaderworkerset/v1/leaderworkerset_types.go; prometheus-operator pkg/apis/monitoring/v1
(servicemonitor_types.go, prometheusrule_types.go); kubernetes-sigs/kustomize api/types/kustomization.go.
"""

from __future__ import annotations

from typing import Any


def strict(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object with these properties, all of them but the optional ones, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0}
TEXTS = {"type": "object", "additionalProperties": TEXT}
NAME = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}
METADATA = strict({"name": NAME, "namespace": NAME, "labels": TEXTS, "annotations": TEXTS}, optional=("annotations",))
# The body of a pod template is checked as a Pod, by the schemas of Kubernetes.
TEMPLATE = {"type": "object", "properties": {"metadata": {"type": "object"}, "spec": {"type": "object"}}}


def body(kind: str, version: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object of a kind."""
    return strict({"apiVersion": {"const": version}, "kind": {"const": kind}, "metadata": METADATA, "spec": spec})


GROUP = strict(
    {
        "replicas": COUNT,
        "startupPolicy": {"enum": ["LeaderCreated", "LeaderReady"]},
        "rolloutStrategy": strict(
            {
                "type": {"const": "RollingUpdate"},
                "rollingUpdateConfiguration": strict({"maxUnavailable": COUNT, "maxSurge": COUNT}),
            }
        ),
        "networkConfig": strict({"subdomainPolicy": {"enum": ["Shared", "UniquePerReplica"]}}),
        "leaderWorkerTemplate": strict(
            {
                "size": {"type": "integer", "minimum": 1},
                "restartPolicy": {"enum": ["None", "RecreateGroupOnPodRestart"]},
                "leaderTemplate": TEMPLATE,
                "workerTemplate": TEMPLATE,
            }
        ),
    }
)
SELECTOR = strict({"matchLabels": TEXTS})
DURATION = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"}
MONITOR = strict(
    {
        "jobLabel": TEXT,
        "selector": SELECTOR,
        "endpoints": {
            "type": "array",
            "minItems": 1,
            "items": strict(
                {
                    "port": TEXT,
                    "path": TEXT,
                    "interval": DURATION,
                    "authorization": strict(
                        {"type": TEXT, "credentials": strict({"name": NAME, "key": TEXT})},
                    ),
                }
            ),
        },
    }
)
RULES = strict(
    {
        "groups": {
            "type": "array",
            "items": strict(
                {
                    "name": TEXT,
                    "rules": {
                        "type": "array",
                        "minItems": 1,
                        "items": strict(
                            {"alert": TEXT, "expr": TEXT, "for": DURATION, "labels": TEXTS, "annotations": TEXTS}
                        ),
                    },
                }
            ),
        }
    }
)
SCHEMAS = {
    "LeaderWorkerSet": body("LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1", GROUP),
    "ServiceMonitor": body("ServiceMonitor", "monitoring.coreos.com/v1", MONITOR),
    "PrometheusRule": body("PrometheusRule", "monitoring.coreos.com/v1", RULES),
    "Kustomization": strict(
        {
            "apiVersion": {"const": "kustomize.config.k8s.io/v1beta1"},
            "kind": {"const": "Kustomization"},
            "resources": {"type": "array", "minItems": 1, "items": TEXT},
        }
    ),
}
