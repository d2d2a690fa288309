"""Vision towers: what sees the images of a model, beside the decoder that reads the text.

Every pipeline stage holds the tower, whichever stage runs it: the classes build it before they ask for their place in
the pipeline. Tensor parallelism cuts it like a decoder, or leaves it whole on every rank and divides the images, as
`--mm-encoder-tp-mode` says; with no image and no video allowed (`--language-model-only`) it is not built at all.
Sources: vLLM 0.32 models/qwen2_5_vl.py, models/qwen3_vl.py, models/glm4_1v.py, config/multimodal.py.

Not covered: 24 bytes of `--mm-device-do-normalize`. The rows that Qwen3-VL sets aside for the deeper levels of its
tower grow with `max_num_batched_tokens`, so they are no weights here: see `VisionTower.elements_per_batched_token`.
What the tower holds while it runs: `models.encoding`.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.models.parts import Cut, Linear, Vector
from selfhost.models.reader import Reader
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.models.families import Family
    from selfhost.models.parts import Part
    from selfhost.quant.schemes import Quantization

_ROTARY_ROWS = 8192
_POSITION_BYTES = 8
_MOST_BLOCKS = 1000


class TowerMode(StrEnum):
    """Where the tower is; the first two as `--mm-encoder-tp-mode` spells them."""

    WEIGHTS = "weights"
    """Cut over the tensor-parallel ranks; the engine's default."""
    DATA = "data"
    """Whole on every rank."""
    ABSENT = "absent"
    """Left out with `--language-model-only`, or no image and no video in `--limit-mm-per-prompt`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VisionTower:
    """A transformer over patches of images, and what merges its patches; names as in `vision_config`."""

    kind: str
    """`qwen2_5`, `qwen3` or `glm4v`."""
    depth: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    out_hidden_size: int
    patch_inputs: int
    """Numbers in a patch: channels, frames and pixels."""
    merged: int
    """Patches that become one token: the square of `spatial_merge_size`."""
    patch_size: int = 14
    apart: bool = True
    """Whether it can be left whole on every rank."""
    positions: int = 0
    """Learned positions; 0: none are learned."""
    deepstack_levels: int = 0
    """Blocks whose output enters the first layers of the decoder too, each through a merger of its own."""
    blocks: tuple[tuple[int, frozenset[str]], ...] = ()
    """How many blocks there are of each sort, and which of their matrices a quantized checkpoint leaves plain; empty:
    all are alike."""
    plain: frozenset[str] = frozenset()
    """The same of what is there once."""

    @property
    def elements_per_batched_token(self) -> int:
        """Elements that the engine sets aside while it loads for each of `max_num_batched_tokens`.

        Check: Qwen3-VL-32B -> 15_360 (3 levels * 5120), 120 MiB in bfloat16 with 4096 tokens.
        """
        return self.deepstack_levels * self.out_hidden_size

    def parts(self, _tp: int) -> list[tuple[int, Part]]:
        """Everything it holds, uncut, and how many of each; what the checkpoint leaves plain is not quantizable."""
        block, once = _PARTS[self.kind](self)
        sorts = self.blocks or ((self.depth, frozenset()),)
        found = [(count, _as_stored(part, left)) for count, left in sorts for part in block]
        found += [(1, _as_stored(part, self.plain)) for part in once]
        table = _ROTARY_ROWS * (self.hidden_size // self.num_heads // 2)
        return [*found, (1, Vector(name="visual.rotary_pos_emb", size=table, stored_itemsize=0, trained=False))]

    def format_of(self, part: Part, quantization: Quantization | None) -> Quantization | None:
        """What a part is stored in; None: the model's dtype, or its own."""
        return quantization if isinstance(part, Linear) and part.quantizable else None


def _as_stored(part: Part, plain: frozenset[str]) -> Part:
    return replace(part, quantizable=False) if isinstance(part, Linear) and part.name in plain else part


