"""Weights per rank after loading, by compute capability, against the engine's own kernels and their preparation.

See `tests/oracle/meta_loaded.py` for how the engine was made to tell. Every tensor of more than 512 bytes has the size
of one of theirs, and theirs of one of ours, but for what is listed here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from selfhost.hardware.types import Device, Platform
from selfhost.models.layouts import layout_problems
from selfhost.models.tensors import rank_weights
from selfhost.quant.expert_kernels import stands_for
from selfhost.quant.kernels import AMPERE, gpu_of
from selfhost.quant.online import ONLINE
from selfhost.quant.schemes import runs_on
from tests.models.public_models import DATA, arch

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch

LOADED = DATA / "oracle" / "loaded"
CASES = {case["name"]: case for case in json.loads((LOADED / "cases.json").read_text())}
RESULTS = json.loads((LOADED / "results.json").read_text())["results"]
SMALL_BYTES = 512
ELSEWHERE = ("rotary_emb", "expert_map")
"""Tables that kernels do not change: see `test_models_oracle`."""

NOT_COUNTED = [
    # The shape of a packed weight, 16 bytes each, and the one scale of a matrix in NVFP4, of each expert.
    r"weight_shape ",
    r"_global_scale ",
]
ONLY_LATER = [
    # Loaded, but without kernels: see `quant.support`.
    r"^ct w8a8 int8.* (10|12)[.]0$",
    # Nothing of it is quantized, so the engine does not ask whether it could be.
    r"^online nvfp4_per_token dense",
]
BUILT = [
    pytest.param(name, device, found, id=f"{name} {device}")
    for name, results in RESULTS.items()
    for found in results
    for device in found["devices"]
    if "error" not in found
]


def capability(device: str) -> tuple[int, int]:
    major, minor = device.split(".")
    return max(AMPERE, (int(major), int(minor)))


def model_of(name: str) -> tuple[ModelArch, dict]:
    """The model of a case and how it is cut."""
    case = CASES[name]
    changes = {**case.get("changes", {}), **{key: case[key] for key in ("quantization_config",) if key in case}}
    model = arch(case["model"], **changes)
    if online := case.get("options", {}).get("quantization"):
        model = replace(model, quantization=ONLINE[online])
    return model, {key: case[key] for key in ("tp", "dp", "ep") if key in case}


def ours(name: str, device: str) -> Counter[int]:
    model, sizes = model_of(name)
    found: Counter[int] = Counter()
    for group in rank_weights(model, **sizes, gpu=capability(device)).groups:
        if group.bytes_each > SMALL_BYTES and not group.name.endswith(ELSEWHERE):
            found[group.bytes_each] += group.count
    return found


def theirs(result: dict) -> Counter[int]:
    found: Counter[int] = Counter()
    for name, (count, size) in result["groups"].items():
        if not any(re.search(pattern, name) for pattern in NOT_COUNTED):
            found[size // count] += count
    return found


@pytest.mark.parametrize(("name", "device", "result"), BUILT)
def test_every_tensor_after_loading_is_one_of_the_engines(name, device, result):
    assert ours(name, device) == theirs(result)


@pytest.mark.parametrize(
    ("name", "device", "built"),
    [
        pytest.param(name, device, "error" not in found, id=f"{name} {device}")
        for name, results in RESULTS.items()
        for found in results
        for device in found["devices"]
        if not any(re.search(pattern, f"{name} {device}") for pattern in ONLY_LATER)
    ],
)
def test_what_the_engine_refuses_is_refused_here(name, device, built):
    model, sizes = model_of(name)
    major, minor = device.split(".")
    gpu = Device(id="x", name="x", vendor="x", platform=Platform.CUDA, compute_capability=(int(major), int(minor)))
    runs, _ = runs_on(model.quantization, gpu)
    refused = not runs or layout_problems(model, **sizes, gpu=gpu_of(gpu))
    assert bool(refused) is not built


CAPABILITIES = [(8, 0), (8, 9), (9, 0), (10, 0), (12, 0)]


@pytest.mark.parametrize("gpu", CAPABILITIES)
@pytest.mark.parametrize("quantized", [False, True], ids=["plain", "FP8"])
@pytest.mark.parametrize("layout", [{}, {"tp": 8}, {"tp": 4, "dp": 2, "ep": True}, {"tp": 8, "pp": 2}], ids=str)
def test_a_capability_that_stands_for_others_leaves_the_same_tensors(gpu, quantized, layout):
    model = (
        arch("deepseek-ai/DeepSeek-V3") if quantized else replace(arch("deepseek-ai/DeepSeek-V3"), quantization=None)
    )
    other = stands_for(model.quantization, gpu)
    assert other == (gpu if quantized else (10, 0) if gpu == (10, 0) else (8, 0))
    assert rank_weights(model, **layout, gpu=gpu) == rank_weights(model, **layout, gpu=other)
    assert layout_problems(model, **layout, gpu=gpu) == layout_problems(model, **layout, gpu=other)


def test_nothing_stands_for_what_prepares_no_weights():
    assert stands_for(None, None) is None
