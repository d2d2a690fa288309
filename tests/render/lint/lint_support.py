"""Deployments to lint: what the renderer writes, and objects of Kubernetes as somebody careful would write them."""

from __future__ import annotations

import copy
from functools import cache

import yaml

from selfhost.app.plan import plan_for
from selfhost.planner.plan import PlanRequest
from selfhost.render.deployment import Image
from selfhost.render.lint import lint, rule_of
from selfhost.render.resolve import Choices, deploy
from selfhost.render.targets import TARGETS

GATEWAY = Image(name="docker.io/library/nginx", digest="sha256:" + "a" * 64, role="gateway")
DIGEST = "@sha256:" + "b" * 64
SMALL = ("smollm2-135m", "cpu@8")
ASCEND = ("qwen2.5-72b", "8x910B3")
NODES = ("deepseek-v3", "2x8xH20")
ONE = ("glm-4.5-air", "8xH100")
PLANS = (SMALL, ASCEND, NODES, ONE)


@cache
def _rendered(target: str, model: str, on: str) -> tuple[tuple[str, str], ...]:
    plan = plan_for(model, on=on, request=PlanRequest(host="127.0.0.1"), variant=None, recipe_paths=())
    made = deploy(plan, Choices(store="/srv/selfhost", gateway=GATEWAY, version="0.1.0"))
    return tuple((file.path, file.text) for file in TARGETS[target](made))


def rendered(target: str, plan: tuple[str, str]) -> dict[str, str]:
    """Files by path, without the pages for people."""
    return {path: text for path, text in _rendered(target, *plan) if not path.endswith((".md", ".txt"))}


def rules(files: dict[str, str], beside=None, ignore=()) -> set[str]:
    """Which rules have found something."""
    found = lint(files, beside, ignore)
    assert all(finding.as_dict()["problem"] for finding in found)
    return {rule_of(finding) for finding in found} - {""}


def edit(files: dict[str, str], path: str, change) -> dict[str, str]:
    """The files with one YAML file changed by a function of its data."""
    documents = list(yaml.safe_load_all(files[path]))
    change(*documents)
    return files | {path: "---\n".join(yaml.safe_dump(document, sort_keys=False) for document in documents)}


def replace(files: dict[str, str], path: str, old: str, new: str) -> dict[str, str]:
    """The files with a text changed that must be there."""
    assert old in files[path], f"{old!r} is not in {path}"
    return files | {path: files[path].replace(old, new)}


def engine(document) -> dict:
    """The engine of a compose file."""
    return document["services"]["engine"]


def argument(service: dict, flag: str, value: str) -> None:
    """Change the value of an option."""
    command = service["command"]
    command[command.index(flag) + 1] = value


PROBE = {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 10, "failureThreshold": 90}
POD = {
    "enableServiceLinks": False,
    "terminationGracePeriodSeconds": 60,
    "containers": [
        {
            "name": "engine",
            "image": f"docker.io/vllm/vllm-openai{DIGEST}",
            "command": ["vllm", "serve", "/models/m"],
            "args": [
                *("--host", "127.0.0.1", "--port", "8000", "--shutdown-timeout", "10"),
                *("--tensor-parallel-size", "2"),
            ],
            "env": [
                {"name": "HF_HUB_OFFLINE", "value": "1"},
                {"name": "VLLM_NO_USAGE_STATS", "value": "1"},
                {"name": "VLLM_CACHE_ROOT", "value": "/cache/vllm"},
            ],
            "resources": {"limits": {"nvidia.com/gpu": 2, "memory": "64Gi"}},
            "startupProbe": PROBE,
            "readinessProbe": PROBE,
            "lifecycle": {"preStop": {"sleep": {"seconds": 15}}},
            "volumeMounts": [
                {"name": "models", "mountPath": "/models", "readOnly": True},
                {"name": "cache", "mountPath": "/cache"},
                {"name": "dshm", "mountPath": "/dev/shm"},
            ],
        },
        {
            "name": "gateway",
            "image": f"docker.io/library/nginx{DIGEST}",
            "ports": [{"name": "http", "containerPort": 8080}],
        },
    ],
    "volumes": [
        {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
        {"name": "cache", "emptyDir": {}},
        {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "4Gi"}},
    ],
}
LABELS = {"app": "m"}
OBJECTS = (
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "m", "namespace": "llm"},
        "spec": {"template": {"metadata": {"labels": LABELS}, "spec": POD}},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "m", "namespace": "llm"},
        "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": "http"}]},
    },
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "m", "namespace": "llm"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    },
)


def objects() -> dict[str, str]:
    """A Deployment, its Service and its NetworkPolicy."""
    return {"all.yaml": yaml.safe_dump_all(copy.deepcopy(OBJECTS), sort_keys=False)}


def group() -> dict[str, str]:
    """A LeaderWorkerSet of two pods."""
    leader, worker = (copy.deepcopy(POD) for _ in range(2))
    worker["containers"] = worker["containers"][:1]
    dial = ["python3", "-c", "import os, socket; socket.create_connection((os.environ['LEADER'], 29501), 4)"]
    for pod, rank in ((leader, "0"), (worker, "1")):
        one = pod["containers"][0]
        one["args"] += ["--pipeline-parallel-size", "2", "--nnodes", "2", "--node-rank", rank]
        one["args"] += ["--master-addr", "$(LWS_LEADER_ADDRESS)"]
    worker["containers"][0]["args"] += ["--headless"]
    del worker["containers"][0]["readinessProbe"]
    worker["containers"][0]["startupProbe"] = {"exec": {"command": dial}, "failureThreshold": 90}
    template = {"leaderTemplate": leader, "workerTemplate": worker}
    described = {name: {"metadata": {"labels": LABELS}, "spec": pod} for name, pod in template.items()}
    workers = {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "m", "namespace": "llm"},
        "spec": {"replicas": 1, "leaderWorkerTemplate": {"size": 2, **described}},
    }
    return {"all.yaml": yaml.safe_dump_all([workers, *copy.deepcopy(OBJECTS[1:])], sort_keys=False)}
