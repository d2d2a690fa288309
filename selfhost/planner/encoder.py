"""Images and videos in the memory of a rank: what lies beside the weights, and what the profiling run adds.

vLLM 0.32 v1/worker/gpu/model_runner.py `profile_run`: the first pipeline stage encodes the largest items first and
keeps what comes out while the language model is profiled. So the peak is the larger of two, not their sum; the
workspace of the experts is only made in the second. Sources: also v1/worker/gpu/mm/encoder_runner.py and
models/qwen3_vl.py.

How many items of what size follows from the engine's source and is exact where the checkpoint's processor has the
published sizes; what the tower then holds is read off its code, and has a range.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.models.encoding import encoding
from selfhost.models.media import Sizes
from selfhost.models.vision import TowerMode, VisionTower
from selfhost.planner.terms import Range

if TYPE_CHECKING:
    from selfhost.models.encoding import Encoding
    from selfhost.models.media import Media
    from selfhost.planner.plan import ModelToPlan
    from selfhost.planner.terms import Setup

_LEAST, _MOST = 0.8, 1.3
"""Of the peak of the tower: temporaries that go earlier than the code suggests, and kernels that copy their inputs."""


def with_media(model: ModelToPlan, media: Media) -> ModelToPlan:
    """The model as it is served: with what the options say about images, if it takes any."""
    if model.arch.tower is None and not model.variants:
        return model
    return replace(
        model,
        arch=replace(model.arch, media=media) if model.arch.tower else model.arch,
        variants=tuple(with_media(variant, media) for variant in model.variants),
    )


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
    found, itemsize = runs(setup, first_stage=first_stage), setup.arch.dtype_bytes
    if found is None:
        return language
    held, kept = found.peak_elements * itemsize - workspace_bytes, found.output_elements * itemsize
    spread = found.peak_elements * itemsize
    return Range(
        max(language.low + kept, held - int(spread * (1 - _LEAST))),
        max(language.likely + kept, held),
        max(language.high + kept, held + int(spread * (_MOST - 1))),
    )
