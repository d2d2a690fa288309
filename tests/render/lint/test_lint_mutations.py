"""Each rule finds what it is about, and nothing else does: a sound deployment is broken in one way at a time."""

from __future__ import annotations

import dataclasses
from functools import cache, partial

import pytest

from selfhost.app.model import resolve
from selfhost.messages.en.render_lint import MESSAGES
from selfhost.render.lint import lint, rule_of
from selfhost.render.lint.read import read
from selfhost.render.lint.rules import RULES
from selfhost.render.lint.site import Beside
from tests.render import golden
from tests.render.kubernetes import plans
from tests.render.lint.lint_support import (
    ASCEND,
    DIGEST,
    NODES,
    ONE,
    PLANS,
    SMALL,
    argument,
    edit,
    engine,
    group,
    objects,
    rendered,
    replace,
    rules,
)

ALERT = {"alerts.yaml": "groups:\n- name: m\n  rules:\n  - alert: A\n    expr: vllm:num_requests_waiting > 5\n"}
CASES: list[tuple[str, str, object]] = []


def case(rule: str, files, change, beside: Beside | None = None) -> None:
    CASES.append((rule, files, change, beside))


def compose(plan):
    return lambda: rendered("compose", plan)


def on_engine(change, path: str = "compose.yaml"):
    return lambda files: edit(files, path, lambda document: change(engine(document)))


def further(*words: str):
    return lambda service: service["command"].extend(words)


def text(path: str, old: str, new: str):
    return lambda files: replace(files, path, old, new)


def on_pod(change, container: int = 0):
    def changed(files):
        def inside(workload, *_):
            pod = workload["spec"]["template"]["spec"]
            change(pod["containers"][container], pod)

        return edit(files, "all.yaml", inside)

    return changed


