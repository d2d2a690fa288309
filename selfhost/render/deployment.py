"""What is rendered: one plan, and all that a deployment needs to know besides.

A single node runs `selfhost serve` from one of our images (or from an environment on the host): it plans, checks and
guards the server in-process, and gets the plan's settings written out, so that it starts exactly this plan. Several
nodes, and Ascend, run the stock engine's command lines behind a gateway that lets a list of routes through.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.hardware.types import Platform
from selfhost.planner.layouts import nodes_used
from selfhost.records import dataclass
from selfhost.render import cards
from selfhost.render.kubernetes import Kubernetes
from selfhost.render.places import IMAGE, IN_IMAGE, directory_mount
from selfhost.units import GIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.planner.plan import Plan
    from selfhost.render.times import Times

HOME = "/var/lib/selfhost"
"""`SELFHOST_HOME` in a container: a volume of its own, with models and contents mounted into it read-only."""
MODELS = f"{HOME}/models"
BLOBS = f"{HOME}/blobs"
KEYS = f"{HOME}/keys"
ACCEPTED = f"{HOME}/accepted"
"""Licences whose terms were accepted where the model was fetched."""
RECIPES = f"{HOME}/recipes"
"""The user's own recipes."""
CACHE = "/var/cache/selfhost"
"""What engines compile and cache (`VLLM_CACHE_ROOT`, `HOME`): a volume, so that a restart does not compile again."""
USER_ID, GROUP_ID = 2000, 0
"""As the `vllm` user of the engine's own image; group 0 so that an arbitrary uid (OpenShift) can write as well.
Source: vLLM docs/deployment/docker.md."""
ENGINE_PORT = 8000
SECOND_ENGINE_PORT = 8001
"""Of an engine in the host's network whose gateway takes the first."""
GATEWAY_PORT = 8080
"""A gateway shares the network namespace of its engine, which therefore listens on loopback only."""
NAME_CHARACTERS = 63
_SHM_PER_RANK = 2 * GIB
_SHM_MOST = 16 * GIB
_HOST_BASE = 8 * GIB
_HOST_PER_RANK = 8 * GIB
THIS_NODE = "THIS_NODE"
"""Stands for a node's own address in its variables, as `FIRST_NODE` does for the first one's in commands."""
INTERFACE = "INTERFACE"
"""Stands for the network interface that nodes reach each other through."""


