"""KV-cache groups: which layers share a block table, and what one block of the pool takes on each pipeline stage.

The engine's own arithmetic, step by step: vLLM 0.32 v1/core/kv_cache_utils.py (`get_kv_cache_groups` and
`_project_kv_cache_groups_to_worker`); how groups are made of layers of several kinds: `kv_mixed`.
Not covered: HiSparse, hidden states kept as KV, encoders, cross attention.
"""

from __future__ import annotations

from functools import lru_cache
from math import lcm
from typing import TYPE_CHECKING, NamedTuple

from selfhost.errors import NoError
from selfhost.models import kv_mixed
from selfhost.models.cache import round_up
from selfhost.models.kv_mixed import Member, is_uniform, is_uniform_type, promoted_by_sharding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.models.cache import LayerCache

    Stages = tuple[tuple[LayerCache, ...], ...]


class CacheGroup(NamedTuple):
    """Layers that share a block table."""

    cache: LayerCache
    """Stands for all of them: they need the same number of blocks."""
    stage_layers: tuple[int, ...]
    """Caches in the group, on each stage."""


class CacheGroups(NamedTuple):
    """All groups of an engine, and the blocks of its pool. All groups draw on one pool."""

    groups: tuple[CacheGroup, ...]
    bytes_per_block: tuple[int, ...]
    """On each stage: of the group that takes most there."""


def group_caches(stages: Stages, *, block_outermost: bool = False, hybrid_manager: bool = True) -> CacheGroups:
    """Groups and bytes per block, from the caches of every layer of every pipeline stage.

    Caches stand in the engine's order: by layer, within a layer as it registers them. `block_outermost`: whether a
    block holds the pages of all layers side by side (`kv_backends`); `hybrid_manager`: not switched off with
    `--disable-hybrid-kv-cache-manager`.
    Raises NoError where the engine finds no way to lay the caches out, or where a stage has none.
    Check: Qwen2.5-72B TP4, 80 times 16_384 bytes -> one group, 1_310_720 bytes per block.
    """
    first = stages[0][0] if stages and stages[0] else None
    if first is None or not all(stages):
        raise NoError("kv.stage_without_cache")
    if all(stage.count(first) == len(stage) for stage in stages):
        return _one_kind(first, tuple(len(stage) for stage in stages), block_outermost)
    return _several_kinds(stages, block_outermost, hybrid_manager)


@lru_cache(maxsize=1024)
def _one_kind(cache: LayerCache, counts: tuple[int, ...], block_outermost: bool) -> CacheGroups:  # noqa: FBT001
    if block_outermost:
        sizes = tuple(round_up(count * cache.page_bytes, cache.stride_alignment) for count in counts)
    else:
        sizes = tuple(count * cache.block_stride for count in counts)
    return CacheGroups((CacheGroup(cache, counts),), sizes)


@lru_cache(maxsize=1024)
def _several_kinds(stages: Stages, block_outermost: bool, hybrid_manager: bool) -> CacheGroups:  # noqa: FBT001
    members = [Member(stage, cache) for stage, caches in enumerate(stages) for cache in caches]
    groups = _groups(members, block_outermost=block_outermost, hybrid_manager=hybrid_manager)
    if sum(map(len, groups)) != len(members):
        raise NoError("kv.no_layout")
    projected = [[[m.cache for m in group if m.stage == stage] for stage in range(len(stages))] for group in groups]
    return CacheGroups(
        tuple(
            CacheGroup(group[0].cache, tuple(map(len, parts))) for group, parts in zip(groups, projected, strict=True)
        ),
        tuple(_bytes_per_block([parts[stage] for parts in projected], block_outermost) for stage in range(len(stages))),
    )


def _groups(members: list[Member], *, block_outermost: bool, hybrid_manager: bool) -> list[list[Member]]:
    """As `get_kv_cache_groups`."""
    if not hybrid_manager:
        members = promoted_by_sharding(members)
    caches = [member.cache for member in members]
    if is_uniform(caches):
        return [[Member(member.stage, caches[0]) for member in members]]
    if is_uniform_type(caches):
        return [members]
    return (kv_mixed.packed(members) if block_outermost else None) or kv_mixed.with_equal_pages(members)


def _bytes_per_block(groups: Sequence[Sequence[LayerCache]], block_outermost: bool) -> int:  # noqa: FBT001
    """As `_get_kv_cache_bytes_per_block`: of the group that takes most."""
    distinct = {cache for group in groups for cache in group}
    sizes = {cache: cache.page_bytes if block_outermost else cache.block_stride for cache in distinct}
    most = max(sum(map(sizes.__getitem__, group)) for group in groups)
    return round_up(most, lcm(*(cache.stride_alignment for cache in distinct))) if block_outermost else most