def read_tower(reader: Reader, family: Family, quantization: Quantization | None) -> VisionTower | None:
    """From the `vision_config` of a config; None when the class has no tower."""
    if family.tower is None:
        return None
    vision = Reader(reader.section("vision_config"), reader.problems, prefix="vision_config.")
    depth = vision.integer("depth")
    vision.check("depth", depth, f"at most {_MOST_BLOCKS}", good=depth <= _MOST_BLOCKS)
    side, frames = vision.integer("patch_size"), vision.integer("temporal_patch_size", default=2)
    width, heads = vision.integer("hidden_size"), vision.integer("num_heads")
    vision.check("hidden_size", width, f"a multiple of the {heads} heads", good=width % heads == 0)
    tower = VisionTower(
        kind=family.tower,
        depth=min(depth, _MOST_BLOCKS),
        hidden_size=width,
        num_heads=heads,
        intermediate_size=vision.integer("intermediate_size"),
        out_hidden_size=vision.integer("out_hidden_size"),
        patch_inputs=vision.integer("in_channels", "in_chans", default=3) * frames * side**2,
        merged=vision.integer("spatial_merge_size", default=2) ** 2,
        patch_size=side,
        apart=family.tower_apart,
        positions=_positions(vision, family.tower, side),
        deepstack_levels=len(vision.numbers("deepstack_visual_indexes")) if family.tower == "qwen3" else 0,
    )
    return tower if quantization is None else _with_formats(tower, quantization)


