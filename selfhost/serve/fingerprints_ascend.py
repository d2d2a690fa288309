"""What lines of an engine's log mean on Ascend: vllm-ascend, torch_npu, CANN and HCCL.

Texts out of public issues of vllm-project/vllm-ascend (numbers in `doctor.links`), its source at 0.23.0, and the
fault list of Ascend/mind-cluster (component/ascend-faultdiag, kg-config.json). None was seen on a device here.
"""

from __future__ import annotations

from selfhost.errors import ExitCode
from selfhost.serve.fingerprints import Rule, rule

_FAMILY = r"[\w']+(?:\.\w+)?"


def _cann(message_id: str, code: ExitCode, *patterns: str, **defaults: str) -> Rule:
    """A rule for what CANN says, which stands eight spaces deep when torch_npu quotes it."""
    return rule(message_id, code, *patterns, **defaults)._replace(deep=True)


def _shared(message_id: str, code: ExitCode, *patterns: str, **defaults: str) -> Rule:
    """A rule for what vLLM or Python says on any platform, and what means something else there."""
    return rule(message_id, code, *patterns, **defaults)._replace(shared=True)


def _clue(message_id: str, *patterns: str, **defaults: str) -> Rule:
    return rule(message_id, ExitCode.FAILURE, *patterns, **defaults)._replace(clue=True, deep=True)


