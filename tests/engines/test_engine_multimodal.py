"""What an engine command line says about images and videos, however it is spelt."""

from __future__ import annotations

import pytest

from selfhost.engines import known, owned
from selfhost.engines.multimodal import FLAGS, counted, read_media
from selfhost.errors import UsageError
from selfhost.models.media import Media
from selfhost.models.vision import TowerMode


def options(*words: str) -> list[owned.Option]:
    return owned.parse(words, known.load("vllm"))


@pytest.mark.parametrize(
    ("words", "media"),
    [
        ((), Media()),
        (("--seed", "1"), Media()),
        (("--mm-encoder-tp-mode", "data"), Media(mode=TowerMode.DATA)),
        (("--mm_encoder_tp_mode=data", "--mm-encoder-tp-mode", "weights"), Media()),
        (("--language-model-only",), Media(text_only=True)),
        (("--language-model-only", "--no-language-model-only"), Media()),
        (("--limit-mm-per-prompt", '{"video": 0, "image": 4}'), Media(limits=(("image", 4), ("video", 0)))),
        (
            ("--limit-mm-per-prompt.video", "0", "--limit-mm-per-prompt.image=2"),
            Media(limits=(("image", 2), ("video", 0))),
        ),
        (("--limit-mm-per-prompt", '{"image": {"count": 3}}'), Media(limits=(("image", 3),))),
        (("--limit-mm-per-prompt.image.count", "3"), Media(limits=(("image", 3),))),
        (("--limit-mm-per-prompt", '{"video": {"num_frames": 8}}'), Media(limits=(("video", 999),))),
        (("--mm-processor-kwargs", '{"max_pixels": 1003520}'), Media(image_pixels=1_003_520, video_pixels=1_003_520)),
        (
            ("--mm-processor-kwargs", '{"size": {"longest_edge": 9}, "videos_kwargs": {"max_pixels": 5}}'),
            Media(image_pixels=9, video_pixels=5),
        ),
        (("--skip-mm-profiling", "--disable-chunked-mm-input"), Media(profiled=False, chunked=False)),
    ],
)
def test_spellings(words, media):
    assert read_media(options(*words)) == media


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        (("--limit-mm-per-prompt", '{"image": 2}'), set()),
        (("--limit-mm-per-prompt", '{"image": {"count": 2, "width": 512}}'), {"--limit-mm-per-prompt"}),
        (("--mm-processor-kwargs", '{"max_pixels": 5}'), set()),
        (("--mm-processor-kwargs", '{"fps": 1}'), {"--mm-processor-kwargs"}),
    ],
)
def test_what_is_counted(words, left_out):
    assert counted(options(*words)) == FLAGS - left_out


@pytest.mark.parametrize(
    "words",
    [
        ("--limit-mm-per-prompt", "image=2"),
        ("--limit-mm-per-prompt", '{"image": -1}'),
        ("--limit-mm-per-prompt.image", "many"),
        ("--limit-mm-per-prompt", '{"image": true}'),
        ("--mm-processor-kwargs", "[1]"),
        ("--mm-encoder-tp-mode", "none"),
    ],
)
def test_what_is_no_value(words):
    with pytest.raises(UsageError):
        read_media(options(*words))
