"""The vision tower of Kimi-K2.5: MoonViT over frames, and the projector into the text model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from selfhost.models.parts import Cut, Linear, Vector
from selfhost.models.reader import Reader

if TYPE_CHECKING:
    from selfhost.models.parts import Part
    from selfhost.quant.schemes import Quantization

_CHANNELS = 3
_PATCH = 14
_LAYERS, _HIDDEN, _HEADS, _WIDTH = 27, 1152, 16, 4304
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
            bias=True,
        )
        places = Vector(name="vision_tower.patch_embed.pos_emb", size=height * width * hidden)
        times = Vector(name="vision_tower.pos_emb.time", size=frames * hidden, stored_itemsize=0, trained=False)
        return [(1, patch), (1, places), (1, times)]

    def _layer(self) -> list[Part]:
        hidden, width = self.hidden_size, self.intermediate_size
        return [
            *_norm("vision_tower.norm0", hidden),
            *_norm("vision_tower.norm1", hidden),
            Linear(name="vision_tower.fc0", outputs=(width,), inputs=hidden, cut=Cut.COLUMN, bias=True),
            Linear(name="vision_tower.fc1", outputs=(hidden,), inputs=width, cut=Cut.ROW, bias=True),
            Linear(name="vision_tower.wqkv", outputs=(hidden,) * 3, inputs=hidden, cut=Cut.COLUMN, bias=True),
            Linear(name="vision_tower.wo", outputs=(hidden,), inputs=hidden, cut=Cut.ROW, bias=True),
        ]

    def _projector(self) -> list[tuple[int, Part]]:
        wide = self.hidden_size * self.merged
        parts: list[Part] = [
            *_norm("vision_tower.final_layernorm", self.hidden_size),
            *_norm("mm_projector.pre_norm", self.hidden_size),
            Linear(name="mm_projector.linear_1", outputs=(wide,), inputs=wide, cut=Cut.WHOLE, bias=True),
            Linear(
                name="mm_projector.linear_2", outputs=(self.text_hidden_size,), inputs=wide, cut=Cut.WHOLE, bias=True
            ),
        ]
        return [(1, part) for part in parts]


def _norm(name: str, size: int) -> list[Part]:
    return [Vector(name=f"{name}.weight", size=size), Vector(name=f"{name}.bias", size=size)]


def read_moonvit(reader: Reader) -> MoonViT:
    """From `vision_config`, as the engine reads it: the `vt_` keys of the Hub's file are not among those it knows.

    Keys that are absent have the values of transformers' `Kimi_K25VisionConfig`, which are those of Kimi-K2.5 and K2.6.
    """
    text_hidden = reader.integer("hidden_size")
    vision = Reader(reader.section("vision_config"), reader.problems)
    merged = vision.numbers("merge_kernel_size") or _MERGED
    height, width, frames = (
        vision.integer(f"init_pos_emb_{name}", f"pos_emb_{name}", default=size) for name, size in _POSITIONS.items()
    )
    whole = len(merged) == len(_MERGED) and min(merged) > 0
    vision.check("merge_kernel_size", merged[0], "two sizes above 0", good=whole)
    return MoonViT(
        num_hidden_layers=vision.integer("num_hidden_layers", default=_LAYERS),
        hidden_size=vision.integer("hidden_size", default=_HIDDEN),
        num_attention_heads=vision.integer("num_attention_heads", default=_HEADS),
        intermediate_size=vision.integer("intermediate_size", default=_WIDTH),
        patch_size=vision.integer("patch_size", default=_PATCH),
        positions=(height, width, frames),
        merged=merged[0] * merged[-1],
        text_hidden_size=text_hidden,
    )
