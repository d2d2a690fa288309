"""Images and videos: the largest items, the engine's budget for them, and what a tower holds while it encodes them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from selfhost.models.encoding import encoding, output_width, width_per_patch
from selfhost.models.layouts import layout_problems
from selfhost.models.media import EncoderBudget, Media, Sizes, encoder_budget, largest_item, tower_mode
from selfhost.models.tensors import rank_weights
from selfhost.models.vision import TowerMode
from selfhost.units import GIB
from tests.models.public_models import DATA, arch

QWEN25, QWEN3, QWEN35, GLM = (
    "Qwen/Qwen2.5-VL-7B-Instruct",
    "Qwen/Qwen3-VL-32B-Instruct",
    "Qwen/Qwen3.5-27B",
    "zai-org/GLM-4.5V",
)
KIMI, KIMI3 = "moonshotai/Kimi-K2.5", "moonshotai/Kimi-K3"
ORACLE = json.loads((DATA / "oracle" / "encoder-budgets-vllm-0.32.0.json").read_text())["results"]
SIZES = Sizes(32_768, 256, 8192)
NO_VIDEO = Media(limits=(("video", 0),))
NOTHING = Media(limits=(("image", 0), ("video", 0)))


@pytest.mark.parametrize("number", ORACLE)
def test_budgets_are_those_of_the_engine(number):
    case = ORACLE[number]
    image, video = case["pixels"]
    media = Media(limits=tuple(case["limits"].items()), image_pixels=image, video_pixels=video)
    found = encoder_budget(arch(case["model"]).tower, media, Sizes(case["length"], case["seqs"], case["step"]))
    assert found is not None
    assert list(found) == case["found"]


def test_budgets_in_public_logs():
    # Public logs of Qwen3.5-122B-A10B (vLLM 0.16.1rc1) and of Qwen3.8-27B, which has the tower of Qwen3.5-27B
    # (github.com/noonghunna/club-3090, issue 1047): "a budget of 16384 tokens, and profiled with 1 image items of the
    # maximum feature size". Of Qwen3-VL-8B with 32,768 tokens in a step: "32768 tokens, ... with 2 image items".
    for name in ("Qwen/Qwen3.5-122B-A10B", QWEN35):
        assert encoder_budget(arch(name).tower, Media(), Sizes(131_072, 6, 8192)) == (16_384, 1, "image", 16_384)
    found = encoder_budget(arch("Qwen/Qwen3-VL-8B-Instruct").tower, Media(), Sizes(65_536, 8, 32_768))
    assert found == EncoderBudget(tokens=32_768, items=2, kind="image", item_tokens=16_384)


def test_a_longer_context_has_room_for_a_longer_video():
    tokens = [largest_item(arch(QWEN25).tower, Media(), length) for length in (4096, 32_767, 32_768, 131_072)]
    assert tokens == [16_384, 16_384, 32_768, 114_688]
    assert largest_item(arch(QWEN25).tower, NO_VIDEO, 131_072) == 16_384
    assert largest_item(arch(QWEN25).tower, NOTHING, 131_072) == 0


def test_without_chunks_fewer_items_go_into_a_step():
    whole = Media(chunked=False)
    sizes = Sizes(262_144, 100, 40_000)
    found = [encoder_budget(arch(QWEN3).tower, media, sizes) for media in (Media(), whole)]
    assert [budget and budget.items for budget in found] == [2, 2]
    kimi = [encoder_budget(arch(KIMI).tower, media, Sizes(4096, 1, 20_000)) for media in (Media(), whole)]
    assert kimi == [(20_000, 1, "vision_chunk", 4096)] * 2


def test_a_tower_is_left_out_when_none_of_its_kinds_is_allowed():
    none, text_only = NOTHING, Media(text_only=True)
    modes = {
        name: [tower_mode(arch(name).tower, media) for media in (none, text_only)] for name in (QWEN3, KIMI, KIMI3)
    }
    absent = TowerMode.ABSENT
    assert modes == {QWEN3: [absent, absent], KIMI: [TowerMode.WEIGHTS, absent], KIMI3: [absent, absent]}
    assert tower_mode(arch(KIMI).tower, Media(limits=(("vision_chunk", 0),))) is absent
    assert tower_mode(arch(QWEN3).tower, NO_VIDEO) is TowerMode.WEIGHTS
    assert arch("Qwen/Qwen2.5-0.5B-Instruct").tower_mode is None


def test_weights_and_layouts_follow_what_was_said():
    plain = arch(GLM)
    whole, absent = (replace(plain, media=media) for media in (Media(mode=TowerMode.DATA), Media(text_only=True)))
    assert rank_weights(whole, tp=4).bytes == rank_weights(plain, tp=4, tower=TowerMode.DATA).bytes
    assert rank_weights(absent, tp=4).bytes == rank_weights(plain, tp=4, tower=TowerMode.ABSENT).bytes
    assert rank_weights(absent, tp=4).bytes < rank_weights(plain, tp=4).bytes < rank_weights(whole, tp=4).bytes
    problem = layout_problems(plain, tp=8)[0].what
    assert problem.startswith("12 heads of the vision tower cannot be divided by tensor parallel size 8")
    assert "`--mm-encoder-tp-mode data`" in problem
    assert layout_problems(whole, tp=8) == layout_problems(absent, tp=8) == []


def test_what_a_patch_takes():
    assert width_per_patch(arch(QWEN25).tower, 1) == 4 * 1280 + 3 * 3420 + 80
    assert width_per_patch(arch(QWEN35).tower, 1) == 12 * 1152 + 72
    # Over ranks the result of each matrix that is cut is added up in another tensor.
    assert width_per_patch(arch(QWEN35).tower, 2) == 8 * 1152 + 1152 + 72
    assert width_per_patch(arch(GLM).tower, 1) == 4 * 1536 + 11 * 1536 + 128
    assert width_per_patch(arch(KIMI).tower, 1) == 2 * 1152 + 2 * 4304 + 144
    assert output_width(arch(QWEN3).tower) == 20_480


def test_what_the_profiling_run_holds():
    found = encoding(arch(QWEN25), 1, SIZES)
    assert found is not None
    assert found.patches == 131_072
    assert found.peak_elements * 2 / GIB == pytest.approx(4.06, abs=0.005)
    assert found.output_elements == 32_768 * 3584
    assert encoding(arch(KIMI), 1, SIZES).kept_bytes == 75_497_472
    for media in (NOTHING, Media(profiled=False)):
        assert encoding(replace(arch(QWEN25), media=media), 1, SIZES) is None
    assert encoding(arch("Qwen/Qwen2.5-0.5B-Instruct"), 1, SIZES) is None


def test_a_whole_tower_divides_items_and_brings_back_room_for_all_ranks():
    whole = replace(arch(QWEN3), media=Media(mode=TowerMode.DATA))
    one = encoding(whole, 8, Sizes(32_768, 256, 8192))
    cut = encoding(arch(QWEN3), 8, Sizes(32_768, 256, 8192))
    assert one is not None
    assert cut is not None
    assert (one.patches, one.output_elements) == (cut.patches, 8 * cut.output_elements)
    assert one.peak_elements > cut.peak_elements
    eight = encoding(whole, 8, Sizes(131_072, 256, 131_072))
    assert eight is not None
    assert (eight.budget.items, eight.patches) == (8, 65_536)


def test_heads_that_do_not_divide_leave_the_tower_of_kimi_whole():
    odd, even, alone = (encoding(arch(KIMI), tp, SIZES).peak_elements for tp in (3, 2, 1))
    assert odd == alone > even
