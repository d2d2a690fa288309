"""`bundle gc`: what imports that were given up, and bundles that nothing here needs any more, left in the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from selfhost.app import storage
from selfhost.bundle import image_store, wheelhouse
from selfhost.bundle.unpack import STAGED
from selfhost.errors import NoError
from selfhost.messages import word
from selfhost.records import dataclass
from selfhost.units import format_bytes
from selfhost.weights import store
from selfhost.weights.blobs import Blobs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from selfhost.home import Home
    from selfhost.weights.reclaim import Reclaimed


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """An import that waits for other volumes, or was interrupted."""

    name: str
    """Among the store's downloads."""
    id: str
    label: str
    begun_at: str
    """ISO 8601, UTC: when its last volume came."""
    there_bytes: int

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.label} ({self.id}), {format_bytes(self.there_bytes)} here, last volume {self.begun_at}"

    def as_dict(self) -> dict[str, Any]:
        """One of `forgotten` in JSON."""
        return {"id": self.id, "label": self.label, "begun_at": self.begun_at, "there_bytes": self.there_bytes}


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What the user asked for."""

    forget: tuple[str, ...] = ()
    """Ids or labels of staged imports that are given up."""
    remove: tuple[str, ...] = ()
    """Names of images, or of folders of wheelhouses and images."""
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """What was done, or would be."""

    reclaimed: Reclaimed
    forgotten: tuple[Staged, ...]

    def as_dicts(self) -> list[dict[str, Any]]:
        """`forgotten` of the JSON object."""
        return [one.as_dict() for one in self.forgotten]


def staged(home: Home) -> list[Staged]:
    """Imports that are not done."""
    blobs = Blobs(home.blobs)
    found = []
    for name, (begun_at, digests) in blobs.downloads().items():
        kind, _, rest = name.partition(" ")
        if kind != STAGED:
            continue
        bundle, _, label = rest.partition(" ")
        there = sum(blobs.path(sha256).stat().st_size for sha256 in digests if blobs.has(sha256))
        begun = datetime.fromtimestamp(begun_at, UTC).isoformat(timespec="seconds")
        found.append(Staged(name=name, id=bundle, label=label or bundle, begun_at=begun, there_bytes=there))
    return found


def run(home: Home, wanted: Wanted, waiting: Callable[[], None]) -> Collected:
    """Remove contents that no model, wheelhouse or image has.

    Raises NoError while an import is staged that is not given up, while one runs, and for names that are not here.
    """
    waits = staged(home)
    forgotten = tuple(one for one in waits if {one.id, one.label} & set(wanted.forget))
    known = {name for one in waits for name in (one.id, one.label)}
    if unknown := [name for name in wanted.forget if name not in known]:
        raise NoError("unpack.not_staged", name=unknown[0], listed=_listed(waits))
    if left := [one for one in waits if one not in forgotten]:
        raise NoError("unpack.staged", count=len(left), listed=_listed(left), first=left[0].id)
    folders = _folders(wanted.remove, home)
    freed = sum(_own_bytes(folder) for folder in folders)
    if not wanted.dry_run:
        # Before anything goes: who imports now counts on what is there.
        with Blobs(home.blobs).sole_use() as got:
            if not got:
                raise NoError("storage.pull_runs")
            for folder in folders:
                with store.hold(folder, waiting):
                    store.remove(folder)
    done = storage.gc(home, partials=False, dry_run=wanted.dry_run, given_up=[one.name for one in forgotten])
    return Collected(
        reclaimed=replace(done, leftovers=(*folders, *done.leftovers), freed_bytes=done.freed_bytes + freed),
        forgotten=forgotten,
    )


def _listed(waits: Sequence[Staged]) -> str:
    return "\n".join(one.line for one in waits) or word("none")


def _folders(names: Sequence[str], home: Home) -> list[Path]:
    """What these names mean. Raises NoError."""
    known = {path.name: path for path, _ in wheelhouse.stored(home.wheelhouses)}
    known |= {path.name: path for path, _ in wheelhouse.stored(home.images)}
    known |= {one.image.entry.name: one.directory for one in image_store.stored(home.images)}
    if unknown := [name for name in names if name not in known]:
        raise NoError("unpack.nothing_so_called", name=unknown[0], listed=", ".join(sorted(known)) or word("none"))
    return list(dict.fromkeys(known[name] for name in names))


def _own_bytes(folder: Path) -> int:
    """What goes with it: files that have no other name; what the store has a name of is counted when that goes."""
    return sum(info.st_size for info in store.entries(folder).values() if info.st_nlink == 1)
