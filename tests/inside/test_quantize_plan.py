"""What the quantizer makes of a job and a source before it loads torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "selfhost" / "inside"))

import selfhost_quantize_events as events
import selfhost_quantize_stream as stream
from selfhost_quantize_events import Refused
from selfhost_quantize_files import Tensor

EXPERTS = "model.layers.0.mlp.experts"


@pytest.fixture
def source(tmp_path) -> Path:
    """Two experts of 3 x 4 in one tensor, outputs of gate and up one after the other, and a norm."""
    header = {
        "__metadata__": {"format": "pt"},
        f"{EXPERTS}.gate_up_proj": {"dtype": "BF16", "shape": [2, 6, 4], "data_offsets": [0, 96]},
        f"{EXPERTS}.down_proj": {"dtype": "BF16", "shape": [2, 4, 3], "data_offsets": [96, 144]},
        "model.norm.weight": {"dtype": "BF16", "shape": [4], "data_offsets": [144, 152]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(range(152)))
    return tmp_path


def job(source: Path, kind: str, **more: object) -> stream.Job:
    (source / "config.json").write_text(json.dumps({"text_config": {"model_type": kind}, "dtype": "float16"}))
    raw = {"schema_version": 1, "scheme": "fp8", "source": str(source), "target": str(source / "out"), **more}
    return stream.Job(raw)


def test_experts_in_one_tensor_are_cut(source):
    (tensors,) = stream.checkpoint(job(source, "qwen3_5_moe_text")).values()
    data = tensors[0].file.read_bytes()
    start = len(data) - 152
    pieces = {tensor.name: (tensor.shape, tensor.start - start, tensor.size) for tensor in tensors}
    assert pieces == {
        f"{EXPERTS}.0.gate_proj.weight": ((3, 4), 0, 24),
        f"{EXPERTS}.0.up_proj.weight": ((3, 4), 24, 24),
        f"{EXPERTS}.1.gate_proj.weight": ((3, 4), 48, 24),
        f"{EXPERTS}.1.up_proj.weight": ((3, 4), 72, 24),
        f"{EXPERTS}.0.down_proj.weight": ((4, 3), 96, 24),
        f"{EXPERTS}.1.down_proj.weight": ((4, 3), 120, 24),
        "model.norm.weight": ((4,), 144, 8),
    }


def test_experts_in_an_order_that_is_not_known_are_refused(source):
    with pytest.raises(Refused) as refused:
        stream.checkpoint(job(source, "llama4_text"))
    assert refused.value.id == "quantize.experts"
    assert refused.value.params == {"tensor": f"{EXPERTS}.gate_up_proj", "shape": [2, 6, 4]}


def test_what_a_job_says(source):
    asked = job(source, "llama", group_size=64, jobs=3, ignore=["o_proj"])
    assert (asked.group_size, asked.jobs, asked.ignore, asked.device) == (64, 3, ("o_proj",), "auto")
    assert asked.dtype == "float16"
    assert job(source, "llama").jobs >= 1


@pytest.mark.parametrize(
    ("dtype", "shape", "refused"),
    [
        ("I8", (8, 8), True),
        ("I32", (8, 8), True),
        ("F8_E8M0", (8, 8), True),
        ("F4", (8,), True),
        ("I64", (8, 8), False),
        ("I32", (8,), False),
        ("BF16", (8, 8), False),
    ],
)
def test_matrices_that_are_quantized_otherwise_are_not_copied(dtype, shape, refused):
    copied = [Tensor("x", dtype, shape, Path("f"), 0, 0)]
    if not refused:
        stream.refuse_packed(copied)
        return
    with pytest.raises(Refused) as said:
        stream.refuse_packed(copied)
    assert (said.value.id, said.value.params) == ("quantize.dtype", {"tensor": "x", "dtype": dtype})


@pytest.mark.parametrize("wrong", [{"scheme": "fp9"}, {"schema_version": 2}, {"jobs": "many"}, {"target": None}])
def test_a_job_that_makes_no_sense(source, wrong):
    with pytest.raises(Refused, match=r"quantize\.bad_job"):
        job(source, "llama", **wrong)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), ("quantize.out_of_memory", {"detail": "MemoryError: "})),
        (
            RuntimeError("CUDA out of memory. Tried\nmore"),
            ("quantize.out_of_memory", {"detail": "RuntimeError: CUDA out of memory. Tried"}),
        ),
        (
            OSError(28, "No space left on device", "/x"),
            ("quantize.no_space", {"path": "/x", "detail": "No space left on device"}),
        ),
        (
            OSError(13, "Permission denied", "/x"),
            ("quantize.unwritable", {"path": "/x", "detail": "Permission denied"}),
        ),
        (
            OSError(28, "No space left on device"),
            ("quantize.no_space", {"path": "T", "detail": "No space left on device"}),
        ),
        (OSError("odd tokenizer"), ("quantize.failed", {"detail": "OSError: odd tokenizer"})),
        (KeyError("k_proj"), ("quantize.failed", {"detail": "KeyError: 'k_proj'"})),
        (RuntimeError("shapes differ\nmore"), ("quantize.failed", {"detail": "RuntimeError: shapes differ"})),
        (
            ImportError("No module named 'torch'", name="torch"),
            ("quantize.no_package", {"package": "torch", "detail": "No module named 'torch'"}),
        ),
        (Refused("quantize.nothing", path="/x"), ("quantize.nothing", {"path": "/x"})),
    ],
)
def test_what_ends_a_run_is_told(tmp_path, capsys, error, told):
    """Whatever it is; what nobody expected also with its traceback, which goes to the log."""

    def fails(_job: dict) -> None:
        raise error

    path = tmp_path / "job.json"
    path.write_text(json.dumps({"target": "T"}))
    assert events.attempt(fails, str(path)) == 1
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [{"event": "error", "id": told[0], "params": told[1]}]
    assert ("Traceback" in err) is not isinstance(error, Refused)


@pytest.mark.parametrize(
    "script", ["selfhost_quantize_stream", "selfhost_quantize_calibrated", "selfhost_quantize_loss"]
)
@pytest.mark.parametrize(
    ("written", "message_id"),
    [("[]", "quantize.bad_job"), ("{", "quantize.failed"), ('{"schema_version": 1, "source": 7}', None)],
)
def test_each_script_ends_with_an_event(script, written, message_id, tmp_path):
    """With a Python that lacks what they need, too."""
    job = tmp_path / "job.json"
    job.write_text(written)
    path = Path(stream.__file__).with_name(f"{script}.py")
    done = subprocess.run([sys.executable, path, job], capture_output=True, text=True, check=False)
    (last,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, last["event"]) == (1, "error")
    assert message_id in (None, last["id"])
