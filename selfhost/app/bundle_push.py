"""`bundle push`: contents first, several at a time, then manifests, the name last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.app.bundle_shipment import Absent, lacking
from selfhost.bundle.modelpack import sha256_of
from selfhost.records import dataclass
from selfhost.registry.pool import run_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from selfhost.app.bundle_shipment import Shipment
    from selfhost.bundle.read import Bundle
    from selfhost.registry.client import Registry
    from selfhost.registry.types import Blob, Told

SCHEMA_VERSION = 1
_STREAMS = 4
"""Contents at a time. More make no line faster, and each is a piece of memory in the registry."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What was sent, and what was not because it was there."""

    bundle: Bundle
    kind: str
    shipments: tuple[Shipment, ...]
    how: dict[str, int]
    """Contents by `sent`, `there`, `mounted`."""
    sent_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """The contract of `bundle push --json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "bundle": self.bundle.info.id,
            "as": self.kind,
            "pushed": [
                {
                    "name": one.name,
                    "reference": str(one.reference),
                    "digest": f"sha256:{sha256_of(one.manifests[-1].data)}",
                    "referrers": [referrer["digest"] for referrer in one.referrers],
                }
                for one in self.shipments
            ],
            "contents": {"sent": 0, "there": 0, "mounted": 0, **self.how},
            "sent_bytes": self.sent_bytes,
        }


class _Told:
    """Nobody counts; notes go to users."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note = note

    def moved(self, n_bytes: int) -> None:
        """Manifests are small."""


def push(
    bundle: Bundle,
    shipments: Sequence[Shipment],
    registry: Registry,
    note: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> tuple[dict[str, int], int]:
    """Send everything; contents by how they came there, and bytes sent.

    What is at hand is sent even when something is lacking: another volume can follow. Raises IncompleteError for that,
    and whatever the registry gives reason for.
    """
    todo = [(one.reference.repository, blob) for one in shipments for blob in one.blobs]
    at_hand = [(where, blob) for where, blob in todo if not isinstance(blob, Absent)]
    at_hand.sort(key=lambda one: -one[1].size)
    # A content goes to one repository first; the others let it be mounted from there.
    first = {blob.sha256: (where, blob) for where, blob in reversed(at_hand)}
    rest = [one for one in at_hand if first[one[1].sha256][0] != one[0]]
    how: dict[str, int] = {}
    sent = 0
    for group in (sorted(first.values(), key=lambda one: -one[1].size), rest):
        for came, size in _send(group, registry, note, progress):
            how[came] = how.get(came, 0) + 1
            sent += size if came == "sent" else 0
    told = _Told(note)
    _check_absent(bundle, todo, registry, told)
    for one in shipments:
        _seal(one, registry, told)
    return how, sent


def _send(
    group: Sequence[tuple[str, Blob]],
    registry: Registry,
    note: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> list[tuple[str, int]]:
    def work(task: tuple[str, Blob], told: Told) -> tuple[str, int]:
        where, blob = task
        return registry.push_blob(where, blob, told), blob.size

    def show(done: int, lines: list[str]) -> None:
        for line in lines:
            note(line)
        progress(done, total)

    total = sum(blob.size for _, blob in group)
    return list(run_all(registry.halt, group, work, show, _STREAMS))


def _check_absent(bundle: Bundle, todo: Sequence[tuple[str, Blob | Absent]], registry: Registry, told: _Told) -> None:
    absent = [
        one
        for where, one in todo
        if isinstance(one, Absent) and not registry.has_blob(where, one.sha256, one.size, told)
    ]
    if absent:
        raise lacking(bundle, absent)


def _seal(shipment: Shipment, registry: Registry, told: _Told) -> None:
    repository = shipment.reference.repository
    known = True
    for one in shipment.manifests[:-1]:
        known &= registry.push_manifest(repository, one.wanted, one.data, one.media_type, told)
    last = shipment.manifests[-1]
    if shipment.referrers and not known:
        registry.add_referrers(repository, sha256_of(last.data), shipment.referrers, told)
    registry.push_manifest(repository, last.wanted, last.data, last.media_type, told)
