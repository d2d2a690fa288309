"""Plan -> command line and environment of vLLM 0.32, for the engines `vllm` (CUDA) and `vllm-cpu`.

Everything that decides memory, placement or reachability is written out: nothing is left to a default that depends on
the device. A server always reads a local directory, so the engine is told to stay off the network.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

from selfhost.engines import additional_config, owned
from selfhost.hardware.types import Platform
from selfhost.planner.layouts import DATA_PARALLEL_RPC_PORT, FIRST_NODE, MASTER_PORT, nodes_used

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from selfhost.engines.known import Known
    from selfhost.engines.owned import Option
    from selfhost.planner.plan import ModelToPlan, Plan, PlanRequest

SHUTDOWN_TIMEOUT_S = 10
"""Requests that run when a server is stopped may finish within this time; the engine's default cuts them off."""
NO_DOMAIN = "none.invalid"
"""Never resolves (RFC 2606): a request cannot make the server fetch media from another host."""

_BF16_CAPABILITY = (8, 0)


def command(
    plan: Plan,
    model: ModelToPlan,
    request: PlanRequest,
    known: Known,
    options: Iterable[tuple[str, ...]] | None = None,
) -> tuple[str, ...]:
    """`vllm serve ...` for a plan; the request's own options come last and replace those of the recipe.

    `--additional-config` of all of them is joined, for an engine whose keys of it are known.

    options: those of the plan itself, where another engine has others than `own`. The request's engine options must
    have been read with `owned.absorb`. Raises UsageError for an option of the recipe that the engine does not have or
    that selfhost owns.
    """
    further = [*itertools.chain(*engine_options(model, request, known))]
    taken = {option.flag.name for option in further}
    argv, replaced = ["vllm", "serve", plan.model_path], {}
    for name, *values in own(plan, model) if options is None else options:
        if name not in taken:
            argv += [name, *values]
        else:
            replaced[name] = values
    return (*argv, *itertools.chain.from_iterable(option.tokens for option in _joined(further, replaced, known)))


def _joined(further: list[Option], replaced: Mapping[str, list[str]], known: Known) -> list[Option]:
    """Options with one `--additional-config` for all: the plan's, under the recipe's, under the request's.

    The engine would take the last one alone. A single one stays as it was written, as does that of an engine whose keys
    are not known.
    """
    flag = additional_config.FLAG
    given = [option for option in further if option.flag.name == flag]
    if known.additional_config is None or len(given) + (flag in replaced) < 2:  # noqa: PLR2004 - something to join
        return further
    value = additional_config.read(flag, replaced.get(flag, ["{}"]))
    for option in given:
        more = additional_config.read(option.given, option.values)
        value = additional_config.joined(value, more, extend=option.given.endswith("+"))
    text = json.dumps(value, separators=(",", ":"))
    last = given[-1]._replace(given=flag, tokens=(flag, text), values=(text,))
    return [*(option for option in further if option.flag.name != flag), last]


def engine_options(model: ModelToPlan, request: PlanRequest, known: Known) -> tuple[list[Option], list[Option]]:
    """Options of the recipe that the request does not replace, and the request's own; `command` joins objects of both.

    Raises UsageError as `owned.parse` does.
    """
    given = owned.parse(request.engine_args, known)
    taken = {option.flag.name for option in given}
    if known.additional_config is not None:
        taken.discard(additional_config.FLAG)
    recipe = [option for option in owned.parse(model.engine_args, known) if option.flag.name not in taken]
    return recipe, given


def own(plan: Plan, model: ModelToPlan) -> Iterator[tuple[str, ...]]:
    """The options of the plan itself."""
    layout, settings = plan.layout, plan.settings
    yield "--served-model-name", plan.served_model_name
    yield "--host", plan.host
    yield "--port", str(plan.port)
    yield "--tensor-parallel-size", str(layout.tensor_parallel_size)
    yield "--pipeline-parallel-size", str(layout.pipeline_parallel_size)
    yield "--data-parallel-size", str(layout.data_parallel_size)
    if layout.decode_context_parallel_size > 1:
        yield "--decode-context-parallel-size", str(layout.decode_context_parallel_size)
    if layout.enable_expert_parallel:
        yield ("--enable-expert-parallel",)
    yield from _nodes(plan)
    yield "--dtype", dtype(plan, model)
    if model.in_flight and model.arch.quantization is not None:
        # Of quantized files the engine knows it by their config.
        yield "--quantization", model.arch.quantization.method
    yield "--max-model-len", str(settings.max_model_len)
    yield "--max-num-seqs", str(settings.max_num_seqs)
    yield "--max-num-batched-tokens", str(settings.max_num_batched_tokens)
    yield "--gpu-memory-utilization", f"{settings.gpu_memory_utilization:g}"
    yield "--kv-cache-dtype", settings.kv_cache_dtype
    if plan.hardware.device.platform is Platform.CPU:
        # In bytes: the variable VLLM_CPU_KVCACHE_SPACE knows whole GiB only, and would override this.
        yield "--kv-cache-memory-bytes", str(max(plan.memory.kv_cache_bytes, plan.request_bytes))
        if layout.pipeline_parallel_size > 1:
            # Pipeline stages fail under --enforce-eager (no warm-up, so no intermediate tensors), and the default
            # compiler gives wrong text in bfloat16: trace once, run eagerly.
            yield "--compilation-config", '{"mode":1,"backend":"eager"}'
    if settings.enforce_eager:
        yield ("--enforce-eager",)
    yield "--allowed-media-domains", NO_DOMAIN
    # The page loads its scripts from a content delivery network, and the gate would not let it through anyway.
    yield ("--disable-fastapi-docs",)
    yield "--shutdown-timeout", str(SHUTDOWN_TIMEOUT_S)


