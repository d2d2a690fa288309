"""What hears beside what sees: where it is, when it is left out, and configs that do not describe it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from selfhost.errors import UsageError
from selfhost.models.checkpoint import checkpoint_bytes, parameter_count
from selfhost.models.encoding import encoding
from selfhost.models.media import Media, Sizes, heeded, tower_mode
from selfhost.models.tensors import rank_weights
from selfhost.models.vision import TowerMode
from selfhost.quantize.layers import ignored
from tests.models.public_models import MODELS, arch, config

OMNI = "Qwen/Qwen2.5-Omni-7B"
AUDIO = 2 * 639_647_232 + 4 * 1500 * 1280  # its parameters as transformers counts them, and a table of sines
VISION = 2 * 676_550_144 + 8192 * 40 * 2
SIZES = Sizes(32_768, 256, 8192)


def held(media: Media, **layout: int) -> int:
    return rank_weights(replace(arch(OMNI), media=media), **layout).bytes


@pytest.mark.parametrize("name", [name for name in MODELS if "Omni" in name])
def test_parameters_are_those_of_what_understands(name):
    assert parameter_count(arch(name)) == MODELS[name]["parameters"]
    assert checkpoint_bytes(arch(name)) == 2 * MODELS[name]["parameters"]


def test_each_tower_goes_with_the_kinds_it_takes():
    everything, text = Media(), Media(text_only=True)
    assert held(everything) - held(text) == AUDIO + VISION
    assert held(everything) - held(Media(limits=(("audio", 0),))) == AUDIO
    assert held(everything) - held(Media(limits=(("image", 0), ("video", 0)))) == VISION


def test_what_hears_is_whole_on_every_rank_and_stage():
    silent = Media(limits=(("audio", 0),))
    for layout in ({"tp": 4}, {"pp": 2, "pp_rank": 1}):
        assert held(Media(), **layout) - held(silent, **layout) == AUDIO


def test_its_vision_tower_is_always_cut():
    tower, apart = arch(OMNI).tower, Media(mode=TowerMode.DATA)
    assert heeded(tower, TowerMode.DATA) is tower_mode(tower, apart) is TowerMode.WEIGHTS
    assert held(apart, tp=4) == held(Media(), tp=4)
    assert encoding(replace(arch(OMNI), media=apart), 4, SIZES) == encoding(arch(OMNI), 4, SIZES)
    other = arch("Qwen/Qwen2.5-VL-7B-Instruct").tower
    assert heeded(other, TowerMode.DATA) is TowerMode.DATA


def test_a_sound_is_never_the_largest_item():
    found = encoding(arch(OMNI), 1, SIZES)
    assert found is not None
    assert (found.budget.kind, found.budget.item_tokens) == ("video", 32_768)


def test_what_hears_and_speaks_is_not_quantized():
    (pattern,) = [one.removeprefix("re:") for one in ignored(arch(OMNI)) if "audio_tower" in one]
    names = (
        "thinker.audio_tower.layers.0.fc1",
        "talker.model.layers.0.mlp.up_proj",
        "thinker.model.layers.0.mlp.up_proj",
    )
    assert [bool(re.match(pattern, name)) for name in names] == [True, True, False]
    assert not any("audio_tower" in one for one in ignored(arch("Qwen/Qwen2.5-VL-7B-Instruct")))


def test_sizes_that_are_missing_are_told_by_their_section():
    thinker = {**config(OMNI)["thinker_config"], "audio_config": {"d_model": 1280}}
    with pytest.raises(UsageError) as caught:
        arch(OMNI, thinker_config=thinker)
    assert "audio_config.encoder_layers" in caught.value.message.why


def test_without_its_section_the_sizes_of_the_decoder_are_missing():
    with pytest.raises(UsageError) as caught:
        arch(OMNI, thinker_config=None)
    assert "hidden_size" in caught.value.message.why
