"""Which versions of the Ascend stack go together, as published; read 2026-11-27, nothing of it was run on a device.

One row per release of vllm-ascend, and three tables beside them: CANN and the driver, CANN and torch_npu, chip family
and what packages are built for. What is in no table is unknown, not wrong.
"""

from __future__ import annotations

from types import MappingProxyType

from selfhost.records import dataclass

MATRIX = "vllm-project/vllm-ascend docs/source/community/versioning_policy.md"
"""Source of the rows, as its documents of 0.23.0 and later branches have them; those of 0.23.0 are in its wheel, too
(`Requires-Dist`)."""
TORCH_NPU_TABLE = "Ascend/pytorch COMPATIBILITY.en.md"
DRIVER_TABLE = "hicann/release-management 9.1.1/release-notes.md"
DRIVER_NEWEST = "26.1"
"""The last series in that table."""
GRAPH_DRIVER = "25.5.1"
"""Below it graphs may run out of streams: `alloc sq cq fail` (vllm-project/vllm-ascend#10555)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One release of vllm-ascend and what it was made for."""

    plugin: str
    vllm: str
    python_from: tuple[int, int] = (3, 10)
    python_below: tuple[int, int] = (3, 12)
    cann: tuple[str, ...]
    """The first is the one to install."""
    torch: str
    torch_npu: str
    triton_ascend: str | None = None
    """None: it asks for none."""


# fmt: off
RELEASES = (
    Release(plugin="0.26.0rc1", vllm="0.26.0", python_below=(3, 13), cann=("9.1.0",),
            torch="2.10.0", torch_npu="2.10.0.post4", triton_ascend="3.2.2"),
    Release(plugin="0.25.1rc1", vllm="0.25.1", python_below=(3, 13), cann=("9.0.1",),
            torch="2.10.0", torch_npu="2.10.0.post2", triton_ascend="3.2.1"),
    Release(plugin="0.24.0rc1", vllm="0.24.0", python_below=(3, 13), cann=("9.0.1",),
            torch="2.10.0", torch_npu="2.10.0.post2", triton_ascend="3.2.1"),
    Release(plugin="0.23.0", vllm="0.23.0", python_below=(3, 13), cann=("9.1.0",),
            torch="2.10.0", torch_npu="2.10.0.post4", triton_ascend="3.2.2"),
    Release(plugin="0.23.0rc1", vllm="0.23.0", python_below=(3, 13), cann=("9.0.1",),
            torch="2.10.0", torch_npu="2.10.0.post2", triton_ascend="3.2.1"),
    Release(plugin="0.22.1rc1", vllm="0.22.1", python_below=(3, 13), cann=("9.0.0",),
            torch="2.10.0", torch_npu="2.10.0", triton_ascend="3.2.1"),
    Release(plugin="0.21.0rc1", vllm="0.21.0", python_below=(3, 13), cann=("9.0.0",),
            torch="2.10.0", torch_npu="2.10.0", triton_ascend="3.2.1"),
    Release(plugin="0.20.2rc1", vllm="0.20.2", cann=("9.0.0",),
            torch="2.10.0", torch_npu="2.10.0", triton_ascend="3.2.1"),
    Release(plugin="0.19.1rc1", vllm="0.19.1", cann=("8.5.1",),
            torch="2.9.0", torch_npu="2.9.0", triton_ascend="3.2.0"),
    # Its images moved to CANN 9.0.0 later (vllm-project/vllm-ascend#9856).
    Release(plugin="0.18.0", vllm="0.18.0", cann=("8.5.1", "9.0.0"),
            torch="2.9.0", torch_npu="2.9.0.post1", triton_ascend="3.2.0.dev20260322"),
    Release(plugin="0.18.0rc1", vllm="0.18.0", cann=("8.5.1",),
            torch="2.9.0", torch_npu="2.9.0", triton_ascend="3.2.0"),
    Release(plugin="0.17.0rc1", vllm="0.17.0", cann=("8.5.1",),
            torch="2.9.0", torch_npu="2.9.0", triton_ascend="3.2.0"),
    Release(plugin="0.16.0rc1", vllm="0.16.0", cann=("8.5.1",),
            torch="2.9.0", torch_npu="2.9.0", triton_ascend="3.2.0"),
    Release(plugin="0.15.0rc1", vllm="0.15.0", cann=("8.5.0",),
            torch="2.9.0", torch_npu="2.9.0", triton_ascend="3.2.0"),
    Release(plugin="0.14.0rc1", vllm="0.14.1", cann=("8.5.0",),
            torch="2.9.0", torch_npu="2.9.0", triton_ascend="3.2.0"),
    Release(plugin="0.13.0", vllm="0.13.0", cann=("8.5.0",),
            torch="2.8.0", torch_npu="2.8.0.post2", triton_ascend="3.2.0"),
    Release(plugin="0.11.0", vllm="0.11.0", python_from=(3, 9), cann=("8.3.RC2",),
            torch="2.7.1", torch_npu="2.7.1.post1"),
    Release(plugin="0.11.0rc1", vllm="0.11.0", python_from=(3, 9), cann=("8.3.RC1",),
            torch="2.7.1", torch_npu="2.7.1"),
    Release(plugin="0.10.2rc1", vllm="0.10.2", python_from=(3, 9), cann=("8.2.RC1",),
            torch="2.7.1", torch_npu="2.7.1.dev20250724"),
    Release(plugin="0.9.1", vllm="0.9.1", python_from=(3, 9), cann=("8.2.RC1",),
            torch="2.5.1", torch_npu="2.5.1.post1"),
    Release(plugin="0.7.3", vllm="0.7.3", python_from=(3, 9), cann=("8.1.RC1",),
            torch="2.5.1", torch_npu="2.5.1"),
)
# fmt: on

