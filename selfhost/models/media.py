"""Images and videos: what a server is told to take, and the largest of them that the engine makes room for at start.

The engine profiles the tower with as many items of the largest size as its encoder budget holds, and logs both:
"Encoder cache will be initialized with a budget of N tokens, and profiled with M image items of the maximum feature
size". Sources: vLLM 0.32 multimodal/encoder_budget.py, v1/core/encoder_cache_manager.py `compute_mm_encoder_budget`,
models/qwen2_vl.py, qwen3_vl.py, glm4_1v.py and kimi_k25.py (`get_mm_max_tokens_per_item` and the dummy inputs).

The largest size is in files beside `config.json` (`preprocessor_config.json`, `video_preprocessor_config.json`). What
the published checkpoints say there is in `PUBLISHED`; another one is known when it is given (`--mm-processor-kwargs`).

Not covered: sizes of dummy items in `--limit-mm-per-prompt`, embeddings as input (`--enable-mm-embeds`), the tokens of
time stamps between the frames of GLM's videos.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from selfhost.models.moonvit import MoonViT
from selfhost.models.vision import TowerMode, VisionTower
from selfhost.records import dataclass

Tower: TypeAlias = VisionTower | MoonViT
IMAGE, VIDEO, CHUNK, AUDIO = "image", "video", "vision_chunk", "audio"
_UNLIMITED = 999
"""What the engine takes for a limit that was not given (config/multimodal.py `get_limit_per_prompt`)."""
_MOST_RATIO = 200
"""Of the sides of an image, beyond which the processors refuse it."""
_QWEN_FRAMES, _GLM_FRAMES = 14, 600


class Pixels(NamedTuple):
    """The largest area that a processor leaves of an image, and of all frames of a video together."""

    image: int
    video: int


PUBLISHED = {
    "qwen2_5": Pixels(image=12_845_056, video=12_845_056),
    "qwen3": Pixels(image=16_777_216, video=25_165_824),
    "glm4v": Pixels(image=9_633_792, video=47_040_000),
    "moonvit": Pixels(image=16_384 * 14**2, video=16_384 * 14**2),
}
"""By kind of tower: Qwen2.5-VL, Qwen3-VL and Qwen3.5, GLM-4.5V, Kimi-K2.5. Video of Qwen2.5-VL: of each frame.

