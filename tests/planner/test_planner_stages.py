"""Stages that hold the same are summed up once: what comes out is what summing up each one gives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.hardware.spec import parse
from selfhost.models.tensors import rank_weights
from selfhost.planner import held
from selfhost.planner.plan import Layout
from selfhost.quant.schemes import gpu_of
from tests.models.public_models import QWEN_72B, arch

V3, AIR, NEXT, V4 = (
    "deepseek-ai/DeepSeek-V3",
    "zai-org/GLM-4.5-Air",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "deepseek-ai/DeepSeek-V4-Flash",
)


@pytest.mark.parametrize("on", ["H20", "A800-80G", "B200"])
@pytest.mark.parametrize("pp", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("name", [QWEN_72B, V3, AIR, NEXT, V4])
def test_each_stage_weighs_what_it_weighs_alone(name, pp, on):
    model, device, layout = arch(name), parse(on).device, Layout(tensor_parallel_size=2, pipeline_parallel_size=pp)
    alone = [rank_weights(model, tp=2, pp=pp, pp_rank=rank, gpu=gpu_of(device)) for rank in range(pp)]
    found = held.rank_sizes(model, layout, held.held_by(device, model))
    assert [rank.pp_rank for rank in found] == list(range(pp))
    assert [rank.weight_bytes for rank in found] == [rank.bytes + rank.rounding_bytes for rank in alone]
    assert held.heaviest(model, layout, held.held_by(device, model)) == max(rank.weight_bytes for rank in found)


def test_stages_are_alike_by_their_layers_and_their_ends():
    model = arch(QWEN_72B)
    assert held._first_alike(replace(model, layers=model.layers[:64]), 4) == [0, 1, 1, 3]
    assert held._first_alike(replace(model, layers=(0,) * 7), 4) == [0, 1, 1, 3]
    assert held._first_alike(model, 1) == [0]
