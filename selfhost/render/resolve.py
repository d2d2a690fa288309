"""Plan -> deployment: commands as they run in containers, environment, times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.hardware.types import Platform
from selfhost.planner.layouts import FIRST_NODE
from selfhost.records import dataclass
from selfhost.render.deployment import (
    CACHE,
    ENGINE_PORT,
    HOME,
    Deployment,
    Entry,
    Image,
    Node,
    container_model_path,
    entry_of,
    label,
)
from selfhost.render.times import DISK_BYTES_PER_S, Times, times

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.planner.plan import Plan

DIRECTORY = "directory"
"""The variant of a plain directory, which no recipe speaks for."""
DIRECTORIES = "/models"
"""Where such a directory is mounted in a container."""
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - inside a container's own network; what is published is said elsewhere
LOOPBACK = "127.0.0.1"
_ENGINE_IMAGES = {Platform.CUDA: "cuda", Platform.CPU: "cpu", Platform.ASCEND: "ascend"}
NGINX = Image(name="docker.io/library/nginx", tag="1.28-alpine", role="gateway")
"""The gateway's image where none is named; a tag, which the linter says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What a plan does not say."""

    store: str
    """`SELFHOST_HOME` on the machines."""
    name: str | None = None
    engine: Image | None = None
    """None: the image that `selfhost image build` makes for this engine."""
    gateway: Image | None = None
    address: str = "127.0.0.1"
    port: int = 8000
    model_sha256: str = ""
    disk_bytes_per_s: int = DISK_BYTES_PER_S
    engine_args: tuple[str, ...] = ()
    """What the user gave after `--`, without what the plan has taken as settings."""
    version: str = ""
    """selfhost's, the tag of images made here."""


def deploy(plan: Plan, choices: Choices) -> Deployment:
    """The deployment of a plan that has a command (`argv`)."""
    entry, when = entry_of(plan), times(plan.weight_bytes_total, choices.disk_bytes_per_s)
    gateway = (choices.gateway or NGINX) if entry is Entry.STOCK else None
    return Deployment(
        name=label(choices.name or plan.served_model_name),
        plan=plan,
        entry=entry,
        nodes=_stock_nodes(plan, when) if entry is Entry.STOCK else (_own_node(plan, choices, when),),
        engine=choices.engine or own_image(plan, choices.version),
        gateway=gateway,
        store=choices.store,
        model_sha256=choices.model_sha256,
        address=choices.address,
        port=choices.port,
        times=when,
    )


def own_image(plan: Plan, version: str) -> Image:
    """The image that `selfhost image build` makes for the plan's engine."""
    kind = _ENGINE_IMAGES[plan.hardware.device.platform or Platform.CUDA]
    return Image(name=f"localhost/selfhost-{kind}", tag=version)


def model_in_container(plan: Plan) -> str:
    """The path at which a stock engine opens the model in a container."""
    if plan.variant == DIRECTORY:
        return f"{DIRECTORIES}/{plan.model}"
    return container_model_path(plan.model, plan.variant)


def _own_node(plan: Plan, choices: Choices, when: Times) -> Node:
    """`selfhost serve` with the plan's settings written out, so that it makes this plan and no other."""
    layout, settings = plan.layout, plan.settings
    argv = ["selfhost", "serve"]
    argv += [model_in_container(plan)] if plan.variant == DIRECTORY else [plan.model, "--variant", plan.variant]
    argv += ["--offline", "--host", ANY_ADDRESS, "--port", str(ENGINE_PORT)]
    argv += ["--served-model-name", plan.served_model_name]
    argv += ["--tensor-parallel-size", str(layout.tensor_parallel_size)]
    argv += ["--pipeline-parallel-size", str(layout.pipeline_parallel_size)]
    argv += ["--data-parallel-size", str(layout.data_parallel_size)]
    if layout.enable_expert_parallel:
        argv += ["--enable-expert-parallel"]
    argv += ["--max-model-len", str(settings.max_model_len), "--max-num-seqs", str(settings.max_num_seqs)]
    argv += ["--max-num-batched-tokens", str(settings.max_num_batched_tokens)]
    argv += ["--gpu-memory-utilization", f"{settings.gpu_memory_utilization:g}"]
    argv += ["--kv-cache-dtype", settings.kv_cache_dtype]
    if settings.enforce_eager:
        argv += ["--enforce-eager"]
    after = list(choices.engine_args)
    if layout.decode_context_parallel_size > 1:
        after += ["--decode-context-parallel-size", str(layout.decode_context_parallel_size)]
    if after:
        argv += ["--", *after]
    return Node(number=0, argv=tuple(argv), env=_variables(plan.env, when) | {"SELFHOST_HOME": HOME})


def _stock_nodes(plan: Plan, when: Times) -> tuple[Node, ...]:
    commands = plan.node_argv or (plan.argv,)
    env = _variables(plan.env, when)
    return tuple(
        Node(number=number, argv=_stock(plan, argv, when, several=len(commands) > 1), env=env, headless=number > 0)
        for number, argv in enumerate(commands)
    )


def _stock(plan: Plan, argv: tuple[str, ...], when: Times, *, several: bool) -> tuple[str, ...]:
    command = list(argv)
    command[2] = model_in_container(plan)
    command[command.index("--host") + 1] = LOOPBACK
    command[command.index("--port") + 1] = str(ENGINE_PORT)
    if several and "--distributed-timeout-seconds" not in command:
        command += ["--distributed-timeout-seconds", str(when.distributed_s)]
    return tuple(command)


def _variables(planned: Mapping[str, str], when: Times) -> dict[str, str]:
    """The plan's variables for a container: it has no home directory, and sees only the devices it was given."""
    here = {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"}
    return {name: value for name, value in planned.items() if name not in here} | {
        "VLLM_ENGINE_READY_TIMEOUT_S": str(when.engine_ready_s),
        "VLLM_CACHE_ROOT": f"{CACHE}/vllm",
        "HOME": CACHE,
    }


def with_first_node(argv: tuple[str, ...], address: str) -> tuple[str, ...]:
    """A command with the address of the first node, as a target writes it, in the place of its stand-in."""
    return tuple(address if word == FIRST_NODE else word for word in argv)
