"""A measured boot against its plan: what is predicted, what was logged, and how far apart they are."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from selfhost.app.plan import plan_model
from selfhost.engines.speculative import CONFIG
from selfhost.errors import SelfhostError
from selfhost.hardware import catalog
from selfhost.hardware.types import Hardware
from selfhost.models.checkpoint import checkpoint_bytes
from selfhost.models.tensors import rank_weights
from selfhost.planner.plan import ModelToPlan, PlanRequest, Verdict
from selfhost.units import GIB, MIB
from tests.bench.fit_cases import CHECKS, Left, Reason, arch_of, entry_of
from tests.bench.fit_engines import ascend_line, default_batch, is_hybrid, line_of, sampler_peak, sampler_state
from tests.bench.fit_rows import KV, Pair, Row
from tests.bench.fit_rules import RULES, Question

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch
    from selfhost.planner.plan import Plan
    from tests.bench.fit_cases import Case
    from tests.bench.fit_engines import Line
    from tests.bench.fit_rules import Answer

PINNED = (0, 32, 0)
COUNTED_BY_REQUEST = (0, 20, 0)


def compare(case: Case) -> Row:
    """The row of a case."""
    left = {check: why for check in CHECKS if (why := case.left_out(check))}
    if "all" in case.left:
        return Row(case=case, left={"all": case.left["all"]})
    arch = arch_of(case)
    if isinstance(arch, Left):
        return Row(case=case, left={"all": arch})
    if case.device is None and {"kv", "verdict"} - set(left):
        return Row(case=case, left={"all": Left(reason=Reason.SETTINGS_UNKNOWN, why="the device is not named")})
    setup = _setup(case, arch)
    plan = _plan(case, arch, setup)
    if isinstance(plan, Left):
        return Row(case=case, left={"all": plan})
    return _filled(case, arch, setup, plan, left)


class Setup(NamedTuple):
    """Hardware and request of a row, with what was assumed."""

    line: Line
    hardware: Hardware
    request: PlanRequest
    assumed: tuple[str, ...]


def _setup(case: Case, arch: ModelArch) -> Setup:
    # A row that is compared by weights and rate alone can be planned anywhere: the one of them whose kernels pad or
    # repack names an Orin, of A100's generation.
    device = case.device or catalog.lookup("A100-80G")
    version = case.version or PINNED
    line = ascend_line(version) if case.on_ascend else line_of(version, arch, device)
    told = case.settings
    visible = case.visible_gib or (device.visible_memory_bytes or 0) / GIB
    length = told.get("max_model_len", arch.max_position_embeddings)
    batched, seqs = default_batch(line, device, visible, length)
    defaults = {
        "gpu_memory_utilization": line.utilization,
        "max_model_len": length,
        "max_num_batched_tokens": batched,
        "max_num_seqs": seqs,
    }
    settings = {name: told.get(name, value) for name, value in defaults.items()}
    settings["max_num_seqs"] = min(settings["max_num_seqs"], settings["max_num_batched_tokens"])
    assumed = [f"{name}={settings[name]}" for name in defaults if name not in told]
    if case.visible_gib is None and case.device:
        assumed.append(f"memory={visible:.2f} GiB")
    if case.version is None:
        assumed.append("engine=0.32")
    count = case.device_count or 1
    nodes = max(1, count // 8)
    hardware = Hardware(
        device=device, nodes=nodes, devices_per_node=count // nodes, visible_memory_bytes=int(visible * GIB)
    )
    request = PlanRequest(
        tensor_parallel_size=case.layout.get("tensor_parallel_size", 1),
        pipeline_parallel_size=case.layout.get("pipeline_parallel_size", 1),
        data_parallel_size=case.layout.get("data_parallel_size", 1),
        enable_expert_parallel=case.layout.get("enable_expert_parallel", False),
        kv_cache_dtype=told.get("kv_cache_dtype"),
        enforce_eager=told.get("enforce_eager"),
        engine_args=(CONFIG, json.dumps(told["speculative"])) if "speculative" in told else (),
        **settings,
    )
    return Setup(line, hardware, request, tuple(assumed))


def _plan(case: Case, arch: ModelArch, setup: Setup) -> Plan | Left:
    model = ModelToPlan(
        name=case.model or case.id,
        variant="directory",
        arch=arch,
        model_path="/models/m",
        served_model_name="m",
        max_model_len=setup.request.max_model_len or arch.max_position_embeddings,
    )
    try:
        plan = plan_model(model, setup.hardware, setup.request, with_remedies=False)
    except SelfhostError as error:
        return Left(reason=Reason.NOT_PLANNED, why=str(error).splitlines()[0])
    if plan.verdict is Verdict.UNSUPPORTED or not plan.memory.budget_bytes:
        return Left(reason=Reason.NOT_PLANNED, why=plan.reasons[0])
    return plan


def _filled(case: Case, arch: ModelArch, setup: Setup, plan: Plan, left: dict[str, Left]) -> Row:
    line, measured = setup.line, case.measured
    terms, shift = adapted(plan, arch, line)
    likely, low, high = (
        (value + shift) / GIB
        for value in (plan.memory.kv_cache_bytes, plan.memory.kv_cache_bytes_low, plan.memory.kv_cache_bytes_high)
    )
    counted_otherwise = is_hybrid(arch) and case.version is not None and case.version < (0, 20, 0)
    if counted_otherwise and "rate" not in left:
        left["rate"] = Left(reason=Reason.OLD_HYBRID_COUNT, why="tokens of a hybrid model, counted as before 0.20")
    blocks = None if {"rate", "blocks"} & left.keys() else blocks_of(case, plan)
    kv = None
    if "kv" not in left and "kv_gib" in measured:
        kv = KV(low, likely, high, measured["kv_gib"], plan.memory.budget_bytes / GIB)
    verdict = None
    if "verdict" not in left and case.fits is not None:
        # The memory of the older engine against one request, as the plan holds its own against it.
        fits = (likely * GIB >= plan.request_bytes) and plan.memory.weight_bytes < setup.hardware.visible_memory_bytes
        verdict = (fits, case.fits)
    weights = None
    if "weights" not in left and "weights_gib" in measured:
        weights = Pair(terms["weights"] / GIB, measured["weights_gib"])
    rate = None if "rate" in left else rate_of(case, arch, setup, plan)
    tokens = None
    if kv and kv.likely > 0 and rate and "kv_tokens" in measured:
        tokens = Pair(likely * GIB / rate.predicted, measured["kv_tokens"])
    return Row(
        case=case,
        left=left,
        line=line,
        assumed=setup.assumed if kv or verdict else (),
        weights=weights,
        rate=rate,
        kv=kv,
        tokens=tokens,
        blocks=blocks,
        verdict=verdict,
        terms={name: value / GIB for name, value in terms.items()},
        rules=_rules(case, arch, setup),
    )


def adapted(plan: Plan, arch: ModelArch, line: Line) -> tuple[dict[str, int], int]:
    """Terms of the plan as the older engine has them, and by how much its KV cache is larger than the plan's."""
    memory, settings = plan.memory, plan.settings
    buffers, activation, graphs = memory.buffer_bytes, memory.activation_bytes, memory.cudagraph_bytes
    if not line.counts_state:
        buffers = max(0, buffers - sampler_state(arch, settings.max_num_seqs))
    if line.sampler_bytes_per_logit:
        peak = sampler_peak(
            line,
            arch,
            max_num_seqs=settings.max_num_seqs,
            max_num_batched_tokens=settings.max_num_batched_tokens,
        )
        activation = max(activation, peak)
    if not line.estimates_graphs:
        graphs = 0
    rounding = 0 if line.rounds_weights else _rounding(plan, arch)
    terms = {
        "budget": memory.budget_bytes,
        "weights": memory.weight_bytes - rounding,
        "buffers": buffers,
        "activation": activation,
        "non_torch": memory.non_torch_bytes,
        "graphs": graphs,
    }
    before = memory.buffer_bytes + memory.activation_bytes + memory.cudagraph_bytes
    return terms, before - (buffers + activation + graphs) + rounding


