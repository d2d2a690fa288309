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
OWN_TOKENS = 70_000
"""Of the text that ships: 67,583 for SmolLM2, whose tokens hold less Chinese than most; more samples than it has there
are not."""
EFFICIENCY = 0.3
"""Of a device's dense bf16 rate that matrix products of calibration are supposed to reach."""
_SECTIONS = ("quantization_config", "compression_config")
_FLOAT32 = 4
_MOVED = 2
"""Passes through each layer: to measure it, and, once it is quantized, for what the next one gets."""
_SOLVED = 1
"""Of the order of a pass: GPTQ's own solving."""
_TRIED = 21
"""Scales that AWQ tries on a GPU, and none (inside/selfhost_quantize_calibrated.py `GRID`)."""
_AWQ_LIST = 4
"""Copies of the hidden state that AWQ keeps for a layer: what attention and the rest get, and two of what they give."""
_COMPARED_TOKENS = 4200
"""Of the text that losses are measured on."""
_COMPARED_BLOCK = 256
_FLOAT32_UP_TO = 6 << 30
"""Both as inside/selfhost_quantize_loss.py and selfhost_loss_layers.py have them."""


_WORDS = {
    "shards": "quantize.term_shards",
    "base": "quantize.term_base",
    "model": "quantize.term_model",
    "activations": "quantize.term_activations",
    "layer": "quantize.term_layer",
    "moving": "quantize.term_moving",
    "comparing": "quantize.term_comparing",
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


def needs(  # noqa: PLR0913 - what the command line takes
    source: Source,
    scheme: Scheme,
    *,
    group_size: int | None = None,
    samples: int = SAMPLES,
    tokens: int = TOKENS,
    own_text: bool = True,
    loss: bool = True,
) -> Needs:
    """What making a scheme takes, and then comparing it with its source, if that takes more.

    Streamed: two of the largest file and 1 GiB, whatever the model. Calibrated: the model in the memory of the host,
    what goes into and comes out of one layer for all samples, and the layer itself with its scales in float32.
    Check: Qwen2.5-72B to fp8 in files of 5 GB, nothing compared -> 10 GB + 1 GiB.
    """
    arch = source.of(scheme, group_size)
    output = checkpoint_bytes(arch)
    if scheme.calibrated:
        terms = [
            Term("model", source.bytes),
            Term("activations", _kept(arch, scheme, _tokens(samples, tokens, own_text=own_text))),
            Term("layer", layers.largest_layer_bytes(arch) * (1 + _FLOAT32 // arch.dtype_bytes)),
        ]
    else:
        terms = [Term("shards", 2 * source.shard_bytes)]
    comparing = _compared(arch) if loss and scheme.format is not None else 0
    if comparing > sum(term.value for term in terms):
        terms = [Term("comparing", comparing)]
    terms.append(Term("base", BASE_BYTES))
    disk = int(output * DISK_MARGIN)
    return Needs(output, disk, int(sum(term.value for term in terms)), tuple(terms))


def _tokens(samples: int, tokens: int, *, own_text: bool) -> int:
    """Tokens that calibrate: whole blocks, of the text that ships as many as it has."""
    most = max(1, OWN_TOKENS // tokens) if own_text else samples
    return min(samples, most) * tokens


def _kept(arch: ModelArch, scheme: Scheme, tokens: int) -> int:
    """Bytes of activations at one layer: in and out, and for AWQ what each matrix that it scales is tried with."""
    wide = 2 * arch.hidden_size
    if scheme.name.endswith("awq"):
        wide += _AWQ_LIST * arch.hidden_size + layers.widest_down(arch)
    return tokens * wide * arch.dtype_bytes


def _compared(arch: ModelArch) -> int:
    """Bytes of the largest of what is compared at a time: a layer, or embedding and head with the logits of a block.

    Beside it one matrix in float32 with its scales spread over it, and the hidden states of both models.
    """
    embedding = arch.vocab_size * arch.hidden_size
    outer = embedding * (1 if arch.tie_word_embeddings else 2)
    layer = layers.largest_layer_bytes(arch) // arch.dtype_bytes
    size = _FLOAT32 if _FLOAT32 * max(outer, layer) <= _FLOAT32_UP_TO else arch.dtype_bytes
    logits = 5 * _COMPARED_BLOCK * arch.vocab_size * _FLOAT32
    largest = max(size * layer + 3 * _FLOAT32 * layers.largest_matrix(arch), size * (outer + embedding) + logits)
    return largest + 4 * _COMPARED_TOKENS * arch.hidden_size * size


def seconds(
    source: Source, scheme: Scheme, *, bf16_flops: float | None, group_size: int | None = None, samples: int = SAMPLES
) -> tuple[Term, ...] | None:
    """Seconds that a run with the text that ships takes; None for a calibrated scheme where no rate is known.

    Reading and writing at `DISK_BYTES_PER_S`. Calibrated also passes of all samples through all parameters (2
    operations for each and token; of experts all, since each is to see text), at `EFFICIENCY` of the device's rate:
    two and the solving for GPTQ; two more before them for SmoothQuant; for AWQ two, and those in which it tries each
    scale. Comparing with the source is not in it. Derived, not measured.
    """
    arch = source.of(scheme, group_size)
    terms = [Term("moving", (source.bytes + checkpoint_bytes(arch)) / DISK_BYTES_PER_S)]
    if scheme.calibrated:
        if not bf16_flops:
            return None
        count = _tokens(samples, TOKENS, own_text=True)
        terms.append(
            Term("passes", 2 * parameter_count(arch) * count * passes(arch, scheme) / (bf16_flops * EFFICIENCY))
        )
    return tuple(terms)


def passes(arch: ModelArch, scheme: Scheme) -> float:
    """Passes of the text through the model, as many as their work comes to. Check: GPTQ -> 3, w8a8 -> 5.

    AWQ runs, for each scale, attention and the rest of a layer, and its down-projections once more (llm-compressor
    0.14 modifiers/transform/awq/base.py `_compute_best_scale`).
    """
    if scheme.name.endswith("awq"):
        return _MOVED + _TRIED * (1 + layers.share_of_down(arch))
    solved = _MOVED + _SOLVED
    return solved if scheme.name.endswith("gptq") else _MOVED + solved


def modelslim(source_bytes: int, output_bytes: int) -> Needs:
    """What msModelSlim takes on a host: the model in memory, layer by layer on the NPUs; its time is not known here."""
    terms = (Term("model", source_bytes), Term("base", BASE_BYTES))
    return Needs(output_bytes, int(output_bytes * DISK_MARGIN), source_bytes + BASE_BYTES, terms)
