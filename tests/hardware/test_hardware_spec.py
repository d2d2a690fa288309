from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfhost.errors import ExitCode, UsageError
from selfhost.hardware import catalog, spec
from selfhost.hardware.types import Platform
from selfhost.units import GIB


@pytest.mark.parametrize(
    ("text", "device", "nodes", "count", "visible_gib"),
    [
        ("H20", "H20-96G", 1, 1, 95.22),
        ("8xH20", "H20-96G", 1, 8, 95.22),
        ("8XH20", "H20-96G", 1, 8, 95.22),
        ("8\u00d7h20", "H20-96G", 1, 8, 95.22),
        (" 2 x 8 x 910b3 ", "910B3-64G", 2, 8, 60.96),
        ("4xA800-80G", "A800-80G", 1, 4, 79.35),
        ("RTX4090@23.5", "RTX4090-24G", 1, 1, 23.5),
        ("2xRTX 4090 @ 47.4 GiB", "RTX4090-24G", 1, 2, 47.4),
        ("cpu@16", "cpu", 1, 1, 16),
        ("16xMLU370", "MLU370-X8-48G", 1, 16, 45.6),
    ],
)
def test_grammar(text, device, nodes, count, visible_gib):
    hardware = spec.parse(text)
    assert (hardware.device.id, hardware.nodes, hardware.devices_per_node) == (device, nodes, count)
    assert hardware.visible_memory_bytes == int(visible_gib * GIB)
    assert hardware.assumed


def test_a_known_device_without_an_engine_keeps_its_reason():
    device = spec.parse("8x910A").device
    assert not device.supported
    assert device.reason == "first-generation Ascend 910: vllm-ascend starts with the 910B1 to 910B4 (A2)"


def test_an_unknown_device_with_its_memory_is_a_cuda_device_nothing_else_is_known_of():
    hardware = spec.parse("4xX900@80")
    assert hardware.visible_memory_bytes == 80 * GIB
    assert hardware.device.platform is Platform.CUDA
    assert hardware.device.compute_capability is None
    assert hardware.device.name == "X900 (not in the catalogue)"
    assert hardware.text == "4xX900@80"


@pytest.mark.parametrize(
    ("text", "message_id"),
    [
        ("", "hardware.spec_malformed"),
        ("8x", "hardware.spec_malformed"),
        ("8", "hardware.spec_malformed"),
        ("0xH20", "hardware.spec_malformed"),
        ("100000000xH20", "hardware.spec_malformed"),
        ("-1xH20", "hardware.spec_malformed"),
        ("1.5xH20", "hardware.spec_malformed"),
        ("2xcpu@16", "hardware.cpu_is_one"),
        ("2x1xcpu@16", "hardware.cpu_is_one"),
        ("0x8xH20", "hardware.spec_malformed"),
        ("H20@", "hardware.spec_malformed"),
        ("H20@0", "hardware.spec_malformed"),
        ("H20@-3", "hardware.spec_malformed"),
        ("H20@80@80", "hardware.spec_malformed"),
        ("8x@40", "hardware.spec_malformed"),
        ("X900", "hardware.device_unknown"),
        ("910B", "hardware.device_ambiguous"),
        ("910B@60", "hardware.device_ambiguous"),
        ("cpu", "hardware.cpu_needs_memory"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(text, message_id):
    with pytest.raises(UsageError) as caught:
        spec.parse(text)
    assert caught.value.message.id == message_id
    assert caught.value.code is ExitCode.USAGE


def test_an_unknown_device_lists_the_nearest_and_asks_for_its_memory():
    with pytest.raises(UsageError) as caught:
        spec.parse("8xH2O")
    message = caught.value.message
    assert message.what == "unknown device `H2O`"
    assert message.why == "nearest in the catalogue: H20-96G, H200-141G, H20-141G"
    assert message.hint.endswith("`--on 8xH2O@80`")


def test_a_bare_cpu_takes_the_memory_of_the_host():
    assert spec.parse("cpu", host_memory_bytes=5 * GIB).visible_memory_bytes == 5 * GIB


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    device=st.sampled_from([d.id for d in catalog.DEVICES]),
    nodes=st.integers(1, 64),
    count=st.integers(1, 16),
    gib=st.none() | st.integers(1, 4000).map(lambda n: n / 8),
)
def test_what_is_written_reads_back(device, nodes, count, gib):
    if device == "cpu":
        nodes, count, gib = 1, 1, gib or 16
    hardware = spec.parse(f"{nodes}x{count}x{device}" + (f"@{gib}" if gib else ""))
    assert spec.parse(hardware.text) == hardware


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789xX@.H20ab \u00d7*-\u0663", max_size=20))
def test_any_text_is_hardware_or_a_usage_error(text):
    try:
        hardware = spec.parse(text)
    except UsageError as error:
        assert error.message.what  # noqa: PT017 - either way is right
    else:
        assert hardware.device_count >= 1
        assert hardware.visible_memory_bytes > 0
