"""NVIDIA devices. One row each; a new card is a new row.

`total_mib` is what NVML and nvidia-smi report. `visible_gib` is (lowest, highest) total of cudaMemGetInfo, the number
the engine multiplies `--gpu-memory-utilization` with, seen in public logs unless the note says otherwise. `gb_per_s`
and the dense TFLOPS are the data sheet's. `checked` names what was seen in a second public source: the name (device
table in the README of NVIDIA/open-gpu-kernel-modules), the total (nvidia-smi tables in public repositories), the
specs (system files of ai-dynamo/aiconfigurator). Read 2026-11-21.
"""

from __future__ import annotations

from typing import NamedTuple

from selfhost.hardware.types import Device, Platform
from selfhost.units import GIB, MIB


class _Chip(NamedTuple):
    family: str
    compute_capability: tuple[int, int]
    native_fp8: bool = False
    native_fp4: bool = False


_VOLTA = _Chip("Volta", (7, 0))
_TURING = _Chip("Turing", (7, 5))
_AMPERE_80 = _Chip("Ampere", (8, 0))
_AMPERE_86 = _Chip("Ampere", (8, 6))
_ADA = _Chip("Ada", (8, 9), native_fp8=True)
_HOPPER = _Chip("Hopper", (9, 0), native_fp8=True)
_BLACKWELL_100 = _Chip("Blackwell", (10, 0), native_fp8=True, native_fp4=True)
_BLACKWELL_103 = _Chip("Blackwell", (10, 3), native_fp8=True, native_fp4=True)
_BLACKWELL_120 = _Chip("Blackwell", (12, 0), native_fp8=True, native_fp4=True)
_BLACKWELL_121 = _Chip("Blackwell", (12, 1), native_fp8=True, native_fp4=True)

_SOURCES = {
    "name": "NVIDIA/open-gpu-kernel-modules README",
    "total": "nvidia-smi tables in public repositories",
    "specs": "data sheet and ai-dynamo/aiconfigurator",
}


def _source(checked: str, note: str) -> str:
    found = [f"{fact}: {where}" for fact, where in _SOURCES.items() if fact in checked]
    unverified = [fact for fact in _SOURCES if fact not in checked]
    parts = [*found, f"not verified: {', '.join(unverified)}" if unverified else "", note]
    return "; ".join(part for part in parts if part)


def _gpu(  # noqa: PLR0913 - a row of a table, every cell named
    device_id: str,
    name: str,
    chip: _Chip,
    *,
    visible_gib: tuple[float, float],
    checked: str,
    link: str,
    total_mib: int | None = None,
    gb_per_s: int | None = None,
    bf16_tflops: float | None = None,
    fp8_tflops: float | None = None,
    per_node: int = 8,
    aliases: tuple[str, ...] = (),
    note: str = "",
) -> Device:
    low, high = visible_gib
    return Device(
        id=device_id,
        name=name,
        vendor="nvidia",
        platform=Platform.CUDA,
        aliases=aliases,
        family=chip.family,
        memory_bytes=None if total_mib is None else total_mib * MIB,
        visible_memory_bytes=int(high * GIB),
        visible_memory_low_bytes=int(low * GIB),
        compute_capability=chip.compute_capability,
        native_fp8=chip.native_fp8,
        native_fp4=chip.native_fp4,
        memory_bandwidth_bytes_per_s=None if gb_per_s is None else gb_per_s * 10**9,
        bf16_flops=None if bf16_tflops is None else int(bf16_tflops * 10**12),
        fp8_flops=None if fp8_tflops is None else int(fp8_tflops * 10**12),
        devices_per_node=per_node,
        interconnect=link,
        source=_source(checked, note),
    )


