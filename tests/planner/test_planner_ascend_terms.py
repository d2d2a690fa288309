"""Terms of memory under vllm-ascend against public logs, and the rules they follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from selfhost.hardware.spec import parse
from selfhost.planner import ascend_terms
from selfhost.planner.plan import Layout, Settings
from selfhost.planner.terms import Setup
from selfhost.units import GIB
from tests.models.public_models import arch

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch

W8A8 = {
    "quant_method": "ascend",
    "types": {"*.kv_b_proj": "FLOAT", "*.self_attn.*": "W8A8", "*.mlp.*": "W8A8_DYNAMIC"},
}


def setup(model: str | ModelArch, on: str, *, tp: int = 1, dp: int = 1, pp: int = 1, ep: bool = False, **settings):
    found = arch(model) if isinstance(model, str) else model
    layout = Layout(
        tensor_parallel_size=tp, data_parallel_size=dp, pipeline_parallel_size=pp, enable_expert_parallel=ep
    )
    values = {"gpu_memory_utilization": 0.9, "max_model_len": 32768, "max_num_seqs": 64, "max_num_batched_tokens": 2048}
    return Setup(arch=found, hardware=parse(on), layout=layout, settings=Settings(**{**values, **settings}))


def v3(on: str, **layout) -> Setup:
    return setup(arch("deepseek-ai/DeepSeek-V3", quantization_config=W8A8), on, **layout)


class Logged(NamedTuple):
    """The line `Actual usage` of one NPU."""

    setup: Setup
    activation_gib: float | None
    non_torch_gib: float
    graphs_gib: float | None


LOGS = {
    # docs.vllm.ai/projects/ascend, quick start of 0.20
    "Qwen3-0.6B on A3": Logged(
        setup("Qwen/Qwen3-0.6B", "910C", max_num_batched_tokens=8192, max_num_seqs=256), 0.22, 0.03, 0.09
    ),
    # vllm-project/vllm-ascend#8289
    "Qwen3-0.6B at 0.9": Logged(
        setup("Qwen/Qwen3-0.6B", "910C", max_num_batched_tokens=8192, max_num_seqs=256), 0.22, 0.13, 0.04
    ),
    # A log in a public repository's tests: 27.54 GiB of weights, 43,904 tokens of 196,608 bytes, 60.96 GiB
    "Qwen2.5-14B on A2": Logged(setup("Qwen/Qwen2.5-14B-Instruct", "910B3", max_num_seqs=256), 0.26, 0.18, 0.47),
}


@pytest.mark.parametrize("logged", LOGS.values(), ids=LOGS)
def test_terms_that_logs_give(logged):
    activation = ascend_terms.activation(logged.setup, last_stage=True)
    assert activation.likely / GIB == pytest.approx(logged.activation_gib, abs=0.006)
    non_torch = ascend_terms.non_torch(logged.setup)
    assert non_torch.low / GIB <= logged.non_torch_gib <= non_torch.high / GIB
    graphs = ascend_terms.graphs(logged.setup.arch, logged.setup.layout, eager=False)
    assert graphs.low / GIB <= logged.graphs_gib <= graphs.high / GIB


# The model of these logs, DeepSeek-V4-Flash, is not known here. Its experts are counted as DeepSeek-V3's: what is
# outside the allocator depends on the number of ranks, and on HCCL_BUFFSIZE, which the second log names.
def test_buffers_of_hccl_on_eight_a2_without_the_dispatch_kernels():
    """vllm-project/vllm-ascend#13439, DP8 EP8: 0.22 GiB outside the allocator."""
    found = ascend_terms.non_torch(v3("8x910B3", dp=8, ep=True))
    assert found.low / GIB <= 0.22 <= found.high / GIB


def test_buffers_of_hccl_on_sixteen_a3_with_the_dispatch_kernels(monkeypatch):
    """A log in a public repository's tests, 0.23.0rc1, DP8 TP2 EP16, HCCL_BUFFSIZE=1024: 3.08 GiB."""
    monkeypatch.setattr(ascend_terms, "buffer_mib", lambda _setup: 1024)
    found = ascend_terms.non_torch(v3("16x910C", tp=2, dp=8, ep=True))
    assert found.low / GIB <= 3.08 <= found.high / GIB


def test_graphs_are_beside_the_budget_by_the_numbers_of_that_log():
    """At 0.9 of 61.27 GiB: 27.17 + 7.27 + 3.08 + 17.63 of KV cache are all of it, and graphs of 1.97 are not in it."""
    assert pytest.approx(0.9 * 61.27, abs=0.02) == 27.17 + 7.27 + 3.08 + 17.63
    graphs = ascend_terms.graphs(arch("deepseek-ai/DeepSeek-V3"), Layout(), eager=False)
    # 43 layers there, 61 here.
    assert graphs.low / 61 <= 1.97 * GIB / 43 <= graphs.high / 61
    assert graphs.low / 61 <= 0.79 * GIB / 43 <= graphs.high / 61


def test_the_buffer_of_the_dispatch_kernels_is_that_of_the_formulas_own_example():
    """github.com/vllm-project/vllm-ascend/pull/5287: 512 tokens, hidden 2048, 2 ranks of 64 experts, 8 chosen."""
    thirty_b = arch("Qwen/Qwen3-30B-A3B")
    assert thirty_b.experts is not None
    assert ascend_terms.dispatch_bytes(thirty_b.experts, 2048, 512, 2) >> 20 == 608
    two = setup(thirty_b, "2x910C", tp=1, dp=2, ep=True, max_num_seqs=512)
    assert ascend_terms.buffer_mib(two) == 800


