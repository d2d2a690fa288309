"""Plan -> deployment: commands as they run in containers, environment, times."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from selfhost.engines import patience as waiting
from selfhost.engines import vllm
from selfhost.engines.ascend_variables import VISIBLE
from selfhost.engines.patience import DISK_BYTES_PER_S
from selfhost.hardware.types import Platform
from selfhost.images import kinds
from selfhost.planner.layouts import FIRST_NODE
from selfhost.records import dataclass
from selfhost.render import cards
from selfhost.render.deployment import (
    CACHE,
    ENGINE_PORT,
    HOME,
    INTERFACE,
    MODELS,
    SECOND_ENGINE_PORT,
    THIS_NODE,
    Deployment,
    Entry,
    Image,
    Node,
    entry_of,
    label,
)
from selfhost.render.kubernetes import Kubernetes
from selfhost.render.places import IMAGE, IN_IMAGE, directory_mount
from selfhost.render.templates import IN_CONTAINER, with_template
from selfhost.render.times import Times, times

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.planner.plan import Plan

DIRECTORY = "directory"
"""The variant of a plain directory, which no recipe speaks for."""
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - inside a container's own network; what is published is said elsewhere
LOOPBACK = "127.0.0.1"
_ENGINE_IMAGES = {Platform.CUDA: kinds.CUDA, Platform.CPU: kinds.CPU, Platform.ASCEND: kinds.ASCEND}
_DISTRIBUTED = "--distributed-timeout-seconds"
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
    recipe: str = ""
    """Text of the user's own recipe; empty for a built-in one."""
    chat_template: str = ""
    """Text of the file that the plan's `--chat-template` names, where it is one of this machine."""
    research_only: bool = False
    directory: str = ""
    """A model that is a plain directory: where it lies on the machines; empty: as here."""
    stored: str = ""
    """Of a model without a recipe that the store has: its place below `models/`. Its files are links into the store."""
    kubernetes: Kubernetes = field(default_factory=Kubernetes)


def deploy(plan: Plan, choices: Choices) -> Deployment:
    """The deployment of a plan that has a command (`argv`)."""
    entry = entry_of(plan)
    when = times(plan.weight_bytes_total, choices.disk_bytes_per_s, drain_s=vllm.drain_s(plan.argv))
    own, stored = entry is Entry.SELFHOST, not choices.kubernetes.image
    return Deployment(
        name=label(choices.name or plan.served_model_name),
        plan=plan,
        entry=entry,
        nodes=(_own_node(plan, choices, when),) if own else _stock_nodes(plan, choices, when),
        engine=choices.engine or own_image(plan, choices.version),
        gateway=None if own else choices.gateway or NGINX,
        store=choices.store,
        stored=stored_of(plan, choices),
        model_sha256=choices.model_sha256 if stored else "",
        address=choices.address,
        port=choices.port,
        times=when,
        directory=directory_of(plan, choices),
        # What is opened as a directory is started without its recipe, whose options stand in the command.
        recipe=choices.recipe if own and stored else "",
        chat_template=choices.chat_template,
        research_only=choices.research_only and own and stored,
        kubernetes=choices.kubernetes,
        host_network=len(plan.node_argv) > 1,
    )


def directory_of(plan: Plan, choices: Choices) -> str:
    """Where a model that is a plain directory lies on the machines; empty for one of the store, or in an image."""
    plain = plan.variant == DIRECTORY and not choices.stored and not choices.kubernetes.image
    return (choices.directory or plan.model_path) if plain else ""


def stored_of(plan: Plan, choices: Choices) -> str:
    """Where a model of the store lies below its `models/`."""
    return choices.stored or f"{plan.model}/{plan.variant}"


def own_image(plan: Plan, version: str) -> Image:
    """The image that `selfhost image build` makes for the plan's engine."""
    kind = _ENGINE_IMAGES[plan.hardware.device.platform or Platform.CUDA]
    return Image(name=kind.repository, tag=version)


def model_in_container(plan: Plan, choices: Choices) -> str:
    """The path at which an engine opens the model in a container."""
    if choices.kubernetes.image:
        return f"{IMAGE}/{IN_IMAGE}"
    directory = directory_of(plan, choices)
    return directory_mount(directory).path if directory else f"{MODELS}/{stored_of(plan, choices)}"


