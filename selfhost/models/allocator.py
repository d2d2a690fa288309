"""What PyTorch's caching allocator adds to tensors: sizes are rounded, and what is left of a segment may go along.

`Model loading took ... GiB` is the growth of the allocator's blocks, not of the tensors in them (vLLM 0.32
utils/mem_utils.py `DeviceMemoryProfiler`, platforms/cuda.py `get_current_memory_usage`). The rules are those of PyTorch
2.13 (c10/core/AllocatorConfig.h, c10/cuda/CUDACachingAllocator.cpp `get_allocation_size`, `should_split`,
`get_free_block`), with the limit on splitting that the engine sets while it loads (v1/worker/gpu_worker.py
`_scoped_allocator_max_split`):

    up to 1 MiB      cut out of segments of 2 MiB, rounded up to 512 bytes
    up to 20 MiB     cut out of a segment, 20 MiB large or from 10 MiB on the next multiple of 2 MiB; a rest of at most
                     1 MiB is not cut off and counts as the tensor's
    above            a segment of its own, the next multiple of 2 MiB

Not covered: blocks that weights leave behind when they are repacked; the final tensors count as if they came in order.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from selfhost.units import MIB, round_up

if TYPE_CHECKING:
    from collections.abc import Iterable

_SMALLEST = 512
_SMALL = MIB
_SEGMENT = 20 * MIB
_OWN_SEGMENT_FROM = 10 * MIB
_MULTIPLE = 2 * MIB
_NOT_SPLIT_FROM = 20 * MIB


def rounding_bytes(tensors: Iterable[tuple[int, int]]) -> int:
    """Bytes that blocks have beyond their tensors; tensors: sizes in bytes and how many of each, in order of a layer.

    Check: 231 MiB and 115.5 MiB, 80 each -> 120 MiB; two of 9.75 MiB -> 0.5 MiB, since both fit into one segment.
    """
    total, middle = 0, []
    for size, count in tensors:
        rounded = round_up(size, _SMALLEST)
        if rounded >= _NOT_SPLIT_FROM:
            rounded = round_up(size, _MULTIPLE)
        elif rounded > _SMALL:
            middle.append((rounded, count))
        total += count * (rounded - size)
    return total + _rests(middle)


def _rests(blocks: list[tuple[int, int]]) -> int:
    """Rests of segments that blocks of 1 to 20 MiB take along, layer after layer.

    Once a layer leaves the same rests to be used as one before it, what comes between repeats, and is not gone through
    again. A rest that no block fits into is forgotten.
    """
    smallest = min((size for size, _ in blocks), default=0)
    free: list[int] = []
    total = layer = 0
    for end in sorted({count for _, count in blocks}):
        sizes = [size for size, count in blocks if count >= end]
        seen: dict[tuple[int, ...], tuple[int, int]] = {}
        while layer < end:
            before, so_far = seen.setdefault(tuple(free), (layer, total))
            if before < layer:
                times, left = divmod(end - layer, layer - before)
                total += times * (total - so_far)
                layer, seen = end - left, {}
                if not left:
                    break
            total += _rests_of_layer(sizes, free, smallest)
            layer += 1
    return total


def _rests_of_layer(sizes: list[int], free: list[int], smallest: int) -> int:
    """Of one layer; `free`: rests that may still be used, in order, as earlier layers left them."""
    total = 0
    for size in sizes:
        place = bisect_left(free, size)
        if place < len(free):
            rest = free.pop(place) - size
        else:
            rest = (_SEGMENT if size < _OWN_SEGMENT_FROM else round_up(size, _MULTIPLE)) - size
        if rest <= _SMALL:
            total += rest
        elif rest >= smallest:
            insort(free, rest)
    return total
