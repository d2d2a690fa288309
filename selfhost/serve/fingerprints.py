"""What lines of an engine's log mean: one rule for each failure of vLLM, of CUDA and of Python below it.

Texts: vLLM 0.32.0 and its dependencies; the file is named where the text is not unmistakable. Those of Ascend:
`fingerprints_ascend`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from selfhost.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping


class Rule(NamedTuple):
    """A pattern and what it means."""

    message_id: str
    code: ExitCode
    pattern: re.Pattern[str]
    defaults: Mapping[str, str] = {}
    """Values of the message that the line may not have."""
    deep: bool = False
    """Also in lines that are four spaces deep: CANN indents what it says, and Python the source that it quotes."""
    clue: bool = False
    """A symptom or a warning: worth telling, never the cause of an end."""
    shared: bool = False
    """Other platforms say the same words: it counts in logs that tell of Ascend."""
    needles: tuple[str, ...] = ()
    """Words of which a line that matches has one: looking for them in a long log is much faster."""


def rule(message_id: str, code: ExitCode, *patterns: str, **defaults: str) -> Rule:
    """A rule for lines that can be the cause."""
    needles = tuple(dict.fromkeys(map(needle, patterns)))
    return Rule(message_id, code, re.compile("|".join(patterns)), defaults, needles=needles)


_PART = re.compile(r"\\([^\w\s])|(\\.|\[\^?\]?[^\]]*\]|[.^$])|([*+?]|\{\d*,?\d*\})|([()|])|(.)", re.DOTALL)


def needle(pattern: str) -> str:
    r"""The longest text that every match of a regular expression has, as far as a short look can tell.

    >>> needle(r"^Error (?P<number>\\d+): system has unsupported display driver\b")
    ': system has unsupported display driver'
    """
    runs, run, depth = [""], "", 0
    for part in _PART.finditer(pattern):
        escaped, breaks, repeated, bracket, plain = part.groups()
        literal = escaped or plain
        if literal and depth == 0:
            run += literal
            continue
        if bracket == "|" and depth == 0:
            return ""
        depth += {"(": 1, ")": -1}.get(bracket or "", 0)
        if repeated and depth == 0 and run:
            run = run[:-1]
        if breaks or repeated or bracket:
            runs.append(run)
            run = ""
    runs.append(run)
    # Half of all lines with a failure have this word.
    return max((text for text in runs if text != "Error"), key=len)


_GIB = r"-?[\d.]+"

GENERAL: tuple[Rule, ...] = (
    # Memory. v1/core/kv_cache_utils.py, v1/worker/utils.py, v1/worker/cpu_worker.py
    rule(
        "diagnose.kv_too_small",
        ExitCode.NO,
        rf"To serve at least one request with the models?'?s? max seq len \((?P<max_model_len>\d+)\), "
        rf"\((?P<needed>{_GIB}) GiB KV cache is needed, which is larger than the available KV cache memory "
        rf"\((?P<available>{_GIB}) GiB\)(?:.*estimated maximum model length is (?P<longest>\d+))?",
        longest="auto",
    ),
    rule(
        "diagnose.no_kv_memory",
        ExitCode.NO,
        r"No available memory for the cache blocks",
        r"Cannot auto-fit max_model_len",
    ),
    rule(
        "diagnose.memory_in_use",
        ExitCode.NO,
        rf"Free memory on device (?:\S+ )?\((?P<free>{_GIB})/(?P<total>{_GIB}) GiB\) on startup is less than desired "
        rf"GPU memory utilization \((?P<fraction>[\d.]+), (?P<wanted>{_GIB}) GiB\)",
    ),
    rule(
        "diagnose.cpu_memory_in_use",
        ExitCode.NO,
        rf"Available memory on node \d+ \((?P<free>{_GIB})/(?P<total>{_GIB}) GiB\) on startup is less than desired CPU "
        rf"memory utilization \((?P<fraction>[\d.]+), (?P<wanted>{_GIB}) GiB\)",
    ),
    rule(
        "diagnose.cpu_kv_too_large",
        ExitCode.NO,
        rf"Available memory on node \d+ \((?P<free>{_GIB})/(?P<total>{_GIB}) GiB\) on kv cache allocation is less than "
        rf"requested memory for kv \((?P<wanted>{_GIB})",
    ),
    rule("diagnose.memory_moved", ExitCode.NO, r"Error in memory profiling\. Initial free memory"),
    rule(
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
    rule(
        "diagnose.heads",
        ExitCode.USAGE,
        r"Total number of attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size "
        r"\((?P<tensor_parallel_size>\d+)\)",
    ),
    rule(
        "diagnose.shards",
        ExitCode.USAGE,
        r"is not divisible by weight quantization block_[nk]",
        r"is not divisible by (?:min_thread_[nk]|group_size|tile_[nk]_size)",
        r"not aligned with the quantized weight shape",
        r"^AssertionError: \d+ is not divisible by \d+",
    ),
    rule(
        "diagnose.max_model_len",
        ExitCode.USAGE,
        r"User-specified max_model_len \((?P<wanted>\d+)\) is greater than the derived max_model_len "
        r"\((?:\w+=)?(?P<longest>\d+)",
    ),
    # The model
    rule(
        "diagnose.architecture",
        ExitCode.NO,
        r"Model architectures \[(?P<architecture>[^\]]*)\] are not supported",
        r"has model type `(?P<model_type>[^`]+)` but Transformers does not recognize",
    ),
    rule(
        "diagnose.cpu_no_fp8",
        ExitCode.NO,
        r"requires AMX tile support",
        r"_C::static_scaled_fp8_quant\(\)",
    ),
    rule("diagnose.cpu_no_sparse", ExitCode.NO, r"Sparse Attention is not supported on CPU"),
    rule(
        "diagnose.quantization",
        ExitCode.NO,
        r"Unknown quantization method",
        r"quantization is currently not supported in \w+",
        r"(?:quantization method|Quantization scheme) .*is not supported for the current GPU",
        r"Failed to find a kernel that can implement",
    ),
    rule(
        "diagnose.few_devices",
        ExitCode.MISSING,
        r"local_world_size \((?P<wanted>\d+)\) must be less than or equal to the number of visible devices "
        r"\((?P<found>\d+)\)",
    ),
    rule("diagnose.remote_code", ExitCode.TRUST, r"contains custom code which must be executed"),
    # Files
    rule(
        "diagnose.weights_missing",
        ExitCode.INTEGRITY,
        r"^KeyError: 'model\.layers\.\d+\.mlp\.experts\.",
        r"Cannot find any model weights with",
        r"weights were not initialized from checkpoint",
        r"No such file or directory: .*\.(?:safetensors|json|bin|model|txt|jinja)\b",
        r"Repo id must be in the form",
        r"LocalEntryNotFoundError",
    ),
    rule(
        "diagnose.weights_corrupt",
        ExitCode.INTEGRITY,
        r"SafetensorError",
        r"Error while deserializing header",
        # transformers_utils/utils.py, parse_safetensors_file_metadata: the length of a header that is none
        r"OverflowError: cannot fit 'int' into an index-sized integer",
        r"JSONDecodeError",
    ),
    rule(
        "diagnose.tokenizer",
        ExitCode.INTEGRITY,
        r"Couldn't instantiate the backend tokenizer",
        r"Can't load tokenizer for",
    ),
    # This machine, this engine
    rule("diagnose.port", ExitCode.MISSING, r"Address already in use", r"EADDRINUSE"),
    rule("diagnose.numa", ExitCode.MISSING, r"Not enough allowed NUMA nodes to bind threads of (?P<workers>\d+)"),
    rule("diagnose.library", ExitCode.MISSING, r"(?P<library>lib[\w.+-]+): cannot open shared object file"),
    rule("diagnose.symbol", ExitCode.MISSING, r"undefined symbol: (?P<symbol>\S+)"),
    rule(
        "diagnose.module",
        ExitCode.MISSING,
        r"^ModuleNotFoundError: No module named '(?P<module>[^']+)'",
        r": No module named (?P<script>[\w.]+)$",
        r"PackageNotFoundError: .*for (?P<package>\S+)",
    ),
    # The NVIDIA driver and what CUDA says of the devices: cudaError_t, and NVIDIA's list of Xid errors
    rule(
        "diagnose.cuda_libraries",
        ExitCode.MISSING,
        r"Error 803: system has unsupported display driver",
        r"[Dd]river/library version mismatch",
    ),
    rule("diagnose.cuda_compat", ExitCode.MISSING, r"Error 804: forward compatibility was attempted"),
    rule("diagnose.cuda_fabric", ExitCode.MISSING, r"Error 802: system not yet initialized"),
    rule(
        "diagnose.cuda_driver_old",
        ExitCode.MISSING,
        r"NVIDIA driver on your system is too old",
        r"CUDA driver version is insufficient",
        r"provided PTX was compiled with an unsupported toolchain",
    ),
    rule(
        "diagnose.gpu_broken",
        ExitCode.MISSING,
        r"uncorrectable (?:ECC|NVLink) error",
        r"GPU has fallen off the bus",
        r"GPU is lost",
    ),
    rule(
        "diagnose.gpu_crashed",
        ExitCode.FAILURE,
        r"CUDA error: (?:an illegal memory access|unspecified launch failure|device-side assert|misaligned address)",
    ),
    rule("diagnose.peer_access", ExitCode.MISSING, r"peer access is not supported between these two devices"),
    rule(
        "diagnose.shared_memory",
        ExitCode.NO_SPACE,
        r"Error while creating shared memory segment",
        r"No space left on device: '?/(?:dev/shm|psm_)",
        r"^Bus error\b",
    ),
    rule(
        "diagnose.device",
        ExitCode.MISSING,
        r"Failed to infer device type",
        r"No CUDA GPUs are available",
        r"Found no NVIDIA driver",
        r"no kernel image is available for execution on the device",
        r"local_rank \d+ is out of bounds",
    ),
    rule("diagnose.collective", ExitCode.MISSING, r"\bnccl\w*Error\b", r"NCCL error", r"HCCL (?:function )?error"),
    rule("diagnose.no_user", ExitCode.MISSING, r"getpwuid\(\): uid not found: (?P<uid>\d+)"),
    rule("diagnose.open_files", ExitCode.MISSING, r"Too many open files"),
    # Shells and scripts around the engine say `Permission denied` of what does no harm.
    rule("diagnose.permission", ExitCode.MISSING, r"\bPermissionError\b", r"\[Errno 13\] Permission denied"),
    rule("diagnose.space", ExitCode.NO_SPACE, r"No space left on device"),
    rule(
        "diagnose.speculative",
        ExitCode.USAGE,
        r"validation errors? for SpeculativeConfig",
    ),
    rule(
        "diagnose.flag",
        ExitCode.USAGE,
        r"^\S+: error: (?P<argument>.+)",
        r"invalid (?P<kind>tool call|reasoning) parser",
    ),
)

GENERAL_CLUES: tuple[Rule, ...] = (
    # distributed/device_communicators/shm_broadcast.py: said when a process hangs, and while graphs are captured
    rule("diagnose.stuck", ExitCode.FAILURE, r"No available shared memory broadcast block found")._replace(clue=True),
    rule("diagnose.no_kv_memory", ExitCode.NO, r"Available KV cache memory: -[\d.]+ GiB")._replace(clue=True),
    # utils/system_utils.py
    rule("diagnose.few_files", ExitCode.MISSING, r"Found ulimit of (?P<found>\d+) and failed")._replace(clue=True),
    rule("diagnose.no_platform", ExitCode.MISSING, r"vLLM is running on UnspecifiedPlatform")._replace(clue=True),
)
