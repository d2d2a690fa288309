"""What an engine needs of the machine: wanted and found, before anything is downloaded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.engines.needs import Machine, check_driver, check_machine, parse_driver_version, suited
from selfhost.engines.specs import CPU, CUDA, QUANTIZE_CPU, QUANTIZE_CUDA
from selfhost.errors import MissingError

HERE = Machine(machine="x86_64", implementation="cpython", python=(3, 12), glibc=(2, 36))
CLOSED = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"
    "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
)
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder@U22)  Sun Jul 27\n"
    "GCC version:  gcc version 11.4.0 (Ubuntu 11.4.0-1ubuntu1~22.04)\n"
)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (CLOSED, "535.104.05"),
        (OPEN, "580.65.06"),
        ("580.95.05\n580.95.05\n", "580.95.05"),
        ("570.86\n", "570.86"),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", None),
        ("", None),
    ],
    ids=["closed module", "open module", "nvidia-smi, two GPUs", "two numbers", "nvidia-smi failed", "empty"],
)
def test_the_driver_version_is_read_from_the_kernel_or_nvidia_smi(text, version):
    assert parse_driver_version(text) == version


@pytest.mark.parametrize("driver", ["580.65.06", "580.95.05", "590.1.2", "1000.0"])
def test_a_driver_that_runs_the_locks_cuda_is_fine(driver):
    check_driver(CUDA, driver)


@pytest.mark.parametrize("driver", ["580.65.05", "580.9.99", "579.99.99", "535.104.05"])
def test_an_older_driver_is_refused_with_wanted_and_found(driver):
    with pytest.raises(MissingError) as caught:
        check_driver(CUDA, driver)
    assert caught.value.code == 4
    assert caught.value.message.id == "engine.old_driver"
    assert caught.value.message.why == f"wanted: driver 580.65.06 or newer, for CUDA 13.0\nfound: driver {driver}"


@pytest.mark.parametrize(
    ("spec", "instead", "fine"), [(CUDA, "cpu", CPU), (QUANTIZE_CUDA, "quantize-cpu", QUANTIZE_CPU)], ids=str
)
def test_no_driver_is_refused_for_cuda_alone_with_what_needs_none(spec, instead, fine):
    for driver, message_id in ((None, "engine.no_driver"), ("535.104.05", "engine.old_driver")):
        with pytest.raises(MissingError) as caught:
            check_driver(spec, driver)
        assert caught.value.message.id == message_id
        assert "--no-driver-check" in caught.value.message.hint
        assert caught.value.message.hint.endswith(f"the GPU: `selfhost engine install {instead}`") or (
            driver is None and caught.value.message.hint.endswith(f"a GPU: `selfhost engine install {instead}`")
        )
    check_driver(fine, None)


@pytest.mark.parametrize(
    ("driver", "spec"), [("580.95.05", QUANTIZE_CUDA), ("535.104.05", QUANTIZE_CUDA), (None, QUANTIZE_CPU)]
)
def test_of_several_builds_the_driver_decides(driver, spec):
    assert suited((QUANTIZE_CUDA, QUANTIZE_CPU), driver) is spec
    # Where no build does without, the driver check that follows says what is wanted.
    assert suited((CUDA,), driver) is CUDA


@pytest.mark.parametrize(
    ("spec", "here", "message_id", "why"),
    [
        (CPU, replace(HERE, machine="ppc64le"), "engine.machine", "wanted: x86_64 or aarch64\nfound: ppc64le"),
        (CPU, replace(HERE, python=(3, 15)), "engine.python", "wanted: CPython 3.11 to 3.14\nfound: cpython 3.15"),
        (CPU, replace(HERE, python=(3, 10)), "engine.python", "wanted: CPython 3.11 to 3.14\nfound: cpython 3.10"),
        (CPU, replace(HERE, implementation="pypy"), "engine.python", "wanted: CPython 3.11 to 3.14\nfound: pypy 3.12"),
        (CPU, replace(HERE, glibc=(2, 28)), "engine.glibc", "wanted: glibc 2.31 or newer\nfound: glibc 2.28"),
        (CPU, replace(HERE, glibc=(2, 4)), "engine.glibc", "wanted: glibc 2.31 or newer\nfound: glibc 2.4"),
        (CPU, replace(HERE, glibc=None), "engine.glibc", "wanted: glibc 2.31 or newer\nfound: no glibc (musl?)"),
        (
            CUDA,
            replace(HERE, machine="aarch64", glibc=(2, 31)),
            "engine.glibc",
            "wanted: glibc 2.34 or newer\nfound: glibc 2.31",
        ),
        (
            QUANTIZE_CPU,
            replace(HERE, glibc=(2, 27)),
            "engine.glibc",
            "wanted: glibc 2.28 or newer\nfound: glibc 2.27",
        ),
    ],
    ids=["machine", "new python", "old python", "pypy", "RHEL 8", "not by text", "musl", "cuda on aarch64", "quantize"],
)
def test_a_machine_without_wheels_is_refused_with_wanted_and_found(spec, here, message_id, why):
    with pytest.raises(MissingError) as caught:
        check_machine(spec, here)
    assert (caught.value.message.id, caught.value.message.why) == (message_id, why)
    assert caught.value.message.hint


@pytest.mark.parametrize("here", [HERE, replace(HERE, python=(3, 14)), replace(HERE, machine="aarch64", glibc=(2, 31))])
def test_a_machine_with_wheels_is_fine(here):
    check_machine(CPU, here)
