"""Plans beside servers that run, on eight simulated GPUs and on a host: what is taken, who is in the way."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from selfhost.app import allotment
from selfhost.app.model import resolve
from selfhost.app.plan import plan_model
from selfhost.hardware import catalog, probe_cpus
from selfhost.hardware.host import Cpu
from selfhost.hardware.spec import parse
from selfhost.hardware.types import Hardware
from selfhost.planner.allot import Holder
from selfhost.planner.plan import Goal, PlanRequest, Verdict
from selfhost.serve.resident import resident_bytes
from selfhost.units import GIB

VISIBLE = parse("8xH20").visible_memory_bytes
BUDGET = int(0.92 * VISIBLE)


def eight(*, used=(), **changes) -> Hardware:
    """used: device -> GiB that are taken of it."""
    taken = dict(used)
    free = tuple(VISIBLE - int(taken.get(index, 0) * GIB) for index in range(8))
    here = replace(parse("8xH20"), assumed=False, device_indices=tuple(range(8)), free_memory_bytes=free)
    return replace(here, **changes)


def serving(*held: Holder) -> Hardware:
    """Eight GPUs of which ready servers have taken what they were promised."""
    return eight(used={int(name): h.promised_bytes / GIB for h in held if not h.loading for name in h.devices})


def holder(server: str, *devices: int, promised: int = BUDGET, **more) -> Holder:
    return Holder(server=server, devices=tuple(map(str, devices)), promised_bytes=promised, **more)


def planned(model: str, hardware: Hardware, *holders: Holder, **request):
    found = resolve(model).to_plan()

    def make(on: Hardware, answer):
        return plan_model(found, on, PlanRequest(**request), with_remedies=answer)

    return allotment.plan_beside(make, hardware, holders)


def given(plan) -> str:
    return plan.env.get("CUDA_VISIBLE_DEVICES", "")


def test_alone_the_first_device_is_taken():
    made = planned("qwen2.5-7b", eight())
    assert (given(made), made.hardware.text) == ("0", "8xH20-96G")


def test_the_devices_of_others_are_left_to_them():
    held = (holder("a", 0), holder("b", 2, 3))
    made = planned("qwen2.5-7b", serving(*held), *held)
    assert (made.verdict, given(made)) == (Verdict.FITS, "1")
    assert "layout: TP=1, as few devices as it takes: 1 of 5" in made.reasons
    assert any(line.startswith("held: GPU 0 by server `a`") for line in made.reasons)
    assert made.blocked_by == ()
    two = planned("qwen2.5-72b", serving(*held), *held, tensor_parallel_size=2)
    assert given(two) == "4,5"


def test_a_server_that_is_still_loading_keeps_its_device():
    loading = holder("a", 0, loading=True, before_bytes=(0,))
    assert given(planned("qwen2.5-7b", eight(), loading)) == "1"


def test_a_device_that_somebody_else_uses_is_left_too():
    assert given(planned("qwen2.5-7b", eight(used={0: 60}))) == "1"


def test_for_throughput_the_rest_of_the_devices_is_all_there_is():
    held = (holder("a", *range(4)),)
    made = planned("qwen2.5-7b", serving(*held), *held, goal=Goal.THROUGHPUT)
    assert (made.fits, made.layout.world_size, given(made)) == (True, 4, "4,5,6,7")


def test_a_plan_that_needs_all_devices_says_which_server_to_stop():
    held = (holder("a", 5),)
    made = planned("deepseek-v3", serving(*held), *held)
    assert made.verdict is Verdict.DOES_NOT_FIT
    assert made.blocked_by == ("a",)
    assert "room: it would fit without the server `a`: `selfhost stop a`" in made.reasons
    assert any(reason.startswith("in use: ") and "servers of selfhost (a)" in reason for reason in made.reasons)


def test_of_several_servers_the_one_that_is_enough_is_named_else_all():
    held = (holder("a", 0), holder("b", *range(1, 5)))
    one = planned("qwen2.5-72b", serving(*held), *held, tensor_parallel_size=4)
    assert one.blocked_by == ("a",), "0, 5, 6 and 7 are free without it"
    both = planned("deepseek-v3", serving(*held), *held)
    assert both.blocked_by == ("a", "b")
    assert "room: it would fit without these servers: `selfhost stop a b`" in both.reasons


def test_where_no_server_is_in_the_way_none_is_blamed():
    held = (holder("a", 0),)
    made = planned("deepseek-v3", serving(*held), *held, max_model_len=16_000_000)
    assert (made.fits, made.blocked_by) == (False, ())


def test_two_small_ones_share_a_device_that_was_named():
    half = holder("a", 0, promised=VISIBLE // 2)
    named = replace(
        serving(half),
        devices_per_node=1,
        device_indices=(0,),
        free_memory_bytes=(VISIBLE // 2,),
        named=True,
    )
    made = planned("qwen2.5-7b", named, half, gpu_memory_utilization=0.4)
    assert (made.fits, given(made)) == (True, "0")
    whole = planned("qwen2.5-7b", named, half)
    assert (whole.fits, whole.blocked_by) == (False, ("a",))


def test_on_one_gpu_the_second_server_fits_beside_the_first_if_it_asks_for_less():
    half = holder("a", 0, promised=VISIBLE // 2)
    single = replace(eight(), devices_per_node=1, device_indices=(0,), free_memory_bytes=(VISIBLE // 2,))
    made = planned("qwen2.5-7b", single, half, gpu_memory_utilization=0.4)
    assert (made.fits, given(made)) == (True, "0")
    refused = planned("qwen2.5-7b", single, half)
    assert (refused.fits, refused.blocked_by) == (False, ("a",))
    assert any(remedy.change.startswith("--gpu-memory-utilization") for remedy in refused.remedies)


# On the host's CPU


@pytest.fixture
def cores(monkeypatch):
    """Two nodes of four cores."""
    monkeypatch.setattr(probe_cpus, "probe_cpus", lambda: [Cpu(n, n, n // 4) for n in range(8)])
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)


def host(gib: float = 32) -> Hardware:
    return Hardware(device=catalog.CPU, visible_memory_bytes=int(gib * GIB), assumed=False)


def on_cpu(server: str, gib: float, *, taken: float = 0, cpus=()) -> Holder:
    return Holder(server=server, promised_bytes=int(gib * GIB), taken_bytes=int(taken * GIB), cpus=tuple(cpus))


def test_a_second_server_gets_the_other_node(cores):
    made = planned("qwen2.5-0.5b", host(), on_cpu("a", 4, cpus=(0, 1, 2)))
    assert made.env["VLLM_CPU_OMP_THREADS_BIND"] == "4,5,6"
    assert "cores: bound to CPU 4-6, which no other server is bound to" in made.reasons
    assert allotment.facts_of(made)["cpus"] == (4, 5, 6)


def test_alone_the_engine_binds_as_it_likes(cores):
    made = planned("qwen2.5-0.5b", host())
    assert "VLLM_CPU_OMP_THREADS_BIND" not in made.env
    assert allotment.facts_of(made) == {
        "promised_bytes": made.memory.budget_bytes,
        "cpus": (0, 1, 2),
    }


def test_where_no_core_is_left_that_is_said(cores):
    made = planned("qwen2.5-0.5b", host(), on_cpu("a", 4, cpus=range(8)))
    assert "VLLM_CPU_OMP_THREADS_BIND" not in made.env
    assert any(line.startswith("cores: none is free of the threads of a;") for line in made.reasons)


def test_whoever_binds_threads_in_the_environment_is_left_alone(cores, monkeypatch):
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "1,3-4")
    made = planned("qwen2.5-0.5b", host(), on_cpu("a", 4, cpus=(0, 1, 2)))
    assert "VLLM_CPU_OMP_THREADS_BIND" not in made.env
    assert allotment.facts_of(made)["cpus"] == (1, 3, 4)


def test_cores_that_were_named_are_used(cores):
    made = planned("qwen2.5-0.5b", replace(host(), cpus=(0, 1), named=True), on_cpu("a", 4, cpus=(0, 1, 2)))
    assert made.env["VLLM_CPU_OMP_THREADS_BIND"] == "0,1"
    assert "cores: bound to CPU 0-1, as asked for" in made.reasons


def test_memory_that_is_promised_and_not_taken_is_not_promised_again(cores):
    """7 GiB of 8 are promised: what is left holds no model of a gigabyte with its context."""
    free = planned("qwen2.5-0.5b", host(8), on_cpu("a", 7, taken=7))
    assert free.fits
    made = planned("qwen2.5-0.5b", host(8), on_cpu("a", 7))
    assert (made.fits, made.blocked_by) == (False, ("a",))
    assert made.hardware.visible_memory_bytes == GIB
    nothing = planned("qwen2.5-0.5b", host(3), on_cpu("a", 7))
    assert (nothing.fits, nothing.hardware.visible_memory_bytes) == (False, 0)


def test_what_a_record_keeps_of_a_plan():
    made = planned("qwen2.5-72b", eight(used={0: 60, 2: 1}), tensor_parallel_size=2)
    assert allotment.facts_of(made) == {
        "devices": ("2", "3"),
        "promised_bytes": made.memory.budget_bytes,
        "before_bytes": (1 * GIB, 0),
    }


# Other devices


def test_npus_are_left_to_others_by_whichever_number_they_have():
    """In a container that sees cards 8 to 15, an engine counts them from 0."""
    found = parse("8x910B3")
    there = tuple(range(8, 16))
    npus = replace(
        found,
        assumed=False,
        device_indices=there,
        physical_ids=there,
        logical_ids=tuple(range(8)),
        free_memory_bytes=(),
    )
    held = holder("a", 8, promised=int(0.9 * found.visible_memory_bytes), loading=True)
    made = planned("qwen2.5-7b", npus, held, tensor_parallel_size=2)
    assert made.env["ASCEND_RT_VISIBLE_DEVICES"] == "2,3"
    assert allotment.facts_of(made)["devices"] == ("10", "11")
    assert allotment.facts_of(made)["promised_bytes"] >= made.memory.budget_bytes
    assert any(line.startswith("held: NPU 8 by server `a`, which is loading") for line in made.reasons)


def test_of_equal_slices_each_server_gets_one():
    slices = replace(
        parse("1xA100-PCIe-80G@19.3"),
        assumed=False,
        slice_uuids=("MIG-a", "MIG-b", "MIG-c"),
        free_memory_bytes=(int(19.3 * GIB),) * 3,
    )
    holders: list[Holder] = []
    for number in range(3):
        made = planned("qwen2.5-0.5b", slices, *holders)
        facts = allotment.facts_of(made)
        assert given(made) == slices.slice_uuids[number]
        assert facts["devices"] == (slices.slice_uuids[number],)
        holders.append(Holder(server=f"s{number}", loading=True, **facts))
    full = planned("qwen2.5-0.5b", slices, *holders)
    assert (full.fits, full.blocked_by) == (False, ("s0",))


def test_memory_that_processes_hold_is_measured():
    """What is allocated and touched counts, what is gone does not."""
    before = resident_bytes([os.getpid()])
    held = bytearray(os.urandom(1 << 20)) * 64
    grown = resident_bytes([os.getpid()]) - before
    assert 60 << 20 < grown < 96 << 20, len(held)
    assert resident_bytes([1 << 30]) == 0
    assert resident_bytes([]) == 0
