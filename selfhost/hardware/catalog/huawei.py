"""Huawei Ascend devices: one row per device an engine sees, so a die of an A3 card is a row.

`total_mib` is what `npu-smi info` reports. `visible_gib` is the total torch_npu sees, smaller because the driver keeps
its share. Names and totals: npu-smi tables in public repositories and the device configuration of
Project-HAMi/ascend-device-plugin. Bandwidth and TFLOPS have no primary source (public pages contradict one another):
estimates. Read 2026-11-21.
"""

from __future__ import annotations

from selfhost.hardware.types import Device, Platform
from selfhost.messages import text
from selfhost.units import GIB, MIB

_SEEN = "name and total: public npu-smi tables; bandwidth and TFLOPS: estimates"
_SEEN_A2 = f"{_SEEN}; visible: vllm-project/vllm-ascend#13439, #5876, #5020"


def _npu(  # noqa: PLR0913 - a row of a table, every cell named
    device_id: str,
    name: str,
    family: str,
    *,
    total_mib: int,
    visible_gib: tuple[float, float],
    source: str,
    gb_per_s: int | None = None,
    bf16_tflops: int | None = None,
    native_fp8: bool = False,
    per_node: int = 8,
    aliases: tuple[str, ...] = (),
    reason: str = "",
) -> Device:
    low, high = visible_gib
    return Device(
        id=device_id,
        name=name,
        vendor="huawei",
        platform=None if reason else Platform.ASCEND,
        aliases=aliases,
        family=family,
        memory_bytes=total_mib * MIB,
        visible_memory_bytes=int(high * GIB),
        visible_memory_low_bytes=int(low * GIB),
        native_fp8=native_fp8,
        memory_bandwidth_bytes_per_s=None if gb_per_s is None else gb_per_s * 10**9,
        bf16_flops=None if bf16_tflops is None else bf16_tflops * 10**12,
        devices_per_node=per_node,
        supported=not reason,
        reason=reason,
        source=source,
    )


# fmt: off
HUAWEI = (
    _npu("910B1-64G", "910B1", "A2", total_mib=65536, visible_gib=(60.96, 60.96), bf16_tflops=354,
         aliases=("910B1",), source=_SEEN_A2),
    _npu("910B2-64G", "910B2", "A2", total_mib=65536, visible_gib=(60.96, 60.96), gb_per_s=1600, bf16_tflops=354,
         aliases=("910B2",), source=_SEEN_A2),
    _npu("910B2C-64G", "910B2C", "A2", total_mib=65536, visible_gib=(60.96, 60.96), bf16_tflops=354,
         aliases=("910B2C",), source=_SEEN_A2),
    _npu("910B3-64G", "910B3", "A2", total_mib=65536, visible_gib=(60.96, 60.96), gb_per_s=1600, bf16_tflops=295,
         aliases=("910B3", "Atlas 800T A2"), source=_SEEN_A2),
    _npu("910B4-32G", "910B4", "A2", total_mib=32768, visible_gib=(29.49, 29.5), bf16_tflops=246,
         aliases=("910B4", "Atlas 800I A2 32G"), source=f"{_SEEN}; visible: vllm-project/vllm-ascend#9372"),
    _npu("910B4-1-64G", "910B4-1", "A2", total_mib=65536, visible_gib=(60.96, 60.96), bf16_tflops=246,
         aliases=("910B4-1",), source=f"{_SEEN_A2} (on the other 64 GB variants)"),
    _npu("910C-64G", "Ascend910", "A3", total_mib=65536, visible_gib=(61.27, 61.27), gb_per_s=1600, bf16_tflops=376,
         per_node=16, aliases=("910C", "A3 die", "Atlas 800I A3"),
         source=f"{_SEEN}; visible: vllm-project/vllm-ascend#8289 and its quick start; one die, a card is two, "
                "a node 8 cards"),
    # A Duo card holds two chips that report 44280 and 43693 MB: the low bound is the smaller one's.
    _npu("310P3-Duo-44G", "310P3", "310P", total_mib=44280, visible_gib=(42.6, 43.2), gb_per_s=204,
         aliases=("310P3", "300I Duo", "Atlas 300I Duo"),
         source=f"{_SEEN}; visible derived from the reported totals; float16 only"),
    _npu("310P3-Pro-21G", "310P3", "310P", total_mib=21527, visible_gib=(20.0, 21.0), aliases=("300I Pro",),
         source=f"{_SEEN}; visible derived: 0.999 of the total as the Duo, low bound 0.952 as A2; float16 only"),
    _npu("950PR-128G", "Ascend950PR", "950", total_mib=131072, visible_gib=(121.9, 121.9), gb_per_s=1400,
         bf16_tflops=378, native_fp8=True, aliases=("950PR",), source=f"{_SEEN}; visible derived: 0.952 as A2"),
    _npu("950DT-96G", "Ascend950DT", "950", total_mib=98304, visible_gib=(91.4, 91.4), gb_per_s=4000,
         native_fp8=True, aliases=("950DT",),
         source=f"{_SEEN}; visible derived: 0.952 as A2; announced with 144 GB, 98304 MB seen"),
    _npu("910-gen1-32G", "910B", "910 first generation", total_mib=32768, visible_gib=(29.5, 29.5),
         aliases=("910A", "910ProA", "910ProB", "910PremiumA"), reason=text("hardware.unsupported_910_gen1"),
         source="vllm-project/vllm-ascend#3010; visible derived: as 910B4"),
    _npu("310B4-16G", "310B4", "310B", total_mib=15609, visible_gib=(14.5, 14.5), aliases=("310B",),
         reason=text("hardware.unsupported_310b"), source="public npu-smi table; visible derived: 0.952 as A2"),
)
# fmt: on
