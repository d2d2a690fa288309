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
CACHE = "/var/cache/selfhost"
"""What engines compile and cache (`VLLM_CACHE_ROOT`, `HOME`): a volume, so that a restart does not compile again."""
USER_ID, GROUP_ID = 2000, 0
"""As the `vllm` user of the engine's own image; group 0 so that an arbitrary uid (OpenShift) can write as well.
Source: vLLM docs/deployment/docker.md."""
ENGINE_PORT = 8000
GATEWAY_PORT = 8080
"""A gateway shares the network namespace of its engine, which therefore listens on loopback only."""
NAME_CHARACTERS = 63
_SHM_PER_RANK = 2 * GIB
_SHM_MOST = 16 * GIB
_HOST_BASE = 8 * GIB
_HOST_PER_RANK = 8 * GIB


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
    """`engine` or `gateway`."""

    @property
    def reference(self) -> str:
        """What files name: by digest where it is known."""
        if self.digest:
            return f"{self.name}@{self.digest}"
        return f"{self.name}:{self.tag}" if self.tag else self.name


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
    model_sha256: str = ""
    """Of the model's lock: the same on all nodes; empty while the model is not stored here."""
    address: str = "127.0.0.1"
    """Address of the host at which the API is published."""
    port: int = 8000
    times: Times

    @property
    def platform(self) -> Platform:
        """What kind of engine it is."""
        return self.plan.hardware.device.platform or Platform.CUDA

    @property
    def model_path(self) -> str:
        """The model's directory in a container."""
        return container_model_path(self.plan.model, self.plan.variant)

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
        return ENGINE_PORT if self.gateway is None else GATEWAY_PORT

    @property
    def images(self) -> tuple[Image, ...]:
        """All images the files name."""
        return (self.engine, *([self.gateway] if self.gateway else ()))

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change with anything that files are made from; their first line has it."""
        said = {
            "argv": [node.argv for node in self.nodes],
            "env": [dict(sorted(node.env.items())) for node in self.nodes],
            "images": [image.reference for image in self.images],
            "model": [self.plan.model, self.plan.variant, self.model_sha256],
            "where": [self.name, self.store, self.address, self.port],
            "hardware": self.plan.hardware.text,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


def container_model_path(model: str, variant: str) -> str:
    """Where a stored model lies in a container."""
    return f"{MODELS}/{model}/{variant}"


def label(name: str) -> str:
    """A name as a DNS label of Kubernetes (RFC 1123), and not `vllm`.

    >>> label("Qwen2.5-72B"), label("vllm")
    ('qwen2-5-72b', 'vllm-server')
    """
    made = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:NAME_CHARACTERS].rstrip("-") or "model"
    return "vllm-server" if made == "vllm" else made


def entry_of(plan: Plan) -> Entry:
    """What runs it: several nodes and Ascend need the stock command behind a gateway."""
    several = nodes_used(plan.hardware, plan.layout) > 1
    return Entry.STOCK if several or plan.hardware.device.platform is Platform.ASCEND else Entry.SELFHOST
