"""Images and videos in the memory of a rank: what lies beside the weights, and what the profiling run adds.

vLLM 0.32 v1/worker/gpu/model_runner.py `profile_run`: the first pipeline stage encodes the largest items first and
keeps what comes out while the language model is profiled. So the peak is the larger of two, not their sum; the
workspace of the experts is only made in the second. Sources: also v1/worker/gpu/mm/encoder_runner.py and
models/qwen3_vl.py.

How many items of what size follows from the engine's source and is exact where the checkpoint's processor has the
published sizes; what the tower then holds is read off its code, and has a range.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.messages import text
from selfhost.models.encoding import encoding
from selfhost.models.media import IMAGE, VIDEO, Sizes, heeded, kinds, largest_item
from selfhost.models.moonvit import MoonViT
from selfhost.models.vision import TowerMode, VisionTower
from selfhost.planner.quantity import Quantity
from selfhost.planner.terms import Range
from selfhost.planner.trace import formula, in_numbers, traced
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.models.arch import ModelArch
    from selfhost.models.encoding import Encoding
    from selfhost.models.media import Media
    from selfhost.planner.plan import ModelToPlan, Settings
    from selfhost.planner.terms import Setup

_PEAK = (0.85, 1.15, 1.4)
"""Low, likely and high, of what the code of a tower refers to at its widest. Two public starts with the tower of
Qwen3.5-27B, where nothing else can be as large, logged 1.18 times that (2.22 GiB, vLLM 0.26 on one GPU, 2048 tokens in
a step) and 1.17 times (1.71 GiB on each of two NPUs). What takes the rest is not known."""


def with_media(model: ModelToPlan, media: Media) -> ModelToPlan:
    """The model as it is served: with what the options say about images, if it takes any."""
    if model.arch.tower is None and not model.variants:
        return model
    return replace(
        model,
        arch=replace(model.arch, media=media) if model.arch.tower else model.arch,
        variants=tuple(with_media(variant, media) for variant in model.variants),
    )


def whole_tower(model: ModelToPlan) -> Iterator[tuple[str, ModelToPlan]]:
    """The option that leaves a tower whole, with which more layouts are legal, and the model with it."""
    tower, mode = model.arch.tower, TowerMode.DATA
    if tower is not None and model.arch.tower_mode is TowerMode.WEIGHTS and heeded(tower, mode) is mode:
        media = replace(model.arch.media, mode=mode)
        yield f"-- --mm-encoder-tp-mode {TowerMode.DATA.value}", with_media(model, media)


def less_to_see(model: ModelToPlan) -> Iterator[tuple[str, ModelToPlan]]:
    """Options that take memory from images for the KV cache, the least first, and the model with them."""
    tower, media = model.arch.tower, model.arch.media
    if tower is None or model.arch.tower_mode is TowerMode.ABSENT:
        return
    if VIDEO in kinds(tower) and media.limit(VIDEO) and media.limit(IMAGE):
        limits = {**dict(media.limits), VIDEO: 0}
        words = json.dumps(limits)
        yield f"-- --limit-mm-per-prompt '{words}'", with_media(model, replace(media, limits=tuple(limits.items())))
    yield "-- --language-model-only", with_media(model, replace(media, text_only=True))


def runs(setup: Setup, *, first_stage: bool) -> Encoding | None:
    """The profiling run of the tower on a rank of a stage; None where there is none."""
    if not first_stage:
        return None
    settings = setup.settings
    sizes = Sizes(settings.max_model_len, settings.max_num_seqs, settings.max_num_batched_tokens)
    return encoding(setup.arch, setup.layout.tensor_parallel_size, sizes)


def buffers(setup: Setup, *, first_stage: bool) -> int:
    """Rows beside the weights: input embeddings on the first stage, the deeper levels of Qwen3-VL on every stage.

    The latter are made while the model loads, so the engine logs them with the weights.
    Check: Qwen3-VL-32B, 8192 tokens -> 335_544_320 bytes (8192 * 2 * (5120 + 3 * 5120)).
    """
    arch, tokens = setup.arch, setup.settings.max_num_batched_tokens
    if arch.tower is None or arch.tower_mode is TowerMode.ABSENT:
        return 0
    levels = arch.tower.elements_per_batched_token if isinstance(arch.tower, VisionTower) else 0
    found = runs(setup, first_stage=first_stage)
    embeddings = arch.hidden_size if first_stage else 0
    return tokens * (embeddings + levels) * arch.dtype_bytes + (found.kept_bytes if found else 0)


def peak(setup: Setup, language: Range, *, first_stage: bool, workspace_bytes: int = 0) -> Range:
    """Peak of the whole profiling run, where `language` is that of the language model alone.

    workspace_bytes: counted among the buffers, and not there yet while the tower runs.
    """
    found = runs(setup, first_stage=first_stage)
    if found is None:
        return language
    kept, tower = found.output_elements * setup.arch.dtype_bytes, tower_peak(setup, found)
    return Range(*(max(alone + kept, held - workspace_bytes) for alone, held in zip(language, tower, strict=True)))


def tower_peak(setup: Setup, found: Encoding) -> Range:
    """What the tower holds at its widest moment, by itself."""
    return Range(*(int(found.peak_elements * setup.arch.dtype_bytes * share) for share in _PEAK))


def quantities(setup: Setup) -> Iterator[Quantity]:
    """The steps from the settings to what the tower holds, for an explanation; none where it is not profiled."""
    found = runs(traced(setup), first_stage=True)
    if found is None:
        return
    kind, itemsize = found.budget.kind, traced(setup.arch.dtype_bytes, "itemsize")
    yield _quantity(f"tokens of the largest {kind}", found.budget.item_tokens, _ITEM)
    yield _quantity("encoder budget, tokens", found.budget.tokens, _BUDGET)
    yield _quantity(f"{kind} items profiled", found.budget.items, _BUDGET)
    yield _quantity("patches of a rank", found.patches, _RUN)
    peak = traced(int(found.peak_elements), "peak_elements") * itemsize
    yield _quantity("elements at the peak of the tower", found.peak_elements, _RUN)
    yield _quantity("bytes at the peak of the tower, as its code has it", peak, _RUN)
    yield Quantity("bytes at the peak of the tower, likely", tower_peak(setup, found).likely, None, None, _LOGS)
    kept = traced(int(found.output_elements), "output_elements") * itemsize
    yield _quantity("bytes kept while the language model is profiled", kept, _RUN)


_ITEM = "multimodal/encoder_budget.py, the model's own get_mm_max_tokens_per_item; sizes: its published processor"
_BUDGET = "v1/core/encoder_cache_manager.py compute_mm_encoder_budget, multimodal/encoder_budget.py"
_RUN = "v1/worker/gpu/mm/encoder_runner.py profile_encoder_cache, the tower's forward in model_executor/models/"
_LOGS = "public logs of vLLM 0.26 and vllm-ascend"


def _quantity(name: str, value: float, source: str) -> Quantity:
    return Quantity(name, value, formula(value), in_numbers(value), source)


def told(setup: Setup) -> str | None:
    """One sentence on what a server takes of images and what that costs at start; None for a model that sees none."""
    tower, mode, tp = setup.arch.tower, setup.arch.tower_mode, setup.layout.tensor_parallel_size
    if tower is None:
        return None
    if mode is TowerMode.ABSENT:
        return text("plan.tower_absent")
    whole = mode is TowerMode.DATA or tp == 1 or (isinstance(tower, MoonViT) and tower.num_attention_heads % tp)
    where, found = text("plan.tower_whole" if whole else "plan.tower_cut"), runs(setup, first_stage=True)
    if found is None:
        return text("plan.tower_unprofiled", where=where)
    low, likely, high = map(format_bytes, tower_peak(setup, found))
    return text(
        "plan.tower",
        where=where,
        items=found.budget.items,
        kind=found.budget.kind,
        each=found.budget.item_tokens,
        tokens=found.budget.tokens,
        likely=likely,
        low=low,
        high=high,
    )


def refusals(arch: ModelArch, settings: Settings) -> list[str]:
    """Why the engine would refuse these settings: an item has to go through in one step, and is too large for it."""
    if arch.tower is None or arch.media.chunked:
        return []
    sizes = Sizes(settings.max_model_len, settings.max_num_seqs, settings.max_num_batched_tokens)
    each = largest_item(arch.tower, arch.media, sizes.max_model_len)
    if each <= sizes.max_num_batched_tokens:
        return []
    return [text("plan.item_over_step", item=each, step=sizes.max_num_batched_tokens)]
