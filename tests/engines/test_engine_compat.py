"""Combinations of an Ascend stack with known outcomes: each row names where it was told. None was run here."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import pytest

from selfhost.engines import compat, compat_data
from selfhost.engines import compat_versions as versions
from selfhost.engines.compat_types import Found, State
from selfhost.engines.known import load

RIGHT = Found(
    family="A2",
    chip="910B3",
    driver="26.1.0",
    driver_complete=True,
    firmware="7.8.0.6.201",
    firmware_fits=True,
    cann="9.1.0",
    nnal="9.1.0",
    cann_looked_for=True,
    python="3.11.14",
    executable="/opt/e/bin/python",
    packages=MappingProxyType(
        {
            "vllm": "0.23.0+empty",
            "vllm-ascend": "0.23.0",
            "torch": "2.10.0+cpu",
            "torch-npu": "2.10.0.post4",
            "triton-ascend": "3.2.2",
        }
    ),
    build="A2",
    weights="ascend",
)
PUBLISHED = "vllm-ascend's matrix and the release notes of CANN 9.1.1"


def of(changes: dict[str, object]) -> Found:
    """What is right, changed: names with a dash or of a package are versions of packages, None takes one out."""
    packages = dict(RIGHT.packages or {})
    packages.update(
        {name: value for name, value in changes.items() if name in packages or "-" in name or name == "triton"}
    )
    kept = {name: value for name, value in packages.items() if value is not None}
    fields = {name: value for name, value in changes.items() if name not in packages}
    return replace(RIGHT, **fields, packages=kept)


V018 = {
    "vllm": "0.18.0",
    "vllm-ascend": "0.18.0",
    "torch": "2.9.0",
    "torch-npu": "2.9.0.post1+git4c901a4",
    "triton-ascend": "3.2.0.dev20260322",
}
V013 = {
    "vllm": "0.13.0",
    "vllm-ascend": "0.13.0",
    "torch": "2.8.0",
    "torch-npu": "2.8.0.post2",
    "triton-ascend": "3.2.0",
}
V011 = {"vllm": "0.11.0", "vllm-ascend": "0.11.0", "torch": "2.7.1", "torch-npu": "2.7.1.post1", "triton-ascend": None}
C85 = {"cann": "8.5.0", "nnal": "8.5.0"}
C83 = {"cann": "8.3.RC2", "nnal": "8.3.RC2"}

ROWS = [
    # (where it was told, what differs from a right stack, what is wrong, words of the one remedy)
    (PUBLISHED, {}, "", ""),
    (PUBLISHED, {"family": "A3", "chip": "910C", "build": "A3"}, "", ""),
    (PUBLISHED, {"family": "310P", "chip": "310P3", "build": "_310P", "triton-ascend": None}, "", ""),
    (PUBLISHED, {"family": "950", "chip": "950PR", "build": "A5", "driver": "25.7.rc1.6", "weights": "fp8"}, "", ""),
    (PUBLISHED, {"vllm-ascend": "0.23.0.post1", "cann": "9.1.1", "nnal": "9.1.1"}, "", ""),
    ("hicann 9.1.1: HDK 25.0.X is marked N", {"driver": "25.0.rc1.1"}, "driver", "HDK 25.2 or newer for CANN 9.1.0"),
    ("hicann 9.1.1: HDK 25.2.X is marked Y", {"driver": "25.2.0"}, "", ""),
    ("a public report of one 910B3 that ran", {"driver": "25.3.rc1.1"}, "", ""),
    ("a public report of a qualified stack", {"driver": "25.5.1"}, "", ""),
    ("#5468: driver 24.1", {"driver": "24.1.0.3"}, "driver", "not 24.1.0.3"),
    ("#9005: 23.0.7 failed", {**V018, "cann": "8.5.1", "nnal": "8.5.1", "driver": "23.0.7"}, "", ""),
    ("#9005: 25.5.0 helped", {**V018, "cann": "8.5.1", "nnal": "8.5.1", "driver": "25.5.0"}, "", ""),
    ("#9856: images of 0.18.0 moved", {**V018, "cann": "9.0.0", "nnal": "9.0.0"}, "", ""),
    ("#11160", {**V013, **C85, "family": "A3", "driver": "25.5.0"}, "build", "quay.io/ascend/vllm-ascend:v0.13.0-a3"),
    ("#9799", {"family": "A3"}, "build", "quay.io/ascend/vllm-ascend:v0.23.0-a3"),
    ("#7587", {**V011, **C83, "torch": "2.8.0", "torch-npu": "2.8.0"}, "torch torch_npu", "torch==2.7.1"),
    ("#5710", {**V011, **C83, "torch": "2.8.0"}, "torch", "/opt/e/bin/python -m pip install --no-deps torch==2.7.1"),
    ("torch-npu's wheel of x86_64", {"machine": "x86_64", "torch": "2.11.0"}, "torch", "torch==2.10.0+cpu --extra"),
    ("torch-npu's wheel of aarch64", {"machine": "aarch64", "torch": "2.11.0"}, "torch", "--no-deps torch==2.10.0`"),
    ("#12404", {**V013, **C85, "torch": "2.9.0"}, "torch", "torch==2.8.0"),
    ("#9305, #9672: another vllm", {"vllm": "0.24.0"}, "vllm", "vllm==0.23.0"),
    ("#117, #750: no symbol in atb", {"nnal": "8.3.RC1"}, "nnal", "NNAL 9.1.0"),
    ("#262, #540: no libatb.so", {"nnal": None}, "nnal", "libatb.so"),
    ("#3010, #8: gen 1", {"family": "910 first generation", "chip": "910B"}, "chip build weights", "910B has no"),
    ("#3657: Python below 3.10", {"python": "3.9.9"}, "python", "Python 3.10 or newer, below 3.13"),
    ("#10641: not in the index", {"triton-ascend": None}, "triton", "--extra-index-url INDEX"),
    ("#7497: triton shadows", {"triton": "3.6.0"}, "triton", "pip uninstall -y triton triton-ascend"),
    ("#1526, #3197: FP8", {"weights": "fp8"}, "weights", "fp8 does not run on A2"),
    ("#4378: AWQ", {"family": "A3", "build": "A3", "weights": "awq"}, "weights", "awq does not run on A3"),
    ("torch-npu's table", {"cann": "9.0.1", "nnal": "9.0.1"}, "cann nnal", "install CANN 9.1.0"),
    ("torch-npu's table", {"cann": "9.1.0-beta.1"}, "cann", "install CANN 9.1.0"),
    ("torch-npu's table", {"torch-npu": "2.10.0.post2"}, "torch_npu", "torch-npu==2.10.0.post4"),
    ("torch-npu's own pin", {"torch": "2.14.0", "torch-npu": "2.14.0"}, "torch torch_npu", "torch==2.10.0"),
    ("FAQ 11: a build between releases", {"vllm": "0.23.1.dev4+g1a2b3c4"}, "", ""),
    ("FAQ 11: a build between releases", {"vllm-ascend": "0.23.1.dev9+gabc"}, "", ""),
    ("npu-smi warns", {"driver_complete": False}, "driver_complete", "install the Ascend driver again"),
    ("npu-smi says so", {"firmware_fits": False}, "firmware", "firmware of Ascend HDK 26.1.0"),
]  # fmt: skip


@pytest.mark.parametrize(("told", "changes", "wrong", "words"), ROWS, ids=lambda value: str(value)[:48])
def test_known_outcomes(told, changes, wrong, words):
    said = compat.judge(of(changes), "0.23.0" if "FAQ 11" in told else None)
    assert [item.key for item in said.wrong] == wrong.split(), told
    assert words in said.remedy
    assert bool(said.remedy) == bool(wrong)


def test_there_is_one_remedy_and_it_is_the_lowest_thing():
    said = compat.judge(of({"driver": "24.1.rc1", "cann": "8.5.0", "torch-npu": "2.9.0", "vllm": "0.22.0"}))
    assert [item.key for item in said.wrong] == ["driver", "cann", "vllm", "torch_npu"]
    assert said.remedy.startswith("upgrade the driver on the host")
    assert "\n" not in said.remedy


def test_another_release_is_the_first_thing_and_packages_are_judged_by_the_wanted_one():
    said = compat.judge(of({**V018, "cann": "8.5.1", "nnal": "8.5.1"}), wanted="0.23.0")
    assert said.wrong[0].key == "vllm_ascend"
    assert "vllm-ascend 0.23.0" in said.remedy
    assert {item.key for item in said.wrong} == {*("vllm_ascend", "cann", "nnal", "vllm", "torch", "torch_npu")}


def test_what_was_not_told_is_unknown_and_stops_nothing():
    said = compat.judge(Found(), wanted="0.23.0")
    assert (said.wrong, said.remedy) == ((), "")
    assert {item.state for item in said.items} == {State.UNKNOWN}
    assert {item.found for item in said.items} == {"not told"}


def test_what_was_looked_for_and_is_not_there_is_wrong():
    said = compat.judge(Found(cann_looked_for=True, packages={}), wanted="0.23.0")
    keys = ["vllm_ascend", "cann", "nnal", "vllm", "torch", "torch_npu", "triton"]
    assert [item.key for item in said.wrong] == keys
    assert {item.found for item in said.wrong} == {"none"}


@pytest.mark.parametrize("driver", ["23.0.7", "27.0.0"])
def test_a_driver_that_no_table_speaks_of_is_unknown(driver):
    found = of({**V018, "cann": "8.5.1", "nnal": "8.5.1", "driver": driver})
    (item,) = [one for one in compat.judge(found).items if one.key == "driver"]
    assert (item.state, item.found) == (State.UNKNOWN, driver)
    assert "25.5.0" in item.wanted


@pytest.mark.parametrize(
    ("driver", "noted"), [("25.2.0", True), ("25.5.0", True), ("25.5.1", False), ("26.0.rc1", False)]
)
def test_a_driver_that_suits_may_still_be_too_old_for_graphs(driver, noted):
    (item,) = [one for one in compat.judge(of({"driver": driver})).items if one.key == "driver"]
    assert item.state is State.OK
    assert bool(item.note) is noted
    assert not noted or "25.5.1" in item.note


def test_an_unknown_release_is_judged_by_torch_npu_alone():
    found = of({"vllm-ascend": "0.12.0", "torch-npu": "2.9.0", "cann": "9.1.0", "nnal": "8.5.0"})
    said = compat.judge(found)
    assert [item.key for item in said.wrong] == ["cann"]
    assert "CANN 8.5.0" in said.remedy
    assert {item.key for item in said.unknown} >= {"vllm", "torch", "torch_npu"}


def test_the_table_for_people_has_a_row_per_item():
    rows = compat.judge(of({"driver": "24.1.rc1"})).rows()
    assert rows[0].split() == ["ITEM", "WANTED", "FOUND"]
    (row,) = [row.split() for row in rows if row.startswith("driver")]
    assert row == ["driver", "(Ascend", "HDK)", "25.2", "or", "newer,", "for", "CANN", "9.1.0", "24.1.rc1", "wrong"]
    assert len(rows) == 1 + len(compat.judge(RIGHT).items)


def test_a_doctor_gets_an_error_for_each_mismatch_and_a_warning_for_each_remark():
    errors = compat.judge(of({"driver": "24.1.rc1", "vllm": "0.22.1"})).findings()
    assert [(one.severity.value, one.where) for one in errors] == [("error", "driver"), ("error", "vllm")]
    assert "found: 24.1.rc1" in errors[0].message.why
    assert errors[1].message.hint == "`/opt/e/bin/python -m pip install --no-deps vllm==0.23.0`"
    (warning,) = compat.judge(of({"driver": "25.2.0"})).findings()
    assert (warning.severity.value, "--enforce-eager" in warning.message.what) == ("warning", True)
    assert compat.judge(RIGHT).findings() == ()


def test_json_has_every_item_with_its_source():
    said = compat.judge(RIGHT).as_dict()
    assert (said["release"], said["remedy"]) == ("0.23.0", "")
    assert all(item["source"] and item["state"] == "ok" for item in said["items"])


def test_the_release_that_plans_are_written_for_has_a_row():
    engine = load("vllm-ascend").ref.version
    release = compat.release_of(engine)
    assert release is not None
    assert release.vllm == "0.23.0"
    assert set(compat_data.IMAGE_SUFFIXES) == set(compat_data.BUILT_FOR.values())


@pytest.mark.parametrize(
    ("family", "image"),
    [
        ("A2", "v0.23.0"),
        ("A3", "v0.23.0-a3"),
        ("310P", "v0.23.0-310p"),
        ("950", "v0.23.0-950dt"),
        ("310B", None),
        (None, None),
    ],
)
def test_the_image_is_chosen_by_family(family, image):
    assert compat_data.image("0.23.0", family) == (image and f"quay.io/ascend/vllm-ascend:{image}")


ORDERED = [
    "23.0.rc2.2",
    "23.0.2.1",
    "24.1.rc1.b030",
    "24.1.rc1",
    "24.1.0",
    "24.1.0.3",
    "25.0.rc1.1",
    "25.2.0",
    "25.5.T2.B001",
    "25.5.0",
    "25.5.1",
    "25.7.rc1.6",
    "26.0.rc1",
    "26.1.0",
]


def test_releases_of_the_driver_are_in_order():
    for first, second in pairwise(ORDERED):
        assert versions.is_older(first, second), (first, second)
        assert not versions.is_older(second, first)


@pytest.mark.parametrize("text", ["", "?", "V100R001", "..", "25", "x.y.z", "9" * 400])
def test_a_version_that_is_none_ends_in_no_exception(text):
    assert isinstance(versions.is_older(text, "25.2.0"), bool)
    assert isinstance(versions.takes("9.1.0", text), bool)
    compat.judge(of({"driver": text, "cann": text, "torch": text, "vllm-ascend": text}))
