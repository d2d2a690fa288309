"""What boot records of this machine say about a plan, put into its estimate.

exact   a record of exactly this plan: what the engine measured replaces what was computed. The plan is `measured`.
near    only `max_model_len` or `gpu_memory_utilization` differ: what was measured there, plus what the formulas say the
        difference makes; the change of activation and buffers is also taken as the uncertainty. `calibrated`.
other   the batch sizes differ: the loaded weights hold (they depend on neither), everything else stays computed.

Not on Ascend, where graphs lie beside the budget and the sum below does not hold: there the estimate stays as computed.

What may differ nowhere: engine version, architecture, device and its memory, layout, KV dtype, eager or not, further
options. Why near works: KV = budget - weights - buffers - activation - non-torch - graphs (`planner.memory`), and the
length enters only where the formulas say so: the profiling run has `max_num_batched_tokens` tokens at any length.

`planner.logged` does the arithmetic; here is decided which record speaks, and what is said of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware.types import Platform
from selfhost.messages import text
from selfhost.planner import calibration, logged, memory
from selfhost.planner.boots import Outcome, fingerprint
from selfhost.planner.plan import Confidence
from selfhost.planner.reasons import unit
from selfhost.records import dataclass
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.planner.boots import Boot, BootRecord, Measured, Subject
    from selfhost.planner.memory import Estimate, Sizes
    from selfhost.planner.plan import EngineFacts, KVCache, MemoryPerRank, Settings
    from selfhost.planner.terms import Setup


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What was computed for a plan, beside what its last start measured."""

    memory: MemoryPerRank
    kv_cache: KVCache
    """As computed, without any boot record."""
    boot: Boot
    starts: int
    """Kept of this plan."""
    record: str
    """Where they are kept."""
    earlier_ready_s: float | None = None
    """Seconds until it answered the time before."""

    def as_dict(self) -> dict[str, object]:
        """The `measured` of `selfhost plan --json`."""
        computed = self.memory
        rest = computed.buffer_bytes + computed.non_torch_bytes
        return {
            "record": self.record,
            "started_at": self.boot.started_at,
            "outcome": self.boot.outcome.value,
            "starts": self.starts,
            "predicted": {
                "requested_memory_bytes": computed.budget_bytes,
                "weight_bytes": computed.weight_bytes,
                "consumed_bytes": computed.weight_bytes + rest,
                "peak_activation_bytes": computed.activation_bytes + computed.cudagraph_bytes,
                "cudagraph_estimate_bytes": computed.cudagraph_bytes,
                "kv_cache_bytes": computed.kv_cache_bytes,
                "kv_cache_tokens": self.kv_cache.tokens,
                "max_concurrency": self.kv_cache.max_concurrency,
                "ready_s": self.earlier_ready_s,
            },
            "actual": {**self.boot.measured.as_dict(), "ready_s": self.boot.ready_s},
        }


class Use(NamedTuple):
    """An estimate with what the records say, and what that makes of the plan."""

    estimate: Estimate
    confidence: Confidence | None = None
    """None: no record speaks for it."""
    comparison: Comparison | None = None
    reasons: tuple[str, ...] = ()


def use_records(setup: Setup, sizes: Sizes, computed: Estimate, engine: EngineFacts) -> Use:
    """The estimate of a plan as the boot records of this machine correct it; as it is when none speaks for it."""
    if setup.hardware.device.platform is Platform.ASCEND:
        return Use(computed)
    mine = [record for record in engine.boots if _same_but_for_settings(record.subject, setup, engine)]
    if not mine:
        return Use(computed)
    mine.sort(key=lambda record: record.boots[0].started_at, reverse=True)
    cpu = setup.hardware.device.platform is Platform.CPU
    given = max(computed.memory.kv_cache_bytes, computed.request_bytes) if cpu else None
    for record in mine:
        subject = record.subject
        if (subject.settings, subject.kv_cache_memory_bytes) == (setup.settings, given) and logged.telling(record):
            return _exact_cpu(setup, computed, record) if cpu else _exact(setup, computed, record)
    for record in mine:
        if logged.telling(record) and (cpu or _same_batch(record.subject.settings, setup.settings)):
            at = _computed(setup._replace(settings=record.subject.settings), sizes, engine)
            return _near_cpu(computed, record, at) if cpu else _near(setup, computed, record, at)
    return Use(computed) if cpu else _weights_only(setup, computed, mine)


def _computed(setup: Setup, sizes: Sizes, engine: EngineFacts) -> Estimate:
    return calibration.calibrated(setup, memory.estimate(setup, sizes), calibration.find(setup, engine.ref))


