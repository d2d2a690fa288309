"""What npu-smi says when it cannot answer, as a message with a remedy.

The codes are those of DCMI, the library that npu-smi asks. Sources: hicann/driver docs/en/Ascend_910B_DCMI_API
(return-codes.md) and src/custom/dev_prod/user/npucli/src/npu_smi.c; what they come from in containers:
vllm-project/vllm-ascend#2698, #632, #9490, Ascend/cann-container-image#46, Project-HAMi/ascend-device-plugin#139.
"""

from __future__ import annotations

import re

from selfhost.messages import Message

_CODE = re.compile(r"(?:failed\b|err is|ret is|ret =|ret=)[^\n]{0,120}?(-8[0-9]{3})\b")
_CODES = {
    "-8002": "hardware.npu_not_permitted",
    "-8005": "hardware.npu_held",
    "-8006": "hardware.npu_no_answer",
    "-8007": "hardware.npu_not_there",
    "-8008": "hardware.npu_not_there",
    "-8009": "hardware.npu_no_answer",
    "-8010": "hardware.npu_no_answer",
    "-8011": "hardware.npu_no_answer",
    "-8012": "hardware.npu_not_ready",
    "-8013": "hardware.npu_not_in_container",
    "-8015": "hardware.npu_no_answer",
    "-8016": "hardware.npu_not_ready",
    "-8017": "hardware.npu_upgrading",
    "-8020": "hardware.npu_occupied",
    "-8255": "hardware.npu_not_queried",
}
_PHRASES = (
    ("no npu card", "hardware.npu_none"),
    ("error while loading shared libraries", "hardware.npu_no_library"),
    ("cannot open shared object file", "hardware.npu_no_library"),
    ("permission denied", "hardware.npu_not_run"),
    ("exec format error", "hardware.npu_not_run"),
)
_SHOWN = 160


def explain(said: str) -> Message:
    """The message for what npu-smi said instead of a table."""
    if found := _CODE.search(said):
        return Message(_CODES.get(found[1], "hardware.npu_dcmi_failed"), {"code": found[1]})
    lines = [line.strip() for line in said.splitlines() if any(map(str.isalnum, line))]
    for phrase, message_id in _PHRASES:
        if line := next((line for line in lines if phrase in line.lower()), None):
            return Message(message_id, {"detail": shown(line)})
    return Message("hardware.npu_failed", {"detail": shown(lines[0] if lines else "no output")})


def shown(line: str) -> str:
    """The beginning of a line, without what is not printable."""
    return "".join(c if c.isprintable() else "?" for c in line[:_SHOWN])
