"""What speculative decoding adds beside weights and cache."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.hardware.spec import parse
from selfhost.models.media import Media
from selfhost.planner import layouts, terms
from selfhost.planner.plan import Layout, Settings
from selfhost.planner.speculation import Speculation, speculation_refusals
from tests.models.public_models import DEEPSEEK_V3, QWEN_72B, arch

SETTINGS = Settings(gpu_memory_utilization=0.92, max_model_len=32_768, max_num_seqs=1024, max_num_batched_tokens=8192)


def test_hidden_states_are_handed_over():
    model = arch(DEEPSEEK_V3)
    assert terms.draft_buffers(model, SETTINGS) == 0
    assert terms.draft_buffers(replace(model, drafting=True), SETTINGS) == 117_440_512
    streams = replace(arch("deepseek-ai/DeepSeek-V4-Flash"), drafting=True)
    assert terms.draft_buffers(streams, SETTINGS) == 2 * 8192 * 4 * 4096 * 2
    sees = replace(arch("Qwen/Qwen3.5-27B"), drafting=True)
    assert terms.draft_buffers(sees, SETTINGS) == 167_772_160
    assert terms.draft_buffers(replace(sees, tower=None), SETTINGS) == 167_772_160 // 2
    assert terms.draft_buffers(replace(sees, media=Media(text_only=True)), SETTINGS) == 167_772_160 // 2


def test_each_drafted_token_has_a_row_of_the_grammar_mask():
    model = arch(QWEN_72B)
    assert terms.sampler_state(model, SETTINGS) == 661_782_528
    three = replace(SETTINGS, num_speculative_tokens=3)
    assert terms.sampler_state(model, three) - terms.sampler_state(model, SETTINGS) == 3 * 1024 * 4752 * 4


def test_a_step_has_more_tokens_and_so_more_graphs():
    model, few = arch(DEEPSEEK_V3), replace(SETTINGS, max_num_seqs=64)
    assert terms.cuda_graphs(model, replace(few, num_speculative_tokens=1)) == terms.cuda_graphs(
        model, replace(few, max_num_seqs=128)
    )


@pytest.mark.parametrize("speculation", [None, Speculation(method="ngram", num_speculative_tokens=2)])
def test_nothing_is_refused_that_loads_no_layers(speculation):
    assert speculation_refusals(arch(QWEN_72B), "qwen", speculation) == []


def test_the_cpu_engine_does_not_draft_in_stages():
    model, two = arch("zai-org/GLM-4.5-Air"), Layout(pipeline_parallel_size=2)
    drafting = replace(model, drafting=True)
    assert layouts.problems(model, parse("cpu@500"), two) == []
    found = layouts.problems(drafting, parse("cpu@500"), two)
    assert [problem.what for problem in found] == [
        "drafting by `mtp` does not run with pipeline stages on the CPU engine"
    ]
    assert layouts.problems(drafting, parse("2xH200"), two) == []