def _same_but_for_settings(subject: Subject, setup: Setup, engine: EngineFacts) -> bool:
    device, settings = setup.hardware.device, setup.settings
    visible = None if device.platform is Platform.CPU else setup.hardware.visible_memory_bytes
    return (
        (subject.engine, subject.device, subject.visible_memory_bytes) == (engine.ref, device.id, visible)
        and subject.layout == setup.layout
        and subject.settings.kv_cache_dtype == settings.kv_cache_dtype
        and subject.settings.enforce_eager == settings.enforce_eager
        and subject.fingerprint == fingerprint(setup.arch)
    )


def _same_batch(one: Settings, other: Settings) -> bool:
    return (one.max_num_seqs, one.max_num_batched_tokens) == (other.max_num_seqs, other.max_num_batched_tokens)


# Exactly this plan


def _exact(setup: Setup, computed: Estimate, record: BootRecord) -> Use:
    boot = logged.telling(record)[0]
    found = logged.as_measured(setup, computed, record)
    reason = text(
        "plan.measured",
        kv=format_bytes(found.memory.kv_cache_bytes, 2),
        per=unit(setup.hardware),
        when=boot.started_at,
        predicted=format_bytes(computed.memory.kv_cache_bytes, 2),
    )
    contradictions = _contradictions(setup, computed, boot)
    return Use(found, Confidence.MEASURED, _comparison(computed, record), (reason, *contradictions, *_trouble(record)))


def _comparison(computed: Estimate, record: BootRecord) -> Comparison:
    boot = logged.telling(record)[0]
    later = record.boots[record.boots.index(boot) + 1 :]
    return Comparison(
        memory=computed.memory,
        kv_cache=computed.kv_cache,
        boot=boot,
        starts=len(record.boots),
        record=record.path,
        earlier_ready_s=next((earlier.ready_s for earlier in later if earlier.ready_s is not None), None),
    )


# A plan that differs in length or share of the memory


def _near(setup: Setup, computed: Estimate, record: BootRecord, at: Estimate) -> Use:
    """at: what is computed for the record's own settings."""
    settings = record.subject.settings
    there = logged.as_measured(setup._replace(settings=settings), at, record)
    boot, was, now = logged.telling(record)[0], at.memory, computed.memory
    change = {name: getattr(now, name) - getattr(was, name) for name in logged.TERMS}
    # The engine may see another size of the device than was assumed: its share changes with it.
    budget = now.budget_bytes * there.memory.budget_bytes // was.budget_bytes
    more = budget - there.memory.budget_bytes - sum(change.values())
    found = logged.settled(
        replace(
            now,
            budget_bytes=budget,
            kv_cache_bytes=there.memory.kv_cache_bytes + more,
            **{name: getattr(there.memory, name) + value for name, value in change.items()},
        )
    )
    kv_bytes, likely = found.kv_cache_bytes, now.kv_cache_bytes
    unsure = logged.noise_bytes(boot.measured) + abs(change["activation_bytes"]) + abs(change["buffer_bytes"])
    found = replace(
        found,
        kv_cache_bytes_low=kv_bytes - min(unsure, likely - now.kv_cache_bytes_low),
        kv_cache_bytes_high=kv_bytes + min(unsure, now.kv_cache_bytes_high - likely),
    )
    reason = text(
        "plan.measured_near",
        difference=_difference(settings, setup.settings),
        kv=format_bytes(there.memory.kv_cache_bytes, 2),
        per=unit(setup.hardware),
        when=boot.started_at,
        predicted=format_bytes(at.memory.kv_cache_bytes, 2),
        record=record.path,
    )
    return Use(
        logged.recounted(
            computed._replace(memory=found, usable_bytes=found.budget_bytes), setup.settings.max_model_len
        ),
        Confidence.CALIBRATED,
        reasons=(reason, *_contradictions(setup._replace(settings=settings), at, boot)),
    )


def _difference(there: Settings, here: Settings) -> str:
    pairs = (("max_model_len", "{}"), ("gpu_memory_utilization", "{:g}"))
    given = (
        (name, form.format(getattr(there, name))) for name, form in pairs if getattr(there, name) != getattr(here, name)
    )
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in given) or "the same settings"


