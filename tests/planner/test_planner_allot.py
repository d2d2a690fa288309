"""What running servers leave: eight GPUs, slices, hosts; each rule with its worked numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.errors import UsageError
from selfhost.hardware import catalog
from selfhost.hardware.host import Cpu
from selfhost.hardware.spec import parse
from selfhost.hardware.types import Hardware
from selfhost.planner import allot
from selfhost.planner.allot import Holder
from selfhost.units import GIB

H20 = parse("8xH20")


def eight(*used: float, **changes) -> Hardware:
    """Eight H20 of this machine; used: GiB that detection found taken of the first ones."""
    visible = H20.visible_memory_bytes
    free = tuple(visible - int(gib * GIB) for gib in (*used, *[0] * (8 - len(used))))
    here = replace(H20, assumed=False, device_indices=tuple(range(8)), free_memory_bytes=free)
    return replace(here, **changes)


def holder(server: str, *devices: int, gib: float = 80, **more) -> Holder:
    return Holder(server=server, devices=tuple(map(str, devices)), promised_bytes=int(gib * GIB), **more)


def free_gib(hardware: Hardware) -> list[float]:
    return [round((left - H20.visible_memory_bytes) / GIB, 1) + 0 for left in hardware.free_memory_bytes]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("0", ("0",)),
        ("0,2-4", ("0", "2", "3", "4")),
        (" 3 , 1", ("3", "1")),
        ("007", ("7",)),
        ("MIG-d771d938-b556-4f9d-b742-2dd26b864023", ("MIG-d771d938-b556-4f9d-b742-2dd26b864023",)),
        ("GPU-00000000-67d0,1", ("GPU-00000000-67d0", "1")),
    ],
)
def test_devices_are_numbers_ranges_and_uuids(given, names):
    assert allot.parse_devices(given) == names


@pytest.mark.parametrize("given", ["", "0,", "-1", "a", "0x1", "4-2", "0-99999", "GPU-", "GPU-a b", "\u0661", "0;1"])
def test_anything_else_is_refused(given):
    with pytest.raises(UsageError) as caught:
        allot.parse_devices(given)
    assert caught.value.message.id == "allot.malformed"
    assert caught.value.message.why


@pytest.mark.parametrize("given", ["0,0", "0-3,2", "01,1"])
def test_a_device_is_named_once(given):
    with pytest.raises(UsageError) as caught:
        allot.parse_devices(given)
    assert caught.value.message.id == "allot.twice"


# Memory


def test_of_a_server_that_is_ready_detection_has_seen_everything():
    shared = allot.share(eight(80.5), [holder("a", 0)])
    assert free_gib(shared)[:2] == [-80.5, 0]
    assert shared.held_by == ("a", *[""] * 7)


@pytest.mark.parametrize(
    ("case", "before", "promised", "taken"),
    [
        ("nothing taken yet", 0, 32, 0),
        ("some taken", 0, 32, 20),
        ("all taken, and a little more", 0, 32, 33),
        ("beside others", 10, 32, 0),
        ("beside others, some taken", 10, 32, 20),
    ],
)
def test_of_a_server_that_loads_its_promise_counts(case, before, promised, taken):
    """10 GiB are others', 32 are promised, 20 of that are taken (30 used): 42 will be used, not 30 and not 62."""
    loading = holder("a", 0, gib=promised, loading=True, before_bytes=(before * GIB,))
    shared = allot.share(eight(before + taken), [loading])
    assert free_gib(shared)[0] == -(before + max(promised, taken)), case


def test_two_that_load_on_one_device_are_counted_once_each():
    first = holder("a", 0, gib=30, loading=True, before_bytes=(5 * GIB,))
    second = holder("b", 0, gib=20, loading=True, before_bytes=(15 * GIB,))
    shared = allot.share(eight(25), [first, second])
    assert free_gib(shared)[0] == -55
    assert shared.held_by[0] == "a, b"


