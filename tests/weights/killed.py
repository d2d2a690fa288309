"""Does something to a store and is killed at the first, second, third ... change of a file; looks after it each time.

    python -m tests.weights.killed ACTION DIR      prints how many points there were; an assertion fails otherwise

Each time a child is forked that sends itself SIGKILL from an audit hook; no thread runs here, so forking is safe.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.weights import inventory, reclaim, repair, store
from selfhost.weights.blobs import Blobs
from selfhost.weights.digest import PIECE_BYTES
from tests.weights.storage_support import Source, big, flip, put, sha

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = {"os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "open"}
BIG = big(size=PIECE_BYTES + 100)
OLD = {"a": b"old", "sub/same": b"same", "w": BIG}
NEW = {"a": b"new!", "sub/same": b"same", "w": BIG}
OTHER = {"same": b"same", "w": BIG}

left = [0]
under = [""]


def hook(event: str, args: tuple) -> None:
    if left[0] and event in EVENTS and str(args[0]).startswith(under[0]):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_at(point: int, home: Path, action: Callable[[Path], None]) -> bool:
    """Run in a child that dies at this point; False when the action has fewer points."""
    pid = os.fork()
    if pid == 0:
        under[0], left[0] = str(home), point
        action(home)
        left[0] = 0
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, "the action failed"
        return False
    assert os.WTERMSIG(status) == signal.SIGKILL
    return True


def nobody() -> None:
    raise AssertionError("nobody else is there")


def at(home: Path) -> tuple[Path, Path, Blobs]:
    return home / "models" / "tiny" / "bf16", home / "models", Blobs(home / "blobs")


def content(directory: Path) -> dict[str, bytes]:
    """Files of a model that is whole by its lock."""
    with store.hold(directory, nobody):
        lock = store.look_up(directory)
    assert lock is not None
    found = {file.path: (directory / file.path).read_bytes() for file in lock.files}
    assert all(sha(found[file.path]) == file.sha256 for file in lock.files)
    assert set(store.entries(directory)) == {*found, store.LOCK_NAME}
    return found


def collected(home: Path) -> None:
    """Whatever happened, `gc` leaves what models have, and nothing else."""
    directory, models, blobs = at(home)
    reclaim.collect(models, blobs, reclaim.GcOptions(partials_before=float("inf")))
    found = inventory.take(models, blobs)
    assert all(one.state is inventory.State.WHOLE for one in found.models)
    named = inventory.used_by(store.directories(models)).sha256
    assert set(blobs.digests()) == named
    assert list((home / "blobs").glob("partial/*")) == []
    assert list(blobs.strays()) == []
    assert [path.name for path in directory.parent.iterdir() if path.name.count("-")] == []


# What is done, from where, and what must hold


def publish(home: Path) -> None:
    put(home, NEW)


def published(home: Path) -> None:
    assert content(at(home)[0]) in (OLD, NEW)
    publish(home)
    assert content(at(home)[0]) == NEW


def first_publish(home: Path) -> None:
    put(home, NEW, variant="first")


def first_published(home: Path) -> None:
    directory = home / "models" / "tiny" / "first"
    assert not directory.exists() or content(directory) == NEW
    first_publish(home)
    assert content(directory) == NEW


def gc(home: Path) -> None:
    _, models, blobs = at(home)
    reclaim.collect(models, blobs, reclaim.GcOptions(partials_before=float("inf")))


def gone_too(home: Path) -> None:
    assert content(at(home)[0]) == OLD


def rm(home: Path) -> None:
    directory, models, blobs = at(home)
    reclaim.remove_models([directory], models, blobs, nobody, dry_run=False)


def removed(home: Path) -> None:
    directory = at(home)[0]
    assert not directory.exists() or content(directory) == OLD


def mend(home: Path) -> None:
    directory, models, blobs = at(home)
    bench = repair.Bench(
        directory=directory,
        models=models,
        blobs=blobs,
        open_source=lambda: Source(OLD),
        progress=lambda _path, _count: None,
        waiting=nobody,
    )
    (file,) = (file for file in store.read_lock(directory).files if file.path == "w")
    with blobs.in_use():
        repair.repair_file(bench, file)


def mended(home: Path) -> None:
    damaged = (at(home)[0] / "w").read_bytes()
    assert len(damaged) == len(BIG)
    mend(home)
    assert content(at(home)[0]) == OLD
    assert content(home / "models" / "other" / "bf16") == OTHER


def build(home: Path, action: str) -> None:
    shutil.rmtree(home, ignore_errors=True)
    directory = put(home, OLD)
    put(home, OTHER, name="other")
    if action == "gc":
        shutil.rmtree(put(home, {"x": b"x", "y": big(7, PIECE_BYTES + 1)}, name="unwanted"))
        part = Blobs(home / "blobs").part("k")
        part.write_bytes(b"x")
        part.with_suffix(".json").write_text("{}")
    if action == "repair":
        flip(directory / "w", 5)


ACTIONS = {
    "publish": (publish, published),
    "first publish": (first_publish, first_published),
    "gc": (gc, gone_too),
    "rm": (rm, removed),
    "repair": (mend, mended),
}


def main(action: str, folder: Path) -> None:
    do, holds = ACTIONS[action]
    sys.addaudithook(hook)
    point, went_on = 0, True
    while went_on:
        point += 1
        build(folder, action)
        went_on = killed_at(point, folder, do)
        holds(folder)
        collected(folder)
    print(point - 1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
