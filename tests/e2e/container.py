"""A container without a container engine: an image's files in fresh namespaces, as podman would start it.

Read-only root, loopback only, no capabilities, no new privileges, its own process ids, the process itself as the first.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from pathlib import Path

_SET_UP = """
set -e
ip link set lo up
mount --make-rprivate /
mount --bind {image} {root}
mount -o remount,bind,ro {root}
mount -t proc proc {root}/proc
mount -t sysfs -o ro sysfs {root}/sys
mount -t tmpfs -o mode=755 tmpfs {root}/dev
for name in null zero full random urandom; do touch {root}/dev/$name; mount --bind /dev/$name {root}/dev/$name; done
mkdir {root}/dev/shm
mount -t tmpfs -o mode=1777 tmpfs {root}/dev/shm
mount -t tmpfs -o mode=1777 tmpfs {root}/tmp
{mounts}
cd /
exec env -i {env} {chroot} {root} {setpriv} --reuid {uid} --regid 0 --clear-groups --no-new-privs --inh-caps=-all \\
    --bounding-set=-all {argv}
"""


class Container:
    """`with Container(...) as running:`; ended when the block is left."""

    def __init__(self, image: Path, work: Path, config: dict, mounts: dict[str, tuple[Path, bool]], uid: int) -> None:
        """config: of the image (`Env`, `Entrypoint`); mounts: path in the container -> (path here, writable)."""
        self._work, self._config = work, config
        lines = []
        for target, (source, writable) in mounts.items():
            at = shlex.quote(f"{work / 'root'}{target}")
            lines.append(f"mount --bind {shlex.quote(str(source))} {at}")
            lines += [] if writable else [f"mount -o remount,bind,ro {at}"]
        self._values = {"image": image, "root": work / "root", "mounts": "\n".join(lines), "uid": uid}
        (work / "root").mkdir(parents=True, exist_ok=True)
        self.stdout, self.stderr = work / "stdout", work / "stderr"

    def start(self, *arguments: str) -> Container:
        """Start the image's entry point with arguments."""
        command = ["unshare", "--pid", "--fork", "--net", "--mount", "--kill-child"]
        script = self._script([*self._config["Entrypoint"], *arguments])
        with self.stdout.open("wb") as out, self.stderr.open("wb") as error:
            self._outer = subprocess.Popen(
                [*command, "sh", "-c", script], stdout=out, stderr=error, stdin=subprocess.DEVNULL
            )
        return self

    def _script(self, argv: list[str]) -> str:
        """What is run in the fresh namespaces."""
        values = self._values | {"env": shlex.join(self._config["Env"]), "argv": shlex.join(argv)}
        return _SET_UP.format(**values, chroot="/usr/sbin/chroot", setpriv="/usr/bin/setpriv")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._outer.poll() is None:
            self._outer.kill()
        self._outer.wait()

    @property
    def first(self) -> psutil.Process:
        """The container's process 1, as it is seen from outside."""
        (child,) = psutil.Process(self._outer.pid).children()
        return child

    def said(self) -> str:
        """What it has printed."""
        return self.stdout.read_text() + self.stderr.read_text()

    def wait_ready(self, seconds: float) -> None:
        """Until the server has said its address."""
        until = time.monotonic() + seconds
        while not self.stdout.read_text():
            assert self._outer.poll() is None, self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.2)

    def wait(self, seconds: float) -> int:
        """Its exit status."""
        return self._outer.wait(seconds)

    def ask(self, path: str, body: dict | None = None, key: str | None = None) -> tuple[int, str]:
        """A request from inside its network: status and body."""
        with self.open(path, body, key) as asked:
            text, _, status = asked.communicate()[0].rpartition("\n")
        return int(status or 0), text

    def open(self, path: str, body: dict | None = None, key: str | None = None) -> subprocess.Popen[str]:
        """The same while it is answered: what comes, and the status as the last line."""
        argv = ["nsenter", f"--net=/proc/{self.first.pid}/ns/net", "curl", "--silent", "--no-buffer"]
        argv += ["--max-time", "90", "--write-out", "\n%{http_code}", f"http://127.0.0.1:8000{path}"]
        argv += ["--header", f"Authorization: Bearer {key}"] if key else []
        if body is not None:
            argv += ["--header", "Content-Type: application/json", "--data", json.dumps(body)]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


class BuildahContainer(Container):
    """The same by `buildah run --isolation chroot`, which leaves processes and network to whoever starts it."""

    def __init__(self, name: str, work: Path, config: dict, mounts: dict[str, tuple[Path, bool]], uid: int) -> None:
        """name: of a working container of the image."""
        super().__init__(work, work, config, {}, uid)
        self._words = ["buildah", "run", "--isolation", "chroot", "--user", f"{uid}:0"]
        for target, (source, writable) in mounts.items():
            self._words += ["--volume", f"{source}:{target}{'' if writable else ':ro'}"]
        self._words += [name, "--"]

    def _script(self, argv: list[str]) -> str:
        # buildah reads /proc: it has to be the one of these process ids.
        return f"set -e; mount -t proc proc /proc; ip link set lo up; exec {shlex.join([*self._words, *argv])}"

    @property
    def first(self) -> psutil.Process:
        """The image's entry point; buildah has processes of its own before it, one with the image's user."""
        (entry, *_) = self._config["Entrypoint"]
        below = psutil.Process(self._outer.pid).children(recursive=True)
        below = [process for process in below if not process.name().startswith(("buildah", "memfd:"))]
        return next(process for process in below if entry in process.cmdline())
