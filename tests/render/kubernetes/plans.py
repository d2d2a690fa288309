"""Deployments that files for Kubernetes are rendered of in tests: from the recipes, nothing of this machine in them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import yaml

from selfhost.app.plan import plan_for
from selfhost.app.render import further_options
from selfhost.home import find_home
from selfhost.planner.plan import PlanRequest
from selfhost.recipe import load
from selfhost.render.deployment import Image
from selfhost.render.kubernetes import Kubernetes, Storage
from selfhost.render.resolve import Choices, deploy
from selfhost.render.targets import TARGETS

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment

TEMPLATE = "{% for message in messages %}\n  {{- '$' + message.role }}:\t{{ message.content }}\n{% endfor %}\n"
DIGEST = "sha256:" + "7" * 64
NGINX = Image(name="docker.io/library/nginx", tag="1.28-alpine", digest="sha256:" + "9" * 64, role="gateway")
MODEL_IMAGE = "registry.example/models/one@sha256:" + "5" * 64


def mounted(minor: int, *, any_user: bool = False) -> Kubernetes:
    """A cluster where the model comes from an image."""
    return Kubernetes(minor=minor, storage=Storage.IMAGE, image=MODEL_IMAGE, any_user=any_user)


class Case(NamedTuple):
    """A plan, and where it goes."""

    model: str
    on: str
    target: str
    variant: str | None = None
    kubernetes: Kubernetes = Kubernetes()
    chat_template: str = ""


CASES = {
    "smollm2-135m-cpu": Case("smollm2-135m", "cpu@8", "k8s"),
    "qwen2.5-7b-1xRTX4090": Case("qwen2.5-7b", "1xRTX4090", "k8s"),
    "qwen2.5-72b-2xA800-old": Case(
        "qwen2.5-72b",
        "2xA800",
        "k8s",
        kubernetes=Kubernetes(minor=29, claim="models"),
        chat_template=TEMPLATE,
    ),
    "glm-4.5-air-8xH100-host": Case(
        "glm-4.5-air", "8xH100", "k8s", kubernetes=Kubernetes(storage=Storage.HOST, namespace="llm")
    ),
    "qwen2.5-72b-8x910B3": Case("qwen2.5-72b", "8x910B3", "k8s"),
    "deepseek-v2-lite-2xA800": Case("deepseek-v2-lite", "2xA800", "k8s"),
    "glm-4.5-air-8xH100-image": Case("glm-4.5-air", "8xH100", "k8s", kubernetes=mounted(35)),
    "qwen2.5-72b-8x910B3-openshift": Case("qwen2.5-72b", "8x910B3", "k8s", kubernetes=Kubernetes(any_user=True)),
    "deepseek-v3-2x8xH20-image-openshift": Case(
        "deepseek-v3", "2x8xH20", "k8s-lws", kubernetes=mounted(31, any_user=True)
    ),
    "qwen2.5-72b-2x8xH20": Case("qwen2.5-72b", "2x8xH20", "k8s-lws"),
    "deepseek-v3-2x8xH20": Case("deepseek-v3", "2x8xH20", "k8s-lws"),
    "deepseek-v3-4x8xA800": Case("deepseek-v3", "4x8xA800", "k8s-lws"),
    "deepseek-v3-2x8x910B3": Case("deepseek-v3", "2x8x910B3", "k8s-lws"),
    "deepseek-v3-4x8x910B3": Case(
        "deepseek-v3",
        "4x8x910B3",
        "k8s-lws",
        kubernetes=Kubernetes(resource="huawei.com/Ascend910B3", interface="net1"),
    ),
    "glm-4.6-2x8xH20-old": Case(
        "glm-4.6", "2x8xH20", "k8s-lws", kubernetes=Kubernetes(minor=29), chat_template=TEMPLATE
    ),
}
ONE_NODE = [name for name, case in CASES.items() if case.target == "k8s"]
SEVERAL_NODES = [name for name, case in CASES.items() if case.target == "k8s-lws"]


@cache
def deployment(name: str) -> Deployment:
    """The deployment of a case."""
    case = CASES[name]
    plan = plan_for(case.model, on=case.on, request=PlanRequest(), variant=case.variant, recipe_paths=())
    kind = {"vllm": "cuda", "vllm-cpu": "cpu", "vllm-ascend": "ascend"}[plan.engine.name]
    recipe = load.find_recipes(find_home(), ())[case.model] if case.kubernetes.image else None
    choices = Choices(
        store="/srv/selfhost",
        engine=Image(name=f"registry.example/selfhost-{kind}", digest=DIGEST),
        gateway=NGINX,
        model_sha256="3" * 64,
        kubernetes=case.kubernetes,
        engine_args=further_options(plan, PlanRequest(), recipe),
        chat_template=case.chat_template,
    )
    return deploy(plan, choices)


def of_a_directory(name: str) -> Deployment:
    """The same, of a model that lies in a directory."""
    return replace(deployment(name), directory="/srv/models/tiny")


@cache
def rendered(name: str) -> dict[str, str]:
    """Path -> text."""
    return {file.path: file.text for file in TARGETS[CASES[name].target](deployment(name))}


@cache
def objects(name: str) -> dict[tuple[str, str], dict]:
    """(kind, name) -> object, of all files."""
    found = {}
    for path, text in rendered(name).items():
        if path.endswith(".yaml") and "kustomization" not in path:
            for document in yaml.safe_load_all(text):
                found[document["kind"], document["metadata"]["name"]] = document
    return found


@cache
def pods(name: str) -> dict[str, dict]:
    """`leader` and `worker` -> the spec of a pod."""
    for (kind, _), found in objects(name).items():
        if kind == "Deployment":
            return {"leader": found["spec"]["template"]}
        if kind == "LeaderWorkerSet":
            template = found["spec"]["leaderWorkerTemplate"]
            return {"leader": template["leaderTemplate"], "worker": template["workerTemplate"]}
    raise AssertionError(name)


def container(template: dict, name: str = "engine") -> dict:
    """A container of a pod."""
    return next(found for found in template["spec"]["containers"] if found["name"] == name)
