"""Doctor on made-up machines: trees of files, fake tools, captured output."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest

from selfhost.app.doctor import asking, examine_here, weights
from selfhost.app.doctor.report import check_target, write_report
from selfhost.errors import UsageError
from selfhost.hardware.system import System
from selfhost.home import find_home
from selfhost.serve import records
from selfhost.serve.lifecycle import Phase, State
from tests.ascend_host import PACKAGES
from tests.ascend_support import install
from tests.fakes.machine import ASCEND, Machine
from tests.test_readme import CONFIG

DRIVER = "550.144.03"
KERNEL = f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {DRIVER}  Sat Aug 19 01:15:15 UTC 2023\n"
A2 = "910B3_8npu_info_25.3.rc1_in-use_empty-process-name.txt"


class Doctored(Machine):
    """A machine that doctor asks."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.health = ("/bin/sh", "-c", 'echo \'{"devices": [], "peers": []}\'')
        self.file("dev/shm/keep")

    def system(self, limit_s: float = 5.0) -> System:
        return System(
            root=self.root,
            environ=self.environ,
            nvml_argv=self.nvml,
            health_argv=self.health,
            call_limit_s=limit_s,
            total_limit_s=2 * limit_s,
        )

    def examine(self, limit_s: float = 5.0):
        return examine_here(find_home(), system=self.system(limit_s))

    def npus(self, capture: str, count: int) -> None:
        self.tool("npu-smi", f"cat {ASCEND / capture}")
        for name in ("davinci_manager", "devmm_svm", "hisi_hdc", *(f"davinci{i}" for i in range(count))):
            self.file(f"dev/{name}")
        self.file("usr/local/Ascend/driver/version.info", "Version=25.3.rc1\n")
        self.file("etc/ascend_install.info", "UserName=HwHiAiUser\nDriver_Install_Status=complete\n")
        self.file("etc/hccn.conf")

    def python(self, root: Path, build: str = "A2", **versions: str) -> None:
        """An engine's Python that answers as `selfhost_versions.py` does there."""
        info = f"__device_type__ = '{build}'\n"
        said = {
            "prefix": str(root),
            "python": "3.11.9",
            "build_info": info,
            "versions": {name.replace("_", "-"): v for name, v in versions.items()},
        }
        self.tool("python3", f"cat <<'END'\n{json.dumps(said)}\nEND")


@pytest.fixture
def machine(tmp_path):
    return Doctored(tmp_path)


def with_shell(machine: Doctored) -> str:
    """PATH with the test's tools before those that CANN's scripts need."""
    return f"{machine.bin}:/usr/bin:/bin"


def ids(examined) -> set[str]:
    return {finding.message.id for finding in examined.findings}


def test_a_machine_without_accelerators_has_no_error(machine):
    examined = machine.examine()
    assert not [finding for finding in examined.findings if finding.severity.value == "error"]
    assert (examined.facts.cuda, examined.facts.ascend) == (None, None)
    assert examined.as_dict()["not_told"] == []


def test_npus_of_a_half_made_container(machine):
    machine.npus(A2, 8)
    install(machine.root)
    machine.file("usr/local/Ascend/cann/aarch64-linux/ascend_toolkit_install.info", "version=9.1.0\n")
    machine.file("usr/local/Ascend/nnal/atb/9.1.0/version.info")
    machine.environ |= {"LD_PRELOAD": "/usr/lib/libjemalloc.so.2", "HCCL_BUFFSIZE": "-1", "PATH": with_shell(machine)}
    examined = machine.examine()
    assert {message_id for message_id in ids(examined) if not message_id.startswith("doctor.")} == {
        "doctor_ascend.no_set_env",
        "doctor_ascend.bad_buffer",
        "doctor_ascend.no_preload",
        # Graphs: the driver is older than their floor.
        "compat.remark",
    }
    [found] = [one for one in examined.findings if one.message.id == "doctor_ascend.no_set_env"]
    assert f"source {machine.root}/usr/local/Ascend/cann/set_env.sh; source" in found.message.hint


def stack(machine: Doctored, **versions: str) -> dict[str, list]:
    """Item of the Ascend stack -> what is found wrong with it, of a machine with NPUs and an engine's Python."""
    machine.npus(A2, 8)
    install(machine.root)
    machine.file("usr/local/Ascend/driver/version.info", "Version=26.1.0\n")
    machine.file("usr/local/Ascend/nnal/atb/9.1.0/version.info")
    machine.environ["PATH"] = with_shell(machine)
    machine.file("usr/local/Ascend/cann/aarch64-linux/ascend_toolkit_install.info", f"version={versions.pop('cann')}\n")
    machine.python(Path("/venv"), **{name.replace("-", "_"): version for name, version in PACKAGES.items()} | versions)
    found: dict[str, list] = {}
    for finding in machine.examine().findings:
        found.setdefault(finding.where, []).append(finding)
    assert "python" not in found
    return found


