"""An engine's log -> the line that names the root cause, what it means and the exit code.

vLLM's processes fail in a chain: a worker's exception, then "WorkerProc initialization failed" in the engine core, then
"Engine core initialization failed" in the API server. The first line is the cause; the last is what users see.
Texts: vLLM 0.32.0 and its dependencies; the file is named where the text is not unmistakable.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from selfhost.errors import ExitCode
from selfhost.records import dataclass
from selfhost.serve.phases import split_lines, strip_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SIGKILL = 9
LINE_LENGTH = 300
"""Longest part of a log line that is shown: some list every architecture there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """A cause: the message of the catalogue that explains it, and the line it was read from."""

    message_id: str
    code: ExitCode
    line: str
    params: Mapping[str, str] = field(default_factory=dict)
    """Values of the message besides `name`, `model`, `phase` and `line`."""


class _Rule(NamedTuple):
    message_id: str
    code: ExitCode
    pattern: re.Pattern[str]
    defaults: Mapping[str, str] = {}


def _rule(message_id: str, code: ExitCode, *patterns: str, **defaults: str) -> _Rule:
    return _Rule(message_id, code, re.compile("|".join(patterns)), defaults)


_GIB = r"-?[\d.]+"

# The first line of the log that any rule matches is the cause; the order here only decides within one line.
RULES: tuple[_Rule, ...] = (
    # Memory. v1/core/kv_cache_utils.py, v1/worker/utils.py, v1/worker/cpu_worker.py
    _rule(
        "diagnose.kv_too_small",
        ExitCode.NO,
        rf"To serve at least one request with the models?'?s? max seq len \((?P<max_model_len>\d+)\), "
        rf"\((?P<needed>{_GIB}) GiB KV cache is needed, which is larger than the available KV cache memory "
        rf"\((?P<available>{_GIB}) GiB\)(?:.*estimated maximum model length is (?P<longest>\d+))?",
        longest="auto",
    ),
    _rule(
        "diagnose.no_kv_memory",
        ExitCode.NO,
        r"No available memory for the cache blocks",
        r"Cannot auto-fit max_model_len",
    ),
    _rule(
        "diagnose.memory_in_use",
        ExitCode.NO,
        rf"Free memory on device \S+ \((?P<free>{_GIB})/(?P<total>{_GIB}) GiB\) on startup is less than desired GPU "
        rf"memory utilization \((?P<fraction>[\d.]+), (?P<wanted>{_GIB}) GiB\)",
    ),
    _rule(
        "diagnose.cpu_memory_in_use",
        ExitCode.NO,
        rf"Available memory on node \d+ \((?P<free>{_GIB})/(?P<total>{_GIB}) GiB\) on startup is less than desired CPU "
        rf"memory utilization \((?P<fraction>[\d.]+), (?P<wanted>{_GIB}) GiB\)",
    ),
    _rule(
        "diagnose.cpu_kv_too_large",
        ExitCode.NO,
        rf"Available memory on node \d+ \((?P<free>{_GIB})/(?P<total>{_GIB}) GiB\) on kv cache allocation is less than "
        rf"requested memory for kv \((?P<wanted>{_GIB})",
    ),
    _rule("diagnose.memory_moved", ExitCode.NO, r"Error in memory profiling\. Initial free memory"),
    _rule(
        "diagnose.out_of_memory",
        ExitCode.NO,
        r"\bOutOfMemoryError\b",
        r"(?:CUDA|NPU) out of memory",
        r"CUDA error: out of memory",
        r"DefaultCPUAllocator: can't allocate memory",
        r"Failed to load model - not enough GPU memory",
        r"^MemoryError\b",
    ),
    # Layouts. config/model.py, model_executor/layers/quantization/utils, distributed/utils.py
    _rule(
        "diagnose.heads",
        ExitCode.USAGE,
        r"Total number of attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size "
        r"\((?P<tensor_parallel_size>\d+)\)",
    ),
    _rule(
        "diagnose.shards",
        ExitCode.USAGE,
        r"is not divisible by weight quantization block_[nk]",
        r"is not divisible by (?:min_thread_[nk]|group_size|tile_[nk]_size)",
        r"not aligned with the quantized weight shape",
        r"^AssertionError: \d+ is not divisible by \d+",
    ),
    _rule(
        "diagnose.max_model_len",
        ExitCode.USAGE,
        r"User-specified max_model_len \((?P<wanted>\d+)\) is greater than the derived max_model_len "
        r"\((?:\w+=)?(?P<longest>\d+)",
    ),
    # The model
    _rule(
        "diagnose.architecture",
        ExitCode.NO,
        r"Model architectures \[(?P<architecture>[^\]]*)\] are not supported",
        r"has model type `(?P<model_type>[^`]+)` but Transformers does not recognize",
    ),
    _rule(
        "diagnose.cpu_no_fp8",
        ExitCode.NO,
        r"requires AMX tile support",
        r"_C::static_scaled_fp8_quant\(\)",
    ),
    _rule("diagnose.cpu_no_sparse", ExitCode.NO, r"Sparse Attention is not supported on CPU"),
    _rule(
        "diagnose.quantization",
        ExitCode.NO,
        r"Unknown quantization method",
        r"(?:quantization method|Quantization scheme) .*is not supported for the current GPU",
        r"Failed to find a kernel that can implement",
    ),
    _rule("diagnose.remote_code", ExitCode.TRUST, r"contains custom code which must be executed"),
    # Files
    _rule(
        "diagnose.weights_missing",
        ExitCode.INTEGRITY,
        r"Cannot find any model weights with",
        r"weights were not initialized from checkpoint",
        r"No such file or directory: .*\.(?:safetensors|json|bin|model|txt|jinja)\b",
        r"Repo id must be in the form",
        r"LocalEntryNotFoundError",
    ),
    _rule(
        "diagnose.weights_corrupt",
        ExitCode.INTEGRITY,
        r"SafetensorError",
        r"Error while deserializing header",
        # transformers_utils/utils.py, parse_safetensors_file_metadata: the length of a header that is none
        r"OverflowError: cannot fit 'int' into an index-sized integer",
        r"JSONDecodeError",
    ),
    _rule(
        "diagnose.tokenizer",
        ExitCode.INTEGRITY,
        r"Couldn't instantiate the backend tokenizer",
        r"Can't load tokenizer for",
    ),
    # This machine, this engine
    _rule("diagnose.port", ExitCode.MISSING, r"Address already in use", r"EADDRINUSE"),
    _rule("diagnose.numa", ExitCode.MISSING, r"Not enough allowed NUMA nodes to bind threads of (?P<workers>\d+)"),
    _rule("diagnose.library", ExitCode.MISSING, r"(?P<library>lib[\w.+-]+): cannot open shared object file"),
    _rule(
        "diagnose.module",
        ExitCode.MISSING,
        r"^ModuleNotFoundError: No module named '(?P<module>[^']+)'",
        r": No module named (?P<script>[\w.]+)$",
        r"PackageNotFoundError: .*for (?P<package>\S+)",
    ),
    _rule(
        "diagnose.device",
        ExitCode.MISSING,
        r"Failed to infer device type",
        r"No CUDA GPUs are available",
        r"Found no NVIDIA driver",
        r"NVIDIA driver on your system is too old",
        r"CUDA driver version is insufficient",
        r"no kernel image is available for execution on the device",
        r"local_rank \d+ is out of bounds",
    ),
    _rule("diagnose.collective", ExitCode.MISSING, r"\bnccl\w*Error\b", r"NCCL error", r"HCCL (?:function )?error"),
    _rule("diagnose.open_files", ExitCode.MISSING, r"Too many open files"),
    _rule("diagnose.permission", ExitCode.MISSING, r"Permission denied"),
    _rule("diagnose.space", ExitCode.NO_SPACE, r"No space left on device"),
    _rule(
        "diagnose.flag",
        ExitCode.USAGE,
        r"^\S+: error: (?P<argument>.+)",
        r"invalid (?P<kind>tool call|reasoning) parser",
    ),
)