# fmt: off
NVIDIA = (
    _gpu("H20-96G", "NVIDIA H20", _HOPPER,
         total_mib=97871, visible_gib=(95.0, 95.22), gb_per_s=4000, bf16_tflops=148, fp8_tflops=296,
         aliases=("H20",), link="NVLink4 SXM", checked="name total specs",
         note="visible differs by driver"),
    _gpu("H20-141G", "NVIDIA H20-3e", _HOPPER,
         total_mib=143771, visible_gib=(139.7, 139.81), gb_per_s=4800, bf16_tflops=148, fp8_tflops=296,
         link="NVLink4 SXM", checked="name",
         note="a public calibration file has 4917 GB/s; reported total taken from H200"),
    _gpu("H200-141G", "NVIDIA H200", _HOPPER,
         total_mib=143771, visible_gib=(139.72, 139.81), gb_per_s=4800, bf16_tflops=989, fp8_tflops=1979,
         aliases=("H200",), link="NVLink4 SXM", checked="name total",
         note="visible 139.80 or 139.81 in seven of eight public logs; 139.801 on a machine of our own"),
    _gpu("H200-NVL-141G", "NVIDIA H200 NVL", _HOPPER,
         total_mib=143771, visible_gib=(139.7, 139.81), gb_per_s=4800, bf16_tflops=836, fp8_tflops=1671,
         aliases=("H200-NVL",), link="NVLink bridge 2/4-way, PCIe 5.0", checked="name"),
    _gpu("H100-80G", "NVIDIA H100 80GB HBM3", _HOPPER,
         total_mib=81559, visible_gib=(79.1, 79.19), gb_per_s=3350, bf16_tflops=989, fp8_tflops=1979,
         aliases=("H100",), link="NVLink4 SXM", checked="name total",
         note="visible mostly 79.18 or 79.19"),
    _gpu("H100-PCIe-80G", "NVIDIA H100 PCIe", _HOPPER,
         total_mib=81559, visible_gib=(79.1, 79.19), gb_per_s=2039, bf16_tflops=756, fp8_tflops=1513,
         aliases=("H100-PCIe",), link="PCIe 5.0 (+NVLink bridge)", checked="name"),
    _gpu("H100-NVL-94G", "NVIDIA H100 NVL", _HOPPER,
         total_mib=95830, visible_gib=(93.0, 93.2), gb_per_s=3938, bf16_tflops=835, fp8_tflops=1671,
         aliases=("H100-NVL",), link="NVLink bridge 2-way, PCIe 5.0", checked="name total",
         note="visible estimated"),
    _gpu("H800-80G", "NVIDIA H800", _HOPPER,
         total_mib=81559, visible_gib=(79.1, 79.19), gb_per_s=3350, bf16_tflops=989, fp8_tflops=1979,
         aliases=("H800",), link="NVLink SXM (reduced)", checked="name total"),
    _gpu("H800-PCIe-80G", "NVIDIA H800 PCIe", _HOPPER,
         total_mib=81559, visible_gib=(79.1, 79.19), gb_per_s=2039, bf16_tflops=756, fp8_tflops=1513,
         aliases=("H800-PCIe",), link="PCIe 5.0 (+bridge)", checked="name"),
    _gpu("GH200-96G", "NVIDIA GH200 480GB", _HOPPER,
         total_mib=97871, visible_gib=(94.5, 95.22), gb_per_s=4000, bf16_tflops=989, fp8_tflops=1979,
         aliases=("GH200", "NVIDIA GH200 120GB"), link="NVLink-C2C to Grace; NVLink4", checked="name total",
         note="visible estimated; the highest as H20, which reports the same total"),
    _gpu("A100-80G", "NVIDIA A100-SXM4-80GB", _AMPERE_80,
         total_mib=81920, visible_gib=(79.15, 79.32), gb_per_s=2039, bf16_tflops=312,
         aliases=("A100",), link="NVLink3 SXM", checked="name total",
         note="visible 79.25 with a vLLM 0.31 image; reported total as on A800"),
    _gpu("A100-PCIe-80G", "NVIDIA A100 80GB PCIe", _AMPERE_80,
         total_mib=81920, visible_gib=(79.14, 79.32), gb_per_s=1935, bf16_tflops=312,
         aliases=("A100-PCIe",), link="PCIe 4.0 (+NVLink bridge)", checked="name"),
    _gpu("A100-40G", "NVIDIA A100-SXM4-40GB", _AMPERE_80,
         total_mib=40960, visible_gib=(39.38, 39.56), gb_per_s=1555, bf16_tflops=312,
         link="NVLink3 SXM", checked="name",
         note="visible 39.49 in one log; older drivers report 40536 MiB"),
    _gpu("A100-PCIe-40G", "NVIDIA A100-PCIE-40GB", _AMPERE_80,
         total_mib=40960, visible_gib=(39.38, 39.56), gb_per_s=1555, bf16_tflops=312,
         link="PCIe 4.0 (+bridge)", checked="name"),
    _gpu("A800-80G", "NVIDIA A800-SXM4-80GB", _AMPERE_80,
         total_mib=81920, visible_gib=(79.15, 79.35), gb_per_s=2039, bf16_tflops=312,
         aliases=("A800",), link="NVLink SXM (reduced)", checked="name total"),
    _gpu("A800-PCIe-80G", "NVIDIA A800 80GB PCIe", _AMPERE_80,
         total_mib=81920, visible_gib=(79.14, 79.35), gb_per_s=1935, bf16_tflops=312,
         aliases=("A800-PCIe",), link="PCIe 4.0 (+bridge)", checked="name"),
    _gpu("A800-40G", "NVIDIA A800 40GB Active", _AMPERE_80,
         total_mib=40960, visible_gib=(39.38, 39.56), gb_per_s=1555, bf16_tflops=312,
         link="PCIe 4.0 (+bridge)", checked="name"),
    _gpu("A30-24G", "NVIDIA A30", _AMPERE_80,
         total_mib=24576, visible_gib=(23.5, 23.7), gb_per_s=933, bf16_tflops=165,
         aliases=("A30",), link="PCIe 4.0 (+bridge)", checked="name total"),
    _gpu("A40-48G", "NVIDIA A40", _AMPERE_86,
         total_mib=46068, visible_gib=(44.34, 44.53), gb_per_s=696, bf16_tflops=149.7,
         aliases=("A40",), link="PCIe 4.0 (+bridge)", checked="name total",
         note="with ECC; without it about 49140 MiB are reported"),
    _gpu("A10-24G", "NVIDIA A10", _AMPERE_86,
         total_mib=23028, visible_gib=(22.0, 22.2), gb_per_s=600, bf16_tflops=125,
         aliases=("A10",), link="PCIe 4.0 x16", checked="name total"),
    _gpu("A10G-24G", "NVIDIA A10G", _AMPERE_86,
         total_mib=23028, visible_gib=(21.98, 22.3), gb_per_s=600, bf16_tflops=70,
         aliases=("A10G",), link="PCIe 4.0 x16", checked="name total"),
    _gpu("RTXA6000-48G", "NVIDIA RTX A6000", _AMPERE_86,
         total_mib=49140, visible_gib=(47.4, 47.55), gb_per_s=768, bf16_tflops=154.8,
         aliases=("RTXA6000",), link="PCIe 4.0 (+bridge)", checked="name",
         note="without ECC; with it 46068 MiB are reported"),
    _gpu("RTX3090-24G", "NVIDIA GeForce RTX 3090", _AMPERE_86,
         total_mib=24576, visible_gib=(23.56, 23.69), gb_per_s=936, bf16_tflops=71,
         aliases=("RTX3090",), link="PCIe 4.0 (+bridge)", checked="name",
         note="FLOPS with fp32 accumulation"),
    _gpu("RTX3090Ti-24G", "NVIDIA GeForce RTX 3090 Ti", _AMPERE_86,
         total_mib=24564, visible_gib=(23.5, 23.69), gb_per_s=1008, bf16_tflops=80,
         aliases=("RTX3090Ti",), link="PCIe 4.0 (+bridge)", checked="name total"),
    _gpu("L40S-48G", "NVIDIA L40S", _ADA,
         total_mib=46068, visible_gib=(44.39, 44.53), gb_per_s=864, bf16_tflops=362, fp8_tflops=733,
         aliases=("L40S",), link="PCIe 4.0 x16", checked="name total"),
    _gpu("L40-48G", "NVIDIA L40", _ADA,
         total_mib=46068, visible_gib=(44.39, 44.53), gb_per_s=864, bf16_tflops=181, fp8_tflops=362,
         aliases=("L40",), link="PCIe 4.0 x16", checked="name"),
    _gpu("L20-48G", "NVIDIA L20", _ADA,
         total_mib=46068, visible_gib=(44.53, 44.53), gb_per_s=864, bf16_tflops=119.5, fp8_tflops=239,
         aliases=("L20",), link="PCIe 4.0 x16", checked="name total",
         note="visible from one public log"),
    _gpu("L4-24G", "NVIDIA L4", _ADA,
         total_mib=23034, visible_gib=(22.0, 22.2), gb_per_s=300, bf16_tflops=121, fp8_tflops=242,
         aliases=("L4",), link="PCIe 4.0 x8", checked="name total"),
    _gpu("RTX6000Ada-48G", "NVIDIA RTX 6000 Ada Generation", _ADA,
         total_mib=49140, visible_gib=(47.4, 47.55), gb_per_s=960, bf16_tflops=364, fp8_tflops=728,
         aliases=("RTX6000Ada",), link="PCIe 4.0 x16", checked="name"),
    _gpu("RTX4090-24G", "NVIDIA GeForce RTX 4090", _ADA,
         total_mib=24564, visible_gib=(23.52, 23.65), gb_per_s=1008, bf16_tflops=165, fp8_tflops=330,
         aliases=("RTX4090",), link="PCIe 4.0 x16", checked="name total",
         note="boards rebuilt to 48 GB carry the same name: the memory tells; no peer-to-peer"),
    _gpu("RTX4090D-24G", "NVIDIA GeForce RTX 4090 D", _ADA,
         total_mib=24564, visible_gib=(23.52, 23.65), gb_per_s=1008, bf16_tflops=147, fp8_tflops=294,
         aliases=("RTX4090D",), link="PCIe 4.0 x16", checked="name",
         note="boards rebuilt to 48 GB carry the same name"),
    _gpu("B200-180G", "NVIDIA B200", _BLACKWELL_100,
         total_mib=183359, visible_gib=(178.35, 178.36), gb_per_s=8000, bf16_tflops=2250, fp8_tflops=4500,
         aliases=("B200",), link="NVLink5 SXM", checked="name total",
         note="reported and visible from the same public log"),
    _gpu("B300-288G", "NVIDIA B300 SXM6 AC", _BLACKWELL_103,
         total_mib=275040, visible_gib=(267.69, 267.7), gb_per_s=8000, bf16_tflops=2250, fp8_tflops=4500,
         aliases=("B300",), link="NVLink5 SXM", checked="name total",
         note="visible from a vLLM log"),
    _gpu("GB200-186G", "NVIDIA GB200", _BLACKWELL_100,
         total_mib=189471, visible_gib=(184.31, 184.31), gb_per_s=8000, bf16_tflops=2500, fp8_tflops=5000,
         per_node=4, aliases=("GB200",), link="NVLink5 NVL72", checked="name total",
         note="visible from a vLLM log on four of them; a compute tray of NVL72 holds four"),
    _gpu("GB300-288G", "NVIDIA GB300", _BLACKWELL_103,
         total_mib=284208, visible_gib=(276.4, 276.4), gb_per_s=8000, bf16_tflops=2500, fp8_tflops=5000,
         per_node=4, aliases=("GB300",), link="NVLink5 NVL72", checked="name total",
         note="visible derived: 0.996 of the reported total, as GB200"),
    _gpu("RTXPRO6000-96G", "NVIDIA RTX PRO 6000 Blackwell Server Edition", _BLACKWELL_120,
         total_mib=97887, visible_gib=(94.97, 95.0), gb_per_s=1597, bf16_tflops=500, fp8_tflops=1000,
         aliases=("RTX PRO 6000", "RTXPRO6000"), link="PCIe 5.0 x16", checked="name total",
         note="visible low bound from vLLM logs; a public calibration file has 1792 GB/s"),
    _gpu("RTXPRO6000-WS-96G", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition", _BLACKWELL_120,
         total_mib=97887, visible_gib=(94.97, 95.0), gb_per_s=1792, bf16_tflops=504, fp8_tflops=1007,
         aliases=("RTXPRO6000-WS",), link="PCIe 5.0 x16", checked="name",
         note="reported total as on the Server and Max-Q editions"),
    _gpu("RTXPRO6000-MaxQ-96G", "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", _BLACKWELL_120,
         total_mib=97887, visible_gib=(94.97, 95.0), gb_per_s=1792, bf16_tflops=440, fp8_tflops=880,
         aliases=("RTXPRO6000-MaxQ",), link="PCIe 5.0 x16", checked="name total"),
    _gpu("RTXPRO5000-48G", "NVIDIA RTX PRO 5000 Blackwell", _BLACKWELL_120,
         total_mib=48935, visible_gib=(47.3, 47.4), gb_per_s=1344,
         aliases=("RTXPRO5000",), link="PCIe 5.0 x16", checked="name",
         note="visible derived: 0.993 of the reported total, as RTX PRO 6000; a 72 GB board has another name"),
    _gpu("RTX6000D-84G", "NVIDIA RTX 6000D", _BLACKWELL_120,
         visible_gib=(83.0, 83.0), gb_per_s=1400,
         aliases=("RTX6000D",), link="PCIe 5.0 x16", checked="name",
         note="visible derived: 0.989 of the nominal 84 GiB, as RTX PRO 6000"),
    _gpu("RTX5090-32G", "NVIDIA GeForce RTX 5090", _BLACKWELL_120,
         total_mib=32607, visible_gib=(31.36, 31.37), gb_per_s=1792, bf16_tflops=210, fp8_tflops=419,
         aliases=("RTX5090",), link="PCIe 5.0 x16", checked="name total",
         note="FLOPS with fp32 accumulation"),
    _gpu("RTX5090D-32G", "NVIDIA GeForce RTX 5090 D", _BLACKWELL_120,
         total_mib=32607, visible_gib=(31.36, 31.37), gb_per_s=1792,
         aliases=("RTX5090D",), link="PCIe 5.0 x16", checked="name"),
    _gpu("RTX5090Dv2-24G", "NVIDIA GeForce RTX 5090 D v2", _BLACKWELL_120,
         total_mib=24463, visible_gib=(23.5, 23.5), gb_per_s=1344,
         aliases=("RTX5090Dv2",), link="PCIe 5.0 x16", checked="name",
         note="visible derived: 0.985 of the reported total, as RTX 5090"),
    _gpu("RTX5080-16G", "NVIDIA GeForce RTX 5080", _BLACKWELL_120,
         total_mib=16303, visible_gib=(15.5, 15.9), gb_per_s=960, bf16_tflops=113, fp8_tflops=225,
         aliases=("RTX5080",), link="PCIe 5.0 x16", checked="name"),
    _gpu("GB10-128G", "NVIDIA GB10", _BLACKWELL_121,
         visible_gib=(119.63, 121.69), gb_per_s=273,
         per_node=1, aliases=("ASUS Ascent GX10", "DGX Spark", "GB10"), link="unified memory (NVLink-C2C)",
         checked="name total",
         note="unified memory: the vendor's tools report no total; visible 121.69 with newer drivers"),
    _gpu("V100-32G", "Tesla V100-SXM2-32GB", _VOLTA,
         total_mib=32768, visible_gib=(31.73, 31.75), gb_per_s=900,
         aliases=("V100",), link="NVLink2 SXM2", checked="total",
         note="no bf16 (125 TFLOPS fp16); wheels built for CUDA 13 may lack it"),
    _gpu("V100-16G", "Tesla V100-SXM2-16GB", _VOLTA,
         total_mib=16384, visible_gib=(15.77, 15.78), gb_per_s=900,
         link="NVLink2 SXM2", checked="",
         note="no bf16 (125 TFLOPS fp16)"),
    _gpu("V100-PCIe-32G", "Tesla V100-PCIE-32GB", _VOLTA,
         total_mib=32768, visible_gib=(31.73, 31.75), gb_per_s=900,
         aliases=("V100-PCIe",), link="PCIe 3.0 x16", checked="",
         note="no bf16 (112 TFLOPS fp16)"),
    _gpu("T4-16G", "Tesla T4", _TURING,
         total_mib=15360, visible_gib=(14.56, 14.74), gb_per_s=320,
         aliases=("T4",), link="PCIe 3.0 x16", checked="name total",
         note="no bf16 (65 TFLOPS fp16)"),
)
# fmt: on