def _weights_only(setup: Setup, computed: Estimate, records: Sequence[BootRecord]) -> Use:
    """Other batch sizes, or a start that ended before the KV cache: the weights are known, when they were logged."""
    if setup.layout.pipeline_parallel_size > 1:
        return Use(computed)
    boots = (boot for record in records for boot in record.boots)
    boot = next((boot for boot in boots if boot.measured.weight_bytes is not None), None)
    if boot is None:
        return Use(computed)
    weights = logged.nearest(computed.memory.weight_bytes, boot.measured.weight_bytes)
    more, was = weights - computed.memory.weight_bytes, computed.memory
    found = replace(
        was,
        weight_bytes=weights,
        kv_cache_bytes=was.kv_cache_bytes - more,
        kv_cache_bytes_low=was.kv_cache_bytes_low - more,
        kv_cache_bytes_high=was.kv_cache_bytes_high - more,
    )
    reason = text(
        "plan.measured_weights", weights=format_bytes(weights, 2), per=unit(setup.hardware), when=boot.started_at
    )
    estimate = logged.recounted(computed._replace(memory=found), setup.settings.max_model_len) if more else computed
    return Use(estimate, reasons=(reason, *_weight_contradiction(setup, computed, boot.measured)))


# CPU: the size of the KV cache is given, and of the rest nothing is logged


def _exact_cpu(setup: Setup, computed: Estimate, record: BootRecord) -> Use:
    boot, was = logged.telling(record)[0], computed.memory
    found = replace(was, kv_cache_bytes_low=was.kv_cache_bytes, kv_cache_bytes_high=was.kv_cache_bytes)
    length = setup.settings.max_model_len
    estimate = logged.with_blocks(computed._replace(memory=found), boot, length, record.boots[0].outcome)
    kv, tokens = format_bytes(was.kv_cache_bytes, 2), boot.measured.kv_cache_tokens
    if tokens is None:
        reason = text("plan.measured_ended", when=boot.started_at, kv=kv)
    else:
        reason = text("plan.measured_cpu", tokens=tokens, when=boot.started_at, predicted=computed.kv_cache.tokens)
    return Use(estimate, Confidence.MEASURED, _comparison(computed, record), (reason, *_trouble(record)))


def _near_cpu(computed: Estimate, record: BootRecord, at: Estimate) -> Use:
    """What the record can show is that the KV cache of this model is counted as the engine does."""
    tokens, given = logged.telling(record)[0].measured.kv_cache_tokens, record.subject.kv_cache_memory_bytes
    if tokens is None or given is None:
        return Use(computed)
    expected = logged.counted(at, given // at.bytes_per_block, record.subject.settings.max_model_len).tokens
    when = record.boots[0].started_at
    if tokens != expected:
        kv = format_bytes(given, 2)
        return Use(
            computed, reasons=(text("plan.measured_odd_kv", kv=kv, tokens=tokens, predicted=expected, when=when),)
        )
    return Use(computed, Confidence.CALIBRATED, reasons=(text("plan.measured_near_cpu", tokens=tokens, when=when),))


# What does not agree, and what went wrong


def _contradictions(setup: Setup, computed: Estimate, boot: Boot) -> list[str]:
    """What was measured and differs from what is computed for the same settings by more than one part in a hundred."""
    if setup.layout.pipeline_parallel_size > 1:
        return []
    found, measured = _weight_contradiction(setup, computed, boot.measured), boot.measured
    tokens, kv_bytes, length = measured.kv_cache_tokens, measured.kv_cache_bytes, setup.settings.max_model_len
    if tokens is None or kv_bytes is None or not computed.bytes_per_block:
        return found
    least = logged.blocks_of(tokens, computed, length) * computed.bytes_per_block
    if not logged.agree(kv_bytes, least, computed.bytes_per_block):
        expected = logged.counted(computed, max(0, kv_bytes // computed.bytes_per_block), length).tokens
        kv = format_bytes(kv_bytes, 2)
        found.append(text("plan.measured_odd_kv", kv=kv, tokens=tokens, predicted=expected, when=boot.started_at))
    return found


def _weight_contradiction(setup: Setup, computed: Estimate, measured: Measured) -> list[str]:
    loaded, expected = measured.weight_bytes, computed.memory.weight_bytes
    if loaded is None or abs(loaded - expected) <= max(logged.CONTRADICTION * expected, logged.RESOLUTION_BYTES):
        return []
    per, share = unit(setup.hardware), abs(loaded - expected) / expected
    sizes = {"loaded": format_bytes(loaded, 2), "predicted": format_bytes(expected, 2)}
    return [text("plan.measured_odd_weights", per=per, share=f"{share:.1%}", **sizes)]


def _trouble(record: BootRecord) -> list[str]:
    """A last start that ran out of memory although there was KV cache left."""
    last = record.boots[0]
    return [text("plan.measured_out_of_memory", when=last.started_at)] if last.outcome is Outcome.OUT_OF_MEMORY else []
