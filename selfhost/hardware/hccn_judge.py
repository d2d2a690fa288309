"""Whether the network ports of NPUs let nodes reach each other: devices of one or more nodes in, findings out.

The checks are those of vllm-ascend docs/source/installation.md ("Verify Multi-Node Communication"), and equal TLS on
all nodes: with different switches the ranks wait for each other until a time limit ends them
(vllm-project/vllm-ascend#9447). On A3 the nodes of a super pod reach each other through HCCS; there the ports are
needed beyond it only, so what is wrong with them is a warning.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING

from selfhost.findings import Finding, Severity
from selfhost.hardware.sharing import ranges
from selfhost.messages import Message
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
    from ipaddress import IPv4Network

    from selfhost.hardware.hccn import HccnDevice

_GOOD = "Success"
_IDLE = ("Init", "Detect ip set")
"""Nothing was tried yet: usually no address is set to try (`netdetect`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HccnNode:
    """The ports of one machine."""

    name: str
    """As findings name it."""
    devices: tuple[HccnDevice, ...]


def judge(nodes: Sequence[HccnNode], family: str) -> list[Finding]:
    """What is wrong or not told on each node, and what does not match between them; errors first.

    Of one node alone all of it is a note: within a node NPUs reach each other without these ports.
    """
    serious = Severity.WARNING if family == "A3" else Severity.ERROR
    found = [finding for node in nodes for finding in _of_node(node, family, serious)]
    found += [*_tls(nodes), *_same_address(nodes, serious)]
    if len(nodes) > 1:
        found += [*_counts(nodes), *_subnets(nodes, serious)]
    else:
        found = [replace(finding, severity=Severity.NOTE) for finding in found]
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))


def _of_node(node: HccnNode, family: str, serious: Severity) -> Iterator[Finding]:
    if family == "A3":
        for members in _grouped(node.devices, lambda device: _bad_vnic(device) or None):
            yield _finding(Severity.ERROR, node, members, Message("hccn.vnic", {"state": _bad_vnic(members[0])}))
    for members in _grouped(node.devices, lambda device: None if device.link in {None, "UP"} else device.link):
        yield _finding(serious, node, members, Message("hccn.link_down", {"state": members[0].link}))
    yield from _health(node, serious)
    yield from _addresses(node, serious)
    for question, answer in dict.fromkeys(told for device in node.devices for told in device.told):
        members = [device for device in node.devices if (question, answer) in device.told]
        message = Message("hccn.not_told", {"question": question, "answer": answer})
        yield _finding(Severity.NOTE, node, members, message)


def _health(node: HccnNode, serious: Severity) -> Iterator[Finding]:
    # A port that is down cannot be healthy: one finding is enough.
    up = [device for device in node.devices if device.link in {None, "UP"}]
    for members in _grouped(up, lambda device: device.net_health):
        state = members[0].net_health
        if state in _IDLE:
            yield _finding(Severity.NOTE, node, members, Message("hccn.not_tried", {"state": state}))
        elif state != _GOOD:
            severity = Severity.WARNING if state == "Unknown" else serious
            yield _finding(severity, node, members, Message("hccn.health", {"state": state}))


def _addresses(node: HccnNode, serious: Severity) -> Iterator[Finding]:
    if missing := [
        device for device in node.devices if device.ip is None and device.link and "ip" not in dict(device.told)
    ]:
        yield _finding(serious, node, missing, Message("hccn.no_address"))
    for device in node.devices:
        network = _network(device)
        if network and device.gateway and _outside(device.gateway, network):
            values = {"gateway": device.gateway, "network": network}
            yield _finding(serious, node, [device], Message("hccn.gateway_outside", values))


def _outside(address: str, network: IPv4Network) -> bool:
    try:
        return IPv4Address(address) not in network
    except ValueError:
        return True


def _bad_vnic(device: HccnDevice) -> str:
    if device.vnic_link not in {None, "UP"}:
        return f"link {device.vnic_link}"
    return "no address" if device.vnic_link == "UP" and device.vnic_ip is None else ""


def _network(device: HccnDevice) -> IPv4Network | None:
    if device.ip is None or device.netmask is None:
        return None
    try:
        return IPv4Interface(f"{device.ip}/{device.netmask}").network
    except ValueError:
        return None


def _tls(nodes: Sequence[HccnNode]) -> Iterator[Finding]:
    """All ranks want the same; which one does not matter, and it does not matter at all on one node alone."""
    on, off = ("; ".join(filter(None, (_names(node, tls=tls) for node in nodes))) for tls in (True, False))
    if on and off:
        values = {"on": on, "off": off}
        yield Finding(severity=Severity.ERROR, where="TLS", message=Message("hccn.tls_differs", values))


def _names(node: HccnNode, *, tls: bool) -> str:
    members = [device for device in node.devices if device.tls is tls]
    return _where(node, members) if members else ""


def _same_address(nodes: Sequence[HccnNode], serious: Severity) -> Iterator[Finding]:
    owners: dict[str, list[str]] = {}
    for node in nodes:
        for device in node.devices:
            if device.ip:
                owners.setdefault(device.ip, []).append(_where(node, [device]))
    for address, names in owners.items():
        if len(names) > 1:
            values = {"address": address, "devices": "; ".join(names)}
            yield Finding(severity=serious, where=address, message=Message("hccn.same_address", values))


def _counts(nodes: Sequence[HccnNode]) -> Iterator[Finding]:
    counts = {node.name: len(node.devices) for node in nodes}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        yield Finding(severity=Severity.WARNING, where="nodes", message=Message("hccn.counts", {"counts": told}))


def _subnets(nodes: Sequence[HccnNode], serious: Severity) -> Iterator[Finding]:
    """Ports of one number on different nodes: in one network, or with a gateway out of theirs."""
    apart: list[int] = []
    routed: list[int] = []
    by_index: dict[int, list[HccnDevice]] = {}
    for node in nodes:
        for device in node.devices:
            by_index.setdefault(device.index, []).append(device)
    for index, members in by_index.items():
        networks = {network for device in members if (network := _network(device))}
        if len(networks) > 1:
            (routed if all(device.gateway for device in members if device.ip) else apart).append(index)
    if apart:
        yield Finding(severity=serious, where=f"NPU {ranges(apart)}", message=Message("hccn.apart"))
    if routed:
        yield Finding(severity=Severity.NOTE, where=f"NPU {ranges(routed)}", message=Message("hccn.routed"))


def _grouped(devices: Iterable[HccnDevice], key: Callable[[HccnDevice], Hashable]) -> list[list[HccnDevice]]:
    """Devices by what is the matter with them; those with nothing (None) are left out."""
    found: dict[Hashable, list[HccnDevice]] = {}
    for device in devices:
        if (value := key(device)) is not None:
            found.setdefault(value, []).append(device)
    return list(found.values())


def _where(node: HccnNode, devices: Sequence[HccnDevice]) -> str:
    return f"{node.name}: NPU {ranges([device.index for device in devices])}"


def _finding(severity: Severity, node: HccnNode, devices: Sequence[HccnDevice], message: Message) -> Finding:
    return Finding(severity=severity, where=_where(node, devices), message=message)
