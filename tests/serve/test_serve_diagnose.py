"""Root causes, from logs of real failed starts and from lines that the engine's source prints."""

# ruff: noqa: E501, ISC004 - lines of logs as they are

from __future__ import annotations

import string

import pytest

from selfhost.errors import ExitCode
from selfhost.messages import Message, lookup
from selfhost.serve.diagnose import RULES, diagnose, find_cause
from tests.serve.serve_support import LOGS

RECORDED = {
    "weights-cut-off": ("diagnose.weights_corrupt", 5, "safetensors._safetensors_rust.SafetensorError: Error while"),
    "weights-no-safetensors": ("diagnose.weights_corrupt", 5, "OverflowError: cannot fit 'int' into"),
    "weights-missing": ("diagnose.weights_missing", 5, "RuntimeError: Cannot find any model weights with `/models/now"),
    "shard-missing": ("diagnose.weights_missing", 5, "RuntimeError: Cannot find any model weights with `/models/miss"),
    "tensors-missing": ("diagnose.weights_missing", 5, "ValueError: Following weights were not initialized"),
    "no-such-directory": ("diagnose.weights_missing", 5, "huggingface_hub.errors.HFValidationError: Repo id must be"),
    "no-such-repository": ("diagnose.weights_missing", 5, "huggingface_hub.errors.LocalEntryNotFoundError: Cannot"),
    "tokenizer-missing": ("diagnose.tokenizer", 5, "ValueError: Couldn't instantiate the backend tokenizer"),
    "unknown-architecture": ("diagnose.architecture", 3, "Value error, Model architectures ['FooForCausalLM'] are not"),
    "unknown-model-type": ("diagnose.architecture", 3, "Error parsing config for /models/modeltype: The checkpoint"),
    "heads-not-divisible": ("diagnose.heads", 2, "Value error, Total number of attention heads (9) must be divisible"),
    "max-model-len": ("diagnose.max_model_len", 2, "Value error, User-specified max_model_len (99999) is greater"),
    "unknown-flag": ("diagnose.flag", 2, "api_server.py: error: unrecognized arguments: --no-such-flag"),
    "tool-parser": ("diagnose.flag", 2, "KeyError: 'invalid tool call parser: nope"),
    "numa-nodes": ("diagnose.numa", 4, "AssertionError: Not enough allowed NUMA nodes to bind threads of 3 local"),
    "port-in-use": ("diagnose.port", 4, "OSError: [Errno 98] Address already in use"),
    "cpu-kv-too-large": (
        "diagnose.cpu_kv_too_large",
        3,
        "ValueError: Available memory on node 0 (6.84/8.84 GiB) on kv",
    ),
    "cpu-kv-negative": ("diagnose.cpu_kv_too_large", 3, "ValueError: Available memory on node 0 (6.9/8.84 GiB) on kv"),
    "cpu-memory-in-use": ("diagnose.cpu_memory_in_use", 3, "ValueError: Available memory on node 0 (7.38/8.84 GiB) on"),
    "kv-too-small": ("diagnose.kv_too_small", 3, "ValueError: To serve at least one request with the model's max"),
    "cpu-fp8": ("diagnose.cpu_no_fp8", 3, "RuntimeError: _C::static_scaled_fp8_quant() expected at most 0"),
    "worker-killed-while-loading": ("diagnose.worker_died", 1, "Exception: WorkerProc initialization failed"),
    "worker-killed-while-serving": ("diagnose.worker_died", 1, "Worker proc VllmWorker-0 died unexpectedly (exit code"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_failures(name):
    found = diagnose((LOGS / f"{name}.log").read_text(), returncode=1, oom_killed=False)
    message_id, code, line = RECORDED[name]
    assert (found.message_id, int(found.code)) == (message_id, code)
    assert found.line.startswith(line)


def test_a_start_that_worked_shows_no_cause():
    log = (LOGS / "started.log").read_text()
    assert find_cause(log.partition("Application startup complete")[0]) is None


def test_numbers_of_the_log_reach_the_message():
    found = find_cause((LOGS / "kv-too-small.log").read_text())
    message = Message(found.message_id, {"name": "m", "model": "m", "phase": "warming up", "line": "L", **found.params})
    assert message.what == "`m` failed while warming up: the KV cache cannot hold one request of 1024 tokens"
    assert message.why == "needed 0.02 GiB, left after weights and buffers 0.01 GiB\nengine: L"
    assert message.hint == "try `selfhost serve m --max-model-len 256`, or free memory on the device"


SOURCE_LINES = [
    # v1/worker/utils.py, v1/core/kv_cache_utils.py, utils/mem_utils.py @ 0.32.0
    (
        "ValueError: Free memory on device cuda:0 (7.9/79.18 GiB) on startup is less than desired GPU memory utilization "
        "(0.92, 72.85 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
        "diagnose.memory_in_use",
        3,
    ),
    (
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
        "diagnose.no_kv_memory",
        3,
    ),
    (
        "ValueError: To serve at least one request with the models's max seq len (32768), (8.0 GiB KV cache is needed, "
        "which is larger than the available KV cache memory (1.5 GiB).",
        "diagnose.kv_too_small",
        3,
    ),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "diagnose.out_of_memory", 3),
    (
        "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB (NPU 0; 60.96 GiB total)",
        "diagnose.out_of_memory",
        3,
    ),
    (
        "RuntimeError: [enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried",
        "diagnose.out_of_memory",
        3,
    ),
    (
        "AssertionError: Error in memory profiling. Initial free memory 70.1 GiB, current free memory 71 GiB.",
        "diagnose.memory_moved",
        3,
    ),
    (
        "ValueError: Weight output_partition_size = 14784 is not divisible by weight quantization block_n = 128.",
        "diagnose.shards",
        2,
    ),
    (
        "ValueError: Weight input_size_per_partition = 14784 is not divisible by min_thread_k = 128.",
        "diagnose.shards",
        2,
    ),
    ("AssertionError: 151936 is not divisible by 3", "diagnose.shards", 2),
    (
        "ValueError: Failed to find a kernel that can implement the WNA16 linear layer. Reasons:",
        "diagnose.quantization",
        3,
    ),
    (
        "ValueError: Failed to find a kernel that can implement the ScaledMM linear layer. Reasons: requires AMX tile support",
        "diagnose.cpu_no_fp8",
        3,
    ),
    ("NotImplementedError: Sparse Attention is not supported on CPU.", "diagnose.cpu_no_sparse", 3),
    ("ValueError: Unknown quantization method: bitsandbytes. Must be one of ['awq']", "diagnose.quantization", 3),
    ("ImportError: libnuma.so.1: cannot open shared object file: No such file or directory", "diagnose.library", 4),
    ("ModuleNotFoundError: No module named 'vllm'", "diagnose.module", 4),
    ("/opt/engine/bin/python: No module named vllm.entrypoints", "diagnose.module", 4),
    ("RuntimeError: Failed to infer device type, please set the environment variable", "diagnose.device", 4),
    (
        "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
        "diagnose.collective",
        4,
    ),
    ("OSError: [Errno 28] No space left on device", "diagnose.space", 8),
    ("PermissionError: [Errno 13] Permission denied: '/models/m/model.safetensors'", "diagnose.permission", 4),
    ("FileNotFoundError: [Errno 2] No such file or directory: '/models/m/config.json'", "diagnose.weights_missing", 5),
    (
        "The repository /models/m contains custom code which must be executed to correctly load",
        "diagnose.remote_code",
        6,
    ),
]


@pytest.mark.parametrize(("line", "message_id", "code"), SOURCE_LINES, ids=lambda value: str(value)[:50])
def test_lines_of_the_source(line, message_id, code):
    logged = f"INFO something\n(EngineCore pid=7) ERROR 11-22 04:08:47 [core.py:1510] {line}\nRuntimeError: Engine core initialization failed.\n"
    found = diagnose(logged, returncode=1, oom_killed=False)
    assert (found.message_id, int(found.code), found.line) == (message_id, code, line)


def test_the_first_cause_counts_and_the_symptoms_do_not():
    log = (
        "(Worker pid=1) ERROR 11-22 04:08:47 [m.py:1] torch.OutOfMemoryError: CUDA out of memory.\n"
        "(EngineCore pid=1) ERROR 11-22 04:08:48 [m.py:1] OSError: [Errno 98] Address already in use\n"
        "RuntimeError: Engine core initialization failed. See root cause above.\n"
    )
    assert find_cause(log).message_id == "diagnose.out_of_memory"


def test_warnings_and_source_lines_are_no_causes():
    log = (
        "(APIServer pid=1) WARNING 11-22 04:01:55 [system_utils.py:255] can cause `OSError: [Errno 24] Too many open files`\n"
        "    raise LocalEntryNotFoundError(\n"
        "KeyError: 'model.layers.0'\n"
    )
    found = diagnose(log, returncode=1, oom_killed=False)
    assert (found.message_id, found.line) == ("diagnose.unknown", "KeyError: 'model.layers.0'")


@pytest.mark.parametrize(
    ("returncode", "oom_killed", "message_id", "code", "params"),
    [
        (-9, True, "diagnose.oom_killer", ExitCode.NO, {}),
        (-9, False, "diagnose.signal", ExitCode.FAILURE, {"signal": "9"}),
        (-11, True, "diagnose.signal", ExitCode.FAILURE, {"signal": "11"}),
        (3, False, "diagnose.exited", ExitCode.FAILURE, {"status": "3"}),
        (None, False, "diagnose.exited", ExitCode.FAILURE, {"status": "unknown"}),
    ],
)
def test_how_it_ended_decides_when_the_log_says_nothing(returncode, oom_killed, message_id, code, params):
    found = diagnose("INFO all well\nlast words\n", returncode=returncode, oom_killed=oom_killed)
    assert (found.message_id, found.code, dict(found.params), found.line) == (message_id, code, params, "last words")


def test_a_worker_that_the_kernel_killed():
    log = (LOGS / "worker-killed-while-loading.log").read_text()
    found = diagnose(log, returncode=1, oom_killed=True)
    assert (found.message_id, found.code) == ("diagnose.oom_killer", ExitCode.NO)


def test_an_empty_log():
    assert diagnose("", returncode=1, oom_killed=False).message_id == "diagnose.exited"


def given(rule) -> set[str]:
    always = {name for name in rule.pattern.groupindex if f"(?P<{name}>" in rule.pattern.pattern.split("|")[0]}
    return always | set(rule.defaults) | {"name", "model", "phase", "line"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.message_id)
def test_each_rule_gives_its_message_what_it_needs(rule):
    wanted = {
        field for template in lookup(rule.message_id) for _, field, _, _ in string.Formatter().parse(template) if field
    }
    assert wanted <= given(rule)
