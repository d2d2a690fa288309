"""Hands an image to Docker, Podman or containerd: as a tar on its standard input, with no file in between.

The tar is an OCI image layout. For Docker it has the list of `docker save` too: without containerd's store Docker reads
nothing else. Source: moby, image/tarexport/load.go; containers/image, oci/archive; containerd, core/images/archive.
"""

from __future__ import annotations

import contextlib
import io
import platform
import shutil
import subprocess
import tarfile
import tempfile
from enum import StrEnum
from typing import IO, TYPE_CHECKING

from selfhost.bundle import images, layout
from selfhost.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.bundle.image_store import StoredImage

_BUFFER_BYTES = 1 << 20
_SAID_BYTES = 2000
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Program(StrEnum):
    """Who takes images."""

    DOCKER = "docker"
    PODMAN = "podman"
    CONTAINERD = "containerd"


_ARGV = {
    Program.DOCKER: ("docker", "load"),
    Program.PODMAN: ("podman", "load"),
    # Kubernetes looks in this namespace only.
    Program.CONTAINERD: ("ctr", "-n", "k8s.io", "images", "import", "-"),
}


def command(program: Program) -> str:
    """What is run, for people."""
    return " ".join(_ARGV[program])


def check_program(program: Program) -> None:
    """Raises MissingError where it is not installed."""
    tool = _ARGV[program][0]
    if shutil.which(tool) is None:
        raise MissingError("image.no_program", program=program.value, tool=tool)


def load(stored: StoredImage, program: Program, tick: Callable[[int], None]) -> None:
    """Let a program take an image. tick: gets bytes as they are handed over.

    Raises MissingError with what it said when it does not; it does not outlive an interruption.
    """
    check_program(program)
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(list(_ARGV[program]), stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT)
        try:
            assert child.stdin is not None
            # A program that ends early tells why by what it says and its exit status.
            with contextlib.suppress(BrokenPipeError), child.stdin:
                write_archive(stored, child.stdin, tick, docker=program is Program.DOCKER)
            status = child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        if status:
            said.seek(max(said.seek(0, io.SEEK_END) - _SAID_BYTES, 0))
            lines = said.read().decode(errors="replace").strip()
            name, ran = stored.image.entry.name, command(program)
            raise MissingError("image.not_loaded", command=ran, name=name, status=status, lines=lines)


def write_archive(stored: StoredImage, out: IO[bytes], tick: Callable[[int], None], *, docker: bool) -> None:
    """Write the tar of one image: the same image gives the same bytes."""
    image = stored.image
    small = images.own_layout(image.entry)
    if docker and (listed := images.docker_list(image, host_platform())):
        small["manifest.json"] = listed
    with tarfile.open(fileobj=out, mode="w|", bufsize=_BUFFER_BYTES) as archive:
        for name, data in small.items():
            archive.addfile(_member(name, len(data)), io.BytesIO(data))
        for sha256, size in sorted(image.contents.items()):
            name = layout.blob_path(sha256)
            with (stored.directory / name).open("rb") as stream:
                archive.addfile(_member(name, size), _Ticking(stream, tick))


def host_platform() -> str:
    """`linux/amd64`."""
    machine = platform.machine()
    return f"linux/{_MACHINES.get(machine, machine)}"


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member


class _Ticking:
    """A file that tells how much was read of it."""

    def __init__(self, stream: IO[bytes], tick: Callable[[int], None]) -> None:
        self._stream, self._tick = stream, tick

    def read(self, count: int = -1, /) -> bytes:
        data = self._stream.read(count)
        self._tick(len(data))
        return data
