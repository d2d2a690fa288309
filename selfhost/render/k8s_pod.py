"""The pod of a node: its engine, the gateway beside the first one, and what they mount.

- `command` empties `/dev/shm` and becomes the engine: the volume there outlives a crash of the container, and so do
  the segments of a killed engine (llm-d/llm-d#352). `args` is the engine's own command line.
- No `fsGroup`: it would have the kubelet change the group of every file of the store. All that is mounted can be read
  by group 0, which is the pod's, and OpenShift gives an fsGroup of its own.
- No init in front of a stock engine, as there is with the other targets: Kubernetes has none, and a shared process
  namespace (whose first process reaps) would show the gateway's keys to the engine and the engine's memory to the
  gateway, as both have one uid. What a killed worker leaves behind goes with the container, which ends with the engine.
- Probes ask `/health` or nothing: other routes want a key.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

from selfhost.hardware.types import Platform
from selfhost.render import gateway
from selfhost.render.containers import ASCEND_GROUP, given_devices, health_code
from selfhost.render.deployment import GATEWAY_PORT, GROUP_ID, USER_ID
from selfhost.render.k8s_names import FRONT, labels
from selfhost.render.k8s_objects import config_maps
from selfhost.render.k8s_volumes import model_mounts, mounts, pull_policy, volumes
from selfhost.render.kubernetes import NATIVE_SLEEP_MINOR
from selfhost.render.resolve import Site, at_site
from selfhost.units import MIB
from selfhost.weights.lock import LOCK_NAME

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment, Image, Node

POD_IP = "POD_IP"
START = 'rm -rf /dev/shm/*; exec "$0" "$@"'
_PERIOD_S = 10
_RESOURCES = {"A2": "huawei.com/Ascend910", "A3": "huawei.com/Ascend910", "310P": "huawei.com/Ascend310P"}
_NEWER_RESOURCE = "huawei.com/npu"
"""Of MindCluster's device plugin; the 950 family has the last one."""
_MODEL_CHECK = """\
import hashlib, json, os, sys
folder, wanted = sys.argv[1:]
lock = os.path.join(folder, "@LOCK@")
try:
    body = open(lock, "rb").read()
except OSError as error:
    sys.exit(f"the model is not here: {error}")
found = hashlib.sha256(body).hexdigest()
if wanted and found != wanted:
    sys.exit(f"another model than the one rendered for: {lock} has sha256 {found}, wanted: {wanted}")
wrong = []
for entry in json.loads(body)["files"]:
    path = os.path.join(folder, entry["path"])
    size = os.path.getsize(path) if os.path.exists(path) else None
    if size != entry["size"]:
        wrong.append(f"{path}: {size} bytes, wanted: {entry['size']}")
sys.exit("\\n".join(wrong) or None)
""".replace("@LOCK@", LOCK_NAME)
_DIRECTORY_CHECK = """\
import os, sys
path = os.path.join(sys.argv[1], "config.json")
sys.exit(None if os.path.exists(path) else f"the model is not here: {path} is missing")
"""


def pod(deployment: Deployment, node: Node, first_node: str) -> dict[str, Any]:
    """The pod template of a node. first_node: how its files say the address of the first one."""
    site = Site(first_node=first_node, this_node=f"$({POD_IP})", interface=deployment.kubernetes.interface)
    placed = at_site(node, site)
    containers = [_engine(deployment, placed)]
    if deployment.gateway and not node.headless:
        containers.append(_gateway(deployment, deployment.gateway))
    return {
        "metadata": {
            "labels": labels(deployment, "worker" if node.headless else "leader"),
            "annotations": _annotations(deployment),
        },
        "spec": {
            "automountServiceAccountToken": False,
            # A service of the same namespace can set variables that the engine reads: `VLLM_PORT=tcp://...`.
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": deployment.times.grace_with_pre_stop_s,
            "securityContext": _security(deployment),
            "initContainers": [_model_check(deployment)],
            "containers": containers,
            "volumes": volumes(deployment, node),
        },
    }


