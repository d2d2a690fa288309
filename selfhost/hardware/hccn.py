"""What `hccn_tool` says of the network ports of NPUs: text in, records out. Nodes reach each other through them.

    hccn_tool -i 0 -link -g         link status: UP
    hccn_tool -i 0 -net_health -g   net health status: Success
    hccn_tool -i 0 -ip -g           ipaddr:192.0.2.10, and `netmask:` on a line of its own
    hccn_tool -i 0 -gateway -g      default gateway:192.0.2.1, Iface:eth0
    hccn_tool -i 0 -netdetect -g    netdetect address: 192.0.2.1   (newer drivers: `netdetect addr:`)
    hccn_tool -i 0 -tls -g          dev_id:0, tls switch[0](0:disable, 1:enable), ...
    hccn_tool -i 0 -lldp -g         Ifname: 200GE3/10/0:2          (the switch's port; with `System Name TLV`)
    hccn_tool -i 0 -vnic -g         vnic link status: UP, `vnic ipaddr: ...`   (A3: within a super pod)

`-i` takes the physical id, 0 to 7 on A2 and 0 to 15 on A3. Layouts: hicann/driver (hccn_tool), Ascend/mind-cluster
(ascend-faultdiag), vllm-ascend docs/source/installation.md. Other chips have no such ports: 310P none at all, 950 a
fabric of another kind.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_COMMON = ("link", "net_health", "ip", "gateway", "netdetect", "tls", "lldp")
QUESTIONS: Mapping[str, tuple[str, ...]] = {"A2": _COMMON, "A3": (*_COMMON, "vnic")}
"""By chip family, what to ask of each device; a family that is not here has nothing to ask."""
_ADDRESS = r"(\d{1,3}(?:\.\d{1,3}){3})"
_FIELDS: Mapping[str, tuple[tuple[str, re.Pattern[str]], ...]] = {
    "link": (("link", re.compile(r"^\s*link status\s*:\s*(\w+)", re.MULTILINE)),),
    "net_health": (("net_health", re.compile(r"^\s*net health status\s*:\s*(\w[\w ]*)", re.MULTILINE)),),
    "ip": (
        ("ip", re.compile(rf"^\s*ipaddr\s*:\s*{_ADDRESS}", re.MULTILINE)),
        ("netmask", re.compile(rf"^\s*netmask\s*:\s*{_ADDRESS}", re.MULTILINE)),
    ),
    "gateway": (("gateway", re.compile(rf"^\s*default gateway\s*:\s*{_ADDRESS}", re.MULTILINE)),),
    "netdetect": (("netdetect", re.compile(rf"^\s*netdetect addr(?:ess)?\s*:\s*{_ADDRESS}", re.MULTILINE)),),
    "tls": (("tls", re.compile(r"tls switch\s*\[([01])\]")),),
    "lldp": (
        ("switch_port", re.compile(r"^\s*Ifname\s*:\s*(\S+)", re.MULTILINE)),
        ("switch", re.compile(r"^\s*System Name TLV\s*\n\s*(\S[^\n]*)", re.MULTILINE)),
    ),
    "vnic": (
        ("vnic_link", re.compile(r"^\s*vnic link status\s*:\s*(\w+)", re.MULTILINE)),
        ("vnic_ip", re.compile(rf"^\s*vnic ipaddr\s*:\s*{_ADDRESS}", re.MULTILINE)),
        ("vnic_netmask", re.compile(rf"^\s*vnic netmask\s*:\s*{_ADDRESS}", re.MULTILINE)),
    ),
}
_MOST_TOLD, _PAIR = 160, 2
_UNSET = "0.0.0.0"  # noqa: S104 - what the tool prints for an address that is not set


@dataclass(frozen=True, kw_only=True, slots=True)
class HccnDevice:
    """The network port of one NPU. None: not asked, or not told."""

    index: int
    """The physical id, which `hccn_tool -i` takes."""
    link: str | None = None
    """`UP`, `DOWN`."""
    net_health: str | None = None
    """`Success`, or why the port does not reach the address it is to try (`netdetect`)."""
    ip: str | None = None
    netmask: str | None = None
    gateway: str | None = None
    netdetect: str | None = None
    tls: bool | None = None
    switch: str | None = None
    """The neighbour by its own name."""
    switch_port: str | None = None
    vnic_link: str | None = None
    vnic_ip: str | None = None
    vnic_netmask: str | None = None
    told: tuple[tuple[str, str], ...] = ()
    """Questions that were answered with something else, and the first line of that."""

    def as_dict(self) -> dict[str, Any]:
        """For reports; `device_from` reads it."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "told"}
        return {**found, "told": dict(self.told)}


def device_from(value: object) -> HccnDevice | None:
    """A device out of a report; None when it is not one. What has another type than it should counts as not told."""
    if not isinstance(value, dict) or type(value.get("index")) is not int:
        return None
    texts = {
        name: said
        for name in HccnDevice.__dataclass_fields__
        if name not in {"index", "tls", "told"} and isinstance(said := value.get(name), str)
    }
    tls, told = value.get("tls"), value.get("told")
    pairs = told.items() if isinstance(told, dict) else told if isinstance(told, list) else ()
    answers = {str(pair[0]): str(pair[1]) for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == _PAIR}
    if (address := texts.get("ip")) is not None and not re.fullmatch(_ADDRESS, address):
        # Taken out before the report was given away: there is one, and nobody knows which.
        answers["ip"] = texts.pop("ip")
    return HccnDevice(
        index=value["index"], tls=tls if isinstance(tls, bool) else None, told=tuple(answers.items()), **texts
    )


