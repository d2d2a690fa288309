# ruff: noqa: E501 - files within texts
"""Files as other people and other programs write them: what is right is left alone, what is wrong is found."""

from __future__ import annotations

import pytest

from selfhost.errors import IntegrityError
from selfhost.findings import Severity
from selfhost.render.lint import lint, rule_of
from tests.render.lint.lint_support import DIGEST

IMAGE = f"docker.io/vllm/vllm-openai{DIGEST}"
SERVE = "/models/m --host 127.0.0.1 --shutdown-timeout 5"
SOUND = f"""\
    image: {IMAGE}
    stop_grace_period: 1m0s
    environment: {{HF_HUB_OFFLINE: "1", VLLM_NO_USAGE_STATS: "1"}}
    healthcheck: {{test: [CMD, curl, "http://localhost:8000/health"], start_period: 20m0s}}
"""
POD = f"""\
enableServiceLinks: false
terminationGracePeriodSeconds: 60
containers:
- name: engine
  image: {IMAGE}
  env: [{{name: HF_HUB_OFFLINE, value: "1"}}, {{name: DO_NOT_TRACK, value: "1"}}]
  startupProbe: {{httpGet: {{path: /health, port: 8000}}, failureThreshold: 99}}
"""
DENIED = "{podSelector: {}, policyTypes: [Egress]}"


def compose(more: str = "", sound: str = SOUND, command: str = SERVE) -> dict[str, str]:
    return {"compose.yaml": f"services:\n  engine:\n{sound}    command: {command}\n{more}"}


def indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())


def pod(more: str = "", spec: str = POD, policy: str = DENIED, args: str = "") -> dict[str, str]:
    words = args or ", ".join(SERVE.split())
    command = "" if "\n  command:" in spec else f"    args: [{words}]\n"
    head = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: a}}\nspec:\n"
    network = f"---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: n}}\nspec: {policy}\n"
    return {"all.yaml": f"{head}{indented(spec, 2)}{command}{indented(more, 4)}{network}"}


def quadlet(more: str = "", image: str = IMAGE) -> dict[str, str]:
    return {
        "e.container": f"[Container]\nImage={image}\nExec={SERVE}\nStopTimeout=40\nHealthCmd=true\n"
        "HealthStartPeriod=20m\nEnvironment=HF_HUB_OFFLINE=1 DO_NOT_TRACK=1\n"
        f"{more}[Service]\nIPAddressDeny=any\n"
    }


def serious(files: dict[str, str]) -> set[str]:
    """Rules with findings that are not just to know about."""
    return {rule_of(one) for one in lint(files) if one.severity is not Severity.NOTE}