def test_one_that_is_ready_counts_again_while_another_loads():
    """Which of the two took what is used cannot be told."""
    ready = holder("a", 0, gib=30, before_bytes=(0,))
    loading = holder("b", 0, gib=20, loading=True, before_bytes=(31 * GIB,))
    assert free_gib(allot.share(eight(31), [ready, loading]))[0] == -50


def test_what_a_stopped_server_has_comes_back():
    shared = allot.share(eight(80, 80), [holder("a", 0), holder("b", 1)], stopped=["a"])
    assert free_gib(shared)[:3] == [0, -80, 0]
    assert shared.held_by[:2] == ("", "b")


def test_servers_elsewhere_change_nothing():
    here = eight(1)
    assert allot.share(here, [Holder(server="cpu", promised_bytes=9 * GIB), holder("x", 9)]) is here


def cpu(gib: float) -> Hardware:
    return Hardware(device=catalog.CPU, visible_memory_bytes=int(gib * GIB), assumed=False)


def test_on_a_cpu_what_was_promised_and_is_not_taken_counts():
    one = Holder(server="a", promised_bytes=6 * GIB, taken_bytes=2 * GIB)
    other = Holder(server="b", promised_bytes=1 * GIB, taken_bytes=3 * GIB)
    shared = allot.share(cpu(16), [one, other, holder("gpu", 0)])
    assert shared.visible_memory_bytes == 12 * GIB
    assert shared.held_by == ("a, b",)
    assert allot.share(cpu(16), [one], stopped=["a"]).visible_memory_bytes == 18 * GIB
    assert allot.share(cpu(3), [one]).visible_memory_bytes == 0
    bare = cpu(3)
    assert allot.share(bare, [holder("gpu", 0)]) is bare


@given(
    st.lists(
        st.builds(
            holder,
            st.sampled_from("abc"),
            st.integers(0, 7),
            gib=st.integers(0, 100),
            loading=st.booleans(),
            before_bytes=st.just((0,)),
        ),
        max_size=4,
    ),
    st.lists(st.integers(0, 90), min_size=8, max_size=8),
)
def test_servers_never_make_room(holders, used):
    here = eight(*used)
    for before, after in zip(here.free_memory_bytes, allot.share(here, holders).free_memory_bytes, strict=True):
        assert 0 <= after <= before


# Devices


def order(hardware: Hardware) -> tuple[int, ...]:
    return hardware.device_indices


def test_devices_that_nobody_holds_are_left():
    left = allot.unheld(allot.share(eight(80, 80), [holder("a", 0, 1)]))
    assert order(left) == (2, 3, 4, 5, 6, 7)
    assert (left.devices_per_node, len(left.free_memory_bytes), left.held_by) == (6, 6, ("",) * 6)
    assert left.text == "6xH20-96G"


@pytest.mark.parametrize("held", [(), tuple(range(8))])
def test_none_or_all_held_leaves_no_choice(held):
    assert allot.unheld(allot.share(eight(), [holder("a", *held)] if held else [])) is None


@pytest.mark.parametrize(
    ("count", "held", "used", "taken"),
    [
        (1, (), (), (0,)),
        (1, (0,), (), (1,)),
        (2, (0,), (), (2, 3)),
        (2, (), (30,), (2, 3)),
        (4, (0,), (), (4, 5, 6, 7)),
        (4, (0, 4), (), (1, 2, 3, 5)),
        (2, (0, 2, 4), (), (6, 7)),
        (2, (0, 2, 4, 6), (), (1, 3)),
        (1, (0, 1), (80, 80, 50, 50, 50, 50, 50, 0), (7,)),
        (1, (0,), (80, 50, 50, 50, 50, 50, 50, 50), (1,)),
        (1, (), (50, 50, 50, 50, 50, 36, 50, 50), (5,)),
        (2, (), (50, 50, 50, 40, 50, 36, 50, 50), (3, 5)),
        (1, tuple(range(8)), (50, 50, 50, 30, 50, 50, 50, 50), (3,)),
        (3, (1,), (), (3, 4, 5)),
        (8, (3,), (), (0, 1, 2, 3, 4, 5, 6, 7)),
    ],
)
def test_which_devices_are_taken(count, held, used, taken):
    """Neighbours from a multiple of their number on, so that the next server finds a whole block too."""
    shared = allot.share(eight(*used), [holder("a", *held)] if held else [])
    best = allot.ordered(shared, count)
    assert order(best)[:count] == taken
    assert sorted(order(best)) == list(range(8))
    by_index = dict(zip(shared.device_indices, shared.free_memory_bytes, strict=True))
    assert best.free_memory_bytes == tuple(by_index[index] for index in order(best))


