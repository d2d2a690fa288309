"""Weights of the stages of a layout as a device holds them; what of it decides that is all that is asked of it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware.types import Platform
from selfhost.models import ascend
from selfhost.models.tensors import rank_weights, stage_layers
from selfhost.quant.expert_kernels import stands_for
from selfhost.quant.schemes import gpu_of

if TYPE_CHECKING:
    from selfhost.hardware.types import Device
    from selfhost.models.arch import ModelArch
    from selfhost.models.tensors import RankWeights
    from selfhost.planner.plan import Layout
    from selfhost.quant.schemes import Capability


class RankSize(NamedTuple):
    """Weights of one pipeline stage."""

    pp_rank: int
    weight_bytes: int


def as_loaded(arch: ModelArch, platform: Platform | None) -> ModelArch:
    """With its format as the engine of a device takes it."""
    return ascend.arch_on_ascend(arch) if platform is Platform.ASCEND else arch


class Holding(NamedTuple):
    """How a device holds weights: what of it decides their size."""

    platform: Platform | None
    gpu: Capability | None
    """Whose kernels prepare them."""


def held_by(device: Device, arch: ModelArch) -> Holding:
    """The same for all devices that hold the weights of a model alike."""
    return Holding(device.platform, stands_for(arch.quantization, gpu_of(device)))


@lru_cache(maxsize=512)
def rank_sizes(arch: ModelArch, layout: Layout, held: Holding) -> tuple[RankSize, ...]:
    """Remembered: most devices of the catalogue ask for the same. Stages that hold the same are summed up once."""
    first_alike = _first_alike(arch, layout.pipeline_parallel_size)
    sizes = {stage: _bytes(weights_of(arch, layout, stage, held), held) for stage in dict.fromkeys(first_alike)}
    return tuple(RankSize(stage, sizes[first]) for stage, first in enumerate(first_alike))


def _first_alike(arch: ModelArch, pp: int) -> list[int]:
    """For each stage the first that holds the same. Check: 64 equal layers, 4 stages -> 0, 1, 1, 3."""
    known: dict[tuple[tuple[int, ...], bool, bool], int] = {}
    found = []
    for stage in range(pp):
        numbers = stage_layers(arch.num_hidden_layers, pp, stage)
        content = arch.layers[numbers.start : numbers.stop], stage == 0, stage == pp - 1
        found.append(known.setdefault(content, stage))
    return found


def weights_of(arch: ModelArch, layout: Layout, pp_rank: int, held: Holding) -> RankWeights:
    """The tensors of a rank of a stage as they lie in the memory of a device."""
    tp, pp, dp = layout.tensor_parallel_size, layout.pipeline_parallel_size, layout.data_parallel_size
    ep = layout.enable_expert_parallel
    if held.platform is Platform.ASCEND:
        return ascend.rank_weights(as_loaded(arch, held.platform), tp=tp, pp=pp, dp=dp, ep=ep, pp_rank=pp_rank)
    return rank_weights(arch, tp=tp, pp=pp, dp=dp, ep=ep, pp_rank=pp_rank, gpu=held.gpu)


def _bytes(weights: RankWeights, held: Holding) -> int:
    """With what the allocator adds; a CPU has none that rounds."""
    if held.platform is Platform.ASCEND:
        return weights.bytes + ascend.rounding_bytes(weights)
    return weights.bytes + (0 if held.platform is Platform.CPU else weights.rounding_bytes)


@lru_cache(maxsize=2048)
def heaviest(arch: ModelArch, layout: Layout, held: Holding) -> int:
    """Bytes of the weights on the rank with most; remembered."""
    return max(rank.weight_bytes for rank in rank_sizes(arch, layout, held))