def _security(deployment: Deployment) -> dict[str, Any]:
    user = {} if deployment.kubernetes.any_user else {"runAsUser": USER_ID, "runAsGroup": GROUP_ID}
    groups = {"supplementalGroups": [ASCEND_GROUP]} if deployment.platform is Platform.ASCEND else {}
    return {"runAsNonRoot": True, **user, **groups, "seccompProfile": {"type": "RuntimeDefault"}}


def _annotations(deployment: Deployment) -> dict[str, str]:
    """Change with the plan, the model and the configuration, so that pods, which read files at their start, do too."""
    said = {"selfhost/plan": deployment.fingerprint}
    if deployment.model_sha256:
        said["selfhost/model-sha256"] = deployment.model_sha256
    if maps := config_maps(deployment):
        said["selfhost/config-sha256"] = hashlib.sha256(json.dumps(maps, sort_keys=True).encode()).hexdigest()
    return said


_LOCKED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def _engine(deployment: Deployment, node: Node) -> dict[str, Any]:
    several = len(deployment.nodes) > 1
    own = {"name": POD_IP, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    # A variable can name another one only when that comes first.
    env = [own] if several else []
    env += [{"name": name, "value": _literal(value)} for name, value in node.env.items()]
    container = {
        "name": "engine",
        "image": deployment.engine.reference,
        "imagePullPolicy": pull_policy(deployment.engine),
        "command": ["/bin/sh", "-c", _start(node)],
        "args": [_literal(word) for word in _arguments(node)],
        "env": env,
    }
    if deployment.gateway is None:
        container["ports"] = [{"name": FRONT, "containerPort": deployment.front_port}]
    return container | {
        "resources": _resources(deployment),
        "securityContext": _LOCKED,
        **_probes(deployment, node),
        "lifecycle": {"preStop": _pre_stop(deployment)},
        "volumeMounts": mounts(deployment),
    }


def _literal(text: str) -> str:
    """With what Kubernetes would take for a variable, but for those that are meant."""
    meant = ("LWS_LEADER_ADDRESS", "LWS_WORKER_INDEX", POD_IP)
    if text.removeprefix("$(").removesuffix(")") in meant:
        return text
    return text.replace("$", "$$")


_START_RANK = "--data-parallel-start-rank"


def _arguments(node: Node) -> list[str]:
    """The command line of a node; of all workers together, as they share one template."""
    argv = list(node.argv)
    if not node.headless:
        return argv
    if "--node-rank" in argv:
        argv[argv.index("--node-rank") + 1] = "$(LWS_WORKER_INDEX)"
    if _START_RANK in argv:
        place = argv.index(_START_RANK)
        del argv[place : place + 2]
    return argv


def _start(node: Node) -> str:
    """The line of shell that becomes the engine. The first rank of a worker is arithmetic, so it is said here."""
    if not node.headless or _START_RANK not in node.argv:
        return START
    local = node.argv[node.argv.index("--data-parallel-size-local") + 1]
    # `$$` is Kubernetes' way to write the `$` of the shell.
    return f'{START} {_START_RANK} "$$((LWS_WORKER_INDEX * {local}))"'


def _resources(deployment: Deployment) -> dict[str, Any]:
    """Memory is limited to what is asked for, `/dev/shm` in it; a CPU limit would only slow the engine down."""
    memory = f"{math.ceil(deployment.memory_bytes / MIB)}Mi"
    count = deployment.devices_per_node
    if deployment.platform is Platform.CPU:
        return {"requests": {"cpu": "4", "memory": memory}, "limits": {"memory": memory}}
    devices = {resource_name(deployment): len(given_devices(deployment))}
    return {
        "requests": {"cpu": str(2 + 2 * count), "memory": memory, **devices},
        "limits": {"memory": memory, **devices},
    }


def resource_name(deployment: Deployment) -> str:
    """What the cluster calls the accelerators."""
    if deployment.kubernetes.resource:
        return deployment.kubernetes.resource
    if deployment.platform is Platform.CUDA:
        return "nvidia.com/gpu"
    return _RESOURCES.get(deployment.plan.hardware.device.family, _NEWER_RESOURCE)


def _probes(deployment: Deployment, node: Node) -> dict[str, Any]:
    """Asked first: until it says yes, the others wait. A liveness probe that fails for a minute restarts the engine."""
    ask = _ask(deployment, node)
    often = {"periodSeconds": _PERIOD_S, "timeoutSeconds": 5}
    found = {
        "startupProbe": {**ask, **often, "failureThreshold": math.ceil(deployment.times.start_s / _PERIOD_S)},
        "livenessProbe": {**ask, **often, "failureThreshold": 6},
    }
    # A worker is ready when it runs: nobody sends it requests, and the first node waits for it itself.
    return found if node.headless else {**found, "readinessProbe": {**ask, **often, "failureThreshold": 3}}


def _ask(deployment: Deployment, node: Node) -> dict[str, Any]:
    if deployment.gateway is None:
        return {"httpGet": {"path": "/health", "port": FRONT}}
    if not node.headless:
        # On loopback, where the kubelet does not reach it.
        return _python(health_code(deployment))
    leader = "import os; a = os.environ['LWS_LEADER_ADDRESS']"
    if "--master-port" in node.argv:
        port = node.argv[node.argv.index("--master-port") + 1]
        return _python(f"{leader}; import socket; socket.create_connection((a, {port}), 4)")
    # Engines of data parallel close the port they met at; the gateway's answer is the first engine's.
    return _python(f"{leader}; import urllib.request as u; u.urlopen(f'http://{{a}}:{GATEWAY_PORT}/health', timeout=4)")


def _python(code: str) -> dict[str, Any]:
    return {"exec": {"command": ["python3", "-c", code]}}


def _pre_stop(deployment: Deployment) -> dict[str, Any]:
    """A load balancer stops sending in this time, and the engine still answers."""
    seconds = deployment.times.pre_stop_s
    if deployment.kubernetes.minor >= NATIVE_SLEEP_MINOR:
        return {"sleep": {"seconds": seconds}}
    return {"exec": {"command": ["sleep", str(seconds)]}}


def _gateway(deployment: Deployment, image: Image) -> dict[str, Any]:
    health = {"httpGet": {"path": "/health", "port": FRONT}, "periodSeconds": _PERIOD_S, "timeoutSeconds": 5}
    return {
        "name": "gateway",
        "image": image.reference,
        "imagePullPolicy": pull_policy(image),
        "command": list(gateway.ARGV),
        "ports": [{"name": FRONT, "containerPort": GATEWAY_PORT}],
        "resources": {
            "requests": {"cpu": "500m", "memory": "256Mi"},
            "limits": {"memory": "512Mi"},
        },
        "securityContext": _LOCKED,
        # Its answer is the engine's: ready when that is. A restart of the gateway would not cure the engine.
        "readinessProbe": {**health, "failureThreshold": 3},
        "livenessProbe": {
            "tcpSocket": {"port": FRONT},
            "periodSeconds": _PERIOD_S,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
        "lifecycle": {"preStop": _pre_stop(deployment)},
        "volumeMounts": [
            {"name": "gateway", "mountPath": gateway.CONFIGURATION, "subPath": "nginx.conf", "readOnly": True},
            {"name": "keys", "mountPath": gateway.KEYS_DIRECTORY, "readOnly": True},
            {"name": "gateway-tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container
        ],
    }


def _model_check(deployment: Deployment) -> dict[str, Any]:
    """Every node reads the very model that was rendered for: another revision on one of them fails late or never."""
    if deployment.directory or deployment.model_image:
        code, arguments = _DIRECTORY_CHECK, [deployment.model_path]
    else:
        code, arguments = _MODEL_CHECK, [deployment.model_path, deployment.model_sha256]
    return {
        "name": "model",
        "image": deployment.engine.reference,
        "imagePullPolicy": pull_policy(deployment.engine),
        "command": ["python3", "-c", code],
        "args": arguments,
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": _LOCKED,
        "volumeMounts": model_mounts(deployment),
    }