def _rounding(plan: Plan, arch: ModelArch) -> int:
    """How much less the older allocator adds to the weights of a rank; of its first stage, all rows having one.

    Any tensor from 10 MiB takes whole segments of 2 MiB; what is over goes to others when it is more than 1 MiB, and is
    lost when not (c10/cuda/CUDACachingAllocator.cpp `should_split`). Since 0.21 nothing is split off from 20 MiB on.
    Check: Qwen2.5-1.5B on one GPU, 54 - 52.5 and 28 - 26.25 MiB in 28 layers -> 91 MiB (logged by 0.7: 2.8884 GiB).
    """
    layout = plan.layout
    weights = rank_weights(
        arch,
        tp=layout.tensor_parallel_size,
        pp=layout.pipeline_parallel_size,
        dp=layout.data_parallel_size,
        ep=layout.enable_expert_parallel,
    )
    rests = [(x.count, -x.bytes_each % (2 * MIB)) for x in weights.groups if x.bytes_each >= 10 * MIB]
    lost = sum(count * rest for count, rest in rests if rest <= MIB)
    return weights.rounding_bytes - lost


def rate_of(case: Case, arch: ModelArch, setup: Setup, plan: Plan) -> Pair | None:
    """Bytes of KV cache per token, from the same memory: what was logged, in the planner's tokens and in the engine's.

    The planner is asked again with as much device memory as makes its KV cache the logged one, so that blocks, states
    of fixed size and the engine's way of counting all have their part. A row that logs what one request needs is
    compared by that.
    """
    measured, length = case.measured, plan.settings.max_model_len
    if "request_gib" in measured:
        # One block more is kept back; it is not part of what the engine says.
        spare = plan.kv_cache.block_size * plan.kv_cache.bytes_per_token
        return Pair((plan.request_bytes - spare) / length, measured["request_gib"] * GIB / length)
    logged = _logged_tokens(case)
    if logged is None or measured.get("kv_gib", 0) <= 0:
        return None
    size = int(measured["kv_gib"] * GIB)
    more = math.ceil((size - plan.memory.kv_cache_bytes) / plan.settings.gpu_memory_utilization)
    visible = setup.hardware.visible_memory_bytes + more
    again = _plan(case, arch, setup._replace(hardware=replace(setup.hardware, visible_memory_bytes=visible)))
    if isinstance(again, Left) or not again.kv_cache.tokens:
        return None
    return Pair(size / again.kv_cache.tokens, size / logged)


