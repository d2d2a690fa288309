"""`selfhost doctor`: asks this machine, and has the rules of `selfhost.doctor` judge it.

Nothing is changed, and nothing fails: what could not be asked is said. `log` reads a log instead, `report` writes what
others need to help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.app.detect import torch_npu_pythons
from selfhost.app.doctor import ascend, cuda
from selfhost.app.doctor.asking import Asking
from selfhost.app.doctor.host import host_facts
from selfhost.app.doctor.nodes import judge_nodes
from selfhost.app.doctor.weights import judge_plan, weights_of
from selfhost.app.model import resolve
from selfhost.app.servers import list_servers
from selfhost.doctor.examine import examine
from selfhost.doctor.facts import Engine, Facts
from selfhost.doctor.links import link
from selfhost.findings import Severity
from selfhost.hardware.probe import probe
from selfhost.messages import Message
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from selfhost.app.servers import Server
    from selfhost.findings import Finding
    from selfhost.hardware.hccn_judge import HccnNode
    from selfhost.hardware.system import System
    from selfhost.home import Home

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """What was asked, and what is wrong."""

    facts: Facts
    findings: tuple[Finding, ...]
    servers: tuple[Server, ...] = ()

    def count(self, severity: Severity) -> int:
        """How many findings there are of a kind."""
        return sum(finding.severity is severity for finding in self.findings)

    def as_dict(self) -> dict[str, object]:
        """The contract of `selfhost doctor --json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "captured_at": self.facts.snapshot.captured_at,
            "errors": self.count(Severity.ERROR),
            "warnings": self.count(Severity.WARNING),
            "notes": self.count(Severity.NOTE),
            "findings": [{**finding.as_dict(), "link": link(finding.message.id)} for finding in self.findings],
            "not_told": [message.what for message in self.facts.not_told],
        }


def examine_here(
    home: Home, model: str | None = None, system: System | None = None, nodes: Sequence[HccnNode] = ()
) -> Examined:
    """What is wrong with this machine; with `model`, also whether that runs here, and how long it takes to load.

    nodes: other machines whose NPUs' network is held against this one's.

    Raises UsageError for a model that does not exist.
    """
    asking = Asking(system)
    resolved = resolve(model) if model else None
    snapshot = probe(home.root, asking.system, torch_npu=lambda: torch_npu_pythons(home))
    servers, problems = list_servers(home)
    asking.not_told += [Message("doctor.servers_unread", {"detail": problem.what}) for problem in problems]
    host = host_facts(asking)
    pids = {identity.pid: server.record.name for server in servers for identity in server.members}
    npus = ascend.ascend_facts(asking, snapshot) if ascend.is_here(asking, snapshot) else None
    planned = judge_plan(resolved, model, snapshot) if resolved and model else ()
    facts = Facts(
        snapshot=snapshot,
        host=host,
        cuda=cuda.cuda_facts(asking, snapshot, pids, in_container=host.in_container)
        if cuda.is_here(asking, snapshot)
        else None,
        ascend=npus,
        servers=pids,
        engines=tuple(_engines(home)),
        weights=weights_of(resolved, model, home, asking.not_told) if resolved and model else None,
        judged=(*planned, *judge_nodes(npus, snapshot.host.soc_family, nodes)),
        not_told=tuple(asking.not_told),
    )
    return Examined(facts=facts, findings=examine(facts), servers=tuple(servers))


def _engines(home: Home) -> Iterator[Engine]:
    if not home.engines.is_dir():
        return
    from selfhost.engines.environment import find_all
    from selfhost.engines.specs import find_spec

    for found in find_all(home):
        if found.install:
            spec = find_spec(found.install)
            yield Engine(spec=spec, path=str(found.path), complete=found.complete, current=found.current)