def _own_node(plan: Plan, choices: Choices, when: Times) -> Node:
    """`selfhost serve` with the plan's settings written out, so that it makes this plan and no other."""
    layout, settings = plan.layout, plan.settings
    argv = ["selfhost", "serve"]
    opened = plan.variant == DIRECTORY or choices.kubernetes.image
    argv += [model_in_container(plan, choices)] if opened else [plan.model, "--variant", plan.variant]
    if choices.kubernetes.image:
        # Else the server is called as the directory is: `models`, like that of every other image.
        argv += ["--name", label(choices.name or plan.served_model_name)]
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
    if not plan.fits:
        # It was asked for when this was rendered; `serve` would refuse the plan as well.
        argv += ["--force"]
    after = [*_with_template(choices, choices.engine_args)]
    if layout.decode_context_parallel_size > 1:
        after += ["--decode-context-parallel-size", str(layout.decode_context_parallel_size)]
    if after:
        argv += ["--", *after]
    return Node(number=0, argv=tuple(argv), env=_variables(plan.env, when) | {"SELFHOST_HOME": HOME})


def _stock_nodes(plan: Plan, choices: Choices, when: Times) -> tuple[Node, ...]:
    commands = plan.node_argv or (plan.argv,)
    several = len(commands) > 1
    env = _variables(plan.env, when) | (between_nodes(plan) if several else {}) | _of_whole_cards(plan, len(commands))
    port = SECOND_ENGINE_PORT if several and choices.port == ENGINE_PORT else ENGINE_PORT
    return tuple(
        Node(
            number=number,
            argv=_with_template(choices, _stock(plan, argv, model_in_container(plan, choices), port, when)),
            env=env,
            headless=number > 0,
        )
        for number, argv in enumerate(commands)
    )


def _of_whole_cards(plan: Plan, nodes: int) -> dict[str, str]:
    """Which devices of a container the engine uses, where it gets more than those: both dies of a card of A3."""
    used = cards.used(plan, nodes)
    given = cards.whole(plan, used)
    return {} if given == used else {VISIBLE: ",".join(str(given.index(device)) for device in used)}


def _with_template(choices: Choices, argv: tuple[str, ...]) -> tuple[str, ...]:
    return with_template(argv, IN_CONTAINER) if choices.chat_template else argv


def _stock(plan: Plan, argv: tuple[str, ...], model: str, port: int, when: Times) -> tuple[str, ...]:
    command = [*argv[:2], model, *argv[3:]]
    command[command.index("--host") + 1] = LOOPBACK
    command[command.index("--port") + 1] = str(port)
    return (*command, *patience(plan, when))


def patience(plan: Plan, when: Times) -> tuple[str, ...]:
    """An option for the commands of several nodes: how long the first waits for the others, unless the user said so."""
    names = {word.partition("=")[0].replace("_", "-") for word in plan.argv}
    if not plan.node_argv or _DISTRIBUTED in names:
        return ()
    return (_DISTRIBUTED, str(when.distributed_s))


def _variables(planned: Mapping[str, str], when: Times) -> dict[str, str]:
    """The plan's variables for a container: it has no home directory, and sees only the devices it was given."""
    here = {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", VISIBLE}
    limits = waiting.hccl(when.engine_ready_s)
    kept = {name: limits.get(name, value) for name, value in planned.items() if name not in here}
    return kept | {
        "VLLM_ENGINE_READY_TIMEOUT_S": str(when.engine_ready_s),
        "VLLM_CACHE_ROOT": f"{CACHE}/vllm",
        "HOME": CACHE,
        # Any uid may run it, also one without a name, which `getpass.getuser` would fail on (vllm-ascend#9490).
        "USER": "selfhost",
    }


def between_nodes(plan: Plan) -> dict[str, str]:
    """How nodes find each other: without both, gloo times out or hangs, as it takes the first interface it finds.

    Source: vllm-ascend docs, tutorials of several nodes; vLLM docs/serving/parallelism_scaling.md.
    """
    ascend = plan.hardware.device.platform is Platform.ASCEND
    of_kind = ("HCCL_SOCKET_IFNAME", "TP_SOCKET_IFNAME") if ascend else ("NCCL_SOCKET_IFNAME",)
    address = {"VLLM_HOST_IP": THIS_NODE} | ({"HCCL_IF_IP": THIS_NODE} if ascend else {})
    return address | dict.fromkeys(("GLOO_SOCKET_IFNAME", *of_kind), INTERFACE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What stands in files where addresses of the machines belong: `${...}` of compose, `$(...)` of Kubernetes."""

    first_node: str
    this_node: str
    interface: str


def at_site(node: Node, site: Site) -> Node:
    """A node with what a target writes in the place of the stand-ins."""
    env = {THIS_NODE: site.this_node, INTERFACE: site.interface}
    return replace(
        node,
        argv=tuple(site.first_node if word == FIRST_NODE else word for word in node.argv),
        env={name: env.get(value, value) for name, value in node.env.items()},
    )
