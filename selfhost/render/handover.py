"""What a person does with the files: `README.md` of a target, and how to do without selfhost."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from selfhost.hardware import hccn
from selfhost.hardware.types import Platform
from selfhost.images.kinds import OURS
from selfhost.render.deployment import CACHE, HOME, Entry
from selfhost.render.gateway import KEYS_NAME
from selfhost.render.leaving import leaving
from selfhost.render.monitoring import KEY_FILE, monitoring_files
from selfhost.render.rendered import RenderedFile, header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.render.deployment import Deployment


def handover(deployment: Deployment, target: str) -> list[RenderedFile]:
    """`README.md`, `LEAVING.md` and what watches it."""
    text = "\n".join(_readme(deployment, target)) + "\n"
    return [RenderedFile(path="README.md", text=text), leaving(deployment), *monitoring_files(deployment)]


def _readme(deployment: Deployment, target: str) -> Iterator[str]:
    plan, several = deployment.plan, len(deployment.nodes) > 1
    yield header(deployment, "<!--").replace("\n", " -->\n").rstrip()
    yield ""
    yield f"# {deployment.name}"
    yield ""
    yield f"`{plan.model}` ({plan.variant}) on {plan.hardware.text}, served as `{plan.served_model_name}`."
    if several:
        yield "Each folder belongs on the machine with its number; start them in any order, they wait for each other."
    yield ""
    yield "Once, on each machine:"
    yield ""
    for number, step in enumerate(_steps(deployment, target), 1):
        yield f"{number}. {step}"
    yield ""
    yield f"Start: {_START[target].format(name=deployment.name)}. {_patience(deployment)}"
    yield ""
    yield f"Then ask it: `curl -H 'Authorization: Bearer KEY' http://{deployment.reached_at}/v1/models`."
    yield ""
    yield f"Watch it: `monitoring/` is for Prometheus, with an API key of its own in `{KEY_FILE}`, and for Grafana."


def _store(deployment: Deployment) -> str:
    """For a shell."""
    return shlex.quote(deployment.store)


_START = {
    "compose": "`docker compose up -d`, or `podman-compose up -d`, in the folder with `compose.yaml`",
    "quadlet": "`systemctl daemon-reload && systemctl start {name}`",
    "systemd": "`systemctl daemon-reload && systemctl enable --now {name}`",
}


def _patience(deployment: Deployment) -> str:
    times = deployment.times
    return (
        f"Loading takes about {times.load_s} s; it is given up after {times.start_s} s. A stop takes {times.grace_s} s."
    )


def _making(deployment: Deployment) -> str:
    name = deployment.engine.name
    made = f"`selfhost image build {name.removeprefix(OURS)}` makes the first. " if name.startswith(OURS) else ""
    return f"{made}Nothing is pulled when it starts."


def _of_others(deployment: Deployment) -> str:
    """What an engine's image needs that is not ours."""
    if deployment.entry is Entry.STOCK:
        # vllm-project/vllm-ascend#9490
        user = ", and uid 2000 needs a line in `/etc/passwd`" if deployment.platform is Platform.ASCEND else ""
        return f"In an engine's image of others, uid 2000 or group 0 must be able to write to `{CACHE}`{user}."
    return (
        "An engine's image of others needs `selfhost` with an engine in it, and uid 2000 or group 0 must be able to"
        f" write to `{HOME}` and `{CACHE}`."
    )


def _steps(deployment: Deployment, target: str) -> Iterator[str]:
    # A umask of 077 hides from a container what root has fetched; under systemd all of it is given to the user.
    readable = "" if target == "systemd" else "; uid 2000 or group 0 must be able to read it"
    if target == "systemd" and deployment.directory:
        readable = "; the unit's user must be able to read it"
    if deployment.directory:
        yield f"The model: copy the directory to `{deployment.directory}`{readable}."
    else:
        known = f" Its lock has sha256 `{deployment.model_sha256}`." if deployment.model_sha256 else ""
        yield (
            f"The model: `SELFHOST_HOME={_store(deployment)} selfhost pull {deployment.pulled_as}`, or"
            f" `selfhost bundle import`{readable}.{known}"
        )
    if target != "systemd":
        yield f"The images: {', '.join(f'`{image.reference}`' for image in deployment.images)}. {_making(deployment)}"
        if not deployment.engine.name.startswith(OURS):
            yield _of_others(deployment)
    if deployment.entry is Entry.SELFHOST:
        yield _own_keys(deployment, target)
    if target == "systemd":
        yield from _host_steps(deployment)
    if target == "quadlet":
        init = ", and its `catatonit`" if deployment.entry is Entry.STOCK else ""
        yield (
            f"The units: copy all of it to `/etc/containers/systemd/{deployment.name}/`. Wanted: podman 5.0 or"
            f" newer{init}."
        )
    if deployment.gateway:
        yield _gateway_keys(deployment, target)
    yield from _between_nodes(deployment, target)