def test_a_stack_that_matches_is_no_finding(machine):
    found = [finding.message.id for findings in stack(machine, cann="9.1.0").values() for finding in findings]
    assert not [message_id for message_id in found if message_id.startswith(("compat.", "cann."))]


@pytest.mark.parametrize(
    ("wrong", "item", "hint"),
    [
        ({"cann": "8.5.1"}, "cann", "install CANN 9.1.0"),
        ({"torch_npu": "2.9.0"}, "torch_npu", "install --no-deps torch-npu=="),
        ({"vllm": "0.22.1"}, "vllm", "install --no-deps vllm=="),
        ({"triton": "3.5.0"}, "triton", "uninstall -y triton triton-ascend"),
        ({"build": "A3"}, "build", "take the image quay.io/ascend/vllm-ascend:v0.23.0, or build"),
    ],
)
def test_what_of_an_ascend_stack_does_not_match_is_told_once(machine, wrong, item, hint):
    found = stack(machine, **{"cann": "9.1.0", **wrong})
    [told] = found[item]
    assert (told.message.id, told.severity.value) == ("compat.finding", "error")
    assert hint in told.message.hint


def test_a_host_that_leaves_cann_to_images_has_no_error_of_it(machine):
    machine.npus(A2, 8)
    machine.tool("docker", "exit 0")
    machine.file("usr/local/Ascend/driver/version.info", "Version=26.1.0\n")
    examined = machine.examine()
    [found] = [one for one in examined.findings if "CANN" in one.message.what]
    assert (found.message.id, found.severity.value) == ("doctor_ascend.no_cann", "note")


def test_a_script_of_cann_that_does_not_work_is_found_before_a_start(machine):
    machine.npus(A2, 8)
    install(machine.root)
    machine.environ["PATH"] = with_shell(machine)
    machine.file("usr/local/Ascend/cann/aarch64-linux/ascend_toolkit_install.info", "version=9.1.0\n")
    machine.file("usr/local/Ascend/nnal/atb/9.1.0/version.info")
    (machine.root / "usr/local/Ascend/cann-9.1.0/lib64/libhccl.so").unlink()
    assert "cann.no_library" in ids(machine.examine())


def test_npus_that_are_only_half_there(machine):
    machine.npus(A2, 5)
    (machine.root / "dev/devmm_svm").unlink()
    machine.file("etc/ascend_install.info", "Driver_Install_Status=failed\n")
    found = ids(machine.examine())
    assert found >= {"doctor_ascend.no_node", "hardware.npu_half_installed"}


def test_device_files_of_somebody_else(machine, monkeypatch):
    machine.npus(A2, 8)
    # Root may read and write everything; CAP_DAC_OVERRIDE may be taken from it.
    monkeypatch.setattr(os, "access", lambda path, _mode: not str(path).endswith("hisi_hdc"))
    assert "doctor_ascend.shut_nodes" in ids(machine.examine())


def test_a_driver_that_is_held_is_an_error_with_its_remedy(machine):
    machine.npus("error_container_dcmi_-8020.txt", 1)
    examined = machine.examine()
    [found] = [one for one in examined.findings if one.message.id.startswith("hardware.npu_")]
    assert found.severity.value == "error"
    assert "-8020" in str(found.message.params)
    assert found.message.hint


def test_the_manager_of_npus_may_have_the_name_that_containers_share(machine):
    machine.npus("910B3_8npu_info_24.1.rc1.b030.txt", 8)
    manager = machine.root / "dev/davinci_manager"
    manager.rename(manager.with_name("davinci_manager_docker"))
    assert "doctor_ascend.no_node" not in ids(machine.examine())
    manager.with_name("davinci_manager_docker").unlink()
    assert "doctor_ascend.no_node" in ids(machine.examine())


def test_a_tool_that_hangs_ends_with_the_limit_and_the_rest_is_told(machine):
    machine.tool("npu-smi", "exec sleep 60")
    machine.tool("dmesg", "exec sleep 60")
    machine.file("dev/davinci_manager")
    began = time.monotonic()
    examined = machine.examine(limit_s=0.3)
    assert time.monotonic() - began < 10
    assert "hardware.npu_hangs" in ids(examined)
    assert [message.id for message in examined.facts.not_told] == ["doctor.dmesg_silent"]


def gpus(machine: Doctored) -> None:
    machine.says_nvml("nvml_8xH20.json")
    machine.file("proc/driver/nvidia/version", KERNEL)