def on_worker(change):
    def changed(files):
        def inside(workload, *_):
            change(workload["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["containers"][0])

        return edit(files, "all.yaml", inside)

    return changed


def unset(key):
    return lambda service, *_: service.pop(key)


def put(key, value):
    return lambda service, *_: service.update({key: value})


def image_volume():
    def mounted(workload, *_):
        volumes = workload["spec"]["template"]["spec"]["volumes"]
        volumes[0] = {"name": "models", "image": {"reference": f"example.com/m{DIGEST}"}}

    return edit(objects(), "all.yaml", mounted)


def named(files):
    return {container.image for container in read(files, Beside()).containers}


def mounted(**digests):
    """A group whose pods have the model from images."""

    def inside(workload, *_):
        for role, digest in digests.items():
            pod = workload["spec"]["leaderWorkerTemplate"][f"{role}Template"]["spec"]
            pod["volumes"][0] = {"name": "models", "image": {"reference": f"example.com/m@sha256:{digest * 64}"}}

    return edit(group(), "all.yaml", inside)


def env(name, value):
    return lambda service, *_: service["environment"].update({name: value})


case("R1", compose(SMALL), on_engine(put("image", "localhost/selfhost-cpu:latest")))
case("R1", compose(SMALL), on_engine(put("image", "registry.example/selfhost-cpu:0.1.0")))
case("R1", compose(SMALL), on_engine(put("image", "selfhost-cpu")))
case("R1", compose(SMALL), on_engine(unset("pull_policy")))
case("R1", compose(SMALL), lambda files: files, Beside(images=frozenset({"localhost/selfhost-cuda:0.1.0"})))
case("R1", objects, on_pod(put("image", "docker.io/vllm/vllm-openai:v0.32.0")))
case("R1", image_volume, on_pod(lambda _, pod: pod["volumes"][0]["image"].update(reference="example.com/m:v1")))
case("R1", image_volume, on_pod(lambda _, pod: pod["volumes"][0]["image"].update(reference="localhost/m:v1")))
case("R1", image_volume, lambda files: files, Beside(images=frozenset({*named(objects())})))
case("R2", compose(ASCEND), on_engine(env("HF_HUB_OFFLINE", "0")))
case("R2", compose(ASCEND), on_engine(lambda service: [service["environment"].pop(n) for n in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK")]))  # fmt: skip  # noqa: E501
case("R2", objects, on_pod(lambda one, _: one["env"].pop(0)))
case("R3", objects, on_pod(lambda one, _: one["args"].__setitem__(1, "0.0.0.0") or one.update(ports=[{"name": "http", "containerPort": 8000}])))  # fmt: skip  # noqa: E501
case("R3", compose(ASCEND), on_engine(lambda service: argument(service, "--host", "0.0.0.0") or service.update(ports=["8000:8000"])))  # fmt: skip  # noqa: E501
case("R3", compose(ASCEND), text("gateway/nginx.conf", "/v1/completions", "/invocations"))
case("R3", compose(ASCEND), text("gateway/nginx.conf", "return 40", "return 20"))
case("R4", compose(SMALL), on_engine(put("stop_grace_period", "15s")))
case("R4", compose(ASCEND), on_engine(unset("stop_grace_period")))
case("R4", objects, on_pod(lambda _, pod: pod.update(terminationGracePeriodSeconds=30)))
case("R4", objects, on_pod(lambda one, _: one["args"].__delitem__(slice(4, 6))))
case("R5", compose(SMALL), on_engine(lambda service: service["healthcheck"].update(start_period="60s")))
case("R5", objects, on_pod(lambda one, _: one["startupProbe"].update(failureThreshold=30)))
case("R5", compose(SMALL), on_engine(env("VLLM_ENGINE_READY_TIMEOUT_S", "60")), Beside(weight_bytes=270_000_000))
case("R5", compose(NODES), on_engine(lambda service: argument(service, "--distributed-timeout-seconds", "600"), "node1/compose.yaml"))  # fmt: skip  # noqa: E501
case("R6", compose(SMALL), text("compose.yaml", "/health", "/v1/models"))
case("R6", compose(SMALL), on_engine(unset("healthcheck")))
case("R6", objects, on_pod(lambda one, _: one["readinessProbe"].update(httpGet={"path": "/v1/models", "port": 8080})))
case("R7", compose(NODES), on_engine(unset("healthcheck"), "node1/compose.yaml"))
case("R7", group, on_worker(unset("startupProbe")))
case(
    "R7", group, on_worker(put("startupProbe", {"httpGet": {"path": "/health", "port": 8000}, "failureThreshold": 90}))
)
case(
    "R8", objects, lambda files: edit(files, "all.yaml", lambda _, service, __: service["metadata"].update(name="vllm"))
)
case("R8", objects, on_pod(lambda _, pod: pod.pop("enableServiceLinks")))
case("R9", compose(ONE), on_engine(lambda service: service["deploy"]["resources"]["reservations"]["devices"][0].update(device_ids=[str(n) for n in range(8)])))  # fmt: skip  # noqa: E501
case("R9", compose(ONE), on_engine(lambda service: service["deploy"]["resources"]["reservations"]["devices"][0].pop("capabilities")))  # fmt: skip  # noqa: E501
case("R10", compose(ASCEND), on_engine(lambda service: argument(service, "--tensor-parallel-size", "4")))
case("R10", compose(NODES), on_engine(lambda service: argument(service, "--node-rank", "2"), "node1/compose.yaml"))
case("R10", objects, on_pod(lambda one, _: one["resources"]["limits"].update({"nvidia.com/gpu": 4})))
case("R11", compose(ASCEND), on_engine(unset("shm_size")))
case("R11", compose(SMALL), on_engine(put("mem_limit", "2g")))
case("R11", objects, on_pod(lambda _, pod: pod["volumes"][2]["emptyDir"].pop("sizeLimit")))
case("R11", objects, on_pod(lambda _, pod: pod["volumes"][2].update(emptyDir={})))
case("R12", compose(SMALL), on_engine(env("HF_TOKEN", "abcdefgh")))
case("R12", objects, on_pod(lambda one, _: one["args"].extend(["--api-key", "abcdefgh"])))
case("R12", objects, lambda files: files | {"s.yaml": "apiVersion: v1\nkind: Secret\nstringData: {key: abc}\n"})
case("R12", compose(SMALL), lambda files: files | {"a.env": "HF_TOKEN=abc\n"}, Beside(modes={"a.env": 0o100644}))
case("R13", objects, on_pod(lambda one, _: one.update(command=["sh", "-c", "pip install x && vllm serve /models/m --host 127.0.0.1 --shutdown-timeout 10 -tp 2"], args=[])))  # fmt: skip  # noqa: E501
case("R13", objects, on_pod(lambda _, pod: pod.update(initContainers=[{"image": f"a{DIGEST}", "command": ["curl", "-O", "https://example.com/m.tar"]}])))  # fmt: skip  # noqa: E501
case("R14", objects, on_pod(lambda one, _: one["volumeMounts"][0].pop("readOnly")))
case("R14", objects, on_pod(lambda one, _: one["env"][2].update(value="/models/cache")))
case("R14", objects, on_pod(lambda one, _: one["volumeMounts"][1].update(readOnly=True)))
case("R14", compose(SMALL), on_engine(lambda service: service["volumes"][0].pop("read_only")))
case("R15", compose(NODES), on_engine(put("image", "localhost/selfhost-cuda:0.0.9"), "node1/compose.yaml"))
case("R15", group, on_worker(lambda one: one["command"].__setitem__(2, "/models/other")))
case(
    "R16", lambda: compose(ASCEND)() | ALERT, text("alerts.yaml", "num_requests_waiting", "gpu_prefix_cache_hits_total")
)
case("R17", compose(ASCEND), on_engine(lambda service: service["devices"].pop()))
case(
    "R17", objects, on_pod(lambda one, _: one.update(image=f"quay.io/ascend/vllm-ascend{DIGEST}", command=[], args=[]))
)
case("R17", objects, on_pod(put("image", f"quay.io/ascend/vllm-ascend:v0.23.0-a3{DIGEST}")), Beside(soc_family="A2"))
case("R18", objects, on_pod(put("image", f"docker.io/vllm/vllm-openai:v0.32.0-cu130{DIGEST}")), Beside(cuda_ceiling=(12, 9)))  # fmt: skip  # noqa: E501
case("R19", objects, lambda files: edit(files, "all.yaml", lambda _, __, policy: policy["spec"].update(policyTypes=["Ingress"])))  # fmt: skip  # noqa: E501
case("R20", objects, on_pod(lambda one, _: one["args"].append("--swap-space-gb")))
case("R20", objects, on_pod(lambda one, _: one["args"].extend(["--kv-cache-dtype", "fp3"])))
case("R20", objects, on_pod(lambda one, _: one.update(command=["vllm", "serve"], args=["--model", "/models/m", *one["args"]])))  # fmt: skip  # noqa: E501


def target(name, plan):
    return lambda: rendered(name, plan)


LWS = "leaderworkerset.yaml"
UNIT = "node1/deepseek-v3.service"
QUADLET = "node1/deepseek-v3.container"
case("R1", target("quadlet", NODES), text(QUADLET, "Pull=never", "Pull=missing"))
case("R2", target("quadlet", NODES), text(QUADLET, "HF_HUB_OFFLINE=1", "HF_HUB_OFFLINE="))
case("R3", target("systemd", ASCEND), text("qwen2-5-72b.service", "--host 127.0.0.1", "--host 0.0.0.0"))
case("R3", target("k8s", ASCEND), lambda files: replace(replace(files, "deployment.yaml", "- 127.0.0.1", "- 0.0.0.0"), "service.yaml", "targetPort: http", "targetPort: 8000"))  # fmt: skip  # noqa: E501
case("R4", target("quadlet", NODES), text(QUADLET, "StopTimeout=40", "StopTimeout=15"))
case("R4", target("quadlet", NODES), text(QUADLET, "TimeoutStopSec=100", "TimeoutStopSec=12"))
case("R4", target("systemd", NODES), text(UNIT, "TimeoutStopSec=40", "TimeoutStopSec=15"))
case(
    "R4", target("k8s-lws", NODES), text(LWS, "terminationGracePeriodSeconds: 55", "terminationGracePeriodSeconds: 30")
)
case("R5", target("quadlet", NODES), text(QUADLET, "TimeoutStartSec=16532\n", ""))
case("R5", target("k8s-lws", NODES), text(LWS, "failureThreshold: 1648", "failureThreshold: 60"))
case("R6", target("k8s", SMALL), text("deployment.yaml", "/health", "/v1/models"))
case("R7", target("quadlet", NODES), text(QUADLET, "HealthCmd=", "HealthInterval="))
case("R8", target("k8s-lws", NODES), text(LWS, "enableServiceLinks: false", "enableServiceLinks: true"))
case("R10", target("k8s-lws", NODES), text(LWS, "nvidia.com/gpu: 8", "nvidia.com/gpu: 4"))
case("R11", target("quadlet", NODES), text(QUADLET, "ShmSize=17179869184\n", ""))
case("R12", target("systemd", NODES), text(UNIT, "Environment=HOME", "Environment=HF_TOKEN=abc\nEnvironment=HOME"))
case("R14", target("quadlet", NODES), text(QUADLET, "/models:ro", "/models"))
case("R15", target("systemd", NODES), text(UNIT, "/models/deepseek-v3/fp8", "/models/deepseek-v3/int4"))
case("R15", lambda: mounted(leader="1", worker="1"), lambda _: mounted(leader="1", worker="2"))
case("R16", target("k8s-lws", NODES), text("monitoring/monitoring.yaml", "vllm:num_requests_waiting", "vllm:num_requests_swapped"))  # fmt: skip  # noqa: E501
case("R17", target("quadlet", ASCEND), text("qwen2-5-72b.container", "AddDevice=/dev/hisi_hdc\n", ""))
case("R19", target("systemd", NODES), text(UNIT, "IPAddressDeny=any\n", ""))
case("R19", target("quadlet", NODES), text(QUADLET, "IPAddressDeny=any\n", ""))
case("R19", target("k8s", SMALL), lambda files: {path: text for path, text in files.items() if path != "network.yaml"})
case("R20", target("systemd", NODES), text(UNIT, "--headless", "--headless --pipeline-stages 2"))


DENSE = Beside(arch=resolve("qwen2.5-72b").to_plan().arch)
THREE = lambda files: replace(replace(files, "all.yaml", "nvidia.com/gpu: 2", "nvidia.com/gpu: 3"), "all.yaml", "- '2'", "- '3'")  # fmt: skip  # noqa: E501, E731
EXTERNAL = on_pod(lambda one, _: one["args"].append("--data-parallel-external-lb"))
case("R1", compose(SMALL), on_engine(put("image", "${IMAGE}")))
case("R10", objects, THREE, DENSE)
case("R10", objects, EXTERNAL, DENSE)
case("R10", group, on_worker(lambda one: one["args"].__setitem__(one["args"].index("--nnodes") + 1, "3")))
case("R10", objects, on_pod(lambda one, _: one["args"].extend(["--data-parallel-size", "3", "--data-parallel-size-local", "2"])))  # fmt: skip  # noqa: E501
case("R11", compose(ASCEND), on_engine(put("shm_size", "64m")))
case("R12", compose(SMALL), lambda files: files | {"a.conf": f"# {'hf' + '_' + 'a' * 34}\n"})
case("R14", objects, on_pod(lambda one, _: one.update(securityContext={"readOnlyRootFilesystem": True}) or one["volumeMounts"].pop(1)))  # fmt: skip  # noqa: E501
case("R17", compose(ASCEND), on_engine(put("devices", [])))
case("R20", objects, on_pod(lambda one, _: one["args"].extend(["--max-num-seq", "2"])))
case("R20", objects, on_pod(put("image", f"docker.io/vllm/vllm-openai:v0.31.0{DIGEST}")))
case("R20", compose(ASCEND), on_engine(further("--additional-config", '{"enable_mlappo":true}')))
case("R20", compose(ASCEND), on_engine(further("--additional-config", '{"eplb_config":{"dynamic":true}}')))
case("R20", compose(ASCEND), on_engine(further("--additional-config", '{"enable_mlapo":true')))


@cache
def broken(number: int):
    _, files, change, beside = CASES[number]
    return lint(change(files()), beside)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{n}-{c[0]}" for n, c in enumerate(CASES)])
def test_exactly_the_rule_that_is_broken_finds_it_and_can_be_left_out(number):
    rule, files, change, beside = CASES[number]
    assert rules(files(), dataclasses.replace(beside, images=None) if beside else None) == set()
    assert {rule_of(finding) for finding in broken(number)} - {""} == {rule}
    assert rules(change(files()), beside, {rule}) == set()


def test_every_finding_of_every_rule_is_made_above():
    made = {finding.message.id for number in range(len(CASES)) for finding in broken(number)}
    assert {name for name in MESSAGES if name.startswith("render_lint.r") and name[13].isdigit()} <= made
    assert {case[0] for case in CASES} == {f"R{number}" for number, _ in RULES}


SINGLE = [(target, plan) for target in ("compose", "quadlet", "systemd", "k8s") for plan in PLANS if plan != NODES]
SEVERAL = [(target, NODES) for target in ("compose", "quadlet", "systemd", "k8s-lws")]


@pytest.mark.parametrize(
    ("target", "plan"), SINGLE + SEVERAL, ids=lambda value: str(value[0] if value in PLANS else value)
)
def test_what_is_rendered_is_clean_and_its_engines_are_seen(target, plan):
    files = rendered(target, plan)
    assert rules(files) == set()
    engines = [engine for _, engine in read(files, Beside()).engines]
    assert [engine.headless for engine in engines] == ([False, True] if plan == NODES else [False])
    assert all(engine.ranks_here == (1 if plan == SMALL else 8) for engine in engines)


def test_sizes_are_held_against_the_model_that_is_given():
    assert rules(THREE(objects())) == set()
    assert rules(EXTERNAL(objects()), Beside(arch=resolve("glm-4.5-air").to_plan().arch)) == set()


GATEWAY_TAG = "docker.io/library/nginx:1.28-alpine"


def kept():
    """Golden files, and how many engines are in them: one for each node, or for each template of a group."""
    for name, words in golden.PLANS.items():
        nodes = 2 if words[words.index("--on") + 1].count("x") == 2 else 1
        for target in golden.TARGETS:
            if target != "images":
                yield pytest.param(partial(golden.kept, name, target), nodes, id=f"{name}-{target}")
    for name in plans.CASES:
        yield pytest.param(partial(golden.files, golden.CLUSTERS / name), 1 if name in plans.ONE_NODE else 2, id=name)


@pytest.mark.parametrize(("files", "engines"), list(kept()))
def test_golden_files_are_clean_but_for_a_gateway_that_is_named_by_a_tag(files, engines):
    files = {path: text for path, text in files().items() if not path.endswith((".md", ".txt", ".jinja"))}
    found = {finding.message.id: finding.message.what for finding in lint(files)}
    tagged = {"render_lint.r1_tag": f"a tag can be moved: {GATEWAY_TAG}"}
    assert found == (tagged if any(GATEWAY_TAG in text for text in files.values()) else {})
    assert len(read(files, Beside()).engines) == engines