@pytest.mark.parametrize(
    ("on", "layout", "names"),
    [
        ("2x8x910B3", {"tp": 4, "dp": 4, "ep": True}, {"tp": 400, "dp": 100, "mc2": 400}),
        ("8x910B3", {"tp": 4, "dp": 2, "ep": True}, {"tp": 400, "dp": 100}),
        ("16x910C", {"tp": 4, "dp": 4, "ep": True}, {"tp": 400, "dp": 100, "ep": 400, "mc2": 400}),
        ("2x8x910B3", {"tp": 8, "pp": 2}, {"tp": 400, "pp": 400}),
        ("16x910C", {"tp": 16, "ep": True}, {"tp": 400, "mc2": 400}),
        ("8x910B3", {}, {}),
    ],
)
def test_groups_of_ranks_that_keep_buffers(on, layout, names):
    assert ascend_terms.communicators(v3(on, **layout)) == names


def test_replicas_of_a_dense_model_exchange_nothing():
    assert ascend_terms.communicators(setup("Qwen/Qwen3-14B", "8x910B3", tp=2, dp=4)) == {"tp": 400}


@pytest.mark.parametrize(
    ("family", "ranks", "experts", "found"),
    [
        ("A2", (4, 4), 256, (True, False)),
        ("A2", (4, 2), 256, (False, False)),  # fewer than 16 ranks
        ("A2", (8, 2), 512, (False, False)),  # more than 24 experts each
        ("A3", (1, 1), 256, (False, False)),
        ("A3", (2, 1), 256, (True, True)),
        ("950", (2, 2), 256, (True, False)),
        ("950", (4, 4), 256, (True, True)),  # more ranks than experts that a token chooses
        ("310P", (2, 2), 256, (False, False)),
    ],
)
def test_how_tokens_reach_their_experts(family, ranks, experts, found):
    model, (tp, dp) = arch("deepseek-ai/DeepSeek-V3", n_routed_experts=experts), ranks
    layout = Layout(tensor_parallel_size=tp, data_parallel_size=dp, enable_expert_parallel=True)
    assert ascend_terms.dispatch(family, model, layout) == found
    unspread = Layout(tensor_parallel_size=tp, data_parallel_size=dp)
    assert ascend_terms.dispatch(family, model, unspread) == (False, False)


def test_activation_of_a_model_with_experts():
    """W8A8 on A2 at TP4 DP4: rows of 16-bit output for the 8 experts of all gathered tokens, and the hidden states."""
    gathered = 4 * 2048
    rows, hidden = gathered * 8, 7168
    expected = rows * (2048 + 2 * hidden) + (gathered + 5 * 2048) * hidden * 2
    found = ascend_terms.activation(v3("2x8x910B3", tp=4, dp=4, ep=True), last_stage=True)
    assert found.likely == expected
    assert found.low < expected < found.high


def test_only_the_last_stage_holds_logits():
    short = setup("Qwen/Qwen3-0.6B", "910B3", pp=2, max_num_batched_tokens=256, max_num_seqs=256)
    first, last = (ascend_terms.activation(short, last_stage=stage).likely for stage in (False, True))
    assert last == 256 * 2 * 151_936 * 2 > first


def test_the_places_that_an_indexer_chose_are_counted():
    assert ascend_terms.buffers(setup("deepseek-ai/DeepSeek-V3.2-Exp", "16x910C", tp=8, dp=2, ep=True)) == 16 << 20
    assert ascend_terms.buffers(v3("16x910C", tp=4, dp=4, ep=True)) == 0


def test_without_graphs_nothing_is_beside_the_budget_but_what_was_there():
    model, hardware = arch("Qwen/Qwen3-14B"), parse("910B3")
    assert ascend_terms.graphs(model, Layout(), eager=True).high == 0
    assert ascend_terms.beside(model, hardware, Layout(), eager=True) == ascend_terms.at_start("A2")


@pytest.mark.parametrize(
    ("family", "free_gib", "total_gib"),
    # vllm-project/vllm-ascend#13439, #8289, the quick start, #10122.
    [("A2", 60.61, 60.96), ("A3", 60.86, 61.27), ("A3", 60.89, 61.27), ("310P", 42.24, 43.24)],
)
def test_what_is_taken_before_the_engine_starts(family, free_gib, total_gib):
    found = ascend_terms.at_start(family)
    assert found.low / GIB <= total_gib - free_gib <= found.high / GIB


def test_the_halving_on_310p_by_a_log():
    """vllm-project/vllm-ascend#10122, TP2: 34.59 GiB less 18.8, 1.71 and 1.05, and of the rest 5.77 GiB for KV."""
    less = ascend_terms.cleared_310p()
    rest = 34.59 - 18.8 - 1.71 - 1.05
    assert (rest - less.high / GIB) / 2 <= 5.77 <= (rest - less.low / GIB) / 2
    assert (rest - less.likely / GIB) / 2 == pytest.approx(5.77, abs=0.1)
    outside = ascend_terms.non_torch(setup("Qwen/Qwen3-32B", "2x310P3", tp=2))
    assert outside.low / GIB <= 1.05 <= outside.high / GIB