TWO = f"{SERVE} -tp 2\n    shm_size: 16g"
CDI = (
    "    deploy: {{resources: {{reservations: {{devices: [{{driver: cdi, capabilities: [gpu], device_ids: {}}}]}}}}}}\n"
)
ASCEND = SOUND.replace(IMAGE, f"quay.io/ascend/vllm-ascend{DIGEST}")
SCRIPT = "[sh, -c, 'export HF_HUB_OFFLINE=1; DO_NOT_TRACK=1 vllm serve /m --host 127.0.0.1 --shutdown-timeout 5']"
RIGHT = {
    "a secret that may not be given": compose(
        "  ui: {image: localhost/ui:1, pull_policy: never, environment: {HF_TOKEN: '${T:-}', API_KEY: '${K:?say}'}}\n"
    ),
    "sound": compose(),
    "all devices of CDI": compose(CDI.format('["nvidia.com/gpu=all"]'), command=TWO),
    "two of CDI": compose(CDI.format('["nvidia.com/gpu=0", "nvidia.com/gpu=1"]'), command=TWO),
    "devices of CDI without a reservation": compose("    devices: [nvidia.com/gpu=0, nvidia.com/gpu=1]\n", command=TWO),
    "published on loopback": compose('    ports: ["127.0.0.1:8000:8000"]\n', command="/m --shutdown-timeout 5"),
    "as `docker compose config` publishes it": compose(
        '    ports: [{mode: ingress, host_ip: 127.0.0.1, target: 8000, published: "8000"}]\n',
        command="/m --shutdown-timeout 5",
    ),
    "the host's shared memory": compose("    volumes: ['/dev/shm:/dev/shm']\n", command=f"{SERVE} -tp 2"),
    "shared memory as a tmpfs": compose("    tmpfs: ['/dev/shm:size=8g']\n", command=f"{SERVE} -tp 2"),
    "a key that is none": compose(
        "  ui: {image: localhost/ui:1, pull_policy: never, environment: [OPENAI_API_KEY=EMPTY]}\n"
    ),
    "a privileged container has all of Ascend's devices": compose(
        "    privileged: true\n", ASCEND, f"[vllm, serve, {SERVE.replace(' ', ', ')}]"
    ),
    "devices by the variable of Ascend's runtime": compose(
        "", ASCEND.replace('"1"}', '"1", ASCEND_VISIBLE_DEVICES: 0-1}', 1), f"[vllm, serve, {SERVE.replace(' ', ', ')}]"
    ),
    "offline in the script": compose(
        "", "".join(SOUND.splitlines(keepends=True)[:2]) + SOUND.splitlines()[3] + "\n", "[]\n    entrypoint: " + SCRIPT
    ),
    "asked of a neighbour": compose(
        "  w: {image: localhost/w:1, pull_policy: never, command: 'curl http://engine:8000/health http://10.0.0.1/x'}\n"
    ),
    "mounts in the long form": compose(
        "    volumes: [{type: bind, source: /m, target: /models, read_only: true}, {type: tmpfs, target: /dev/shm}]\n",
        command=f"{SERVE} -tp 2",
    ),
    "tags of compose": compose("    ports: !override []\n    labels: !reset null\n    devices: !override {a: b}\n"),
    "a port of a pod on loopback": pod(
        "ports: [{containerPort: 8000, hostPort: 8000, hostIP: 127.0.0.1}]", args="/models/m, --shutdown-timeout, '5'"
    ),
    "variables for times and sizes": compose(
        command="/m --host 127.0.0.1 --shutdown-timeout $T -tp $N",
        sound=SOUND.replace('"1"}', '"1", VLLM_ENGINE_READY_TIMEOUT_S: $R}'),
    ),
    "a pod": pod(),
    "the host's shared memory in a pod": pod(
        "volumeMounts: [{name: shm, mountPath: /dev/shm}]",
        spec=POD.replace("containers:", "volumes: [{name: shm, hostPath: {path: /dev/shm}}]\ncontainers:"),
        args=", ".join(SERVE.split()) + ", -tp=2",
    ),
    "variables out of a ConfigMap": pod(
        "envFrom: [{configMapRef: {name: env}}]",
        POD.replace('\n  env: [{name: HF_HUB_OFFLINE, value: "1"}, {name: DO_NOT_TRACK, value: "1"}]', ""),
    )
    | {
        "cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: env}\ndata: {HF_HUB_OFFLINE: '1', DO_NOT_TRACK: '1'}\n"
    },
    "a script in the place of the entry point is no model": pod(
        spec=POD.replace("startupProbe", "command: [/opt/start]\n  startupProbe").replace("HF_HUB_OFFLINE", "A")
    ),
    "a Service without an address": pod()
    | {"s.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: vllm}\nspec: {clusterIP: None}\n"},
    "a policy by expressions": pod(
        policy="{podSelector: {matchExpressions: [{key: app, operator: Exists}, {key: b, operator: DoesNotExist},"
        " {key: app, operator: In, values: [a, b]}, {key: app, operator: NotIn, values: [b]}]}, policyTypes: [Egress]}"
    ),
    "a quadlet": quadlet(),
    "a quadlet with mounts in the long form, and a secret": quadlet(
        "Mount=type=bind,source=/m,destination=/models,ro\nSecret=k,type=env,target=HF_TOKEN\n"
    ),
    "options of podman, with and without `=`": quadlet("PodmanArgs=--ipc host --shm-size=1g\n").copy()
    | {"b.container": quadlet("PodmanArgs=--ipc host\n")["e.container"].replace("\nStop", " -tp 2\nStop")},
    "the image of another unit": quadlet(image="v.image") | {"v.image": f"[Image]\nImage={IMAGE}\n"},
    "an image that is built": quadlet(image="v.build") | {"v.build": "[Build]\nImageTag=localhost/v\n"},
    "names of recorded rules, and patterns": compose()
    | {"r.yaml": "groups: [{name: g, rules: [{expr: 'vllm:mine:rate5m + {__name__=~\"vllm:num_.*\"}'}]}]\n"},
    "a quadlet whose one time is that of its stop, too": {
        "e.container": quadlet()["e.container"].replace("out 5", "out 300").replace("=40", "=400") + "TimeoutSec=500\n"
    },
    "numbers that are none": compose(f"    mem_limit: 0x{'f' * 9000}\n    shm_size: 1e999\n"),
}
UNIT = (
    f"[Service]\nEnvironment=HF_HUB_OFFLINE=1 DO_NOT_TRACK=1\nExecStart=/v/bin/vllm serve {SERVE}\nIPAddressDeny=any\n"
)
RIGHT["a unit whose stop has no limit"] = {"e.service": UNIT.replace("timeout 5", "timeout 500") + "TimeoutStopSec=0\n"}
DROP_IN = {"e.service.d/a.conf": "[Service]\nExecStart=\nExecStart=/v/bin/vllm serve /m --shutdown-timeout 5\n"}
LEADER = f"""\
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {{name: big}}
spec:
  leaderWorkerTemplate:
    workerTemplate:
      spec:
{indented(POD, 8)}          args: [/models/m, --shutdown-timeout, "5"]
---
apiVersion: v1
kind: Service
metadata: {{name: s}}
spec:
  selector: {{leaderworkerset.sigs.k8s.io/name: big, leaderworkerset.sigs.k8s.io/worker-index: "0"}}
  ports: [{{port: 8000}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: n}}
spec: {DENIED}
"""
WRONG = {
    "a secret for those who give none": (
        "R12",
        compose("  ui: {image: localhost/ui:1, pull_policy: never, environment: ['HF_TOKEN=${TOKEN:-abc}']}\n"),
    ),
    "published by the service whose network it shares": (
        "R3",
        compose(
            f"    network_mode: service:front\n  front: {{image: 'nginx{DIGEST}', ports: ['8000:8000']}}\n",
            command="/m --shutdown-timeout 5",
        ),
    ),
    "a metric that is gone, in a dashboard in a ConfigMap": (
        "R16",
        compose()
        | {
            "d.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\ndata:\n  d.json: |\n"
            '    {"panels": [{"targets": [\n      {"expr": "sum(vllm:gpu_cache_usage_perc)"}]}]}\n'
        },
    ),
    "a password without a stroke before it": (
        "R12",
        compose("  db: {image: localhost/db:1, pull_policy: never, environment: {PGPASSWORD: abc}}\n"),
    ),
    "weights mounted in the long form": ("R14", compose("    volumes: [{type: bind, source: /m, target: /models}]\n")),
    "weights mounted in the long form of a quadlet": ("R14", quadlet("Mount=type=bind,source=/m,target=/models\n")),
    "a gateway inside of a compose file": (
        "R3",
        compose()
        | {"g/compose.yaml": "services: {}\nconfigs: {c: {content: 'location / { proxy_pass http://e; }'}}\n"},
    ),
    "a port of a pod on the host": (
        "R3",
        pod("ports: [{containerPort: 8000, hostPort: 8000}]", args="/models/m, --shutdown-timeout, '5'"),
    ),
    "a policy with an operator that is none": (
        "R19",
        pod(
            policy="{podSelector: {matchExpressions: [{key: app, operator: Near, values: [a]}]}, policyTypes: [Egress]}"
        ),
    ),
    "weights in a folder that must be said": ("R14", compose("    volumes: ['${DIR:?say: where}:/models']\n")),
    "one device of CDI for two": ("R10", compose(CDI.format('["nvidia.com/gpu=0"]'), command=TWO)),
    "one device in the short form": ("R10", compose("    gpus: [{count: 1}]\n", command=TWO)),
    "published to all": ("R3", compose('    ports: ["0.0.0.0:8000:8000"]\n', command="/m --shutdown-timeout 5")),
    "published by the pod of quadlets": (
        "R3",
        {"e.container": quadlet("Pod=p.pod\n")["e.container"].replace(" --host 127.0.0.1", "")}
        | {"p.pod": "[Pod]\nPublishPort=8000:8000\n"},
    ),
    "opened by a drop-in": ("R3", {"e.service": UNIT} | DROP_IN),
    "installed before the start": ("R13", {"e.service": UNIT + "ExecStartPre=/usr/bin/pip3.11 --quiet install x\n"}),
    "fetched from elsewhere": (
        "R13",
        compose(f"    entrypoint: [sh, -c, 'curl http://8.8.8.8/x; vllm serve {SERVE}']\n", command="[]"),
    ),
    "a policy about other pods": (
        "R19",
        pod(
            policy="{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [a]}]}, policyTypes: [Egress]}"
        ),
    ),
    "a Service by a label that the controller sets": ("R3", {"lws.yaml": LEADER}),
    "a token in the command": ("R12", compose(command=f"{SERVE} --hf-token abc")),
    "an image of another unit, by tag": (
        "R1",
        quadlet(image="v.image") | {"v.image": "[Image]\nImage=docker.io/vllm/vllm-openai:v0.32.0\n"},
    ),
    "a short option behind a list": (
        "R10",
        compose(
            CDI.format('["nvidia.com/gpu=0"]'), command=f"{SERVE} --served-model-name a b -tp 2\n    shm_size: 16g"
        ),
    ),
    "a metric that is gone": (
        "R16",
        compose() | {"r.yaml": "groups: [{name: g, rules: [{expr: 'vllm:gpu_cache_usage_perc[5m] > 1'}]}]\n"},
    ),
}


