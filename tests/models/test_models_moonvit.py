"""The vision tower of Kimi-K2.5: which keys the engine reads, and how the tower is cut."""

from __future__ import annotations

import pytest

from selfhost.errors import UsageError
from selfhost.models.tensors import rank_weights
from tests.models.public_models import MODELS, arch

KIMI = "moonshotai/Kimi-K2.5"
VISION = MODELS[KIMI]["config"]["vision_config"]


def tower_bytes(tp: int, **changes: object) -> int:
    groups = rank_weights(arch(KIMI, **changes), tp=tp).groups
    return sum(group.total_bytes for group in groups if group.name.startswith(("vision_tower", "mm_projector")))


def test_the_tower_is_cut_as_far_as_its_heads_go():
    assert tower_bytes(1) == 942_297_056  # 471.1 million parameters, and the times of four frames
    assert tower_bytes(32) == tower_bytes(1)  # 16 heads
    assert tower_bytes(1) // 8 < tower_bytes(16) < tower_bytes(8) < tower_bytes(1) // 3


def test_the_engine_does_not_read_the_keys_of_the_hubs_file():
    # transformers' class has the new spelling; what it does not know does not change the tower.
    assert tower_bytes(1, vision_config={**VISION, "vt_hidden_size": 64}) == tower_bytes(1)
    assert tower_bytes(1, vision_config={**VISION, "hidden_size": 1024}) < tower_bytes(1)
    assert tower_bytes(1, vision_config={}) == tower_bytes(1)


@pytest.mark.parametrize("merged", [[2], [0, 2], [2, 2, 2]])
def test_a_merge_of_no_patches_is_named(merged):
    with pytest.raises(UsageError) as raised:
        arch(KIMI, vision_config={**VISION, "merge_kernel_size": merged})
    assert "merge_kernel_size" in raised.value.message.why
