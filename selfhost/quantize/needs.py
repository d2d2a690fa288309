"""Disk, memory and time that a run takes: arithmetic with its terms, so that it can be shown and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost.messages import text
from selfhost.models.arch import ModelArch
from selfhost.models.checkpoint import checkpoint_bytes, parameter_count
from selfhost.quantize import layers, schemes
from selfhost.units import GIB, format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from selfhost.quantize.schemes import Scheme

BASE_BYTES = GIB
"""What Python and torch take before anything is read."""
SHARD_BYTES = 5 * 10**9
"""Of a usual checkpoint; where the files are there, theirs counts."""
DISK_BYTES_PER_S = 10**9
"""Supposed, of one NVMe disk, for reading and writing together."""
DISK_MARGIN = 1.02
"""Headers, tokenizer, and what a file system takes for itself."""
SAMPLES = 512
"""Calibration samples, where nothing else is said."""
TOKENS = 2048
TOKENS_ON_CPU = 512
"""Of a sample (inside/selfhost_quantize_calibrated.py `LENGTH`)."""
EFFICIENCY = 0.3
"""Of a device's dense bf16 rate that matrix products of calibration are supposed to reach."""
_SECTIONS = ("quantization_config", "compression_config")
_FLOAT32 = 4
_PASSES = 2
"""Through each layer: to measure it, and, once it is quantized, for what the next one gets."""


_WORDS = {
    "shards": "quantize.term_shards",
    "base": "quantize.term_base",
    "model": "quantize.term_model",
    "activations": "quantize.term_activations",
    "layer": "quantize.term_layer",
    "moving": "quantize.term_moving",
    "passes": "quantize.term_passes",
    "copying": "quantize.term_copying",
}


class Term(NamedTuple):
    """A part of a sum."""

    name: str
    value: float


class Needs(NamedTuple):
    """What a run takes."""

    output_bytes: int
    disk_bytes: int
    """Beside the source."""
    memory_bytes: int
    memory_terms: tuple[Term, ...]


def memory_text(wanted: Needs) -> str:
    """`the model 1.0 GiB + Python and torch 1.0 GiB`."""
    return " + ".join(f"{text(_WORDS[term.name])} {format_bytes(term.value)}" for term in wanted.memory_terms)


def time_text(terms: Iterable[Term]) -> str:
    """`reading and writing 3 min 41 s + passes of the text 54 min 18 s`."""
    return " + ".join(f"{text(_WORDS[term.name])} {format_duration(term.value)}" for term in terms)


class Source(NamedTuple):
    """What is quantized."""

    config: Mapping[str, Any]
    bytes: int
    """Of its weights."""
    shard_bytes: int = SHARD_BYTES
    """Of its largest file."""

    def of(self, scheme: Scheme, group_size: int | None = None) -> ModelArch:
        """The architecture of the result; the group size, where a scheme has one, is the largest that fits."""
        config = {key: value for key, value in self.config.items() if key not in _SECTIONS}
        plain = ModelArch.from_config(config)
        size = (group_size or layers.group_size(plain)) if scheme.grouped else group_size
        section = schemes.quantization_config(scheme, layers.ignored(plain), size)
        return ModelArch.from_config({**config, "quantization_config": section}) if section else plain


def needs(
    source: Source,
    scheme: Scheme,
    *,
    group_size: int | None = None,
    samples: int = SAMPLES,
    tokens: int = TOKENS,
) -> Needs:
    """What making a scheme takes.

    Streamed: two of the largest file and 1 GiB, whatever the model. Calibrated: the model in the memory of the host,
    what goes into and comes out of one layer for all samples, and the layer itself with its scales in float32.
    Check: Qwen2.5-72B to fp8 in files of 5 GB -> 10 GB + 1 GiB.
    """
    arch = source.of(scheme, group_size)
    output = checkpoint_bytes(arch)
    if scheme.calibrated:
        activations = 2 * samples * tokens * arch.hidden_size * arch.dtype_bytes
        terms = [
            Term("model", source.bytes),
            Term("activations", activations),
            Term("layer", layers.largest_layer_bytes(arch) * (1 + _FLOAT32 // arch.dtype_bytes)),
        ]
    else:
        terms = [Term("shards", 2 * source.shard_bytes)]
    terms.append(Term("base", BASE_BYTES))
    disk = int(output * DISK_MARGIN)
    return Needs(output, disk, int(sum(term.value for term in terms)), tuple(terms))


def seconds(
    source: Source, scheme: Scheme, *, bf16_flops: float | None, group_size: int | None = None, samples: int = SAMPLES
) -> tuple[Term, ...] | None:
    """Seconds that a run takes, in parts; None for a calibrated scheme on a device whose rate is not known.

    Reading and writing at `DISK_BYTES_PER_S`. Calibrated also two passes of all samples through all parameters (2
    operations for each and token; of experts all, since each is to see text), at `EFFICIENCY` of the device's rate.
    GPTQ's own solving is of the order of one more pass. Derived, not measured.
    """
    arch = source.of(scheme, group_size)
    terms = [Term("moving", (source.bytes + checkpoint_bytes(arch)) / DISK_BYTES_PER_S)]
    if scheme.calibrated:
        if not bf16_flops:
            return None
        work = 2 * parameter_count(arch) * samples * TOKENS * _PASSES
        work += work // _PASSES if scheme.name.endswith("gptq") else 0
        terms.append(Term("passes", work / (bf16_flops * EFFICIENCY)))
    return tuple(terms)


def modelslim(source_bytes: int, output_bytes: int) -> Needs:
    """What msModelSlim takes on a host: the model in memory, layer by layer on the NPUs; its time is not known here."""
    terms = (Term("model", source_bytes), Term("base", BASE_BYTES))
    return Needs(output_bytes, int(output_bytes * DISK_MARGIN), source_bytes + BASE_BYTES, terms)