@pytest.mark.parametrize("files", RIGHT.values(), ids=RIGHT)
def test_what_is_right_is_left_alone(files):
    assert serious(files) == set()


@pytest.mark.parametrize(("rule", "files"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found(rule, files):
    assert serious(files) == {rule}


def test_two_deployments_in_one_file_may_read_different_models():
    one = LEADER.partition("---")[0].replace(
        'args: [/models/m, --shutdown-timeout, "5"]',
        "args: [/models/m, --nnodes, '2', --node-rank, '0', --master-addr, $(LWS_LEADER_ADDRESS), -tp, '2']",
    )
    assert "R15" not in serious({"all.yaml": f"{one}---\n{one.replace('/models/m', '/models/other')}"})
    worker = one.partition("    workerTemplate:")[2].replace("/models/m", "/models/other")
    assert "R15" in serious({"all.yaml": f"{one}    leaderTemplate:{worker}"})


def test_a_service_in_a_list_is_found_at_its_line():
    item = "\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: vllm\n"
    (found,) = lint({"l.yaml": f"apiVersion: v1\nkind: List\nitems:{item}"})
    assert found.where == "l.yaml:7: items[0].metadata.name"


def test_a_drop_in_without_its_unit_is_told_of():
    found = lint(compose() | DROP_IN)
    assert [one.message.id for one in found] == ["render_lint.drop_in"]


def test_json_with_tabs_is_read():
    assert serious({"s.json": '{\n\t"apiVersion": "v1",\n\t"kind": "Service",\n\t"metadata": {"name": "vllm"}\n}'}) == {
        "R8"
    }
    with pytest.raises(IntegrityError):
        lint({"s.yaml": "a:\n\tb: 1\n"})


@pytest.mark.parametrize("program", ["/usr/bin/docker", "podman"])
def test_a_container_that_a_unit_runs_by_hand_is_told_of_and_not_taken_for_a_process(program):
    found = lint({"e.service": f"[Service]\nExecStart={program} run --rm -p 8000:8000 {IMAGE} vllm serve /m\n"})
    assert [one.message.id for one in found] == ["render_lint.by_hand"]
    assert found[0].where == "e.service:2: Service.ExecStart"