_EXCEPTION = re.compile(r"^(?:Value error, |[A-Za-z_][\w.]*(?:Error|Exception)\b(?::|$)|AssertionError$)")
_SYMPTOMS = re.compile(
    r"Engine core initialization failed|WorkerProc initialization failed|EngineDeadError|Worker failed with error"
    r"|Executor failed\.|ValidationError: \d+ validation error|CancelledError|BrokenPipeError|ConnectionResetError"
)
_WORKER_DIED = re.compile(r"Worker proc \S+ died unexpectedly|WorkerProc initialization failed|EngineDeadError")
_NOT_A_CAUSE = re.compile(r"(?:^|\) )(?:DEBUG|INFO|WARNING) \d\d-\d\d ")


def _candidates(text: str) -> Iterator[str]:
    """Log lines that can name a cause, without their prefixes.

    Warnings quote errors that are none; lines of source in a traceback, four spaces deep, name every error there is.
    """
    lines = (strip_prefix(line) for line in split_lines(text) if not _NOT_A_CAUSE.search(line))
    return (line.strip() for line in lines if not line.startswith("    "))


def find_cause(text: str) -> Diagnosis | None:
    """The first recognised cause in a log; None when nothing in it is known."""
    for line in _candidates(text):
        for rule in RULES:
            if match := rule.pattern.search(line):
                given = {key: value.strip("'") for key, value in match.groupdict().items() if value is not None}
                return Diagnosis(
                    message_id=rule.message_id,
                    code=rule.code,
                    line=line[:LINE_LENGTH],
                    params={**rule.defaults, **given},
                )
    return None


def _first_exception(text: str) -> str | None:
    return next((line for line in _candidates(text) if _EXCEPTION.match(line) and not _SYMPTOMS.search(line)), None)


def diagnose(text: str, *, returncode: int | None, oom_killed: bool) -> Diagnosis:
    """The root cause of an engine's end: from its log first, then from how it ended.

    returncode: of the main process; negative: the signal that ended it; None: unknown. oom_killed: the kernel's
    out-of-memory killer struck somewhere on this machine meanwhile.
    """
    if cause := find_cause(text):
        return cause
    last = (split_lines(text) or [""])[-1].strip()[:LINE_LENGTH]
    worker_died = next((line for line in _candidates(text) if _WORKER_DIED.search(line)), None)
    exception = _first_exception(text)
    if oom_killed and (returncode == -_SIGKILL or (worker_died and not exception)):
        return Diagnosis(message_id="diagnose.oom_killer", code=ExitCode.NO, line=worker_died or last)
    if exception:
        return Diagnosis(message_id="diagnose.unknown", code=ExitCode.FAILURE, line=exception[:LINE_LENGTH])
    if returncode is not None and returncode < 0:
        return Diagnosis(
            message_id="diagnose.signal", code=ExitCode.FAILURE, line=last, params={"signal": str(-returncode)}
        )
    if worker_died:
        return Diagnosis(message_id="diagnose.worker_died", code=ExitCode.FAILURE, line=worker_died[:LINE_LENGTH])
    status = "unknown" if returncode is None else str(returncode)
    return Diagnosis(message_id="diagnose.exited", code=ExitCode.FAILURE, line=last, params={"status": status})