CANN_OF_TORCH_NPU = MappingProxyType(
    {
        "2.12.0": "9.1.0",
        "2.11.0": "9.1.0",
        "2.10.0.post4": "9.1.0",
        "2.10.0": "9.0.0",
        "2.9.0.post6": "9.1.0",
        "2.7.1.post8": "9.1.0",
        "2.9.0.post2": "9.0.0",
        "2.8.0.post4": "9.0.0",
        "2.7.1.post4": "9.0.0",
        "2.9.0": "8.5.0",
        "2.8.0.post2": "8.5.0",
        "2.7.1.post2": "8.5.0",
        "2.6.0.post5": "8.5.0",
        "2.8.0": "8.3.RC1",
        "2.7.1": "8.3.RC1",
        "2.6.0": "8.2.RC1",
        "2.5.1.post1": "8.2.RC1",
        "2.5.1": "8.1.RC1",
    }
)
"""Asked where the release of vllm-ascend is in no row. Source: `TORCH_NPU_TABLE`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DriverNeed:
    """What one series of CANN asks of the driver (Ascend HDK)."""

    least: str | None = None
    """The lowest series that the vendor says is compatible; None: it does not say."""
    paired: str = ""
    """The release it is published with."""
    source: str


DRIVERS = MappingProxyType(
    {
        "9.1": DriverNeed(least="25.2", paired="26.1", source=DRIVER_TABLE),
        "9.0": DriverNeed(least="25.0", paired="26.0.RC1", source=DRIVER_TABLE),
        # The vendor's table has 8.5.2 alone; 8.5.1 with 23.0.7 started some models and not others (#9005).
        "8.5": DriverNeed(paired="25.5.0", source="hicann/release-management 8.5.0/release-notes.md"),
    }
)
"""By series of CANN."""

BUILT_FOR = MappingProxyType({"A2": "A2", "A3": "A3", "_310P": "310P", "A5": "950"})
"""`__device_type__` of `vllm_ascend/_build_info.py` -> chip family. Source: vllm-ascend 0.23.0, utils.py."""
BUILD_SOURCE = "vllm-ascend 0.23.0 utils.py `check_ascend_device_type`; vllm-project/vllm-ascend#11160, #6206, #9799"

IMAGE = "quay.io/ascend/vllm-ascend"
IMAGE_SUFFIXES = MappingProxyType({"A2": "", "A3": "-a3", "310P": "-310p", "950": "-950dt"})
"""After the tag of a release. Source: vllm-project/vllm-ascend .github/workflows/_nightly_image_build.yaml."""
CPU_TORCH_MACHINE = "x86_64"
"""Where torch-npu asks for torch `+cpu` (`Requires-Dist` of its wheels); that of aarch64 asks for the plain version."""
NO_TRITON = frozenset({"310P"})
"""Families that run without it."""

WHEEL_FAMILY = "A2"
"""The wheels of the public index are built for it alone (vllm-project/vllm-ascend#11160)."""
WHEEL_PYTHONS = ((3, 10), (3, 11), (3, 12))
WHEEL_GLIBC = (2, 34)
WHEEL_MACHINES = ("x86_64", "aarch64")

FORMATS = MappingProxyType(
    {
        "": frozenset({"A2", "A3", "310P", "950"}),
        "ascend": frozenset({"A2", "A3", "310P", "950"}),
        "compressed-tensors": frozenset({"A2", "A3", "950"}),
        "fp8": frozenset({"950"}),
        "deepseek_v4_fp8": frozenset({"950"}),
    }
)
"""Method of quantization -> families with kernels for it; no row: no code at all. Empty: not quantized."""
FORMAT_SOURCE = "vllm-ascend 0.23.0 platform.py; vllm-project/vllm-ascend#1526, #3197 (FP8), #4378 (AWQ), #6974 (GPTQ)"

ARCTIC_INFERENCE = "0.1.1"
"""Pinned by vllm-ascend 0.23.0 and published as source only: no lock of wheels can have it."""


def image(version: str, family: str | None) -> str | None:
    """The official image of a release for a chip family; None for a family that has none.

    >>> image("0.23.0", "A3")
    'quay.io/ascend/vllm-ascend:v0.23.0-a3'
    """
    suffix = IMAGE_SUFFIXES.get(family or "")
    return None if suffix is None else f"{IMAGE}:v{version}{suffix}"
