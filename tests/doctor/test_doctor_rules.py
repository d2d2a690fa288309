"""One case for each finding: a machine that has it, and one that is nearly the same and has not."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

import selfhost.doctor
from selfhost.doctor.examine import examine
from selfhost.doctor.facts import ContainerToolkit, Facts, Library, Peers, Process, Weights
from selfhost.doctor.links import LINKS, link
from selfhost.engines.specs import QUANTIZE_CUDA
from selfhost.findings import Finding, Severity
from selfhost.hardware.types import DeviceProcess, Disk
from selfhost.messages import Message, lookup
from selfhost.units import GIB, MIB
from tests.doctor.doctor_support import (
    DRIVER,
    ENGINE,
    LIBRARY,
    WELL,
    accelerator,
    ascend,
    cuda,
    gpu,
    node,
    npu,
    snapshot,
    with_accelerators,
    with_environ,
    with_host,
    with_machine,
)

E, W, N = Severity.ERROR, Severity.WARNING, Severity.NOTE
XID = "[12.3] NVRM: Xid (PCI:0000:3b:00): {}, pid=1234, name=python, something"
OTHER = Library(path="/usr/lib/libcuda.so.550.54.15", version="550.54.15")
WEIGHTS = Weights(name="m", bytes=600 * GIB, stored=True, read_bytes_per_s=0.2 * GIB)
PROCESS = Process(pid=7, name="python", used_bytes=40 * GIB)
HELD = DeviceProcess(pid=9, name=None, memory_bytes=55 * GIB)
BUSY = accelerator(0, used_bytes=40 * GIB)
TOOLKIT = ContainerToolkit(runtime="docker", toolkit=True, devices=2)


def kernel(*lines: str) -> Facts:
    return with_host(cuda(), kernel_log="\n".join(lines))


def disk(free: int) -> Facts:
    one = Disk(path="/srv", file_system="xfs", total_bytes=100 * GIB, free_bytes=free)
    return with_machine(cuda(), disks=(one,))


def of_gpu(**more) -> Facts:
    return cuda(gpus=(gpu(0), gpu(1, **more)))


def first_node(**more) -> Facts:
    well = ascend()
    return ascend(nodes=(node("/dev/davinci_manager", **more), *well.ascend.nodes[1:]))


# (id, severity, a machine with it, a machine without it)
CASES = [
    # Limits, memory, disks
    ("doctor.open_files", W, with_host(cuda(), open_files=4096), with_host(cuda(), open_files=65_535)),
    ("doctor.locked_memory", W, with_host(cuda(), locked_bytes=MIB, rdma=True), with_host(cuda(), locked_bytes=MIB)),
    ("doctor.no_shm", W, with_host(cuda(), shm_bytes=None), cuda()),
    ("doctor.small_shm", E, with_host(cuda(2), shm_bytes=64 * MIB), with_host(cuda(2), shm_bytes=GIB)),
    ("doctor.small_shm", W, with_host(cuda(1), shm_bytes=64 * MIB), replace(cuda(1), host=WELL)),
    ("doctor.full_shm", W, with_host(cuda(), shm_free_bytes=MIB), with_host(cuda(), shm_free_bytes=GIB)),
    (
        "doctor.small_cgroup",
        W,
        with_machine(cuda(), cgroup_memory_limit_bytes=8 * GIB),
        with_machine(cuda(), cgroup_memory_limit_bytes=64 * GIB),
    ),
    ("doctor.oom_kills", W, with_host(cuda(), oom_kills=2), with_host(cuda(), oom_kills=0)),
    (
        "doctor.killed",
        W,
        kernel("Out of memory: Killed process 99 (python) total-vm:1kB"),
        kernel("Memory is fine, process 99 (python)"),
    ),
    ("doctor.full_disk", W, disk(GIB), disk(50 * GIB)),
    (
        "doctor.slow_disk",
        W,
        replace(cuda(), weights=WEIGHTS),
        replace(cuda(), weights=replace(WEIGHTS, read_bytes_per_s=3 * GIB)),
    ),
    (
        "doctor.disk_speed",
        N,
        replace(cuda(), weights=replace(WEIGHTS, read_bytes_per_s=3 * GIB)),
        replace(cuda(), weights=replace(WEIGHTS, read_bytes_per_s=None)),
    ),
    ("doctor.clock", E, with_host(cuda(), now="1970-01-01T00:00:09Z"), with_host(cuda(), now="2027-01-01T00:00:00Z")),
    ("doctor.nameless", E, with_host(ascend(2), has_name=False), with_host(ascend(2), has_name=True)),
    ("doctor.nameless", W, with_host(ascend(1), has_name=False), with_host(ascend(1), has_name=True)),
    ("doctor.unfinished_engine", W, replace(cuda(), engines=(ENGINE, replace(ENGINE, complete=False))), cuda()),
    (
        "doctor.other_engine",
        W,
        replace(cuda(), engines=(replace(ENGINE, current=False),)),
        replace(cuda(), engines=(replace(ENGINE, current=False), ENGINE)),
    ),
    # Accelerators
    (
        "doctor.none_supported",
        E,
        with_accelerators(ascend(), npu(0, name="910PremiumA", supported=False, reason="first generation")),
        with_accelerators(ascend(), npu(0), npu(1, supported=False, reason="first generation")),
    ),
    (
        "doctor.not_supported",
        W,
        with_accelerators(cuda(), accelerator(0), accelerator(1, name="Tesla K80", supported=False, reason="too old")),
        cuda(),
    ),
    ("doctor.mixture", N, with_accelerators(cuda(), accelerator(0), accelerator(1, name="NVIDIA A100")), cuda()),
    (
        "doctor.memory_held",
        W,
        with_accelerators(cuda(1, gpus=(gpu(0, processes=(PROCESS,)),)), BUSY),
        with_accelerators(cuda(1, gpus=(gpu(0, processes=(replace(PROCESS, server="m"),)),)), BUSY),
    ),
    (
        "doctor.memory_held_by",
        W,
        with_accelerators(ascend(1), npu(0, used_bytes=58627 * MIB)),
        with_accelerators(ascend(1), npu(0, used_bytes=3418 * MIB)),  # an idle 910B, vllm-ascend#3403
    ),
    (
        "doctor.memory_held",
        W,
        with_accelerators(ascend(1), npu(0, used_bytes=58627 * MIB, processes=(HELD,))),
        with_accelerators(ascend(1), npu(0, used_bytes=58627 * MIB, processes=(replace(HELD, context_only=True),))),
    ),
    # The driver
    (
        "engine.old_driver",
        E,
        with_machine(cuda(libraries=()), nvidia_driver="535.104.05"),
        with_machine(cuda(), nvidia_driver="580.65.06"),
    ),
    ("doctor_cuda.library_differs", E, cuda(libraries=(OTHER,)), cuda(libraries=())),
    ("doctor_cuda.second_library", N, cuda(libraries=(OTHER, LIBRARY)), cuda(libraries=(LIBRARY,))),
    (
        "doctor_cuda.compat",
        E,
        with_accelerators(cuda(1, compat="/usr/local/cuda/compat"), accelerator(name="NVIDIA GeForce RTX 4090")),
        cuda(1, compat="/usr/local/cuda/compat"),
    ),
    ("doctor_cuda.missing_nodes", E, cuda(missing_nodes=("/dev/nvidia-uvm",)), cuda(missing_nodes=())),
    ("doctor_cuda.fabric", E, of_gpu(fabric_state=2), of_gpu(fabric_state=0)),
    ("doctor_cuda.fabric", E, of_gpu(fabric_state=3, fabric_status=15), of_gpu(fabric_state=3, fabric_status=0)),
    (
        "doctor_cuda.no_fabric_manager",
        E,
        cuda(gpus=(gpu(0, fabric_state=None),), switches=6, fabric_manager=False),
        cuda(gpus=(gpu(0, fabric_state=None),), switches=6, fabric_manager=True),
    ),
    ("doctor_cuda.no_peers", W, cuda(peers=(Peers(one=0, other=1, status=3),)), cuda(peers=())),
    (
        "doctor_cuda.mig_mixture",
        W,
        with_accelerators(cuda(), accelerator(0, mig=True), accelerator(0, mig=True), accelerator(1)),
        with_accelerators(cuda(), accelerator(0, mig=True), accelerator(1, mig=True)),
    ),
    (
        "doctor_cuda.no_toolkit",
        W,
        cuda(containers=replace(TOOLKIT, toolkit=False, devices=None)),
        cuda(containers=TOOLKIT),
    ),
    ("doctor_cuda.stale_cdi", E, cuda(containers=replace(TOOLKIT, stale=(OTHER,))), cuda(containers=TOOLKIT)),
    ("doctor_cuda.no_cdi", N, cuda(containers=replace(TOOLKIT, devices=0)), cuda(containers=TOOLKIT)),
    (
        "doctor_cuda.no_cdi",
        W,
        cuda(containers=replace(TOOLKIT, runtime="podman", devices=0)),
        cuda(containers=replace(TOOLKIT, runtime="podman", devices=None)),
    ),
    ("doctor_cuda.no_engine", N, replace(cuda(), engines=()), cuda()),
    ("doctor_cuda.no_engine", N, replace(cuda(), engines=(replace(ENGINE, spec=QUANTIZE_CUDA),)), cuda()),
    # Health of GPUs
    ("doctor_cuda.ecc", E, of_gpu(ecc_uncorrected=2, ecc_uncorrected_ever=9), of_gpu(ecc_uncorrected=None)),
    ("doctor_cuda.ecc_ever", N, of_gpu(ecc_uncorrected_ever=9), of_gpu(ecc_uncorrected=1, ecc_uncorrected_ever=9)),
    ("doctor_cuda.ecc_off", N, of_gpu(ecc=False), of_gpu(ecc=None)),
    ("doctor_cuda.remap_pending", E, of_gpu(remap_pending=True), of_gpu()),
    ("doctor_cuda.remap_pending", E, of_gpu(retirement_pending=True), of_gpu()),
    ("doctor_cuda.remap_failed", E, of_gpu(remap_failed=True, remap_pending=True), of_gpu(remap_pending=True)),
    ("doctor_cuda.slowed", W, of_gpu(slowed_by=0x40), of_gpu(slowed_by=0x1 | 0x4)),
    ("doctor_cuda.pcie_width", W, of_gpu(pcie_width=8), of_gpu(pcie_width=None)),
    ("doctor_cuda.links_down", W, of_gpu(links_down=(3,)), of_gpu(links_down=())),
    ("doctor_cuda.persistence", N, of_gpu(persistence=False), of_gpu(persistence=None)),
    ("doctor_cuda.prohibited", E, of_gpu(compute_mode=2), of_gpu(compute_mode=0)),
    ("doctor_cuda.exclusive", N, of_gpu(compute_mode=3), of_gpu(compute_mode=None)),
    ("doctor_cuda.xid_hardware", E, kernel(XID.format(79)), kernel("NVRM: loading NVIDIA UNIX Kernel Module")),
    ("doctor_cuda.xid_application", W, kernel(XID.format(31)), kernel(XID.format(79))),
    ("doctor_cuda.xid", W, kernel(XID.format(999)), kernel("")),
    (
        "doctor_cuda.sxid",
        E,
        kernel("nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 20034, Fatal, Link 30 LTSSM Fault Up"),
        kernel("nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 32 egress"),
    ),
    # Ascend
    ("doctor_ascend.no_driver_files", E, ascend(driver_files=False), ascend()),
    ("doctor_ascend.no_driver_files", W, with_host(ascend(driver_files=False), in_container=True), ascend()),
    ("doctor_ascend.no_node", E, first_node(exists=False, usable=False), first_node()),
    ("doctor_ascend.shut_nodes", E, first_node(usable=False), first_node(exists=False, usable=False)),
    ("doctor_ascend.no_davinci", E, ascend(2, davinci=()), ascend(2)),
    ("doctor_ascend.no_cann", W, with_machine(ascend(scripts=()), cann=None), ascend()),
    ("doctor_ascend.no_cann", N, with_machine(ascend(scripts=()), cann=None, container_engines=("docker",)), ascend()),
    ("doctor_ascend.no_set_env", N, with_environ(ascend(), ATB_HOME_PATH=""), ascend()),
    ("doctor_ascend.no_library_path", N, with_environ(ascend(), LD_LIBRARY_PATH="/usr/lib"), ascend()),
    (
        "doctor_ascend.bad_buffer",
        E,
        with_environ(ascend(), HCCL_BUFFSIZE="0"),
        with_environ(ascend(), HCCL_BUFFSIZE="512"),
    ),
    (
        "doctor_ascend.two_allocators",
        E,
        with_environ(ascend(), PYTORCH_NPU_ALLOC_CONF="x", PYTORCH_ALLOC_CONF="x"),
        with_environ(ascend(), PYTORCH_NPU_ALLOC_CONF="x"),
    ),
    (
        "doctor_ascend.blocking",
        W,
        with_environ(ascend(), ASCEND_LAUNCH_BLOCKING="1"),
        with_environ(ascend(), ASCEND_LAUNCH_BLOCKING="0"),
    ),
    ("doctor_ascend.no_preload", W, ascend(absent_preloads=("/usr/lib/libjemalloc.so.2",)), ascend()),
    (
        "doctor_ascend.numa_balancing",
        N,
        with_host(ascend(), numa_balancing=True),
        with_host(cuda(), numa_balancing=True),
    ),
    ("doctor_ascend.no_hccn_conf", N, ascend(hccn_conf=False), ascend(hccn_conf=None)),
]


def ids(facts: Facts) -> list[tuple[str, Severity]]:
    return [(finding.message.id, finding.severity) for finding in examine(facts)]


@pytest.mark.parametrize(("message_id", "severity", "bad", "good"), CASES, ids=lambda value: str(value)[:34])
def test_each_finding_is_told_where_it_is_and_nowhere_else(message_id, severity, bad, good):
    assert (message_id, severity) in ids(bad)
    assert message_id not in [found for found, _ in ids(good)]
    finding = next(one for one in examine(bad) if one.message.id == message_id)
    assert finding.where
    assert all(finding.as_dict()[key] is not None for key in ("problem", "why", "fix"))


@pytest.mark.parametrize("well", [cuda(), cuda(1), ascend(), ascend(1), Facts(snapshot=snapshot(), host=WELL)])
def test_machines_that_are_well_have_no_finding(well):
    assert examine(well) == ()


def test_every_finding_that_a_rule_can_make_has_a_case():
    folder = Path(selfhost.doctor.__file__).parent
    made = {
        str(call.args[0].value)
        for path in folder.glob("rules_*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Message"
    }
    assert made == {message_id for message_id, *_ in CASES} - {"engine.old_driver"}


@pytest.mark.parametrize(
    ("message", "severity"),
    [
        (Message("hardware.nvidia_mismatch"), E),
        (Message("hardware.npu_hangs", {"seconds": "5"}), E),
        (Message("hardware.npu_held", {"code": "-8020"}), E),
        (Message("hardware.npu_unhealthy", {"index": 0, "name": "910B3", "health": "Warning"}), W),
        (Message("hardware.npu_unhealthy", {"index": 0, "name": "910B3", "health": "Alarm"}), E),
        (Message("hardware.npu_unhealthy", {"index": 0, "name": "910B3", "health": "正常"}), W),
        (Message("hardware.npu_part_hangs", {"question": "-m"}), W),
        (Message("hardware.hidden", {"variable": "X", "value": "0", "kept": 1, "found": 2}), N),
    ],
)
def test_what_detect_says_is_a_finding(message, severity):
    [found] = examine(replace(cuda(), snapshot=replace(cuda().snapshot, messages=(message,))))
    assert (found.message, found.severity) == (message, severity)


def test_use_by_others_is_told_once_with_who_it_is():
    busy = Message("hardware.busy", {"index": 0, "name": "x", "used": "1", "total": "2"})
    facts = with_accelerators(cuda(1, gpus=(gpu(0, processes=(PROCESS,)),)), BUSY)
    [found] = examine(replace(facts, snapshot=replace(facts.snapshot, messages=(busy,))))
    assert found.message.id == "doctor.memory_held"
    assert found.message.why == "pid 7 (python): 40.0 GiB"


def test_a_server_of_selfhost_may_hold_an_npu():
    facts = with_accelerators(ascend(1), npu(0, used_bytes=58627 * MIB, processes=(HELD,)))
    assert ids(facts) == [("doctor.memory_held", W)]
    assert examine(facts)[0].message.why == "pid 9 (no name): 55.0 GiB"
    assert ids(replace(facts, servers={9: "m"})) == []


def test_a_stranger_beside_a_server_of_selfhost_is_told():
    other = replace(HELD, pid=10)
    facts = with_accelerators(ascend(1), npu(0, used_bytes=58627 * MIB, processes=(HELD, other)))
    assert ids(replace(facts, servers={9: "m"})) == [("doctor.memory_held", W)]


def test_a_host_that_tells_of_no_npu_misses_no_device_files_of_them():
    facts = with_accelerators(ascend(1, davinci=()))
    assert "doctor_ascend.no_davinci" not in dict(ids(facts))


def test_findings_of_other_judges_are_told_too_and_errors_come_first():
    judged = Finding(severity=E, where="network", message=Message("doctor_ascend.no_cann"))
    found = examine(replace(with_host(ascend(), numa_balancing=True, open_files=10), judged=(judged,)))
    assert [one.severity for one in found] == [E, W, N]


def test_equal_messages_of_the_kernel_are_counted():
    [found] = examine(kernel(XID.format(79), "noise", XID.format(79)))
    assert found.message.params["count"] == 2
    assert found.where == "PCI 0000:3b:00"


def test_a_driver_of_the_right_version_is_no_finding_whatever_else_lies_there():
    assert DRIVER in LIBRARY.path
    assert ids(cuda(libraries=(OTHER, LIBRARY))) == [("doctor_cuda.second_library", N)]


def test_links_are_of_messages_that_exist():
    for message_id in LINKS:
        assert lookup(message_id)
    assert all(address.startswith("https://") for address in LINKS.values())
    assert link("doctor.mixture") is None
