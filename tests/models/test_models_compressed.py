"""Compressed attention: worked numbers, what is refused, and how the weights lie on a device."""

from __future__ import annotations

import pytest

from selfhost.errors import UsageError
from selfhost.hardware.catalog import lookup
from selfhost.hardware.types import Platform
from selfhost.models.compressed import CompressedAttention
from selfhost.models.kv_plan import CacheLaunch, plan_caches
from selfhost.models.kv_pool import RequestTerms, growth
from selfhost.models.layouts import layout_problems
from selfhost.models.tensors import rank_weights
from selfhost.quant.kernels import Matrix, linear
from selfhost.quant.schemes import Format, gpu_of
from tests.models.public_models import arch

FLASH = "deepseek-ai/DeepSeek-V4-Flash"
PRO = "deepseek-ai/DeepSeek-V4-Pro"


def group_bytes(name: str, part: str, **layout: int) -> int:
    return sum(group.total_bytes for group in rank_weights(arch(name), **layout).groups if group.name.startswith(part))


def test_layers_follow_the_list_of_ratios():
    model = arch(FLASH)
    mixers = [model.kinds[place].mixer for place in model.layers]
    assert all(isinstance(mixer, CompressedAttention) for mixer in mixers)
    ratios = [mixer.compress_ratio for mixer in mixers]
    assert ratios[:4] == [0, 0, 4, 128]
    assert (ratios.count(0), ratios.count(4), ratios.count(128)) == (2, 21, 20)
    assert [mixer.indexer is not None for mixer in mixers] == [ratio == 4 for ratio in ratios]


def test_heads_are_padded_to_what_the_kernel_takes():
    flash, pro = arch(FLASH).mixers[0], arch(PRO).mixers[0]
    assert [flash.kernel_heads(tp) for tp in (1, 2, 8)] == [64, 64, 64]
    assert [pro.kernel_heads(tp) for tp in (1, 2, 16)] == [128, 64, 64]
    assert group_bytes(FLASH, "attn.attn_sink", tp=8) == 43 * 64 * 4


def test_prefill_reserves_summaries_and_window_of_four_requests():
    sparse = next(mixer for mixer in arch(FLASH).mixers if mixer.compress_ratio == 4)
    assert sparse.workspace_bytes(131_072, 8192) == 189_300_736


def test_a_narrow_expert_and_a_narrow_shared_one_are_filled_up():
    # 3072 / 16 = 192 -> 256 for MXFP4; 24 blocks of 128 over 16 ranks -> 2 each.
    assert group_bytes(PRO, "mlp.experts.w2.weight", tp=16) == 61 * 384 * 7168 * (256 // 2 + 256 // 32)
    assert group_bytes(PRO, "mlp.shared_experts.down_proj.weight", tp=16) == 61 * (7168 * 256 + 56 * 2)


def test_output_groups_are_whole_on_a_rank():
    problems = layout_problems(arch(FLASH), tp=16)
    assert [problem.what for problem in problems] == [
        "8 groups of output heads cannot be divided by tensor parallel size 16"
    ]
    assert layout_problems(arch(PRO), tp=16) == []


@pytest.mark.parametrize(
    "changes",
    [{"compress_ratios": [4] * 42}, {"compress_ratios": [8] * 44}, {"compress_ratios": None}],
    ids=["too short", "an unknown ratio", "absent"],
)
def test_ratios_that_make_no_sense_are_named(changes):
    with pytest.raises(UsageError) as raised:
        arch(FLASH, **changes)
    assert "`compress_ratios`" in raised.value.message.why


def test_experts_may_be_fp8_too():
    quantization = arch(FLASH, expert_dtype="fp8").quantization
    assert quantization is not None
    assert (quantization.experts, quantization.scale_itemsize) == (None, 4)
    with pytest.raises(UsageError):
        arch(FLASH, expert_dtype="fp2")


def test_scales_lie_as_the_device_wants_them():
    quantization = arch(FLASH).quantization
    assert quantization is not None
    assert quantization.experts is not None
    assert quantization.experts.format is Format.MXFP4
    stored = quantization.linear_tensors(1536, 4096)["weight_scale"]
    devices = [gpu_of(lookup(name)) for name in ("H100", "B200")]
    loaded = [linear(quantization, Matrix(1536, 4096), gpu)["weight_scale"] for gpu in devices if gpu]
    assert [stored, *loaded] == [384, 1_536, 49_152]


def test_summaries_and_their_index_are_what_grows_with_the_length():
    # 21 * (584 + 132) / 4 + 20 * 584 / 128 = 3850.25; the engine makes the blocks of all groups equal, and aligns them.
    plan = plan_caches(arch(FLASH), CacheLaunch(Platform.CUDA, (9, 0), tensor_parallel_size=8))
    assert (plan.block_size, plan.groups.bytes_per_block) == (256, (1_002_240,))
    found = growth(plan.groups, 0, 131_072, RequestTerms(16_384))
    assert found.bytes_per_token == 3_915  # 1_002_240 / 256
    # Windows and states of 16,384 tokens under way: 6.2 GiB for each request.
    assert found.bytes_per_request_fixed == 6_696_967_680