Sources: the files of these checkpoints; 47,040,000 is also the default in models/glm4_1v.py. Kimi's is a limit of
patches in code that comes with its checkpoint."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """What the options of a command line say about images and videos."""

    mode: TowerMode = TowerMode.WEIGHTS
    """`--mm-encoder-tp-mode`."""
    text_only: bool = False
    """`--language-model-only`."""
    limits: tuple[tuple[str, int], ...] = ()
    """Items of a kind in one prompt (`--limit-mm-per-prompt`)."""
    image_pixels: int | None = None
    video_pixels: int | None = None
    """`--mm-processor-kwargs`: `max_pixels`, or `longest_edge` of `size`."""
    profiled: bool = True
    """False: `--skip-mm-profiling`."""
    chunked: bool = True
    """False: `--disable-chunked-mm-input`."""

    def limit(self, kind: str) -> int:
        """Items of a kind in one prompt."""
        return 0 if self.text_only else dict(self.limits).get(kind, _UNLIMITED)


ANY_MEDIA = Media()
"""Nothing was said: as the engine does by default."""


class Sizes(NamedTuple):
    """The settings that decide the budget; names as in the engine."""

    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int


class EncoderBudget(NamedTuple):
    """What the engine logs before it profiles the tower."""

    tokens: int
    """Embeddings that the encoder cache holds at most."""
    items: int
    kind: str
    """`image`, `video` or `vision_chunk`: the kind with the largest item."""
    item_tokens: int
    """Embeddings of one such item."""


def kinds(tower: Tower) -> tuple[str, ...]:
    """The kinds of items a class takes; it leaves its tower out when all of them are limited to 0."""
    if isinstance(tower, VisionTower):
        return (IMAGE, VIDEO)
    return (IMAGE,) if tower.normed_after else (CHUNK,)


def tower_mode(tower: Tower, media: Media) -> TowerMode:
    """Where the tower is.

    Check: `--limit-mm-per-prompt '{"image": 0, "video": 0}'` leaves that of Qwen2.5-VL out, and not that of Kimi-K2.5,
    whose items are called `vision_chunk`.
    """
    return TowerMode.ABSENT if not any(media.limit(kind) for kind in kinds(tower)) else heeded(tower, media.mode)


def heeded(tower: Tower, mode: TowerMode) -> TowerMode:
    """What a class makes of `--mm-encoder-tp-mode`: some only know how to cut their tower.

    Source: vLLM 0.32 config/model.py, which goes back to `weights` with a warning.
    """
    cut_only = isinstance(tower, VisionTower) and not tower.apart
    return TowerMode.WEIGHTS if cut_only and mode is TowerMode.DATA else mode


def encoder_budget(tower: Tower, media: Media, sizes: Sizes) -> EncoderBudget | None:
    """The budget and the items of the profiling run; None when nothing may be sent but text.

    Check: Qwen3-VL, 32,768 tokens in a step -> 32,768 tokens and 2 images of 16,384; Qwen2.5-VL with a context of
    32,768 -> 32,768 tokens and 1 video of 32,768.
    """
    found = _largest(tower, media, sizes.max_model_len)
    if not found:
        return None
    each, kind = max(found)
    budget = max(sizes.max_num_batched_tokens, each)
    per_prompt = max(1, min(media.limit(kind), sizes.max_model_len // each))
    most = sizes.max_num_seqs
    if not media.chunked:
        most = min(most, sizes.max_num_batched_tokens // each)
    return EncoderBudget(budget, max(1, min(budget // each, most * per_prompt)), kind, each)


def largest_item(tower: Tower, media: Media, max_model_len: int) -> int:
    """Embeddings of the largest item that may be sent; 0 when there is none."""
    return max(_largest(tower, media, max_model_len), default=(0, ""))[0]


def _largest(tower: Tower, media: Media, max_model_len: int) -> list[tuple[int, str]]:
    """The largest item of each kind that may be sent; of equal ones the engine takes the last by name."""
    allowed = (kind for kind in kinds(tower) if media.limit(kind))
    return [(_item_tokens(tower, media, kind, max_model_len), kind) for kind in allowed]


def _item_tokens(tower: Tower, media: Media, kind: str, max_model_len: int) -> int:
    """Embeddings of the largest item of a kind."""
    if not isinstance(tower, VisionTower):
        area = media.image_pixels or PUBLISHED["moonvit"].image
        return max(1, area // (tower.patch_size**2 * tower.merged))
    published = PUBLISHED[tower.kind]
    image = media.image_pixels or published.image
    side = tower.patch_size * math.isqrt(tower.merged)
    if tower.kind == "glm4v":
        return _of_glm(side, image, media.video_pixels or published.video, kind, max_model_len)
    if kind == IMAGE:
        return _whole_rectangle(image // side**2)
    if tower.kind == "qwen3":
        # Two frames, which are one patch deep.
        return _whole_rectangle((media.video_pixels or published.video) // 2 // side**2)
    frame = min(_whole_rectangle(image // side**2), _whole_rectangle((media.video_pixels or image) // side**2))
    return frame * max(1, min(_QWEN_FRAMES // 2, max_model_len // frame))


def _whole_rectangle(most: int) -> int:
    """The most cells up to a number that make a rectangle whose sides do not differ by more than the processors take.

    Source: models/qwen2_vl.py `get_image_size_with_most_features`. Check: 16,384 = 128 * 128; 401 is prime -> 400.
    """
    for cells in range(most, 0, -1):
        short = next(side for side in range(math.isqrt(cells), 0, -1) if cells % side == 0)
        if cells // short / short <= _MOST_RATIO:
            return cells
    return 1


def _of_glm(side: int, image: int, video: int, kind: str, max_model_len: int) -> int:
    """A square image of two equal frames, and the video of the most tokens that the context has room for beside one.

    Check: GLM-4.5V, side 28 -> 6084 tokens of an image (78 * 78).
    """
    across = math.isqrt(image // 2) // side
    if kind == IMAGE:
        return across**2
    found, room = _glm_videos(int(side), int(across), int(video)), max_model_len - across**2
    return max((tokens for tokens in found if 0 < tokens <= room), default=found[0])


@lru_cache(maxsize=64)
def _glm_videos(side: int, across: int, video: int) -> tuple[int, ...]:
    """Tokens of videos of 1, 2, 3, ... frames."""
    return tuple(_glm_frames(side, across, video, frames) for frames in range(1, _GLM_FRAMES + 1))


def _glm_frames(side: int, across: int, video: int, frames: int) -> int:
    """Tokens of a video of square frames, which are made smaller when all of them together exceed the area.

    Source: transformers 5 image_processing_glm4v.py `smart_resize`.
    """
    counted = max(2, frames)
    if round(counted / 2) * 2 * (across * side) ** 2 > video:
        across = max(1, math.isqrt(video // counted) // side)
    return -(-frames // 2) * across**2
