"""Runs pip as a child that writes to a log file, and follows that file: progress, and no child left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from selfhost.engines.pip_output import Phase, PipOutput, Progress
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import IO, BinaryIO

_POLL_S = 0.2
_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)
_TERMINATE_S = 5.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class PipRun:
    """What one installation hands to each run of pip."""

    target: Path
    """The environment; `target/tmp` is where pip puts what it downloads."""
    log: Path
    env: Mapping[str, str]
    packages: int
    """Entries of the lock."""
    report: Callable[[Progress], None]

    def __call__(self, argv: Sequence[str]) -> tuple[int, PipOutput]:
        """Run it to its end; returns the exit status and what it said. An interruption ends pip before it goes on."""
        output = PipOutput(self.packages)
        before = _installed(self.target)
        with self.log.open("ab") as stream, self.log.open("rb") as reader:
            reader.seek(0, os.SEEK_END)
            with child(argv, stdout=stream, env=self.env) as process:
                while process.poll() is None:
                    self._follow(reader, output, before)
                    time.sleep(_POLL_S)
                self._follow(reader, output, before)
        return process.returncode, output

    def _follow(self, reader: BinaryIO, output: PipOutput, before: int) -> None:
        for line in iter(reader.readline, b""):
            if not line.endswith(b"\n"):
                reader.seek(-len(line), os.SEEK_CUR)
                break
            output.feed(line.decode(errors="replace").rstrip())
        installing = output.phase is Phase.INSTALL
        self.report(
            Progress(
                phase=output.phase,
                done=_installed(self.target) - before if installing else output.collected,
                total=output.total,
                item=output.item,
                item_done_bytes=_size(self.target / "tmp", output.item) if output.item_bytes else None,
                item_bytes=output.item_bytes,
            )
        )


def captured(argv: Sequence[str], env: Mapping[str, str]) -> tuple[int, PipOutput]:
    """Run pip, or what makes a pip, to its end; the exit status and what it said."""
    done = subprocess.run(
        argv,
        check=False,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    output = PipOutput(0)
    for line in done.stdout.splitlines():
        output.feed(line)
    return done.returncode, output


def _installed(target: Path) -> int:
    """Packages in the environment; pip writes one `dist-info` folder after the other."""
    return sum(1 for _ in target.glob("lib/python3*/site-packages/*.dist-info"))


def _size(folder: Path, file_name: str) -> int | None:
    """Bytes of a file that pip is downloading; None when it cannot be found."""
    for path in folder.glob(f"pip-unpack-*/{file_name}"):
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None
    return None


@contextlib.contextmanager
def child(argv: Sequence[str], stdout: IO[bytes], env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that does not outlive this block, nor selfhost, with all that it started."""
    # An interruption while the process is started would leave it to nobody: it waits until the process is ours to end.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
    try:
        # Its own session: Ctrl-C on the terminal reaches selfhost alone, which then ends the whole group and clears up.
        process = subprocess.Popen(
            argv,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 (there are no threads here)
        )
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield process
        finally:
            if process.poll() is None:
                _end(process)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _die_with_parent() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTIONS)
    # selfhost killed with SIGKILL cannot end pip; without this it would go on filling a folder that nobody waits for.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    # The group is the child's own, and the child is not yet reaped: the number cannot be anybody else's.
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_TERMINATE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
