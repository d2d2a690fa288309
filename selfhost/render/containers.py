"""What the engine's container needs, however it is started: directories, devices, a question for its health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.hardware.types import Platform
from selfhost.records import dataclass
from selfhost.render import cards, gateway, templates
from selfhost.render.deployment import ACCEPTED, BLOBS, GATEWAY_PORT, KEYS, MODELS, RECIPES, Entry
from selfhost.render.places import directory_mount
from selfhost.render.rendered import RenderedFile

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment, Node

RECIPES_FOLDER = "recipes"
KEYS_FOLDER = "gateway/keys"
"""Beside the files: where the gateway's keys are put."""
ASCEND_GROUP = 1000
"""Device nodes belong to this group (HwHiAiUser) and are closed to others (vllm-ascend#9490)."""
_ASCEND_DRIVER = (
    "/usr/local/dcmi",
    "/usr/local/bin/npu-smi",
    "/usr/local/Ascend/driver/lib64",
    "/usr/local/Ascend/driver/version.info",
    "/etc/ascend_install.info",
)
"""Of the host's driver. Source: vllm-ascend docs/source/installation.md."""
_ASCEND_NETWORK = ("/etc/hccn.conf", "/usr/local/Ascend/driver/tools/hccn_tool")
"""For several nodes as well."""
_ASCEND_950 = ("/lib/route.conf", "/etc/hccl_rootinfo.json")
"""For several nodes of the 950 family besides. Source: vllm-ascend docs/source/installation.md."""
_MANAGERS = ("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc")
_UB = ("/dev/ummu", "/dev/uburma")
"""Of a 950DT, whose devices reach each other by UB; a 950PR is a PCIe card as well. Source: vllm-ascend's tutorials."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bind:
    """A directory or file of the host in a container, read-only."""

    source: str
    """Absolute, or `./` for one beside the rendered files."""
    target: str


def binds(deployment: Deployment) -> list[Bind]:
    """What the engine's container reads of its host."""
    store, own = deployment.store, deployment.entry is Entry.SELFHOST
    found = []
    if deployment.directory:
        mount = directory_mount(deployment.directory)
        found.append(Bind(source=mount.source, target=mount.target))
    else:
        found += [Bind(source=f"{store}/models", target=MODELS), Bind(source=f"{store}/blobs", target=BLOBS)]
    if own:
        found.append(Bind(source=f"{store}/keys", target=KEYS))
    if deployment.research_only:
        found.append(Bind(source=f"{store}/accepted", target=ACCEPTED))
    if deployment.recipe:
        found.append(Bind(source=f"./{RECIPES_FOLDER}", target=RECIPES))
    if deployment.chat_template:
        found.append(Bind(source=f"./{templates.FOLDER}", target=templates.MOUNTED))
    if deployment.platform is Platform.ASCEND:
        newest = deployment.plan.hardware.device.family == "950"
        network = (*_ASCEND_NETWORK, *(_ASCEND_950 if newest else ())) if deployment.host_network else ()
        found += [Bind(source=path, target=path) for path in (*_ASCEND_DRIVER, *network)]
    return found


def given_devices(deployment: Deployment) -> tuple[int, ...]:
    """Accelerators that a node's container gets, by their physical number: of A3 whole cards."""
    return cards.whole(deployment.plan, deployment.device_indices)


def gateway_binds() -> list[Bind]:
    """What the gateway's container reads of its host."""
    return [
        Bind(source="./gateway/nginx.conf", target=gateway.CONFIGURATION),
        Bind(source=f"./{KEYS_FOLDER}", target=gateway.KEYS_DIRECTORY),
    ]


def ascend_devices(deployment: Deployment) -> list[str]:
    """Device nodes of an Ascend container; empty for others."""
    if deployment.platform is not Platform.ASCEND:
        return []
    numbered = [f"/dev/davinci{index}" for index in given_devices(deployment)]
    by_ub = deployment.plan.hardware.device.name == "Ascend950DT"
    return [*numbered, *_MANAGERS, *(_UB if by_ub else ())]


def health_code(deployment: Deployment) -> str:
    """A line of Python that fails while an engine with an API does not work.

    `curl` may be absent from an image; Python is not. Never a route that needs a key.
    """
    return f"import urllib.request as u; u.urlopen('http://127.0.0.1:{deployment.engine_port}/health', timeout=4)"


def node_health_code(deployment: Deployment, node: Node, first_node: str) -> str | None:
    """The same for any node, which may have no API of its own; None when nothing can be asked."""
    if not node.headless:
        return health_code(deployment)
    if deployment.meeting_port is None:
        return None
    return f"import socket; socket.create_connection(('{first_node}', {deployment.meeting_port}), 4)"


def engine_parts(deployment: Deployment) -> list[RenderedFile]:
    """What an engine reads besides its model: the user's own recipe, and a chat template."""
    found = {
        f"{RECIPES_FOLDER}/{deployment.plan.model}.toml": deployment.recipe,
        templates.BESIDE: deployment.chat_template,
    }
    return [RenderedFile(path=path, text=text) for path, text in found.items() if text]


def gateway_parts(deployment: Deployment) -> list[RenderedFile]:
    """Files of the gateway of a container; none where the front door is in the engine's process."""
    if deployment.gateway is None:
        return []
    listen = deployment.published if deployment.host_network else str(GATEWAY_PORT)
    options = gateway.GatewayOptions(listen=listen, engine=f"127.0.0.1:{deployment.engine_port}")
    return gateway.gateway_files(deployment, options)


def labels(deployment: Deployment) -> dict[str, str]:
    """What a container is of: the plan, and the model's digest, so that nodes can be compared."""
    said = {"selfhost.plan": deployment.fingerprint}
    return said | ({"selfhost.model-sha256": deployment.model_sha256} if deployment.model_sha256 else {})
