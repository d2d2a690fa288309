"""Which accelerators a node's engine uses, and which ones its container gets with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfhost.planner.plan import Plan


def used(plan: Plan, nodes: int) -> tuple[int, ...]:
    """Accelerators that one of the nodes uses, as containers are given them; the first ones when unknown."""
    count = plan.layout.world_size // nodes
    found = plan.hardware.physical_ids or plan.hardware.device_indices
    return found[:count] or tuple(range(count))


def whole(plan: Plan, devices: Iterable[int]) -> tuple[int, ...]:
    """The devices, of A3 with the other die of each card: a container gets both or neither.

    Dies 2n and 2n+1 are a card. Source: vllm-ascend docs/source/quick_start.md; npu-smi tables of A3.
    """
    if plan.hardware.device.family != "A3":
        return tuple(devices)
    return tuple(sorted({device // 2 * 2 + die for device in devices for die in (0, 1)}))