def blocks_of(case: Case, plan: Plan) -> Pair | None:
    """The tokens that the nearest whole number of blocks makes, and those logged; without the memory they are of.

    The engine logs blocks / blocks of a request * max_model_len, cut to a whole number. So one figure tells whether
    a request takes as many blocks as planned, states and drafted tokens included: with others it is hardly ever met.
    Since 0.20, where the length is told.
    Check: 619,479 tokens of 262,144 are 423 blocks with 179 for a request.
    """
    measured, length = case.measured.get("kv_tokens"), case.settings.get("max_model_len")
    each = plan.kv_cache.blocks_per_request
    if measured is None or length is None or (case.version or PINNED) < COUNTED_BY_REQUEST:
        return None
    return Pair(int(round(measured * each / length) / each * length), measured)


def _logged_tokens(case: Case) -> float | None:
    measured = case.measured
    if "kv_tokens" in measured:
        return float(measured["kv_tokens"])
    if "gpu_blocks" in measured:
        return float(measured["gpu_blocks"] * case.settings.get("block_size", 16))
    if "max_concurrency" in measured:
        return float(measured["max_concurrency"] * case.settings["max_model_len"])
    return None


def _rules(case: Case, arch: ModelArch, setup: Setup) -> dict[str, Answer]:
    entry = entry_of(case)
    assert entry is not None, "planned without a config"
    if case.quantization is not None:
        entry = {**entry, "checkpoint_bytes": checkpoint_bytes(arch)}
    question = Question(
        arch=arch,
        entry=entry,
        visible_bytes=setup.hardware.visible_memory_bytes,
        devices=setup.hardware.device_count,
        utilization=case.settings.get("gpu_memory_utilization", 0.9),
        max_model_len=setup.request.max_model_len or arch.max_position_embeddings,
        kv_cache_dtype=setup.request.kv_cache_dtype,
    )
    return {name: rule(question) for name, rule in RULES.items()}
