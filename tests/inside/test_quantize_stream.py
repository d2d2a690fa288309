"""The streaming quantizer in its environment: results, killed runs, refusals."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parents[1] / "selfhost" / "inside" / "selfhost_quantize_stream.py"
THERE = HERE / "quantize_there.py"


@pytest.fixture
def source(quantize_python, tmp_path) -> Path:
    """A plain model of three files."""
    subprocess.run([quantize_python, THERE, "make", tmp_path / "source", "3"], check=True)
    return tmp_path / "source"


def start(python: Path, source: Path, scheme: str, **more: object) -> subprocess.Popen[str]:
    limit = more.pop("limit", None)
    job = source.with_name("job.json")
    raw = {"schema_version": 1, "scheme": scheme, "source": str(source), "target": str(source.with_name("target"))}
    job.write_text(json.dumps({**raw, "jobs": 2, **more}))
    # A file may not grow beyond the limit, in the shell's blocks of 1 KiB.
    limited = ["sh", "-c", f'ulimit -f {limit}; exec "$@"', "sh"] if limit else []
    command = [*limited, python, "-W", "error", SCRIPT, job]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def events(python: Path, source: Path, scheme: str, **more: object) -> list[dict]:
    with start(python, source, scheme, **more) as process:
        out, err = process.communicate(timeout=120)
    found = [json.loads(line) for line in out.splitlines()]
    assert found, err
    assert process.returncode == (0 if found[-1]["event"] == "done" else 1), err
    return found


@pytest.mark.parametrize("check", ["fp8", "fp8-block", "w8a16", "int8", "nf4", "bf16", "read-back"])
def test_results_are_those_of_another_way(check, quantize_python, tmp_path):
    done = subprocess.run([quantize_python, THERE, check, tmp_path / "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_killed_run_goes_on(quantize_python, source):
    with start(quantize_python, source, "fp8") as process:
        while json.loads(process.stdout.readline())["event"] != "file":
            pass
        process.kill()
    resumed = events(quantize_python, source, "fp8")
    kept = [event["path"] for event in resumed if event["event"] == "file" and event["kept"]]
    assert kept[:1] == ["model-00001-of-00003.safetensors"]
    assert resumed[-1]["kept"] == len(kept)
    target = source.with_name("target")
    files = {file["path"]: file for file in resumed[-1]["files"]}
    assert set(files) == {str(path.relative_to(target)) for path in target.rglob("*")}, "nothing is left over"
    assert {name: file["size"] for name, file in files.items()} == {
        name: (target / name).stat().st_size for name in files
    }
    hashed = {name: hashlib.sha256((target / name).read_bytes()).hexdigest() for name in files}
    assert {name: file["sha256"] for name, file in files.items()} == hashed
    alone = events(quantize_python, source, "fp8", target=str(source.with_name("alone")))
    assert alone[-1]["files"] == resumed[-1]["files"]
    assert alone[-1]["kept"] == 0
    sizes = [event["done_bytes"] for event in alone if event["event"] == "progress"]
    assert sizes == sorted(sizes)
    assert alone[0]["event"] == "plan"
    assert sizes[-1] <= alone[0]["bytes"]


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_refusals(quantize_python, source):
    """Before a byte is written, each with what it is about."""

    def error(scheme: str, **more: object) -> tuple[str, dict]:
        found = events(quantize_python, source, scheme, **more)
        assert found[-1]["event"] == "error"
        return found[-1]["id"], found[-1]["params"]

    assert error("bf16")[0] == "quantize.not_fp8"
    assert error("w8a16", group_size=96) == (
        "quantize.shape",
        {
            "tensor": "model.layers.0.mlp.gate_proj.weight",
            "rows": 384,
            "columns": 256,
            "multiple": 96,
            "scheme": "w8a16",
        },
    )
    assert error("fp8", ignore=["up_proj"])[0] == "quantize.merged_differ"
    assert error("fp8", device="cuda") == ("quantize.no_device", {"device": "cuda"})
    assert error("fp9")[0] == "quantize.bad_job"
    assert not (source.with_name("target")).exists()
    edit(source / "config.json", quantization_config={"quant_method": "awq", "bits": 4})
    assert error("fp8") == ("quantize.already", {"method": "awq"})


def put(path: Path, name: str, value: bytes) -> None:
    """Overwrite the first number of a tensor."""
    data = bytearray(path.read_bytes())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    at = 8 + int.from_bytes(data[:8], "little") + header[name]["data_offsets"][0]
    data[at : at + 2] = value
    path.write_bytes(data)


BF16 = {"nan": b"\xc0\x7f", "infinite": b"\x80\x7f", "1e6": b"\x74\x49"}


@pytest.mark.parametrize(
    ("part", "schemes"),
    [("self_attn.o_proj", ("fp8", "fp8-block", "w8a16", "int8", "nf4")), ("input_layernorm", ("fp8",))],
    ids=["converted", "copied"],
)
def test_weights_that_are_no_numbers_are_named(quantize_python, source, part, schemes):
    path, name = source / "model-00002-of-00003.safetensors", f"model.layers.1.{part}.weight"
    put(path, name, BF16["nan"])
    for scheme in schemes:
        last = events(quantize_python, source, scheme)[-1]
        assert (last["id"], last["params"]) == ("quantize.not_finite", {"tensor": name, "path": str(path)}), scheme


def test_what_int8_cannot_hold_is_not_called_no_number(quantize_python, source):
    path, name = source / "model-00002-of-00003.safetensors", "model.layers.1.self_attn.o_proj.weight"
    put(path, name, BF16["1e6"])
    last = events(quantize_python, source, "int8")[-1]
    assert last["id"] == "quantize.too_large"
    assert last["params"] == {"tensor": name, "value": pytest.approx(1e6, rel=0.01), "most": 65504.0}
    put(path, name, BF16["infinite"])
    assert events(quantize_python, source, "int8")[-1]["id"] == "quantize.not_finite"


def test_a_disk_that_is_full(quantize_python, source):
    last = events(quantize_python, source, "fp8", limit=100)[-1]
    assert (last["id"], last["params"]["path"]) == ("quantize.no_space", str(source.with_name("target")))
