"""The vision tower of Kimi-K2.5 and Kimi-K3: MoonViT over frames, and the projector into the text model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.models.parts import Cut, Linear, Vector
from selfhost.models.reader import Reader
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.models.parts import Part
    from selfhost.quant.schemes import Quantization

_CHANNELS = 3
_PATCH = 14
_SIZES = {"num_hidden_layers": 27, "hidden_size": 1152, "num_attention_heads": 16, "intermediate_size": 4304}
"""Kimi-K2.5: transformers' `Kimi_K25VisionConfig`, which does not know the `vt_` keys of the Hub's file."""
_SIZES_K3 = {
    "vt_num_hidden_layers": 27,
    "vt_hidden_size": 1024,
    "vt_num_attention_heads": 12,
    "vt_intermediate_size": 4096,
}
"""Kimi-K3: the engine's own `KimiK3VisionConfig` (transformers_utils/configs/kimi_k3.py)."""
_QKV_K3 = 1536
_POSITIONS = {"height": 64, "width": 64, "time": 4}
_MERGED = (2, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class MoonViT:
    """Sizes of the tower; it is on every pipeline stage, in the model's dtype.

    Source: vLLM 0.32 models/kimi_k25.py and kimi_k25_vit.py. With its first image the engine also keeps a table of
    rotations, 512 * 512 * (head size / 2) complex numbers of 8 bytes: 72 MiB, which are part of the profiling run.
    """

    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    intermediate_size: int
    patch_size: int
    positions: tuple[int, int, int]
    """Height, width and frames that have a position of their own."""
    merged: int
    """Patches that the projector makes one token of."""
    text_hidden_size: int
    qkv_hidden_size: int
    """All heads of attention together."""
    patch_bias: bool = True
    attn_bias: bool = True
    linear_bias: bool = True
    rms_norm: bool = False
    """Norms without a bias."""
    normed_after: bool = False
    """The projector has no biases, and its norm comes last (`patchmergerv2`)."""

    def parts(self, tp: int) -> list[tuple[int, Part]]:
        """Everything it holds, uncut, and how many of each.

        Heads that `tp` does not divide make every part whole on every rank (models/vision.py
        `is_vit_use_data_parallel`).
        """
        everything = [*self._patches(), *((self.num_hidden_layers, part) for part in self._layer()), *self._projector()]
        if self.num_attention_heads % tp == 0:
            return everything
        return [(count, replace(part, cut=Cut.WHOLE)) for count, part in everything]

    def format_of(self, _part: Part, _quantization: Quantization | None) -> None:
        """What a part is stored in: always the model's dtype."""

    def _patches(self) -> list[tuple[int, Part]]:
        hidden, (height, width, frames) = self.hidden_size, self.positions
        patch = Linear(
            name="vision_tower.patch_embed.proj",
            outputs=(hidden,),
            inputs=_CHANNELS * self.patch_size**2,
            cut=Cut.WHOLE,
            bias=self.patch_bias,
        )
        places = Vector(name="vision_tower.patch_embed.pos_emb", size=height * width * hidden)
        times = Vector(name="vision_tower.pos_emb.time", size=frames * hidden, stored_itemsize=0, trained=False)
        return [(1, patch), (1, places), (1, times)]

    def _layer(self) -> list[Part]:
        hidden, width, heads = self.hidden_size, self.intermediate_size, self.qkv_hidden_size
        wide, square = self.linear_bias, self.attn_bias
        return [
            *self._norm("vision_tower.norm0", hidden),
            *self._norm("vision_tower.norm1", hidden),
            Linear(name="vision_tower.fc0", outputs=(width,), inputs=hidden, cut=Cut.COLUMN, bias=wide),
            Linear(name="vision_tower.fc1", outputs=(hidden,), inputs=width, cut=Cut.ROW, bias=wide),
            Linear(name="vision_tower.wqkv", outputs=(heads,) * 3, inputs=hidden, cut=Cut.COLUMN, bias=square),
            Linear(name="vision_tower.wo", outputs=(hidden,), inputs=heads, cut=Cut.ROW, bias=square),
        ]

    def _projector(self) -> list[tuple[int, Part]]:
        wide, text = self.hidden_size * self.merged, self.text_hidden_size
        after = [Vector(name="mm_projector.post_norm.weight", size=text)]
        before = self._norm("mm_projector.pre_norm", self.hidden_size)
        bias = not self.normed_after
        parts: list[Part] = [
            *self._norm("vision_tower.final_layernorm", self.hidden_size),
            *(after if self.normed_after else before),
            Linear(name="mm_projector.linear_1", outputs=(wide,), inputs=wide, cut=Cut.WHOLE, bias=bias),
            Linear(name="mm_projector.linear_2", outputs=(text,), inputs=wide, cut=Cut.WHOLE, bias=bias),
        ]
        return [(1, part) for part in parts]

    def _norm(self, name: str, size: int) -> list[Part]:
        ends = ("weight",) if self.rms_norm else ("weight", "bias")
        return [Vector(name=f"{name}.{end}", size=size) for end in ends]


def read_moonvit(reader: Reader, *, own_keys: bool = False) -> MoonViT:
    """From `vision_config`, as the engine reads it; own_keys: as it does for Kimi-K3.

    Keys that are absent have the values of the class that reads them, which are those of the published models.
    """
    text_hidden = reader.integer("hidden_size")
    vision = Reader(reader.section("vision_config"), reader.problems)
    merged = vision.numbers("merge_kernel_size") or _MERGED
    height, width, frames = (
        vision.integer(f"init_pos_emb_{name}", f"pos_emb_{name}", default=size) for name, size in _POSITIONS.items()
    )
    whole = len(merged) == len(_MERGED) and min(merged) > 0
    vision.check("merge_kernel_size", merged[0], "two sizes above 0", good=whole)
    sizes = _SIZES_K3 if own_keys else _SIZES
    layers, hidden, heads, inner = (vision.integer(key, default=size) for key, size in sizes.items())
    across = vision.integer("qkv_hidden_size", default=_QKV_K3 if own_keys else hidden)
    vision.check("qkv_hidden_size", across, f"a multiple of the {heads} heads", good=across % heads == 0)
    return MoonViT(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=inner,
        qkv_hidden_size=across,
        patch_bias=vision.flag("patch_embed_proj_bias", default=not own_keys),
        attn_bias=vision.flag("attn_bias", default=not own_keys),
        linear_bias=vision.flag("linear_bias", default=not own_keys),
        rms_norm=(vision.word("norm_type") or ("rmsnorm" if own_keys else "layernorm")) == "rmsnorm",
        normed_after=(vision.word("mm_projector_type") or ("patchmergerv2" if own_keys else "")) == "patchmergerv2",
        patch_size=vision.integer("patch_size", default=_PATCH),
        positions=(height, width, frames),
        merged=merged[0] * merged[-1],
        text_hidden_size=text_hidden,
    )