def test_gpus_after_an_update_without_a_reboot(machine):
    gpus(machine)
    machine.file("usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05")
    machine.file("usr/local/cuda/compat/libcuda.so.575.51.03")
    machine.file("etc/ld.so.conf.d/cuda.conf", "/usr/local/cuda/compat\n")
    examined = machine.examine()
    [found] = [one for one in examined.findings if one.message.id == "doctor_cuda.library_differs"]
    assert found.message.params["found"] == "580.95.05"
    assert examined.facts.cuda.compat == "/usr/local/cuda/compat"
    # H20 is a data centre GPU: the compatibility library is for it.
    assert "doctor_cuda.compat" not in ids(examined)


def test_gpus_with_stale_cdi_files_xids_and_no_fabric_manager(machine):
    gpus(machine)
    machine.file(f"usr/lib64/libcuda.so.{DRIVER}")
    machine.tool("docker", "exit 0")
    machine.tool("nvidia-ctk", "echo nvidia.com/gpu=0; echo nvidia.com/gpu=all")
    machine.file("etc/cdi/nvidia.yaml", "hostPath: /usr/lib/libcuda.so.535.104.05\n")
    machine.tool("dmesg", "echo 'NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.'")
    for number in range(2):
        machine.file(f"sys/bus/pci/devices/0000:c{number}:00.0/vendor", "0x10de\n")
        machine.file(f"sys/bus/pci/devices/0000:c{number}:00.0/class", "0x068000\n")
    examined = machine.examine()
    assert ids(examined) >= {
        "doctor_cuda.stale_cdi",
        "doctor_cuda.xid_hardware",
        "doctor_cuda.no_fabric_manager",
        "doctor_cuda.no_engine",
    }
    assert examined.facts.cuda.containers.devices == 2
    machine.file("proc/77/comm", "nv-fabricmanage\n")
    assert "doctor_cuda.no_fabric_manager" not in ids(machine.examine())


def test_in_a_container_device_files_count_and_the_host_does_not(machine):
    gpus(machine)
    machine.file("run/.containerenv")
    machine.tool("docker", "exit 0")
    examined = machine.examine()
    assert "doctor_cuda.missing_nodes" in ids(examined)
    assert (examined.facts.cuda.containers, examined.facts.cuda.fabric_manager) == (None, None)


def test_a_kernel_log_that_is_closed_is_said(machine):
    machine.tool("dmesg", "echo 'dmesg: read kernel buffer failed: Operation not permitted'; exit 1")
    assert [message.id for message in machine.examine().facts.not_told] == ["doctor.dmesg_closed"]