def from_saved(text: str) -> tuple[HccnDevice, ...]:
    """Devices out of what another node saved: JSON with their records anywhere in it, a terminal's text, hccn.conf.

    Nothing in it is an error: of a text that is none of these there are no devices.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return from_text(text) or from_conf(text)
    found = {device.index: device for device in _in_json(value)}
    return tuple(found[index] for index in sorted(found))


def _in_json(value: object) -> Iterator[HccnDevice]:
    """Records of devices in a list; those of several lists are of several nodes, and only the first list counts."""
    waiting = [value]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, list) and (devices := [device for part in one if (device := _device_record(part))]):
            yield from devices
            return
        waiting += one if isinstance(one, list) else one.values() if isinstance(one, dict) else []


def _device_record(value: object) -> HccnDevice | None:
    """Only a whole record: others have an `index`, too."""
    whole = isinstance(value, dict) and {"net_health", "vnic_ip"} <= value.keys()
    return device_from(value) if whole else None


def read(device: HccnDevice, question: str, output: str) -> HccnDevice:
    """The device with what the tool said to one question."""
    found: dict[str, Any] = {}
    for name, pattern in _FIELDS.get(question, ()):
        if match := pattern.search(output):
            said = match[1].strip()
            found[name] = said == "1" if name == "tls" else None if said == _UNSET else said
    if found:
        return replace(device, **found)
    lines = [line.strip() for line in output.splitlines() if any(c.isalnum() for c in line)]
    first = "".join(c if c.isprintable() else "?" for c in (lines[0] if lines else "no output")[:_MOST_TOLD])
    return replace(device, told=(*device.told, (question, first)))


def from_answers(index: int, answers: Mapping[str, str]) -> HccnDevice:
    """The device with what the tool said to each question."""
    device = HccnDevice(index=index)
    for question, output in answers.items():
        device = read(device, question, output)
    return device


def from_conf(content: str) -> tuple[HccnDevice, ...]:
    """What /etc/hccn.conf sets, where there is no tool: `address_0=`, `netmask_0=`, `gateway_0=`, `netdetect_0=`."""
    names = {"address": "ip", "netmask": "netmask", "gateway": "gateway", "netdetect": "netdetect"}
    found: dict[int, dict[str, Any]] = {}
    for line in content.splitlines():
        key, equals, value = line.strip().partition("=")
        kind, _, number = key.rpartition("_")
        if equals and kind in names and re.fullmatch(r"\d{1,4}", number) and re.fullmatch(_ADDRESS, value.strip()):
            found.setdefault(int(number), {})[names[kind]] = value.strip()
    return tuple(replace(HccnDevice(index=index), **values) for index, values in sorted(found.items()))


_QUESTION = r"-(link|net_health|ip|gateway|netdetect|tls|lldp|vnic)\b"
_ONE = re.compile(rf"hccn_tool\s+(?=.*-i\s+(\d{{1,3}})\b)(?=.*-g\b).*?{_QUESTION}")
_LOOP = re.compile(
    r"for\s+\w+\s+in\s+(?:\{(\d{1,4})\.\.(\d{1,4})\}|[`$(]*\s*seq\s+(\d{1,4})\s+(\d{1,4})).*?"
    rf"hccn_tool\s.*?{_QUESTION}"
)
_LONGEST_COMMAND = 500


def from_text(text: str) -> tuple[HccnDevice, ...]:
    """Devices out of a terminal's text: commands as above with what each said, or loops over devices.

    Of a loop the n-th answer is that of its n-th device, so a loop with another number of answers tells nothing.
    """
    found: dict[int, HccnDevice] = {}
    for indices, question, output in _commands(text):
        answers = [output] if len(indices) == 1 else _answers(question, output)
        if len(answers) == len(indices):
            for index, answer in zip(indices, answers, strict=True):
                found[index] = read(found.get(index, HccnDevice(index=index)), question, answer)
    return tuple(found[index] for index in sorted(found))


def _commands(text: str) -> Iterator[tuple[Sequence[int], str, str]]:
    """(devices, question, output) of each command in the text."""
    indices: Sequence[int] = ()
    question = ""
    output: list[str] = []
    for line in text.splitlines():
        if "hccn_tool" not in line or len(line) > _LONGEST_COMMAND:
            output.append(line)
            continue
        if question:
            yield indices, question, "\n".join(output)
        output, question = [], ""
        if loop := _LOOP.search(line):
            indices, question = range(int(loop[1] or loop[3]), int(loop[2] or loop[4]) + 1), loop[5]
        elif one := _ONE.search(line):
            indices, question = (int(one[1]),), one[2]
    if question:
        yield indices, question, "\n".join(output)


def _answers(question: str, output: str) -> list[str]:
    """The output of a loop, cut where the first field of a question begins again."""
    starts = [match.start() for match in _FIELDS[question][0][1].finditer(output)]
    return [output[start:end] for start, end in itertools.pairwise([*starts, len(output)])]
