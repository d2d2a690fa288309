"""ModelArch: what a model's `config.json` says, in one record.

A model is a few kinds of layers in some order; a kind is a mixer (attention of some sort) and a feed-forward part, each
of which reads its own keys and knows its own tensors (`attention`, `latent`, `feed`). Here they are put together.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost.errors import NoError, UsageError
from selfhost.models.attention import read_grouped, read_windows
from selfhost.models.audio import AudioTower, read_audio
from selfhost.models.compressed import CompressedAttention, read_compressed
from selfhost.models.draft import Draft, read_draft
from selfhost.models.families import FAMILIES
from selfhost.models.feed import DenseFeed, Experts, read_feeds
from selfhost.models.kimi_linear import read_kimi_linear
from selfhost.models.latent import LatentAttention, read_latents
from selfhost.models.layers import LayerKind, kinds_of
from selfhost.models.linear_attention import read_delta, read_layer_types
from selfhost.models.media import ANY_MEDIA, Media, tower_mode
from selfhost.models.moonvit import read_moonvit
from selfhost.models.reader import Reader
from selfhost.models.vision import read_tower
from selfhost.quant import ascend as modelslim
from selfhost.quant.ignored import renamed
from selfhost.quant.schemes import quantization_from_config
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.models.compressed import HyperConnections
    from selfhost.models.families import Family
    from selfhost.models.latent import Indexer
    from selfhost.models.layers import Mixer
    from selfhost.models.media import Tower
    from selfhost.models.vision import TowerMode
    from selfhost.quant.schemes import Quantization

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
_MOST_LAYERS = 10_000
_MOST_DRAFTS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Rope:
    """How positions are encoded."""

    rope_type: str = "default"
    factor: float = 1.0
    original_max_position_embeddings: int | None = None
    times: int = 1
    """How many times longer the table of positions is than the model's length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelArch:
    """Dimensions of a decoder; names as in `config.json`."""

    architecture: str
    architectures: tuple[str, ...]
    model_type: str
    hidden_size: int
    vocab_size: int
    tie_word_embeddings: bool
    max_position_embeddings: int
    torch_dtype: str
    rope: Rope
    kinds: tuple[LayerKind, ...]
    """Distinct kinds of layers, in the order of their first layer."""
    layers: tuple[int, ...]
    """For each layer its place in `kinds`."""
    num_nextn_predict_layers: int = 0
    """Layers of multi-token prediction, as the config counts them."""
    quantization: Quantization | None = None
    """With the engine's names of what is not quantized."""
    tower: Tower | None = None
    """What sees images, where there is something."""
    audio: AudioTower | None = None
    """What hears, where there is something."""
    draft: Draft | None = None
    """The layers of multi-token prediction, if the engine can load them."""
    residual_block_layers: int = 0
    """Layers in a block whose result later layers look back at (`attn_res_block_size`); 0: there are no blocks."""
    drafting: bool = False
    """Whether it does load them; set by who plans speculative decoding."""
    media: Media = ANY_MEDIA
    """What a server is told about images and videos; set by who reads its options."""
    whole_shared_experts: bool = False
    """Whether vllm-ascend keeps the shared experts whole on every rank; set by who reads its options."""

    def __hash__(self) -> int:
        """Of what tells most models apart: a search over layouts and devices looks things up thousands of times."""
        stored = (self.quantization.method, self.quantization.bits) if self.quantization else None
        chosen = stored, self.drafting, self.media.mode.value
        return hash((self.architecture, self.hidden_size, self.vocab_size, self.layers[-1:], *chosen))

    @property
    def family(self) -> Family:
        """What its class does beyond the common decoder."""
        return FAMILIES[self.architecture]

    @property
    def loaded_draft(self) -> Draft | None:
        """The layers of multi-token prediction that a server has in memory."""
        return self.draft if self.drafting else None

    @property
    def tower_mode(self) -> TowerMode | None:
        """Where the vision tower of a server is; None when the model has none."""
        return tower_mode(self.tower, self.media) if self.tower else None

    @property
    def num_hidden_layers(self) -> int:
        """Layers without those of multi-token prediction."""
        return len(self.layers)

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        """Distinct mixers; compared and not hashed, since a plan asks often and layers mostly share one object."""
        found: list[Mixer] = []
        for kind in self.kinds:
            if kind.mixer not in found:
                found.append(kind.mixer)
        return tuple(found)

    @property
    def num_attention_heads(self) -> int:
        """Query heads; of the mixer with most when there are several."""
        return max(mixer.num_attention_heads for mixer in self.mixers)

    @property
    def latent(self) -> LatentAttention | None:
        """The latent attention, if there is any."""
        for kind in self.kinds:
            if isinstance(kind.mixer, LatentAttention):
                return kind.mixer
        return None

    @property
    def indexer(self) -> Indexer | None:
        """The indexer of sparse attention, if there is any."""
        for kind in self.kinds:
            mixer = kind.mixer
            if isinstance(mixer, LatentAttention | CompressedAttention) and mixer.indexer is not None:
                return mixer.indexer
        return None

    @property
    def connections(self) -> HyperConnections | None:
        """The hyper-connections, if there are several residual streams."""
        for kind in self.kinds:
            if isinstance(kind.mixer, CompressedAttention):
                return kind.mixer.connections
        return None

    @property
    def residual_streams(self) -> int:
        """Vectors of the hidden size that every token carries from layer to layer."""
        blocks = -(-self.num_hidden_layers // self.residual_block_layers) if self.residual_block_layers else 0
        return 1 + blocks if self.connections is None else self.connections.hc_mult

    @property
    def experts(self) -> Experts | None:
        """The experts, if there are any."""
        for kind in self.kinds:
            if isinstance(kind.feed, Experts):
                return kind.feed
        return None

    @property
    def intermediate_size(self) -> int:
        """Of the widest dense layer; 0 when all layers have experts."""
        return max((kind.feed.intermediate_size for kind in self.kinds if isinstance(kind.feed, DenseFeed)), default=0)

    @property
    def moe_layers(self) -> tuple[int, ...]:
        """Indices of the layers that have experts."""
        return tuple(i for i, kind in enumerate(self.layers) if isinstance(self.kinds[kind].feed, Experts))

    @property
    def is_mla(self) -> bool:
        """Whether the KV cache holds latent vectors instead of keys and values."""
        return self.latent is not None

    @property
    def is_moe(self) -> bool:
        """Whether some layers have experts."""
        return self.experts is not None

    @property
    def dtype_bytes(self) -> int:
        """Bytes of one element that is not quantized."""
        return DTYPE_BYTES[self.torch_dtype]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelArch:
        """The architecture that a config describes.

        Raises NoError for an architecture or quantization that is not known, UsageError for missing or absurd values:
        all of them at once.
        """
        return arch_from_config(config)


def _text_config(config: Mapping[str, Any], family: Family) -> Mapping[str, Any]:
    """A config and its `text_config` as one; which of them says that head and embedding are one goes by the class."""
    if family.within is not None:
        part = config.get(family.within)
        config = {**config, **(part if isinstance(part, dict) else {}), "architectures": config.get("architectures")}
    nested = config.get("text_config")
    if not isinstance(nested, dict):
        return config
    outer, inner = (section.get("tie_word_embeddings") for section in (config, nested))
    tied = {"outer": outer, "inner": inner, "either": outer or inner}[family.tied_by]
    return {**config, **nested, "architectures": config.get("architectures"), "tie_word_embeddings": tied}


def arch_from_config(config: Mapping[str, Any]) -> ModelArch:
    """As `ModelArch.from_config`."""
    names = config.get("architectures")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError("arch.no_architecture", found=repr(names)[:80])
    architecture = next((name for name in names if name in FAMILIES), None)
    if architecture is None:
        first = names[0][:80]
        nearest = difflib.get_close_matches(first, FAMILIES, 3) or sorted(FAMILIES)
        raise NoError("arch.unsupported", architecture=first, nearest=", ".join(nearest))
    text = _text_config(config, FAMILIES[architecture])
    reader = Reader(text)
    arch = _read(reader, text, architecture, tuple(names))
    if reader.problems:
        problems = "\n".join(problem.what for problem in reader.problems)
        raise UsageError("arch.bad_config", architecture=architecture, problems=problems)
    return arch


def _read(reader: Reader, config: Mapping[str, Any], architecture: str, names: tuple[str, ...]) -> ModelArch:
    family = FAMILIES[architecture]
    hidden, count = reader.integer("hidden_size"), reader.integer("num_hidden_layers")
    reader.check("num_hidden_layers", count, f"at most {_MOST_LAYERS}", good=count <= _MOST_LAYERS)
    count = min(count, _MOST_LAYERS)
    extra = reader.integer(
        "num_nextn_predict_layers", "mtp_num_hidden_layers", default=family.nextn_predict_layers, minimum=0
    )
    reader.check("num_nextn_predict_layers", extra, f"at most {_MOST_DRAFTS}", good=extra <= _MOST_DRAFTS)
    extra = min(extra, _MOST_DRAFTS)
    drafts = extra if family.drafts else 0
    quantization = quantization_from_config(config)
    if quantization is not None and family.renames:
        quantization = replace(quantization, ignored=renamed(quantization.ignored, family.renames))
    if quantization is not None and family.described_as:
        quantization = replace(quantization, types=modelslim.renamed(quantization.types, family.described_as))
    mixers = _read_mixers(reader, family, hidden, (count, drafts), quantization)
    feeds = read_feeds(reader, config, family, count + drafts)
    block = reader.integer("attn_res_block_size", default=0) if family.delta else 0
    kinds, layers = kinds_of(mixers[:count], feeds[:count], family=family, quantization=quantization)
    return ModelArch(
        architecture=architecture,
        architectures=names,
        model_type=str(config.get("model_type", "")),
        hidden_size=hidden,
        vocab_size=reader.integer("vocab_size"),
        tie_word_embeddings=reader.flag("tie_word_embeddings"),
        max_position_embeddings=reader.integer("max_position_embeddings"),
        torch_dtype=_dtype(reader, config),
        rope=_rope(reader, family),
        kinds=tuple(replace(kind, attends_residuals=block > 0) for kind in kinds),
        layers=layers,
        num_nextn_predict_layers=extra,
        quantization=quantization,
        tower=_read_tower(reader, family, quantization),
        audio=read_audio(reader, family),
        residual_block_layers=block,
        draft=read_draft(mixers, feeds, count, family, quantization),
    )


def _read_mixers(
    reader: Reader, family: Family, hidden_size: int, counts: tuple[int, int], quantization: Quantization | None
) -> list[Mixer]:
    """One for each layer, and one for each layer of multi-token prediction."""
    if family.delta:
        return read_kimi_linear(reader, counts[0])
    if family.compressed:
        return [*read_compressed(reader, *counts)]
    if family.mla:
        return [*read_latents(reader, *counts)]
    mixer, count = read_grouped(reader, family, hidden_size), sum(counts)
    if family.linear_attention is None:
        windows = read_windows(reader, family.windows, count)
        kinds = {size: replace(mixer, sliding_window=size) for size in set(windows)}
        return [kinds[size] for size in windows]
    delta = read_delta(reader, family, quantization)
    return [*(delta if linear else mixer for linear in read_layer_types(reader, counts[0])), *[mixer] * counts[1]]


def _read_tower(reader: Reader, family: Family, quantization: Quantization | None) -> Tower | None:
    if family.tower in ("moonvit", "moonvit3"):
        return read_moonvit(reader, own_keys=family.tower == "moonvit3")
    return read_tower(reader, family, quantization)


def _rope(reader: Reader, family: Family) -> Rope:
    """`rope_parameters` since transformers 5, `rope_scaling` before."""
    rope = {**reader.section("rope_scaling"), **reader.section("rope_parameters")}
    return Rope(
        rope_type=str(rope.get("rope_type") or rope.get("type") or "default"),
        factor=reader.number("factor", 1.0, rope),
        original_max_position_embeddings=int(reader.number("original_max_position_embeddings", 0.5, rope)) or None,
        times=family.mrope_positions if rope.get("mrope_section") else 1,
    )


def _dtype(reader: Reader, config: Mapping[str, Any]) -> str:
    dtype = config.get("dtype") or config.get("torch_dtype") or "bfloat16"
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        reader.bad("torch_dtype", dtype, " or ".join(DTYPE_BYTES))
        return "bfloat16"
    return dtype
