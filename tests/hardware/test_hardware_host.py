from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfhost.hardware import host
from selfhost.hardware.probe_cpus import probe_cpus, read_binding
from selfhost.hardware.system import System
from selfhost.units import GIB, KIB
from tests.fakes.machine import Machine

MOUNTS_V2 = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:25 / /dev/shm rw,nosuid - tmpfs tmpfs rw
31 27 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
40 27 8:1 / /srv/my\\040models rw - xfs /dev/sdb1 rw
"""
MOUNTS_V1 = """\
27 1 0:50 / / rw - overlay overlay rw
32 31 0:29 /docker/4f2e /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/4f2e /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory
"""


def test_os_name():
    assert host.os_name('NAME="openEuler"\nPRETTY_NAME="openEuler 22.03 (LTS-SP4)"\n') == "openEuler 22.03 (LTS-SP4)"
    assert host.os_name("NAME=x") is None


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (
            "processor\t: 0\nmodel name\t: AMD EPYC 9654\nflags\t\t: fpu avx2 avx512f avx512_bf16 sse\n",
            ("AMD EPYC 9654", ("avx2", "avx512f", "avx512_bf16")),
        ),
        ("processor\t: 0\nBogoMIPS\t: 200.00\nFeatures\t: fp asimd i8mm bf16\n", (None, ("asimd", "bf16", "i8mm"))),
        ("", (None, ())),
    ],
    ids=["x86", "Kunpeng", "empty"],
)
def test_cpu(cpuinfo, expected):
    assert host.cpu(cpuinfo) == expected


def test_memory():
    meminfo = "MemTotal:       24684092 kB\nMemFree:        21000000 kB\nMemAvailable:   22000000 kB\n"
    assert host.memory(meminfo) == (24684092 * KIB, 22000000 * KIB)
    assert host.memory("") == (0, 0)


@pytest.mark.parametrize(("text", "count"), [("0\n", 1), ("0-1\n", 2), ("0-3,8,10-11\n", 7), ("", 0), ("x", 0)])
def test_lists_of_the_kernel(text, count):
    assert host.count_list(text) == count


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/a", "ext4"),
        ("/dev/shm", "tmpfs"),
        ("/dev/shmoo", "ext4"),
        ("/srv/my models/qwen", "xfs"),
    ],
)
def test_the_file_system_of_a_path_is_the_deepest_mount(path, expected):
    assert host.file_system_of(path, host.mounts(MOUNTS_V2)) == expected


def test_cgroup_v2_counts_every_level_above_the_process():
    (group,) = host.cgroups("0::/kubepods/pod1/engine\n", host.mounts(MOUNTS_V2))
    assert group.version == 2
    assert group.directories == (
        "/sys/fs/cgroup/kubepods/pod1/engine",
        "/sys/fs/cgroup/kubepods/pod1",
        "/sys/fs/cgroup/kubepods",
        "/sys/fs/cgroup",
    )


def test_cgroup_v1_in_a_container_that_sees_the_path_of_the_host():
    text = "5:memory:/docker/4f2e\n3:cpu,cpuacct:/docker/4f2e/inner\n1:name=systemd:/docker/4f2e\n0::/\n"
    memory, cpu = host.cgroups(text, host.mounts(MOUNTS_V1))
    assert (memory.version, memory.controllers) == (1, {"memory"})
    assert memory.directories == ("/sys/fs/cgroup/memory",)
    assert cpu.directories == ("/sys/fs/cgroup/cpu,cpuacct/inner", "/sys/fs/cgroup/cpu,cpuacct")


@pytest.mark.parametrize(
    ("limit", "usage", "stat", "expected"),
    [
        ("17179869184\n", "5000\n", "anon 1\ninactive_file 2000\n", (16 * GIB, 3000)),
        ("17179869184", "5000", "inactive_file 1\ntotal_inactive_file 4000\n", (16 * GIB, 1000)),
        ("17179869184", "", "", (16 * GIB, 0)),
        ("max\n", "5000", "", None),
        ("9223372036854771712\n", "5000", "", None),
        ("", "", "", None),
    ],
    ids=["v2", "v1", "no usage", "v2 none", "v1 none", "no file"],
)
def test_memory_limit(limit, usage, stat, expected):
    found = host.memory_limit(limit, usage, stat)
    assert (found and (found.limit_bytes, found.used_bytes)) == expected


def test_the_tightest_level_decides_memory():
    levels = [
        host.MemoryLimit(limit_bytes=16 * GIB, used_bytes=1 * GIB),
        host.MemoryLimit(limit_bytes=12 * GIB, used_bytes=10 * GIB),
    ]
    assert host.usable_memory(24 * GIB, 20 * GIB, levels) == (12 * GIB, 2 * GIB, 12 * GIB)
    assert host.usable_memory(8 * GIB, 7 * GIB, levels) == (8 * GIB, 2 * GIB, 12 * GIB)
    assert host.usable_memory(24 * GIB, 20 * GIB, []) == (24 * GIB, 20 * GIB, None)


@pytest.mark.parametrize(
    ("affinity", "quotas", "expected"), [(8, [], 8), (8, [3.5], 3), (8, [6.0, 2.0], 2), (8, [0.5], 1), (2, [16.0], 2)]
)
def test_affinity_and_quota_decide_cpus(affinity, quotas, expected):
    assert host.usable_cpus(affinity, quotas) == expected


@pytest.mark.parametrize(
    ("text", "cpus"), [("150000 100000\n", 1.5), ("max 100000", None), ("-1 100000", None), ("", None)]
)
def test_cpu_quota(text, cpus):
    assert host.cpu_quota(text) == cpus


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.text(alphabet="0123456789:/-, \nmaxcgroup2rw.", max_size=120))
def test_any_text_is_read_without_an_error(text):
    table = host.mounts(MOUNTS_V2 + text)
    host.cgroups(text, table)
    host.memory_limit(text, text, text)
    host.memory(text)
    assert host.count_list(text) >= 0
    assert host.usable_cpus(4, [q for q in [host.cpu_quota(text)] if q is not None]) >= 1


def test_cores_and_nodes_of_the_cpus_that_may_be_used(tmp_path):
    """Two nodes of two cores with two threads each, numbered as on x86; one CPU is not ours."""
    machine = Machine(tmp_path)
    machine.file("sys/devices/system/node/online", "0-1\n")
    for node, cpus in enumerate(("0-1,4-5", "2-3,6-7")):
        machine.file(f"sys/devices/system/node/node{node}/cpulist", f"{cpus}\n")
    for cpu in range(8):
        machine.file(f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", f"{cpu % 4},{cpu % 4 + 4}\n")
    system = System(root=machine.root, environ={})
    assert probe_cpus(system, [0, 2, 3, 4, 6]) == ((0, 0, 0), (2, 2, 1), (3, 3, 1), (4, 0, 0), (6, 2, 1))
    assert probe_cpus(System(root=tmp_path / "none", environ={}), [1, 3]) == ((1, 1, 0), (3, 3, 0))


@pytest.mark.parametrize(
    ("value", "cpus"), [("auto", ()), ("nobind", ()), ("0-2", (0, 1, 2)), ("0-1|4,6", (0, 1, 4, 6)), ("3|3", (3,))]
)
def test_a_binding_of_threads_is_read(value, cpus):
    assert read_binding(value) == cpus
