"""A process that moves one file and is killed while it does: `python -m tests.weights.move_child URL FOLDER SHA256`."""

from __future__ import annotations

import sys
from pathlib import Path

from selfhost.weights.move.pool import move_all
from selfhost.weights.move.types import MoveOptions, Transfer
from selfhost.weights.remote import Address


class Quiet:
    """A `Progress` that says nothing but notes."""

    def started(self, path, size, have):
        pass

    def moved(self, path, n_bytes):
        pass

    def lost(self, path, n_bytes):
        print("lost", n_bytes, flush=True)

    def note(self, path, text):
        print(text, flush=True)

    def done(self, path):
        pass


def main(url: str, folder: Path, *digests: str) -> None:
    transfers = [
        Transfer(
            path=f"f{number}",
            part=folder / f"{number}.part",
            size=None,
            sha256=digest,
            git_sha1=None,
            address=lambda number=number: Address(url=f"{url}/f{number}", headers={}),
            present=(folder / f"final{number}").exists,
        )
        for number, digest in enumerate(digests)
    ]

    def take(transfer, moved):
        if moved:
            transfer.part.rename(folder / f"final{transfer.part.stem}")

    move_all(transfers, MoveOptions(), Quiet(), take)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