def test_killed_processes_of_this_control_group(machine):
    machine.file("proc/self/cgroup", "0::/job\n")
    machine.file("proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    machine.file("sys/fs/cgroup/job/memory.events", "low 0\noom 3\noom_kill 2\n")
    assert "doctor.oom_kills" in ids(machine.examine())


def test_all_questions_together_have_a_limit():
    assert asking.Asking(System(call_limit_s=5.0), limit_s=0.0).ask(["/bin/echo", "x"]).returncode is None


def test_the_speed_of_a_disk_is_measured_and_small_files_say_nothing(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x" * 1000)
    with large.open("wb") as stream:
        stream.truncate(64 << 20)
    assert weights.read_speed(small) is None
    assert weights.read_speed(large) > 1 << 20


# Reports

SECRETS = {
    "HF_TOKEN": "hf_SecretSecretSecret",
    "VLLM_API_KEY": "environment-secret",
    "VLLM_HOST_IP": "10.77.1.2",
}


def server(home, name: str, **more) -> None:
    given = {
        "name": name,
        "mark": f"{name}:1",
        "model": "m",
        "target": "m",
        "variant": "bf16",
        "served_model_name": "m",
        "host": "10.77.1.2",
        "port": 8000,
        "url": "http://10.77.1.2:8000",
        "argv": ("vllm", "serve", "/home/liwei/m", "--api-key", "command/secret value"),
        "plan": {},
        "state": State.FAILED,
        "phase": Phase.LOADING,
        "started_at": "2026-11-22T00:00:00+00:00",
    }
    records.make_folder(home, name)
    records.write(home, records.Record(**{**given, **more}))
    records.write_control_key(home, name, "control-secret-key")
    records.folder(home, name).engine_log.write_text(
        "INFO 11-22 04:08:40 [x.py:1] serving for 10.77.1.2 with control-secret-key\n"
        "INFO 11-22 04:08:40 [x.py:1] GET /x/command%2Fsecret%20value\n"
        "DEBUG 11-22 04:08:41 [request_logger.py:1] Request a details: prompt: 'my private question'\n"
        "a private line of a user\n"
        "ValueError: No available memory for the cache blocks. see /home/liwei/m\n"
    )


def test_a_report_has_what_helps_and_no_planted_secret(machine, tmp_path, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
        machine.environ[name] = value
    monkeypatch.setenv("HOME", "/home/liwei")
    monkeypatch.setenv("USER", "liwei")
    monkeypatch.setenv("LOGNAME", "liwei")
    monkeypatch.setattr("socket.gethostname", lambda: "gpu-node-17")
    home = find_home()
    server(home, "m")
    path = tmp_path / "report.json"
    said = write_report(path, machine.examine(), home)
    written = path.read_text()
    for secret in (*SECRETS.values(), "command", "control-secret-key", "private", "liwei", "gpu-node-17"):
        assert secret not in written, secret
    report = json.loads(written)
    assert path.stat().st_mode & 0o777 == 0o600
    assert report["detect"]["host"]["hostname"] == "[host]"
    assert report["facts"]["host"]["environ"] == {
        "HF_TOKEN": "[secret]",
        "VLLM_API_KEY": "[secret]",
        "VLLM_HOST_IP": "[ip 1]",
    }
    [told] = report["servers"]
    assert (told["state"], told["log"]["cause"]["id"]) == ("failed", "diagnose.no_kv_memory")
    assert told["log"]["last_lines"][3] == "[a line of 24 characters]"
    assert told["argv"][3:] == ["--api-key", "[secret]"]
    assert said.params["count"] > 10


def test_addresses_stay_when_asked(machine, tmp_path):
    home = find_home()
    server(home, "m")
    path = tmp_path / "report.json"
    write_report(path, machine.examine(), home, keep_addresses=True)
    assert "10.77.1.2" in path.read_text()


def test_a_report_is_not_written_over_anything(tmp_path):
    path = tmp_path / "report.json"
    check_target(path)
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is there already"):
        check_target(path)


def test_a_report_needs_a_folder(tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        check_target(tmp_path / "absent" / "report.json")


def test_links_that_lead_in_a_circle_are_no_library(machine):
    gpus(machine)
    (machine.root / "usr/lib64").mkdir(parents=True)
    (machine.root / "usr/lib64/libcuda.so.580.95.05").symlink_to("libcuda.so.580.95.05")
    assert machine.examine().facts.cuda.kernel_driver == DRIVER


FILES = (
    *("proc/driver/nvidia/version", "proc/self/cgroup", "proc/self/mountinfo", "proc/1/cgroup", "proc/meminfo"),
    *("usr/local/Ascend/driver/version.info", "etc/ascend_install.info", "etc/cdi/nvidia.yaml", "dev/davinci0"),
    *("etc/ld.so.conf.d/x.conf", "proc/sys/kernel/numa_balancing", "dev/davinci_manager", "dev/davinci\u0663"),
    "usr/local/Ascend/cann/x-linux/ascend_toolkit_install.info",
)


def test_whatever_files_and_tools_say_nothing_fails(machine):
    chance = random.Random(11)
    good = (ASCEND / A2).read_bytes()
    for _ in range(25):
        for path in FILES:
            machine.file(path)
            (machine.root / path).write_bytes(chance.randbytes(chance.randrange(200)))
        start = chance.randrange(len(good))
        said = machine.root / "said"
        said.write_bytes(good[start:] + chance.randbytes(50) + good[:start])
        for tool in ("npu-smi", "dmesg", "docker", "nvidia-ctk", "python3"):
            machine.tool(tool, f"cat {said}; exit {chance.randrange(2)}")
        machine.health = ("/bin/cat", str(said))
        assert machine.examine().as_dict()["schema_version"] == 1


def test_a_model_that_is_meant_to_run_here(machine, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write((2).to_bytes(8, "little") + b"{}")
        stream.truncate(64 << 20)
    # On the main memory of this machine: the made-up one has none.
    machine.file("proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable: 4194304 kB\n")
    examined = examine_here(find_home(), str(folder), machine.system())
    assert examined.facts.weights.bytes == 64 << 20
    assert "doctor.disk_speed" in ids(examined)
    machine.file("proc/meminfo", "MemTotal: 65536 kB\nMemAvailable: 65536 kB\n")
    examined = examine_here(find_home(), str(folder), machine.system())
    [found] = [one for one in examined.findings if one.message.id == "doctor.no_plan"]
    assert (found.severity.value, found.message.params["verdict"]) == ("error", "does not fit")
    assert found.message.why


def test_a_model_that_is_not_stored_yet(machine):
    machine.file("proc/meminfo", "MemTotal: 33554432 kB\nMemAvailable: 33554432 kB\n")
    examined = examine_here(find_home(), "qwen2.5-0.5b", machine.system())
    assert (examined.facts.weights.stored, examined.facts.weights.read_bytes_per_s) == (False, None)
    assert "doctor.not_stored" in [message.id for message in examined.facts.not_told]