def _positions(vision: Reader, kind: str, patch_size: int) -> int:
    if kind == "qwen3":
        return vision.integer("num_position_embeddings")
    return (vision.integer("image_size") // patch_size) ** 2 if kind == "glm4v" else 0


def _with_formats(tower: VisionTower, quantization: Quantization) -> VisionTower:
    """With what the checkpoint leaves in the model's dtype; most leave the whole tower."""
    block, once = _PARTS[tower.kind](tower)
    sorts: dict[frozenset[str], int] = {}
    for number in range(tower.depth):
        plain = _left_out(block, f"visual.blocks.{number}.", quantization)
        sorts[plain] = sorts.get(plain, 0) + 1
    blocks = tuple((count, left) for left, count in sorts.items())
    return replace(tower, blocks=blocks, plain=_left_out(once, "visual.", quantization))


def _left_out(parts: list[Part], prefix: str, quantization: Quantization) -> frozenset[str]:
    """Names of the linear parts that are not quantized."""
    linear = [part for part in parts if isinstance(part, Linear) and part.quantizable]
    if quantization.files_decide:
        # Who quantizes in these formats leaves towers alone.
        return frozenset(part.name for part in linear)
    left_out = quantization.left_out
    return frozenset(part.name for part in linear if left_out(*_modules(part, prefix, quantization)))


def _modules(part: Linear, prefix: str, quantization: Quantization) -> tuple[str, tuple[str, ...]]:
    """Names of a part in the engine, and of what is merged into it.

    GLM's attention goes by another name with compressed-tensors (models/glm4_1v.py), as its checkpoints do.
    """
    own = part.name.removeprefix("visual.").removeprefix("blocks.")
    if own == "attn.qkv" and not part.bias and quantization.method == "compressed-tensors":
        return f"{prefix}attn.qkv_proj", tuple(f"{prefix}attn.{x}_proj" for x in "qkv")
    within = own.rpartition(".")[0]
    return prefix + own, tuple(f"{prefix}{within}.{name}" for name in part.parts)


_Parts = tuple[list["Part"], list["Part"]]
"""Parts of one block, and what is there once."""


def _norm(name: str, size: int, *, bias: bool) -> list[Part]:
    return [Vector(name=f"{name}.{part}", size=size) for part in ("weight", "bias")[: 1 + bias]]


def _linear(name: str, outputs: int, inputs: int, cut: Cut, *, bias: bool) -> Linear:
    return Linear(name=name, outputs=(outputs,), inputs=inputs, cut=cut, bias=bias)


def _whole(name: str, outputs: int, inputs: int, *, bias: bool) -> Linear:
    """A convolution over pieces that do not overlap, or a table: not among the linear layers of the engine."""
    return Linear(name=name, outputs=(outputs,), inputs=inputs, cut=Cut.WHOLE, bias=bias, quantizable=False)


def _gated(prefix: str, hidden: int, width: int, *, bias: bool) -> list[Part]:
    gate_up = Linear(
        name=f"{prefix}.gate_up_proj",
        outputs=(width, width),
        inputs=hidden,
        cut=Cut.COLUMN,
        bias=bias,
        parts=("gate_proj", "up_proj"),
    )
    return [gate_up, _linear(f"{prefix}.down_proj", hidden, width, Cut.ROW, bias=bias)]


def _attention(tower: VisionTower, *, bias: bool) -> list[Part]:
    width = tower.hidden_size
    return [
        Linear(
            name="visual.blocks.attn.qkv",
            outputs=(width, width, width),
            inputs=width,
            cut=Cut.QKV,
            bias=bias,
            kv_heads=tower.num_heads,
            stored_outputs=(3 * width,),
        ),
        _linear("visual.blocks.attn.proj", width, width, Cut.ROW, bias=bias),
    ]


def _patches(tower: VisionTower, *, bias: bool) -> Part:
    return _whole("visual.patch_embed.proj", tower.hidden_size, tower.patch_inputs, bias=bias)


def _qwen2_5(tower: VisionTower) -> _Parts:
    width, merged = tower.hidden_size, tower.hidden_size * tower.merged
    block = [
        *_norm("visual.blocks.norm1", width, bias=False),
        *_norm("visual.blocks.norm2", width, bias=False),
        *_attention(tower, bias=True),
        *_gated("visual.blocks.mlp", width, tower.intermediate_size, bias=True),
    ]
    once = [
        _patches(tower, bias=False),
        *_norm("visual.merger.ln_q", width, bias=False),
        _linear("visual.merger.mlp.0", merged, merged, Cut.COLUMN, bias=True),
        _linear("visual.merger.mlp.2", tower.out_hidden_size, merged, Cut.ROW, bias=True),
    ]
    return block, once


def _qwen3(tower: VisionTower) -> _Parts:
    width, merged = tower.hidden_size, tower.hidden_size * tower.merged
    block = [
        *_norm("visual.blocks.norm1", width, bias=True),
        *_norm("visual.blocks.norm2", width, bias=True),
        *_attention(tower, bias=True),
        _linear("visual.blocks.mlp.linear_fc1", tower.intermediate_size, width, Cut.COLUMN, bias=True),
        _linear("visual.blocks.mlp.linear_fc2", width, tower.intermediate_size, Cut.ROW, bias=True),
    ]

    def merger(name: str, norm: int) -> list[Part]:
        return [
            *_norm(f"{name}.norm", norm, bias=True),
            _linear(f"{name}.linear_fc1", merged, merged, Cut.COLUMN, bias=True),
            _linear(f"{name}.linear_fc2", tower.out_hidden_size, merged, Cut.ROW, bias=True),
        ]

    positions = _whole("visual.pos_embed", tower.positions, width, bias=False)
    once = [_patches(tower, bias=True), positions, *merger("visual.merger", width)]
    for level in range(tower.deepstack_levels):
        once += merger(f"visual.deepstack_merger_list.{level}", merged)
    return block, once


def _glm4v(tower: VisionTower) -> _Parts:
    width, out = tower.hidden_size, tower.out_hidden_size
    block = [
        *_norm("visual.blocks.norm1", width, bias=False),
        *_norm("visual.blocks.norm2", width, bias=False),
        *_attention(tower, bias=False),
        *_gated("visual.blocks.mlp", width, out, bias=False),
    ]
    positions = "visual.embeddings.position"
    once = [
        _patches(tower, bias=True),
        _whole(f"{positions}_embedding", tower.positions, width, bias=False),
        Vector(
            name=f"{positions}_ids",
            size=tower.positions,
            itemsize=_POSITION_BYTES,
            stored_itemsize=0,
            trained=False,
        ),
        *_norm("visual.post_conv_layernorm", width, bias=False),
        *_norm("visual.post_layernorm", width, bias=False),
        _whole("visual.downsample", out, width * tower.merged, bias=True),
        _linear("visual.merger.proj", out, out, Cut.COLUMN, bias=False),
        *_norm("visual.merger.post_projection_norm", out, bias=True),
        *_gated("visual.merger", out, tower.intermediate_size, bias=False),
    ]
    return block, once


_PARTS = {"qwen2_5": _qwen2_5, "qwen3": _qwen3, "glm4v": _glm4v}