def _between_nodes(deployment: Deployment, target: str) -> Iterator[str]:
    if not deployment.host_network:
        return
    example = ".env" if target == "compose" else f"{_FOLDER[target]}/{deployment.name}/{deployment.name}.env"
    yield f"The addresses: `cp {example}.example {example}`, and fill it in."
    if check := npu_network(deployment):
        yield check


def npu_network(deployment: Deployment) -> str:
    """How to see whether the NPUs of several nodes reach each other; empty for others.

    Source: vllm-ascend docs/source/installation.md; equal TLS: vllm-project/vllm-ascend#9447.
    """
    if len(deployment.nodes) == 1 or deployment.plan.hardware.device.family not in hccn.QUESTIONS:
        return ""
    devices = " ".join(map(str, deployment.device_indices))
    asked = "; ".join(f"hccn_tool -i $i -{question} -g" for question in ("link", "net_health", "ip", "tls"))
    return (
        "The network of the NPUs, on each machine: link UP, health Success, an address, and the same TLS switch on all"
        f" of them: `for i in {devices}; do {asked}; done`."
    )


_FOLDER = {"quadlet": "/etc/containers/systemd", "systemd": "/etc/selfhost"}


def _own_keys(deployment: Deployment, target: str) -> str:
    made = f"An API key: `SELFHOST_HOME={_store(deployment)} selfhost key new NAME`; only its digest is kept."
    keys = shlex.quote(f"{deployment.store}/keys")
    if target == "systemd":
        return f"{made} Its user reads it: `chown -R selfhost: {keys}`, after each new key, once there is that user."
    return f"{made} The container reads it as group 0: `chgrp -R 0 {keys} && chmod -R g+rX {keys}`, after each new key."


def _gateway_keys(deployment: Deployment, target: str) -> str:
    folder = "gateway/keys" if target == "compose" else f"{_FOLDER[target]}/{deployment.name}/gateway/keys"
    group = "selfhost" if target == "systemd" else "0"
    where = " on the first node" if len(deployment.nodes) > 1 else ""
    return (
        f"An API key{where}: `selfhost key new NAME --gateway {folder}/{KEYS_NAME}`. The file holds keys as they are;"
        f" the gateway reads it as group {group}: `chgrp -R {group} {folder} && chmod -R g+rX {folder}`, once."
        " Without selfhost there: as `gateway/keys.conf.example` says."
    )


def _host_steps(deployment: Deployment) -> Iterator[str]:
    yield "A user: `useradd --system --home-dir /var/cache/selfhost --shell /usr/sbin/nologin selfhost`."
    if deployment.platform is Platform.ASCEND:
        yield (
            "The engine, as vllm-ascend's documents say, so that `/opt/selfhost/engine/bin/vllm` starts it with the"
            f" variables of CANN's `set_env.sh`; `/opt/selfhost`, a Python one; nginx; `chown -R selfhost:"
            f" {_store(deployment)}`."
        )
        yield _units(deployment)
        return
    yield (
        "selfhost and the engine: `python3 -m venv /opt/selfhost && /opt/selfhost/bin/pip install selfhost-llm`, then"
        f" `SELFHOST_HOME={_store(deployment)} /opt/selfhost/bin/selfhost engine install`;"
        f" `chown -R selfhost: {_store(deployment)}`."
    )
    if deployment.entry is Entry.STOCK:
        yield (
            f'The engine where the unit looks for it: `ln -s "$(SELFHOST_HOME={_store(deployment)}'
            ' /opt/selfhost/bin/selfhost engine path)" /opt/selfhost/engine`; and nginx.'
        )
    yield _units(deployment)


def _units(deployment: Deployment) -> str:
    return f"The units: copy `*.service` to `/etc/systemd/system/`, the rest to `/etc/selfhost/{deployment.name}/`."
