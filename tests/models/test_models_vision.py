"""Vision towers: where they are, what is quantized of them, and configs that do not describe one."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from selfhost.errors import UsageError
from selfhost.models.layouts import layout_problems
from selfhost.models.tensors import rank_weights
from selfhost.models.vision import TowerMode, VisionTower
from tests.models.public_models import DATA, arch, config

QWEN25 = "Qwen/Qwen2.5-VL-7B-Instruct"
QWEN3 = "Qwen/Qwen3-VL-32B-Instruct"
GLM = "zai-org/GLM-4.5V"
RESULTS = json.loads((DATA / "oracle" / "weights" / "qwen_vl.results.json").read_text())["results"]


def tower_bytes(name: str, mode: TowerMode = TowerMode.WEIGHTS, **layout: int) -> int:
    model = arch(name)
    return rank_weights(model, tower=mode, **layout).bytes - rank_weights(model, tower=TowerMode.ABSENT, **layout).bytes


def vision(name: str, **changes: object) -> dict:
    section = {**config(name)["vision_config"], **changes}
    return {"vision_config": {key: value for key, value in section.items() if value is not None}}


def test_the_tower_is_cut_or_whole_or_absent():
    table = 8192 * 40 * 2  # rotations of half a head of 80, on every rank
    assert tower_bytes(QWEN25) == 2 * 676_550_144 + table  # the tower's parameters as published
    assert tower_bytes(QWEN25, TowerMode.DATA, tp=4) == tower_bytes(QWEN25)
    assert tower_bytes(QWEN25, tp=4) < tower_bytes(QWEN25) // 3


def test_every_stage_holds_the_tower():
    assert [tower_bytes(QWEN25, pp=2, pp_rank=rank) for rank in (0, 1)] == [tower_bytes(QWEN25)] * 2


def test_positions_of_three_coordinates_lengthen_the_table_of_some_classes():
    def rows(name: str) -> int:
        return next(group.shape[0] for group in rank_weights(arch(name)).groups if group.name == "rotary_emb")

    assert rows(QWEN25) == 4 * 128_000
    assert rows(GLM) == 4 * 65_536
    assert rows(QWEN3) == 262_144


@pytest.mark.parametrize("name", [name for name, result in RESULTS.items() if "bytes_per_batched_token" in result])
def test_rows_for_the_deeper_levels_are_those_that_the_engine_sets_aside(name):
    if "language-model-only" in name:
        return
    tower = arch(name.split(" ")[0]).tower
    assert isinstance(tower, VisionTower)
    assert tower.elements_per_batched_token * 2 == RESULTS[name]["bytes_per_batched_token"]


def test_other_towers_set_no_rows_aside():
    assert [arch(name).tower.elements_per_batched_token for name in (QWEN25, GLM, "Qwen/Qwen3.5-27B")] == [0, 0, 0]


def test_heads_of_the_tower_are_divided_or_it_stays_whole():
    (problem,) = layout_problems(arch(GLM), tp=8)
    assert problem.what == (
        "12 heads of the vision tower cannot be divided by tensor parallel size 8; `--mm-encoder-tp-mode data` leaves "
        "it whole on every rank"
    )
    assert layout_problems(arch(GLM), tp=8, tower=TowerMode.DATA) == []
    assert layout_problems(arch(GLM), tp=8, tower=TowerMode.ABSENT) == []


def test_widths_of_the_tower_are_divided_too():
    odd = vision(QWEN25, intermediate_size=3421)
    said = [problem.what for problem in layout_problems(arch(QWEN25, **odd), tp=2)]
    assert said == [
        "visual.blocks.mlp.gate_up_proj 3421 cannot be divided by 2 ranks",
        "visual.blocks.mlp.down_proj 3421 cannot be divided by 2 ranks",
    ]


def test_the_first_stage_has_the_layers_that_the_tower_reaches_into():
    assert layout_problems(arch(QWEN3), pp=16) == []  # 64 layers: 4 each
    said = [problem.what for problem in layout_problems(arch(QWEN3), pp=32)]
    assert said == ["with 32 pipeline stages the first has fewer layers than the 3 that the vision tower reaches into"]


def test_blocks_that_a_checkpoint_leaves_out_by_number_are_told_apart():
    left = [f"model.visual.blocks.{number}.attn.{part}" for number in (0, 5) for part in ("qkv", "proj")]
    fp8 = {"quant_method": "fp8", "modules_to_not_convert": [*left, "model.visual.merger.linear_fc1"]}
    model = arch(QWEN3, quantization_config=fp8)
    groups: Counter[str] = Counter()
    for group in rank_weights(model).groups:
        groups[group.name] += group.count
    assert [count for count, _ in model.tower.blocks] == [2, 25]
    assert groups["visual.blocks.attn.proj.weight_scale"] == 25
    assert groups["visual.blocks.mlp.linear_fc1.weight_scale"] == 27
    assert "visual.merger.linear_fc1.weight_scale" not in groups
    assert "visual.merger.linear_fc2.weight_scale" in groups


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        (QWEN25, {"vision_config": 3}, "`vision_config` is 3; expected an object"),
        (QWEN25, vision(QWEN25, depth=None), "`vision_config.depth` is missing"),
        (QWEN25, vision(QWEN25, depth=1 << 30), "`vision_config.depth` is 1073741824; expected at most 1000"),
        (
            QWEN25,
            vision(QWEN25, num_heads=7),
            "`vision_config.hidden_size` is 1280; expected a multiple of the 7 heads",
        ),
        (GLM, vision(GLM, image_size=None), "`vision_config.image_size` is missing"),
        (QWEN3, vision(QWEN3, num_position_embeddings=None), "`vision_config.num_position_embeddings` is missing"),
        (
            QWEN3,
            vision(QWEN3, deepstack_visual_indexes=8),
            "`vision_config.deepstack_visual_indexes` is 8; expected a list of whole numbers",
        ),
    ],
)
def test_what_describes_no_tower_is_told(name, changes, why):
    with pytest.raises(UsageError) as raised:
        arch(name, **changes)
    assert raised.value.message.why.splitlines()[0] == why


def test_a_class_with_a_tower_needs_one():
    with pytest.raises(UsageError) as raised:
        arch(QWEN25, vision_config=None)
    assert "`vision_config.depth` is missing" in raised.value.message.why
