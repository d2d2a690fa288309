"""The network ports of NPUs on several machines: what others saved, held against this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.errors import MissingError, UsageError
from selfhost.hardware import hccn
from selfhost.hardware.hccn_judge import HccnNode, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from selfhost.doctor.facts import AscendFacts
    from selfhost.findings import Finding

_MOST_BYTES = 64 << 20


def read_nodes(paths: Iterable[Path]) -> tuple[HccnNode, ...]:
    """Other machines: reports of `doctor --report`, terminals' texts with what hccn_tool said, or /etc/hccn.conf.

    Raises MissingError for a file that cannot be read, UsageError for one that tells of no port.
    """
    found = []
    for path in paths:
        try:
            with path.open("rb") as stream:
                said = stream.read(_MOST_BYTES)
        except OSError as error:
            raise MissingError("doctor.node_unread", path=path, detail=error.strerror) from error
        devices = hccn.from_saved(said.decode(errors="replace"))
        if not devices:
            raise UsageError("doctor.node_empty", path=path)
        found.append(HccnNode(name=path.name, devices=devices))
    return tuple(found)


def judge_nodes(facts: AscendFacts | None, family: str | None, others: Sequence[HccnNode]) -> list[Finding]:
    """What is wrong with the ports of this machine's NPUs, and between them and those of others.

    family: of this machine; where it has no NPUs, that of a super pod when the others tell of its ports.
    """
    here = (HccnNode(name="here", devices=facts.network),) if facts and facts.network else ()
    nodes = (*here, *others)
    in_pod = any(device.vnic_link for node in nodes for device in node.devices)
    return judge(nodes, family or ("A3" if in_pod else "A2")) if nodes else []