class Entry(StrEnum):
    """What the engine containers run."""

    SELFHOST = "selfhost"
    """`selfhost serve`: the front door is in the engine's process."""
    STOCK = "stock"
    """`vllm serve` as it is, behind a gateway."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """A container image."""

    name: str
    """With its registry: `docker.io/vllm/vllm-openai`, `localhost/selfhost-cuda`."""
    tag: str = ""
    digest: str = ""
    """`sha256:...`; empty: only a tag is known, which somebody can move."""
    role: str = "engine"
    """`engine`, `gateway` or `model`."""

    @property
    def reference(self) -> str:
        """What files name: by digest where it is known."""
        if self.digest:
            return f"{self.name}@{self.digest}"
        return f"{self.name}:{self.tag}" if self.tag else self.name

    @property
    def is_local(self) -> bool:
        """Whether it is of the machine's own store only: no registry has it."""
        return self.name.startswith("localhost/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One machine of a deployment."""

    number: int
    argv: tuple[str, ...]
    """What its engine container runs; the model is opened at its path in a container."""
    env: Mapping[str, str] = field(default_factory=dict)
    headless: bool = False
    """Serves no requests of its own, and has no HTTP port."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """One plan, resolved for machines that run it."""

    name: str
    """Of services and files: a DNS label, never `vllm` (Kubernetes would set VLLM_PORT, which stops the engine)."""
    plan: Plan
    entry: Entry
    nodes: tuple[Node, ...]
    engine: Image
    gateway: Image | None
    """None: the front door is in-process."""
    store: str
    """`SELFHOST_HOME` on the machines, where models and contents lie."""
    stored: str
    """Where the model lies below the store's `models/`: `qwen2.5-7b/bf16`, `Qwen/Qwen3-8B` for one without a recipe."""
    model_sha256: str = ""
    """Of the model's lock: the same on all nodes; empty while the model is not stored here."""
    address: str = "127.0.0.1"
    """Address of the host at which the API is published."""
    port: int = 8000
    times: Times
    directory: str = ""
    """A model that is a plain directory: where it lies on the machines; empty for one of the store."""
    recipe: str = ""
    """Text of the user's own recipe, which no image has; empty for a built-in one."""
    chat_template: str = ""
    """Text of a chat template that is a file here; it travels with the files."""
    research_only: bool = False
    """The model's licence wants to be accepted: `selfhost serve` looks for that beside the model."""
    kubernetes: Kubernetes = field(default_factory=Kubernetes)
    host_network: bool = False
    """Engines of several nodes find each other at the machines' own addresses."""

    @property
    def platform(self) -> Platform:
        """What kind of engine it is."""
        return self.plan.hardware.device.platform or Platform.CUDA

    @property
    def model_path(self) -> str:
        """The model's directory in a container."""
        if self.model_image:
            return f"{IMAGE}/{IN_IMAGE}"
        return directory_mount(self.directory).path if self.directory else f"{MODELS}/{self.stored}"

    @property
    def model_image(self) -> Image | None:
        """The image that the model's files are in; None: they are in a store, or a directory."""
        name, _, digest = self.kubernetes.image.partition("@")
        return Image(name=name, digest=digest, role="model") if name else None

    @property
    def pulled_as(self) -> str:
        """What `selfhost pull` takes for it."""
        recipe, _, variant = self.stored.partition("/")
        return f"{recipe} --variant {variant}" if recipe == self.plan.model else self.stored

    @property
    def engine_port(self) -> int:
        """Where the first engine listens: its command says so."""
        argv = self.nodes[0].argv
        return int(argv[argv.index("--port") + 1])

    @property
    def gateway_listen(self) -> tuple[str, int]:
        """Address and port of the gateway: what was asked for in the host's network, a fixed port in its own."""
        return (self.address, self.port) if self.host_network else ("0.0.0.0", GATEWAY_PORT)  # noqa: S104

    @property
    def published(self) -> str:
        """Where the API is on the host, as `ADDRESS:PORT`."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def reached_at(self) -> str:
        """The same as seen from the machine itself: an address to ask, also where it listens on all of them."""
        here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.address)  # noqa: S104
        return f"{here}:{self.port}" if here else self.published

    @property
    def meeting_port(self) -> int | None:
        """What a headless node's probe dials on the first node; None: nothing there can be reached from outside.

        A node without an API looks healthy for hours after the first one is gone (defilantech/LLMKube#1781). Ranks of
        one engine keep the master port open; engines of data parallel close theirs once they have met: there it is the
        gateway's.
        """
        argv = self.nodes[0].argv
        if "--master-port" in argv:
            return int(argv[argv.index("--master-port") + 1])
        address, port = self.gateway_listen
        return None if is_loopback(address) else port

    @property
    def device_indices(self) -> tuple[int, ...]:
        """Accelerators of a node that its engine uses, as the vendor's tool counts; the first ones when unknown."""
        return cards.used(self.plan, len(self.nodes))

    @property
    def takes_all_devices(self) -> bool:
        """Whether a node has no other accelerators than those of the plan."""
        return self.devices_per_node == self.plan.hardware.devices_per_node and self.plan.hardware.assumed

    @property
    def devices_per_node(self) -> int:
        """Accelerators that the containers of one node use."""
        return self.plan.layout.world_size // len(self.nodes)

    @property
    def shm_bytes(self) -> int:
        """Shared memory (`/dev/shm`) of an engine container: processes of a node exchange tensors there.

        The 64 MiB that containers get by default are too few for NCCL (vllm-project/vllm#1710). 2 GiB for each rank of
        a node, at most 16.
        """
        return min(_SHM_MOST, _SHM_PER_RANK * max(1, self.devices_per_node))

    @property
    def memory_bytes(self) -> int:
        """Host memory of an engine container, shared memory included.

        On a CPU what was planned with. With accelerators a rule of thumb: 8 GiB for the server, 8 for each worker
        (CUDA context, pinned buffers, compilation); weights are read through the page cache, which is not counted.
        """
        if self.platform is Platform.CPU:
            return self.plan.hardware.visible_memory_bytes
        return self.shm_bytes + _HOST_BASE + _HOST_PER_RANK * self.devices_per_node

    @property
    def front_port(self) -> int:
        """Where requests come in, in the container's network: the in-process front door, or the gateway."""
        return ENGINE_PORT if self.gateway is None else self.gateway_listen[1]

    @property
    def images(self) -> tuple[Image, ...]:
        """All images the files name."""
        return tuple(image for image in (self.engine, self.gateway, self.model_image) if image)

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change with anything that files are made from; their first line has it."""
        said = {
            "argv": [node.argv for node in self.nodes],
            "env": [dict(sorted(node.env.items())) for node in self.nodes],
            "images": [image.reference for image in self.images],
            "model": [self.plan.model, self.plan.variant, self.model_sha256],
            "where": [self.name, self.store, self.directory, self.address, self.port],
            "recipe": self.recipe,
            "times": [self.times.start_s, self.times.grace_s],
            "hardware": self.plan.hardware.text,
            **({"chat_template": self.chat_template} if self.chat_template else {}),
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


def is_loopback(address: str) -> bool:
    """Whether only the machine itself reaches an address."""
    return address in {"localhost", "::1"} or address.startswith("127.")


def label(name: str) -> str:
    """A name as a DNS label of Kubernetes (RFC 1123), and not `vllm`.

    A service's may not begin with a digit (RFC 1035).

    >>> label("Qwen2.5-72B"), label("vllm"), label("70B 模型")
    ('qwen2-5-72b', 'vllm-server', 'model-70b')
    """
    made = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    made = made if made[:1].isalpha() else f"model-{made}"
    made = made[:NAME_CHARACTERS].rstrip("-")
    return "vllm-server" if made == "vllm" else made


def entry_of(plan: Plan) -> Entry:
    """What runs it: several nodes and Ascend need the stock command behind a gateway."""
    several = nodes_used(plan.hardware, plan.layout) > 1
    return Entry.STOCK if several or plan.hardware.device.platform is Platform.ASCEND else Entry.SELFHOST
