"""Groups of layers whose caches are not all alike, as vLLM 0.32 v1/core/kv_cache_utils.py makes them.

Two ways: where a block holds the pages of all layers side by side, layers are packed into blocks as they are; elsewhere
all pages are first made equal, and layers are dealt into groups of equal size.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from selfhost.errors import NoError
from selfhost.models.cache import GROWING, RECENT, CacheKind, LayerCache, ceil_div

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

_LOCAL = frozenset({CacheKind.SLIDING, CacheKind.SLIDING_LATENT, CacheKind.CHUNKED})
_LITTLE_MORE = 1.5
"""Kinds with fewer layers than so many times those of the rarest kind are padded up, not split."""


class Member(NamedTuple):
    """The cache of a layer, and where it is."""

    stage: int
    cache: LayerCache


# What is alike.


def _merge_key(cache: LayerCache) -> Hashable:
    """Caches with equal keys can be one spec (`merge`).

    Of growing caches a window that is not used does not count; of windows of latent vectors the engine does not compare
    sizes.
    """
    if cache.kind is CacheKind.SLIDING_LATENT:
        return cache.kind, cache.tokens_per_state, cache.window_tokens, cache.dcp_sharded, cache.variant
    return cache._replace(window_tokens=0) if cache.kind in GROWING else cache


def is_uniform(caches: Iterable[LayerCache]) -> bool:
    """Whether all can be one spec (`is_kv_cache_spec_uniform`). Raises NoError as the engine does for two windows."""
    distinct = set(caches)
    windows = {cache.window_tokens for cache in distinct if cache.window_tokens}
    if len(windows) > 1 and all(cache.kind is CacheKind.FULL for cache in distinct):
        raise NoError("kv.no_layout")
    return len({_merge_key(cache) for cache in distinct}) == 1


def is_uniform_type(caches: Iterable[LayerCache]) -> bool:
    """Whether all need the same number of blocks (`UniformTypeKVCacheSpecs.is_uniform_type`)."""
    distinct = list(dict.fromkeys(caches))
    return all(_same_type(distinct[0], cache) for cache in distinct)


def _same_type(first: LayerCache, other: LayerCache) -> bool:
    if first.block_size != other.block_size or first.dcp_sharded != other.dcp_sharded:
        return False
    if first.kind in GROWING:
        return other.kind in GROWING
    if first.kind is CacheKind.SLIDING:
        return other.kind in RECENT and other.window_tokens == first.window_tokens
    if first.kind is CacheKind.STATE:
        blocks = first.speculative_blocks, first.checkpoint_blocks, first.page_bytes
        return (
            other.kind is first.kind and (other.speculative_blocks, other.checkpoint_blocks, other.page_bytes) == blocks
        )
    return other.kind is first.kind and other.window_tokens == first.window_tokens


# Windows kept whole.


def promoted_by_sharding(members: list[Member]) -> list[Member]:
    """With windows and chunks kept like full attention, as without the hybrid manager (`unify_hybrid_kv_cache_specs`).

    Raises NoError when that does not make one type of all.
    """
    result = list(members)
    for sharded in (True, False):
        places = [place for place, member in enumerate(members) if member.cache.dcp_sharded is sharded]
        for place, cache in zip(places, _promoted([members[place].cache for place in places]), strict=True):
            result[place] = Member(members[place].stage, cache)
    return result


def _promoted(caches: list[LayerCache]) -> list[LayerCache]:
    """As `_promote_local_kv_cache_specs`."""
    if not caches or is_uniform(caches) or is_uniform_type(caches):
        return caches
    sizes = {cache.block_size for cache in caches if cache.kind in GROWING}
    if sizes and any(cache.kind in _LOCAL for cache in caches):
        caches = [_promoted_one(cache, min(sizes) if len(sizes) == 1 else cache.block_size) for cache in caches]
    if not (is_uniform(caches) or is_uniform_type(caches)):
        raise NoError("kv.no_layout")
    return caches


def _promoted_one(cache: LayerCache, block_size: int) -> LayerCache:
    if cache.kind not in _LOCAL:
        return cache
    if cache.kind is CacheKind.SLIDING_LATENT:
        # The engine's own conversion fails: its spec has fields that the other lacks (TypeError in `replace_as`).
        raise NoError("kv.no_layout")
    window = 0 if cache.kind is CacheKind.CHUNKED else cache.window_tokens
    larger = cache._replace(kind=CacheKind.FULL, block_size=block_size, page_bytes_padded=0, window_tokens=window)
    if cache.page_bytes_padded:
        larger = larger._replace(page_bytes_padded=max(cache.page_bytes_padded, larger.page_bytes))
    return larger


# Pages side by side.


class _Bucket(NamedTuple):
    members: list[Member]
    by_page: dict[int, list[Member]]

    @property
    def balanced(self) -> bool:
        """As many layers of each page size: a pattern that repeats."""
        return len(set(map(len, self.by_page.values()))) == 1

    @property
    def repeats(self) -> int:
        return max(map(len, self.by_page.values()))

    @property
    def kind(self) -> CacheKind:
        return self.members[0].cache.kind

    def widest(self, groups: int) -> int:
        """Page bytes of the largest of the groups it is split into."""
        return sum(ceil_div(len(members), groups) * page for page, members in self.by_page.items())

    def split(self, groups: int) -> list[list[Member]]:
        if groups == 1:
            return [self.members]
        pattern = list(zip(*self.by_page.values(), strict=False))
        return [[member for repeat in pattern[i::groups] for member in repeat] for i in range(groups)]


def packed(members: list[Member]) -> list[list[Member]] | None:
    """Groups whose pages lie side by side in a block (`_get_packed_kv_cache_groups`); None if all pages are equal."""
    page_of = {cache: cache.page_bytes for cache in {member.cache for member in members}}
    if len(set(page_of.values())) <= 1:
        return None
    buckets = _buckets(members, page_of)
    floor = max((b.repeats for b in buckets if b.balanced and len(b.by_page) > 1), default=0)
    repeats = _least_padding([b.repeats for b in buckets if b.balanced], floor) if floor else 0

    def groups_of(bucket: _Bucket) -> int:
        return ceil_div(bucket.repeats, repeats) if bucket.balanced and repeats else 1

    def splits_freely(bucket: _Bucket) -> bool:
        return bucket.kind in (CacheKind.STATE, CacheKind.RING) or (not repeats and bucket.kind in RECENT)

    block = max(b.widest(len(b.members) if splits_freely(b) else groups_of(b)) for b in buckets)
    result = []
    for bucket in buckets:
        count = groups_of(bucket)
        if splits_freely(bucket):
            # As many states in a group as the block holds anyway.
            fit = max(block // page_of[bucket.members[0].cache], 1)
            count = max(count, ceil_div(len(bucket.members), fit))
        result += bucket.split(count)
    if not all(result):
        raise NoError("kv.no_layout")
    return result


def _buckets(members: list[Member], page_of: dict[LayerCache, int]) -> list[_Bucket]:
    """Layers of one type each, in the order of their first layers."""
    buckets: list[_Bucket] = []
    place: dict[LayerCache, _Bucket] = {}
    for member in members:
        cache = member.cache
        if cache not in place:
            alike = (b for b in buckets if _same_type(b.members[0].cache, cache))
            place[cache] = next(alike, None) or _Bucket([], {})
            if not place[cache].members:
                buckets.append(place[cache])
        place[cache].members.append(member)
        place[cache].by_page.setdefault(page_of[cache], []).append(member)
    return buckets


def _least_padding(counts: list[int], at_least: int) -> int:
    """The size of groups that pads least, the largest such (`_approximate_gcd`)."""
    sizes = range(at_least, max(*counts, at_least) + 1)
    return min(sizes, key=lambda size: (sum(-count % size for count in counts), -size))


# Equal pages.


def with_equal_pages(members: list[Member]) -> list[list[Member]]:
    """Groups of as many layers each, after all pages were made equal.

    As `unify_kv_cache_spec_page_size` and `_get_kv_cache_groups_uniform_page_size`; raises NoError where the engine
    gives up.
    """
    try:
        equal = _equal_pages(members)
    except NoError:
        whole = _all_whole(members)
        if whole is None:
            raise
        return [whole]
    return _dealt(equal)


def _equal_pages(members: list[Member]) -> list[Member]:
    distinct = {member.cache for member in members}
    largest = max(cache.page_bytes for cache in distinct)
    enlarged = {cache: _enlarged(cache, largest) for cache in distinct}
    return [Member(stage, enlarged[cache]) for stage, cache in members]


def _enlarged(cache: LayerCache, page: int) -> LayerCache:
    """With more tokens in a block, or with padding where that is not possible."""
    own = cache.page_bytes
    if own == page:
        return cache
    if cache.kind is CacheKind.STATE:
        larger = cache._replace(page_bytes_padded=page)
    elif page % own == 0:
        larger = cache._replace(block_size=cache.block_size * (page // own))
    elif cache.kind is not CacheKind.LATENT:
        larger = cache._replace(page_bytes_padded=page)
    else:
        raise NoError("kv.no_layout")
    if larger.page_bytes != page:
        raise NoError("kv.no_layout")
    return larger


def _all_whole(members: list[Member]) -> list[Member] | None:
    """One group with windows kept whole, beside latent attention (`_try_get_full_allocation_fallback_groups`)."""
    kinds = {member.cache.kind for member in members}
    if kinds & {CacheKind.SLIDING_LATENT, CacheKind.CHUNKED} or not kinds >= {CacheKind.LATENT, CacheKind.SLIDING}:
        return None
    try:
        caches = _promoted([member.cache for member in members])
    except NoError:
        return None
    if not is_uniform_type(caches):
        return None
    return [Member(member.stage, cache) for member, cache in zip(members, caches, strict=True)]


def _dealt(members: list[Member]) -> list[list[Member]]:
    """Groups of as many layers each, dealt like cards, so that each pipeline stage has some of every group."""
    by_cache: defaultdict[LayerCache, list[Member]] = defaultdict(list)
    for member in members:
        by_cache[member.cache].append(member)
    by_key: defaultdict[Hashable, list[Member]] = defaultdict(list)
    for cache, alike in by_cache.items():
        by_key[_merge_key(cache)] += alike
    counts = [len(alike) for alike in by_key.values()]
    size = max(counts) if max(counts) < min(counts) * _LITTLE_MORE else min(counts)
    groups = []
    for alike in by_key.values():
        number = ceil_div(len(alike), size)
        for i in range(number):
            dealt = alike[i::number]
            groups.append([Member(member.stage, dealt[0].cache) for member in dealt])
    return groups
