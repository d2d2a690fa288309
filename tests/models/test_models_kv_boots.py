"""What real CPU engines logged of their KV cache, or said when they refused: ours is the same for every kept boot.

The rows are made by `tests/oracle/kv_boots.py`. Not every kind starts on every CPU: what did not is listed here.
"""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from selfhost.errors import NoError
from selfhost.models.kv_pool import Shortage
from selfhost.units import GIB
from tests.models.kv_boots import BOOTS, ours
from tests.models.public_models import DATA

NOT_STARTED = {
    # The layout of the KV cache was logged before: that is still compared.
    "full fp8": "FP8 KV cache on CPU requires x86 with AVX-512 or AMX",
    "full too long": "To serve at least one request with the model's max seq len",
    "sparse": "Sparse Attention is not supported on CPU",
    "some windows in Qwen2": "Sliding window for some but all layers is not supported",
    # Its module imports torchvision, which this engine environment leaves out.
    "states of Qwen3.5": "No module named 'torchvision'",
    # Its kernels are in builds for AMX only.
    "compressed": "has no attribute 'convert_weight_packed'",
}
LIVE = ["windows"]


@pytest.mark.parametrize("name", [name for name, boot in BOOTS.items() if "tokens" in boot["result"]])
def test_tokens_and_concurrency_are_what_the_engine_logged(name):
    boot = BOOTS[name]
    result = boot["result"]
    found, length, size = ours(boot)
    assert found.shortage is None
    assert (found.tokens, length) == (result["tokens"], result["max_model_len"])
    assert round(found.max_concurrency, 2) == result["max_concurrency"]
    if result["started"]:
        assert (found.blocks, size) == (result["num_blocks"], result["block_size"])


def test_what_did_not_start_is_what_is_listed():
    says = {name: boot["result"]["says"] for name, boot in BOOTS.items() if not boot["result"]["started"]}
    assert says.keys() == NOT_STARTED.keys()
    for name, words in NOT_STARTED.items():
        assert words in says[name]


def test_a_refusal_has_the_figures_of_the_engine():
    boot = BOOTS["full too long"]
    found, length, _ = ours(boot)
    assert found.shortage is Shortage.TOO_LONG
    figures = re.search(r"\((\d+)\), \((\S+) GiB .* memory \((\S+) GiB\).* length is (\d+)", boot["result"]["says"])
    needed, there = (f"{round(size / GIB, 2)}" for size in (found.needed_bytes, found.available_bytes))
    assert figures.groups() == (str(length), needed, there, str(found.longest))


def test_sparse_attention_is_refused_as_by_the_engine():
    with pytest.raises(NoError):
        ours(BOOTS["sparse"])


@pytest.mark.e2e
@pytest.mark.parametrize("name", LIVE)
def test_the_kept_rows_are_what_the_engine_logs_today(engine_python, name):
    command = [str(engine_python), str(DATA.parent / "oracle/kv_boots.py"), "--case", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == {name: BOOTS[name]["result"]}