def test_of_slices_a_free_one_is_taken():
    slices = replace(
        parse("1xA100-PCIe-80G@9.5"), assumed=False, slice_uuids=("MIG-a", "MIG-b"), free_memory_bytes=(9 * GIB,) * 2
    )
    shared = allot.share(slices, [Holder(server="s", devices=("MIG-a",), promised_bytes=GIB)])
    assert shared.held_by == ("s", "")
    left = allot.unheld(shared)
    assert (left.device_names, left.devices_per_node) == (("MIG-b",), 1)
    assert allot.ordered(shared, 1).slice_uuids == ("MIG-b", "MIG-a")


def test_ids_of_npus_stay_together():
    npus = replace(
        parse("4x910B3"),
        assumed=False,
        device_indices=(4, 5, 6, 7),
        physical_ids=(4, 5, 6, 7),
        logical_ids=(0, 1, 2, 3),
    )
    left = allot.unheld(allot.share(npus, [holder("a", 4)]))
    assert (left.physical_ids, left.logical_ids) == ((5, 6, 7), (1, 2, 3))


# Cores


def cores(*, nodes: int, each: int, threads: int = 1) -> list[Cpu]:
    """Siblings are numbered as on x86: all first threads, then all second ones."""
    all_cores = nodes * each
    return [
        Cpu(core + all_cores * thread, core, core // each) for thread in range(threads) for core in range(all_cores)
    ]


@pytest.mark.parametrize(
    ("machine", "auto"),
    [
        (cores(nodes=1, each=2), (0,)),
        (cores(nodes=1, each=1), (0,)),
        (cores(nodes=2, each=4), (0, 1, 2)),
        (cores(nodes=1, each=4, threads=2), (4, 5, 6)),
        ([], ()),
    ],
    ids=["two", "one", "first of two nodes", "second threads", "unknown"],
)
def test_where_the_engine_binds_by_itself(machine, auto):
    assert allot.bound_by_engine(machine) == auto


@pytest.mark.parametrize(
    ("machine", "held", "free"),
    [
        (cores(nodes=1, each=2), (0,), (1,)),
        (cores(nodes=1, each=2), (0, 1), ()),
        (cores(nodes=2, each=4), (0, 1, 2), (4, 5, 6)),
        (cores(nodes=1, each=8), (0, 1, 2, 3), (4, 5, 6)),
        (cores(nodes=1, each=4, threads=2), (4, 5), (6,)),
        (cores(nodes=1, each=4, threads=2), (4, 1), (6,)),
    ],
)
def test_cores_beside_those_that_are_held(machine, held, free):
    found = allot.cpus_beside(machine, held)
    assert found == free
    assert set(found).isdisjoint(held)


def test_who_holds_what_is_said():
    loading = holder("b", 1, gib=40, loading=True)
    assert allot.told(eight(80), [holder("a", 0, 2), loading, Holder(server="c", promised_bytes=1)]) == [
        "held: GPU 0, 2 by server `a`, 80.0 GiB each",
        "held: GPU 1 by server `b`, which is loading; 40.0 GiB each are promised",
    ]
    assert allot.servers_on(eight(), [holder("a", 0), holder("x", 9)]) == ["a"]
    host = Holder(server="c", promised_bytes=6 * GIB, taken_bytes=2 * GIB)
    assert allot.told(cpu(8), [host, loading]) == [
        "held: 6.0 GiB of the host's memory by server `c`; 4.0 GiB of that is promised and not taken yet"
    ]
    assert allot.servers_on(cpu(8), [host, loading]) == ["c"]
