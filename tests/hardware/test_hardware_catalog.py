from __future__ import annotations

import pytest

from selfhost.hardware import catalog
from selfhost.hardware.types import Platform
from selfhost.units import GIB, MIB


def test_each_id_and_alias_leads_to_its_own_row():
    assert len(catalog.DEVICES) == len({d.id for d in catalog.DEVICES}) == 65
    for device in catalog.DEVICES:
        for text in (device.id, *device.aliases):
            assert catalog.lookup(text) is device, text


def test_each_row_can_be_planned_on_or_says_why_not():
    for device in catalog.DEVICES:
        assert bool(device.reason) != device.supported, device.id
        assert (device.platform is not None) == device.supported, device.id
        if device is catalog.CPU:
            continue
        assert device.source, device.id
        assert 0 < device.visible_memory_low_bytes <= device.visible_memory_bytes, device.id
        if device.memory_bytes:
            assert device.visible_memory_bytes < device.memory_bytes, device.id
            assert device.visible_memory_bytes > 0.89 * device.memory_bytes, device.id
        assert (device.compute_capability is not None) == (device.platform is Platform.CUDA), device.id


@pytest.mark.parametrize(
    ("device_id", "visible_gib", "low_gib", "capability"),
    [
        ("H20-96G", 95.22, 95.0, (9, 0)),
        ("H200-141G", 139.81, 139.72, (9, 0)),
        ("RTX4090-24G", 23.65, 23.52, (8, 9)),
        ("B200-180G", 178.36, 178.35, (10, 0)),
        ("910B3-64G", 60.96, 60.96, None),
        ("910C-64G", 61.27, 61.27, None),
        ("910B4-32G", 29.5, 29.49, None),
    ],
)
def test_memory_is_what_the_engine_sees_not_the_label(device_id, visible_gib, low_gib, capability):
    device = catalog.lookup(device_id)
    assert device.visible_memory_bytes == int(visible_gib * GIB)
    assert device.visible_memory_low_bytes == int(low_gib * GIB)
    assert device.compute_capability == capability


def test_figures_of_one_row():
    h20 = catalog.lookup("H20")
    assert h20.memory_bytes == 97871 * MIB
    assert h20.memory_bandwidth_bytes_per_s == 4_000_000_000_000
    assert h20.bf16_flops == 148_000_000_000_000
    assert h20.fp8_flops == 296_000_000_000_000
    assert h20.native_fp8
    assert not h20.native_fp4
    assert h20.interconnect == "NVLink4 SXM"


@pytest.mark.parametrize(
    ("text", "device_id"),
    [
        ("h20", "H20-96G"),
        ("H20 141G", "H20-141G"),
        ("NVIDIA H20-3e", "H20-141G"),
        ("H100 80GB", "H100-80G"),
        ("nvidia h100 80gb hbm3", "H100-80G"),
        ("a100-40g", "A100-40G"),
        ("GeForce RTX 4090", "RTX4090-24G"),
        ("Ascend910B3", "910B3-64G"),
        ("Ascend 910B4-1", "910B4-1-64G"),
        ("910c", "910C-64G"),
        ("dgx spark", "GB10-128G"),
        ("CPU", "cpu"),
    ],
)
def test_case_spaces_and_dashes_do_not_matter(text, device_id):
    assert catalog.lookup(text).id == device_id


def test_a_name_that_begins_several_ids_is_ambiguous():
    assert catalog.lookup("910B") is None
    assert catalog.ambiguous("910B")[-1] == "910-gen1-32G"
    assert catalog.lookup("A100-SXM4") is None
    assert catalog.ambiguous("A100-SXM4") == ["A100-80G", "A100-40G"]


@pytest.mark.parametrize(
    ("text", "expected"), [("H2OO", "H20-96G"), ("RTX4900", "RTX4090-24G"), ("910B9", "910B3-64G"), ("L400", "L40-48G")]
)
def test_nearest_names_the_one_that_was_meant(text, expected):
    assert expected in catalog.nearest(text)


@pytest.mark.parametrize(
    ("name", "reported_mib", "device_id", "visible_bytes", "assumed"),
    [
        ("NVIDIA H20", 97871, "H20-96G", int(95.22 * GIB), False),
        ("NVIDIA H20", 143771, "H20-141G", int(139.81 * GIB), False),
        ("NVIDIA A100-SXM4-40GB", 40536, "A100-40G", int(39.56 * GIB), False),
        ("A100-SXM4-80GB", 81920, "A100-80G", int(79.32 * GIB), False),
        ("NVIDIA GeForce RTX 4090", 49140, "RTX4090-24G", int(49140 * MIB * 0.99), True),
        ("310P3", 21527, "310P3-Pro-21G", int(21.0 * GIB), False),
        ("310P3", 43693, "310P3-Duo-44G", 43693 * MIB, False),
        ("910B", 32768, "910-gen1-32G", int(29.5 * GIB), False),
        ("NVIDIA GB10", None, "GB10-128G", int(121.69 * GIB), False),
        ("NVIDIA X1", 1000, None, int(1000 * MIB * 0.99), True),
    ],
)
def test_the_reported_memory_tells_boards_of_one_name_apart(name, reported_mib, device_id, visible_bytes, assumed):
    reported = None if reported_mib is None else reported_mib * MIB
    device = catalog.match(name, reported)
    assert (device.id if device else None) == device_id
    assert catalog.visible_memory(device, "nvidia", reported) == (visible_bytes, assumed)