def drain_s(argv: Sequence[str]) -> int:
    """Seconds that running requests get to finish: what a command says, in any spelling the engine takes.

    >>> (
    ...     drain_s(["vllm", "serve", "/m", "--shutdown-timeout", "10", "--shutdown_timeout=60"]),
    ...     drain_s(["vllm", "serve"]),
    ... )
    (60, 0)
    """
    found = "0"
    for word, following in itertools.pairwise([*argv, "0"]):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == "--shutdown-timeout":
            found = value if equals else following
    try:
        return int(found)
    except ValueError:  # the engine says what is wrong with it
        return 0


def _nodes(plan: Plan) -> Iterator[tuple[str, ...]]:
    """How the first node finds the others; nothing on a single one.

    Ranks of one engine over several nodes are started with `--nnodes`. Engines of data parallelism are told how many of
    them are here and where the first node waits for the others (vLLM 0.32 v1/engine/utils.py `launch_core_engines`).
    """
    engines, nodes = plan.layout.data_parallel_size, nodes_used(plan.hardware, plan.layout)
    if nodes == 1:
        return
    if engines > 1:
        yield "--data-parallel-size-local", str(engines // nodes)
        yield "--data-parallel-address", FIRST_NODE
        yield "--data-parallel-rpc-port", str(DATA_PARALLEL_RPC_PORT)
        return
    yield "--nnodes", str(nodes)
    yield "--node-rank", "0"
    yield "--master-addr", FIRST_NODE
    yield "--master-port", str(MASTER_PORT)


def commands_of_nodes(plan: Plan) -> tuple[tuple[str, ...], ...]:
    """The command of each node of a plan with its `argv`; empty for a plan on a single one.

    All but the first are headless: they serve no requests of their own (entrypoints/cli/serve.py `run_headless`).
    """
    engines, nodes = plan.layout.data_parallel_size, nodes_used(plan.hardware, plan.layout)
    if nodes == 1 or not plan.argv:
        return ()
    found = [plan.argv]
    for node in range(1, nodes):
        argv = list(plan.argv)
        if engines > 1:
            argv += ["--data-parallel-start-rank", str(engines // nodes * node)]
        else:
            argv[argv.index("--node-rank") + 1] = str(node)
        found.append((*argv, "--headless"))
    return tuple(found)


def dtype(plan: Plan, model: ModelToPlan) -> str:
    """The dtype of weights and activations: the checkpoint's, but float16 on GPUs without bfloat16.

    The engine itself would refuse bfloat16 below compute capability 8.0 (config/model.py `_check_valid_dtype`).
    """
    capability = plan.hardware.device.compute_capability
    wanted = model.arch.torch_dtype
    old = capability is not None and capability < _BF16_CAPABILITY
    return "float16" if old and wanted == "bfloat16" else wanted


def environment(plan: Plan) -> dict[str, str]:
    """Variables the engine is started with, beside those of `owned.VARIABLES` that are left out."""
    values = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
    }
    if nodes_used(plan.hardware, plan.layout) == 1:
        # Otherwise the engine finds its own address by a connection to a public name server.
        values["VLLM_HOST_IP"] = "127.0.0.1"
    if names := plan.hardware.device_names[: plan.layout.world_size]:
        # Otherwise the engine takes the first it sees, which may be of another kind than those that were planned for.
        values["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        values["CUDA_VISIBLE_DEVICES"] = ",".join(names)
    if plan.hardware.device.platform is Platform.CPU and (binding := _binding(plan)):
        values[BINDING] = binding
    return values


BINDING = "VLLM_CPU_OMP_THREADS_BIND"
"""Which CPUs the threads of each rank are bound to; `auto`: a NUMA node for each, `nobind`: none."""


def _binding(plan: Plan) -> str:
    """As many CPUs for each rank of those that are its own; empty leaves it to the engine."""
    ranks = plan.layout.tensor_parallel_size * plan.layout.pipeline_parallel_size
    cpus, each = plan.hardware.cpus, len(plan.hardware.cpus) // ranks
    if each and plan.layout.data_parallel_size == 1:
        return "|".join(",".join(map(str, cpus[rank * each : (rank + 1) * each])) for rank in range(ranks))
    # The engine binds one rank per NUMA node and refuses more ranks than nodes; unbound, any number starts.
    return "nobind" if ranks > 1 else ""
