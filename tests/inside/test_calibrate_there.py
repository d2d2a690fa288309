"""Calibrated quantization and the loss report in their environment, on tiny models of exact classes.

To import what they need takes longer than they do: one process imports it, and forks a child for each script.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import tiny_models

pytestmark = pytest.mark.slow
HERE = Path(__file__).resolve().parent
INSIDE = HERE.parents[1] / "selfhost" / "inside"
THERE = HERE / "calibrate_there.py"
QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
CALIBRATION = {"file": None, "samples": 4, "length": 64}


class Forker:
    """Runs scripts of the environment."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder, self._count = process, folder, 0

    def run(self, *argv: Path | str) -> tuple[int, str, str]:
        """Exit status, and what was written to stdout and stderr."""
        self._count += 1
        out, err = (self._folder / f"{self._count}.{name}" for name in ("out", "err"))
        words = [str(word) for word in argv]
        self._process.stdin.write(json.dumps({"argv": words, "out": str(out), "err": str(err)}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that forks has ended"
        return json.loads(answer), out.read_text(), err.read_text()


@pytest.fixture(scope="module")
def there(quantize_python, tmp_path_factory):
    """A process of the environment that has imported what takes long; what scripts set before that is set for it."""
    env = {**os.environ, **QUIET, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [quantize_python, "-E", "-s", THERE, "fork"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True) as process:
        yield Forker(process, tmp_path_factory.mktemp("outputs"))
        process.stdin.close()


@pytest.fixture(scope="module")
def tiny(there, tmp_path_factory):
    """`tiny("llama")`: the directory of a tiny model."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("tiny") / kind
            status, _, err = there.run(tiny_models.__file__, kind, made[kind])
            assert status == 0, err
        return made[kind]

    return make


def events(there: Forker, script: str, folder: Path, **body: object) -> list[dict]:
    job = folder / "job.json"
    job.write_text(json.dumps({"schema_version": 1, "device": "cpu", "jobs": 1, **body}))
    status, out, err = there.run(INSIDE / f"selfhost_quantize_{script}.py", job)
    found = [json.loads(line) for line in out.splitlines()]
    assert found, err[-2000:]
    assert status == (0 if found[-1]["event"] == "done" else 1)
    return found


def quantized(there: Forker, source: Path, folder: Path, scheme: str, **body: object) -> list[dict]:
    job = {
        "scheme": scheme,
        "source": str(source),
        "target": str(folder / "target"),
        "calibration": CALIBRATION,
        **body,
    }
    return events(there, "calibrated", folder, **job)


def shapes(path: Path) -> dict[str, list[int]]:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


@pytest.mark.parametrize("check", ["compressed", "bitsandbytes", "fp8"])
def test_weights_are_read_as_libraries_read_them(check, there, tmp_path):
    status, _, err = there.run(THERE, check, tmp_path)
    assert status == 0, err[-3000:]


@pytest.mark.parametrize("kind", ["llama", "glm4", "glm4_moe", "deepseek_v3"])
def test_layer_by_layer_is_the_whole_model(kind, there, tiny):
    status, _, err = there.run(THERE, "skeleton", tiny(kind))
    assert status == 0, err[-3000:]


@pytest.mark.parametrize(
    ("scheme", "kind"), [("w4a16-gptq", "glm4_moe"), ("w4a16-awq", "deepseek_v3"), ("w8a8", "qwen3_moe")]
)
def test_models_with_experts_are_quantized_but_for_head_and_router(scheme, kind, there, tiny, tmp_path):
    source = tiny(kind)
    told = quantized(there, source, tmp_path, scheme)
    done, target = told[-1], tmp_path / "target"
    assert done["event"] == "done", done
    assert {file["path"]: file["size"] for file in done["files"]} == {
        path.name: path.stat().st_size for path in target.iterdir()
    }
    assert (target / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()
    tensors = shapes(target / "model.safetensors")
    experts = [
        name for name in tensors if re.search(r"layers[.]1[.]mlp[.]experts[.]\d[.]up_proj[.]weight_scale$", name)
    ]
    assert len(experts) == 8
    assert ("model.layers.1.mlp.experts.0.up_proj.weight_packed" in tensors) is (scheme != "w8a8")
    assert {"model.layers.1.mlp.gate.weight", "lm_head.weight"} <= set(tensors)
    config = json.loads((target / "config.json").read_text())
    before = json.loads((source / "config.json").read_text())
    assert {key: value for key, value in config.items() if key != "quantization_config"} == before
    ignore = config["quantization_config"]["ignore"]
    assert any(re.match(one.removeprefix("re:"), "model.layers.1.mlp.gate") for one in ignore if one.startswith("re:"))
    counted = [event["done_bytes"] for event in told if event["event"] == "progress"]
    assert counted == sorted(counted)

    report = tmp_path / "report.json"
    body = {"source": str(source), "target": str(target), "report": str(report), "scheme": scheme}
    assert events(there, "loss", tmp_path, **body)[-1]["event"] == "done"
    lost = json.loads(report.read_text())
    assert 0 < max(lost["layer_errors"]) < 0.5
    assert lost["top1_agreement"] > 0.9


def test_outliers_are_smoothed_before_gptq_measures(there, tiny, tmp_path):
    """With both in one pass GPTQ corrects for inputs that its layers no longer get: five times the error."""
    source, report = tmp_path / "source", tmp_path / "report.json"
    shutil.copytree(tiny("llama"), source)
    assert there.run(THERE, "outliers", source)[0] == 0
    told = quantized(there, source, tmp_path, "w8a8", calibration={**CALIBRATION, "samples": 8})
    assert told[-1]["event"] == "done", told[-1]
    body = {"source": str(source), "target": str(tmp_path / "target"), "report": str(report)}
    assert events(there, "loss", tmp_path, **body)[-1]["event"] == "done"
    assert max(json.loads(report.read_text())["layer_errors"]) < 0.02


@pytest.mark.parametrize("scheme", ["fp8", "fp8-block", "w8a16", "int8", "nf4"])
def test_losses_of_schemes_without_text_are_measured_too(scheme, there, tiny, tmp_path):
    source, target, report = tiny("glm4"), tmp_path / "target", tmp_path / "report.json"
    body = {"scheme": scheme, "source": str(source), "target": str(target)}
    told = events(there, "stream", tmp_path, **body)
    assert told[-1]["event"] == "done", told[-1]
    told = events(there, "loss", tmp_path, **body, report=str(report))
    assert told[-1]["event"] == "done", told[-1]
    errors = json.loads(report.read_text())["layer_errors"]
    assert min(errors) > 0
    # Of one matrix: three bits after the point 3 %, NF4 9 %, 8 bits below 1 %; three matrices follow one another.
    assert max(errors) < {"fp8": 0.06, "fp8-block": 0.06, "w8a16": 0.02, "int8": 0.02, "nf4": 0.2}[scheme]


def test_what_cannot_be_quantized_so_is_named(quantize_python, there, tiny, tmp_path):
    source = tiny("llama")
    (tmp_path / "x.txt").write_text("Too little.")
    told = quantized(there, source, tmp_path, "w8a8", calibration={**CALIBRATION, "file": str(tmp_path / "x.txt")})
    assert told[-1]["id"] == "quantize.bad_calibration"
    assert told[-1]["params"]["detail"] == "it gives 0 samples of 64 tokens; at least 4 are needed"
    assert not (tmp_path / "target").exists()

    # This one as it is started for users: by itself, from a bare Python.
    job = tmp_path / "bare.json"
    asked = {"schema_version": 1, "scheme": "w4a16-gptq", "source": str(source), "target": str(tmp_path / "target")}
    job.write_text(json.dumps({**asked, "group_size": 96, "device": "cpu", "jobs": 1, "calibration": CALIBRATION}))
    script = INSIDE / "selfhost_quantize_calibrated.py"
    bare = subprocess.run([quantize_python, "-E", "-s", script, job], capture_output=True, text=True, check=False)
    assert bare.returncode == 1
    told = [json.loads(line) for line in bare.stdout.splitlines()]
    assert told[-1]["id"] == "quantize.bad_shape"
    assert "groups of 96 do not divide" in told[-1]["params"]["detail"]

    other = tmp_path / "other"
    other.mkdir()
    for path in source.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    config = json.loads((source / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "fp8"}}))
    told = quantized(there, other, tmp_path, "w8a8")
    assert (told[-1]["id"], told[-1]["params"]) == ("quantize.already", {"method": "fp8"})
