"""What a vision tower holds while it encodes the items of the profiling run, on one rank; counted in elements.

A block is the same for all patches at once, and eager: what its Python code still refers to at its widest moment is
what lies in memory. Attention is a flash kernel without scores, and the tower is not compiled (`compile_mm_encoder` is
off). Sources: vLLM 0.32 models/qwen2_5_vl.py, qwen3_vl.py, glm4_1v.py, kimi_k25_vit.py (`forward` of the block, the
attention and the MLP), models/vision.py `run_dp_sharded_mrope_vision_model`, layers/attention/mm_encoder_attention.py.

Not covered: padding of the allocator, the float32 position tables of the first step, workspaces of matrix products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from selfhost.models.media import Sizes, encoder_budget, heeded
from selfhost.models.moonvit import MoonViT
from selfhost.models.vision import TowerMode, VisionTower

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch
    from selfhost.models.media import EncoderBudget, Tower

ROTATIONS = 512 * 512
"""Positions in the table of rotations that MoonViT makes with its first image and keeps."""
_COMPLEX_BYTES = 8


class Encoding(NamedTuple):
    """The profiling run of the tower on a rank."""

    budget: EncoderBudget
    patches: int
    """That the rank with most encodes."""
    peak_elements: int
    """At the widest moment, of the model's dtype."""
    output_elements: int
    """Embeddings that stay while the language model is profiled."""
    kept_bytes: int
    """Made in this run and never let go."""


def encoding(arch: ModelArch, tp: int, sizes: Sizes) -> Encoding | None:
    """What the profiling run holds; None where there is no tower, or nothing is profiled.

    Left whole, the tower of each rank encodes some of the items, and all ranks get what all of them found, each with
    room for as much as the rank with most: one video on 8 ranks comes back 8 times as long.
    Check: Qwen2.5-VL-7B, one rank, 32,768 tokens -> 131,072 patches of 16,636 elements: 4.06 GiB in bfloat16.
    """
    tower = arch.tower
    if tower is None or not arch.media.profiled:
        return None
    budget = encoder_budget(tower, arch.media, sizes)
    if budget is None:
        return None
    apart = heeded(tower, arch.media.mode) is TowerMode.DATA
    ranks = tp if apart else 1
    items = -(-budget.items // ranks)
    patches = items * budget.item_tokens * tower.merged
    cut = 1 if apart or (isinstance(tower, MoonViT) and tower.num_attention_heads % tp) else tp
    pixels = budget.items * budget.item_tokens * tower.merged * _pixels(tower)
    if apart and tp > 1:
        # All items come to all ranks; those of this one are copied out.
        pixels += patches * _pixels(tower)
    return Encoding(
        budget=budget,
        patches=patches,
        peak_elements=patches * width_per_patch(tower, cut) + pixels,
        output_elements=ranks * items * budget.item_tokens * output_width(tower),
        kept_bytes=_rotations(tower),
    )


def output_width(tower: Tower) -> int:
    """Elements of one embedding; with the deeper levels of Qwen3-VL beside it.

    Check: Qwen3-VL-32B -> 20_480 (4 * 5120).
    """
    if isinstance(tower, MoonViT):
        return tower.text_hidden_size
    return tower.out_hidden_size * (1 + tower.deepstack_levels)


def width_per_patch(tower: Tower, tp: int) -> int:
    """Elements that each patch takes while a block runs, at the wider of attention and MLP; without its pixels.

    Check: Qwen2.5-VL-7B, TP1 -> 15_460 (4 * 1280 + 3 * 3420 + 80).
    """
    if isinstance(tower, MoonViT):
        attention = 3 * tower.hidden_size + 4 * tower.qkv_hidden_size // tp
        rotations = 2 * tower.qkv_hidden_size // tower.num_attention_heads
        mlp = 2 * tower.hidden_size + 2 * tower.intermediate_size // tp
        return max(attention, mlp) + rotations + _reduced(tower.hidden_size, tp)
    hidden, rotations = tower.hidden_size, tower.hidden_size // tower.num_heads
    return max(_ATTENTION[tower.kind](tower, tp), _MLP[tower.kind](tower, tp)) + rotations + _reduced(hidden, tp)


def _reduced(hidden: int, tp: int) -> int:
    """What all ranks add up comes in a tensor of its own."""
    return hidden if tp > 1 else 0


def _pixels(tower: Tower) -> int:
    return tower.patch_inputs if isinstance(tower, VisionTower) else 3 * tower.patch_size**2


def _rotations(tower: Tower) -> int:
    """Check: Kimi-K2.5 -> 75_497_472 bytes (72 MiB)."""
    if isinstance(tower, VisionTower):
        return 0
    return ROTATIONS * (tower.qkv_hidden_size // tower.num_attention_heads // 2) * _COMPLEX_BYTES


def _qwen_attention(tower: VisionTower, tp: int) -> int:
    """The residual, its norm and the result; queries, keys and values, the first two copied, rotated, attended."""
    return 3 * tower.hidden_size + 8 * tower.hidden_size // tp


def _qwen3_attention(tower: VisionTower, tp: int) -> int:
    """Beside that the positions, and the levels that were found so far."""
    return _qwen_attention(tower, tp) + _beside(tower)


def _beside(tower: VisionTower) -> int:
    return tower.hidden_size + tower.deepstack_levels * tower.out_hidden_size // tower.merged


def _glm_attention(tower: VisionTower, tp: int) -> int:
    """Queries, keys and values once more, each by itself; positions."""
    return 4 * tower.hidden_size + 11 * tower.hidden_size // tp


def _gated(tower: VisionTower, tp: int) -> int:
    return 4 * tower.hidden_size + 3 * tower.intermediate_size // tp


def _qwen3_mlp(tower: VisionTower, tp: int) -> int:
    return 2 * tower.hidden_size + 2 * tower.intermediate_size // tp + _beside(tower)


def _glm_mlp(tower: VisionTower, tp: int) -> int:
    return 5 * tower.hidden_size + 3 * tower.out_hidden_size // tp


_ATTENTION = {"qwen2_5": _qwen_attention, "qwen3": _qwen3_attention, "glm4v": _glm_attention}
_MLP = {"qwen2_5": _gated, "qwen3": _qwen3_mlp, "glm4v": _glm_mlp}
