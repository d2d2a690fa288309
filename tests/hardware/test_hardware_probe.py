"""The whole probe against a tree of files and fake tools; no tool of this machine is run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from selfhost.units import GIB, MIB
from tests.fakes.machine import Machine

DATA = Path(__file__).parents[1] / "data"
NVIDIA, ASCEND = DATA / "nvidia", DATA / "ascend"


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


SMI_8XH20 = f"""case "$*" in
*query-gpu*) cat {NVIDIA}/smi_query_8xH20.csv;;
*) cat {NVIDIA}/smi_table_H20.txt;;
esac"""


def test_a_machine_without_accelerators_has_none_and_no_notes(machine):
    snapshot = machine.probe()
    assert (snapshot.accelerators, snapshot.notes) == ((), ())
    assert snapshot.host.nvidia_driver is None


def test_nvml_alone_is_enough(machine):
    machine.says_nvml("nvml_8xH20.json")
    machine.tool("nvidia-smi", "exit 9")
    snapshot = machine.probe()
    assert len(snapshot.accelerators) == 8
    assert (snapshot.host.nvidia_driver, snapshot.host.cuda_ceiling) == ("550.144.03", "12.4")
    assert (snapshot.notes, machine.calls()) == ((), [])


def test_nvidia_smi_is_the_fallback(machine):
    machine.says_nvml("nvml_error_no_library.json")
    machine.tool("nvidia-smi", SMI_8XH20)
    snapshot = machine.probe()
    assert [gpu.index for gpu in snapshot.accelerators] == list(range(8))
    assert snapshot.host.cuda_ceiling == "12.4"
    assert snapshot.notes == ()
    assert len(machine.calls()) == 2


def test_mig_is_listed_by_the_fallback(machine):
    machine.says_nvml("nvml_error_no_library.json")
    machine.tool(
        "nvidia-smi",
        f'case "$*" in *query-gpu*) cat {NVIDIA}/smi_query_MIG_A100.csv;; -L) cat {NVIDIA}/smi_list_MIG_A100.txt;; '
        f"*) cat {NVIDIA}/smi_table_MIG_A100.txt;; esac",
    )
    snapshot = machine.probe()
    assert [gpu.memory_bytes // MIB for gpu in snapshot.accelerators] == [40192, 19968, 9728, 81920]


@pytest.mark.parametrize(
    ("nvml", "smi", "begins"),
    [
        ("nvml_error_mismatch.json", "smi_error_mismatch.txt", "the loaded NVIDIA kernel driver and its library have"),
        ("nvml_error_not_loaded.json", "smi_error_no_driver.txt", "the NVIDIA kernel driver is not loaded"),
        ("nvml_error_permission.json", "smi_error_unknown.txt", "this user may not use the NVIDIA driver"),
        ("nvml_error_unknown_error.json", "smi_error_unknown.txt", "the NVIDIA driver answers `Unknown Error`"),
    ],
)
def test_a_driver_that_fails_is_one_note_with_a_remedy(machine, nvml, smi, begins):
    machine.says_nvml(nvml)
    machine.tool("nvidia-smi", f"cat {NVIDIA}/{smi}; exit 18")
    snapshot = machine.probe()
    assert snapshot.accelerators == ()
    (note,) = snapshot.notes
    assert note.startswith(begins)
    assert "; " in note


def test_a_driver_that_hangs_is_asked_once_and_noted(machine):
    machine.nvml_does("exec sleep 60")
    machine.tool("nvidia-smi", "exec sleep 60")
    began = time.monotonic()
    snapshot = machine.probe(limit_s=0.3)
    assert time.monotonic() - began < 3
    assert machine.calls() == []
    (note,) = snapshot.notes
    assert note.startswith("the NVIDIA driver did not answer within 0.3 s; ")


def test_a_library_that_crashes_falls_back(machine):
    machine.nvml_does("kill -SEGV $$")
    machine.tool("nvidia-smi", SMI_8XH20)
    assert len(machine.probe().accelerators) == 8
    machine.tool("nvidia-smi", "kill -SEGV $$")
    (note,) = machine.probe().notes
    assert note.startswith("the NVIDIA library crashed (signal 11); ")


def test_every_tool_hanging_still_ends_within_the_total(machine):
    machine.nvml_does("echo garbage")
    machine.tool("nvidia-smi", "exec sleep 60")
    machine.tool("npu-smi", "exec sleep 60")
    began = time.monotonic()
    snapshot = machine.probe(limit_s=0.4)
    assert time.monotonic() - began < 3
    *notes, last = [note.partition(";")[0] for note in snapshot.notes]
    assert notes == ["the NVIDIA driver did not answer within 0.4 s", "cannot read the NVIDIA driver: garbage"]
    # What is left of the time, so never more than one call has.
    assert last.startswith("npu-smi did not answer within 0")


def test_garbled_tools_are_quoted(machine):
    machine.nvml_does("printf '\\377\\376 {'")
    machine.tool("nvidia-smi", "head -c 5000 /dev/zero")
    machine.tool("npu-smi", "echo '| 0 910B3 | OK |'; echo '| x |'")
    snapshot = machine.probe()
    assert snapshot.accelerators == ()
    assert [note.partition(";")[0] for note in snapshot.notes] == [
        "cannot read the NVIDIA driver: \ufffd\ufffd {",
        "cannot read npu-smi: | 0 910B3 | OK |",
    ]


def test_a_gpu_on_the_bus_without_a_driver_is_noted(machine):
    machine.file("sys/bus/pci/devices/0000:26:00.0/vendor", "0x10de\n")
    machine.file("sys/bus/pci/devices/0000:26:00.0/class", "0x030200\n")
    (note,) = machine.probe().notes
    assert note.startswith("an NVIDIA GPU is on the PCI bus, but no NVIDIA driver is installed; ")


def test_a_network_card_of_the_vendor_is_no_accelerator(machine):
    machine.file("sys/bus/pci/devices/0000:01:00.0/vendor", "0x19e5\n")
    machine.file("sys/bus/pci/devices/0000:01:00.0/class", "0x020000\n")
    assert machine.probe().notes == ()


def test_ascend_with_its_driver_and_toolkit(machine):
    machine.tool("npu-smi", f'test "$LD_LIBRARY_PATH" || exit 1; cat {ASCEND}/A3_2card_4die_info_25.2.0.txt')
    machine.file("usr/local/Ascend/cann/aarch64-linux/ascend_toolkit_install.info", "version=9.1.0\n")
    snapshot = machine.probe()
    assert [(npu.name, npu.index) for npu in snapshot.accelerators] == [("910C", i) for i in range(4)]
    assert machine.calls()[0] == "npu-smi info"
    host = snapshot.host
    assert (host.ascend_driver, host.cann, host.soc_family) == ("25.2.0", "9.1.0", "A3")
    assert [note.partition(";")[0] for note in snapshot.notes] == [
        "accelerator 3 (910C) is in use: 10.3 GiB of 64.0 GiB, by python (pid 990711)"
    ]


def test_davinci_devices_without_npu_smi_are_noted(machine):
    machine.file("dev/davinci_manager")
    machine.file("usr/local/Ascend/driver/version.info", "Version=25.2.0\n")
    snapshot = machine.probe()
    assert snapshot.notes[0].startswith("an Ascend NPU is there, but npu-smi is not; ")
    assert snapshot.host.ascend_driver == "25.2.0"


def test_visible_devices_are_respected_and_left_alone(machine):
    machine.says_nvml("nvml_8xH20.json")
    machine.environ["CUDA_VISIBLE_DEVICES"] = "2,3"
    snapshot = machine.probe()
    assert [gpu.index for gpu in snapshot.accelerators if not gpu.hidden] == [2, 3]
    (note,) = snapshot.notes
    assert note.startswith("CUDA_VISIBLE_DEVICES is set to `2,3`: an engine started from here sees 2 of 8; ")


def test_limits_of_control_groups_reach_the_host(machine):
    machine.file("proc/meminfo", f"MemTotal: {64 << 20} kB\nMemAvailable: {60 << 20} kB\n")
    machine.file("proc/self/cgroup", "0::/pod/engine\n")
    machine.file("proc/self/mountinfo", "31 1 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    machine.file("sys/fs/cgroup/pod/memory.max", str(16 * GIB))
    machine.file("sys/fs/cgroup/pod/memory.current", str(5 * GIB))
    machine.file("sys/fs/cgroup/pod/memory.stat", f"inactive_file {1 * GIB}\n")
    machine.file("sys/fs/cgroup/pod/engine/memory.max", "max\n")
    machine.file("sys/fs/cgroup/pod/cpu.max", "100000 100000\n")
    machine.file("sys/devices/system/node/online", "0-3\n")
    host = machine.probe().host
    assert host.memory_bytes == host.cgroup_memory_limit_bytes == 16 * GIB
    assert host.available_memory_bytes == 12 * GIB
    assert (host.cpu_count, host.numa_nodes) == (1, 4)


def test_container_engines_are_found_and_never_run(machine):
    machine.tool("podman", "exit 0")
    machine.tool("docker", "exit 0")
    assert machine.probe().host.container_engines == ("docker", "podman")
    assert machine.calls() == []


def test_the_disk_is_that_of_the_nearest_parent(machine):
    disk = machine.probe().host.disks[0]
    assert disk.path == str(machine.root / "home")
    assert 0 < disk.free_bytes <= disk.total_bytes