# Before the general rules: they know the libraries and modules of this platform by name.
ASCEND: tuple[Rule, ...] = (
    # The driver and the devices
    rule(
        "diagnose_ascend.library",
        ExitCode.MISSING,
        r"(?P<library>lib(?:ascend\w*|atb\w*|hccl\w*|hcomm\w*|opapi\w*|nnopbase\w*|runtime|ge_\w+|graph(?:_base)?|c_sec|mmpa"
        r"|dcmi|drv\w*|msprofiler)\.so[\w.]*): cannot open shared object file",
        r"Can't get ascend_hal device count",
        library="libascend_hal.so",
    ),
    _cann(
        "diagnose_ascend.held",
        ExitCode.MISSING,
        r"dcmi mod\w+ initialized? failed.*-80(?:05|20)\b",
        r"\bEJ0001\b",
        r"Failed to initialize the HCCP process",
    ),
    _shared(
        "diagnose_ascend.no_devices",
        ExitCode.MISSING,
        r"local_world_size \((?P<wanted>\d+)\) must be less than or equal to the number of visible devices "
        r"\((?P<found>\d+)\)",
    ),
    rule(
        "diagnose_ascend.family",
        ExitCode.MISSING,
        rf"Current device type: (?P<found>{_FAMILY}) does not match the installed version's device type: "
        rf"(?P<built>{_FAMILY})",
        r"the socversion (?P<built_soc>\S+) of bin package does not match",
        r"Can not support soc_version",
        found="not one of them",
        built="other",
    ),
    _cann("diagnose_ascend.first_generation", ExitCode.NO, r"binary_info_config(?:\.json)?\b"),
    # Versions
    _shared(
        "diagnose_ascend.pair",
        ExitCode.MISSING,
        r"Failed to load plugin ascend\b",
        r"No module named '(?P<module>vllm(?:_ascend)?\.[\w.]+)'",
        r"cannot import name .+ from '(?P<source>vllm(?:_ascend)?\b[\w.]*)'",
        module="of the plugin",
    ),
    _shared(
        "diagnose_ascend.triton",
        ExitCode.MISSING,
        r"No module named 'triton\.[\w.]+'",
        r"No matching distribution found for triton-ascend",
        r"cannot import name .+ from 'triton\b",
    ),
    _shared("diagnose_ascend.invalid_version", ExitCode.MISSING, r"\bInvalidVersion: "),
    _shared(
        "diagnose_ascend.symbol",
        ExitCode.MISSING,
        r"undefined symbol: (?P<symbol>\S+)",
        r"NPUStream\.h: No such file",
        symbol="NPUStream.h",
    ),
    # Formats and layouts
    rule("diagnose_ascend.not_quantized", ExitCode.USAGE, r"ModelSlim Quantization Config Not Found"),
    rule("diagnose_ascend.no_flag", ExitCode.MISSING, r"invalid choice: 'ascend'"),
    rule(
        "diagnose_ascend.not_compressed",
        ExitCode.USAGE,
        r"AscendCompressedTensorsConfig.*missing 3 required positional arguments",
    ),
    rule(
        "diagnose_ascend.scheme",
        ExitCode.NO,
        r"Currently, vLLM Ascend doesn't support quant_type(?:=(?P<scheme>[\w.]+))?",
        scheme="of these weights",
    ),
    rule(
        "diagnose_ascend.mla_heads",
        ExitCode.USAGE,
        r"MLA only support.*32,\s*64",
        r"num_?(?:kv_?)?heads.*\{32,\s*64,\s*128\}",
    ),
    _cann(
        "diagnose_ascend.float16",
        ExitCode.USAGE,
        r"(?:bf16|bfloat16).*(?:not support|is unsupported).*310P",
        r"310P.*(?:not support|only support).*(?:bf16|bfloat16|float16)",
        r"_C::rotary_embedding.*Meta",
    ),
    rule("diagnose_ascend.eplb", ExitCode.USAGE, r"EPLB must used in expert parallelism"),
    rule(
        "diagnose_ascend.data_parallel",
        ExitCode.USAGE,
        r"data_parallel_external_lb can only be set when data_parallel_size > 1",
        r"data_parallel_start_local must be set",
    ),
    # Memory and streams
    _cann(
        "diagnose_ascend.streams",
        ExitCode.NO,
        r"[Aa]lloc sq cq fail",
        r"\bEL0009\b",
        r"[Ss]tream resources are insufficient",
        r"(?:error code is|runtime result =) 20700[58]\b",
        r"driver error:no (?:stream|event|notify|model) resource",
        r"\bno (?:event|notify|model) resource\b",
    ),
    _cann("diagnose_ascend.memory", ExitCode.NO, r"\bEL0004\b", r"(?:error code is|runtime result =) 207018\b"),
    _cann(
        "diagnose_ascend.buffer",
        ExitCode.USAGE,
        r"(?i:HCCL[_ ]BUFFSIZE\w*|hccl buffer) is too (?i:small)(?:.*=\s*(?P<needed>\d+)\s*MB,\s*"
        r"HCCL_BUFFSIZE\s*=\s*(?P<found>\d+)\s*MB)?",
        r"address of the MTE instruction is out of range",
        r"\bMTE out of range",
        needed="?",
        found="?",
    ),
    _cann("diagnose_ascend.bad_buffer", ExitCode.USAGE, r"HCCL_BUFFSIZE should be positive"),
    # HCCL
    _cann("diagnose_ascend.tls", ExitCode.MISSING, r"[Ss]ome ranks tlsStatus are inconsistent"),
    _cann("diagnose_ascend.interface", ExitCode.MISSING, r"get host ip fail by socket Ifname"),
    _cann(
        "diagnose_ascend.hccl_port",
        ExitCode.MISSING,
        r"listen on ip\[(?P<address>[^\]]*)\] and specific port\[(?P<port>\d+)\] fail",
        r"ra socket listen start fail",
        r"\bEJ0003\b",
        r"HCCL.*\bbind fail",
        address="?",
        port="16666, or 60000 and up",
    ),
    _cann("diagnose_ascend.rank_table", ExitCode.USAGE, r"\bEI0014\b"),
    _cann(
        "diagnose_ascend.connect_timeout",
        ExitCode.MISSING,
        r"\bEI0006\b",
        r"Getting socket times out",
        r"wait socket establish timeout",
    ),
    _cann("diagnose_ascend.notify_timeout", ExitCode.MISSING, r"\bEI0002\b"),
    _cann("diagnose_ascend.link", ExitCode.MISSING, r"\bEI0009\b", r"Transport init error"),
    _cann(
        "diagnose_ascend.hccl_init",
        ExitCode.MISSING,
        r"hcclCommInitRootInfo(?:Config)?\b.*error code is (?P<number>\d+)",
        number="?",
    ),
    _cann(
        "diagnose_ascend.device_error",
        ExitCode.FAILURE,
        r"(?:error code is|runtime result =|driver error:?) 507(?P<number>\d{3})\b",
        number="xxx",
    ),
    # Mooncake, for prefill and decode on different nodes
    rule(
        "diagnose_ascend.mooncake",
        ExitCode.MISSING,
        r"Initialize mooncake failed",
        r"ascend_transport\.so",
        r"Failed to allocate memory.*\b207001\b",
        r"\b207001\b.*global_segment_size",
    ),
    rule("diagnose_ascend.image", ExitCode.MISSING, r"invalid tar header"),
    rule(
        "diagnose_ascend.not_permitted",
        ExitCode.MISSING,
        r"(?:[Dd]ocker|daemon|OCI runtime|runc|shm[-_]size|/dev/shm).*operation not permitted",
    ),
)

ASCEND_CLUES: tuple[Rule, ...] = (
    _clue("diagnose_ascend.dispatch", r"aclnnMoeDistribute(?:Dispatch|Combine)\w* failed"),
    _clue("diagnose_ascend.no_mc2", r"MC2 group metadata unavailable"),
    _clue("diagnose_ascend.no_triton", r"Triton not available, falling back"),
    _clue("diagnose_ascend.halved", r"\(halved for workspace\)"),
    _clue("diagnose_ascend.unbound", r"Bind cpus failed"),
)
