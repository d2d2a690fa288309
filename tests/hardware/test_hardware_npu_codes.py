from __future__ import annotations

from pathlib import Path

import pytest

from selfhost.hardware import npu_codes

DATA = Path(__file__).parents[1] / "data" / "ascend"
CODES = {
    "-8001": "npu_dcmi_failed",
    "-8002": "npu_not_permitted",
    "-8003": "npu_dcmi_failed",
    "-8005": "npu_held",
    "-8006": "npu_no_answer",
    "-8007": "npu_not_there",
    "-8008": "npu_not_there",
    "-8009": "npu_no_answer",
    "-8012": "npu_not_ready",
    "-8013": "npu_not_in_container",
    "-8017": "npu_upgrading",
    "-8020": "npu_occupied",
    "-8255": "npu_not_queried",
}


@pytest.mark.parametrize(("code", "name"), CODES.items())
@pytest.mark.parametrize(
    "said",
    [
        "dcmi module initialize failed. ret is {}",
        "DrvMngGetConsoleLogLevel failed. (ret=4)\ndcmi module initialize failed. ret is {}",
        "npu get board type failed. ret is {}",
        "Failed to execute npu-smi info. ret is {}.",
    ],
)
def test_each_code_has_a_message_with_it_and_a_remedy(said, code, name):
    message = npu_codes.explain(said.format(code))
    assert message.id == f"hardware.{name}"
    assert code in message.what
    assert message.hint


@pytest.mark.parametrize(
    ("capture", "begins"),
    [
        ("error_container_dcmi_-8005", "the Ascend driver refuses (-8005, an inner error): in a container"),
        ("error_container_dcmi_-8020", "another container or process holds the NPUs (-8020)"),
    ],
)
def test_captures(capture, begins):
    assert npu_codes.explain((DATA / f"{capture}.txt").read_text()).what.startswith(begins)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("There is no NPU card on this server.", "npu_none"),
        ("npu-smi: error while loading shared libraries: libdcmi.so: cannot open shared object file", "npu_no_library"),
        ("[Errno 13] Permission denied: '/usr/local/bin/npu-smi'", "npu_not_run"),
        ("[Errno 8] Exec format error: 'npu-smi'", "npu_not_run"),
        ("Segmentation fault", "npu_failed"),
        ("", "npu_failed"),
    ],
)
def test_other_failures(said, name):
    message = npu_codes.explain(said)
    assert (message.id, bool(message.hint)) == (f"hardware.{name}", True)


def test_what_is_quoted_does_not_drive_the_terminal():
    assert npu_codes.explain("\x1b]0;owned\x07 failure").what == "cannot read npu-smi: ?]0;owned? failure"
