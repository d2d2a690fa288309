from __future__ import annotations

import pytest

from selfhost.hardware import sharing
from selfhost.hardware.types import Accelerator, DeviceProcess, Npu
from selfhost.units import GIB


def gpu(index: int, used_gib: float = 0, vendor: str = "nvidia", **changes) -> Accelerator:
    values = {
        "vendor": vendor,
        "name": "NVIDIA H20",
        "index": index,
        "memory_bytes": 96 * GIB,
        "visible_memory_bytes": 95 * GIB,
        "used_bytes": int(used_gib * GIB),
        "supported": True,
        "uuid": f"GPU-{index}abc",
    }
    return Accelerator(**(values | changes))


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("1,3", [1, 3]),
        ("GPU-2", [2]),
        ("0,9,1", [0]),
        ("-1", []),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_what_the_environment_hides_is_marked_and_noted(value, left):
    found, notes = sharing.hide([gpu(i) for i in range(4)], {"CUDA_VISIBLE_DEVICES": value})
    assert [a.index for a in found if not a.hidden] == left
    expected = f"CUDA_VISIBLE_DEVICES is set to `{value}`: an engine started from here sees {len(left)} of 4"
    assert [note.what for note in notes] == [expected]


def test_each_vendor_has_its_own_variable():
    npu = gpu(0, vendor="huawei", uuid=None, npu=Npu(logical_id=0))
    environ = {"ASCEND_RT_VISIBLE_DEVICES": "5"}
    found, notes = sharing.hide([gpu(0), npu], environ)
    assert [a.hidden for a in found] == [False, True]
    assert len(notes) == 1
    assert sharing.hide([gpu(0)], environ) == ((gpu(0),), ())


def test_npus_are_hidden_by_their_logical_ids():
    dies = [gpu(p, vendor="huawei", npu=Npu(physical_id=p, logical_id=n)) for n, p in enumerate((0, 1, 10, 11))]
    found, notes = sharing.hide(dies, {"ASCEND_RT_VISIBLE_DEVICES": "2,3"})
    assert [a.index for a in found if not a.hidden] == [10, 11]
    assert notes[0].what.endswith("sees 2 of 4")


def test_what_is_hidden_is_not_guessed_without_logical_ids():
    dies = tuple(gpu(p, vendor="huawei", npu=Npu(physical_id=p)) for p in (10, 11))
    found, notes = sharing.hide(dies, {"ASCEND_RT_VISIBLE_DEVICES": "0"})
    assert found == dies
    assert [note.id for note in notes] == ["hardware.hidden_unknown"]


def test_memory_in_use_is_noted_beyond_a_tenth():
    notes = sharing.busy_notes([gpu(0, 9), gpu(1, 48), gpu(2, 48, supported=False)])
    assert [note.what for note in notes] == ["accelerator 1 (NVIDIA H20) is in use: 48.0 GiB of 96.0 GiB"]


def test_who_uses_an_accelerator_is_named():
    mine = DeviceProcess(pid=7, name="python", memory_bytes=9 * GIB)
    small = DeviceProcess(pid=8, name="worker", memory_bytes=129 << 20, context_only=True)
    nameless = [DeviceProcess(pid=pid, name=None, memory_bytes=pid << 20) for pid in (10, 11, 12)]
    notes = sharing.busy_notes([gpu(0, 48, processes=(small, mine)), gpu(1, 48, processes=(*nameless, mine))])
    assert [note.what.partition(", by ")[2] for note in notes] == [
        "python (pid 7)",
        "python (pid 7), a process (pid 12), a process (pid 11) and 1 more",
    ]


def test_what_is_hidden_is_not_told_as_busy():
    assert sharing.busy_notes([gpu(0, 48, hidden=True)]) == ()


def test_assumed_memory_is_noted_once_per_kind():
    notes = sharing.assumed_notes([gpu(0, visible_memory_assumed=True), gpu(1, visible_memory_assumed=True), gpu(2)])
    assert [note.what for note in notes] == ["what an engine can see of `NVIDIA H20` is not known: 95.0 GiB is assumed"]


@pytest.mark.parametrize(("numbers", "text"), [([], ""), ([3], "3"), ([2, 0, 1, 5, 5], "0-2,5")])
def test_ranges(numbers, text):
    assert sharing.ranges(numbers) == text
