"""A rendered gateway (nginx) is pointed at another engine while it answers: one line in a file, a test, a reload.

nginx reloads by starting workers with the new configuration and letting the old ones finish what they have begun
(nginx.org, "Controlling nginx"). So once the old workers are gone, nothing that came in before still runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from selfhost import files
from selfhost.errors import MissingError, UsageError
from selfhost.render.gateway import ENGINE_LINE, engine_line
from selfhost.serve import process

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.serve.lifecycle import Identity

_PID = re.compile(r"^pid (\S+);", re.MULTILINE)
_INCLUDE = re.compile(r"upstream selfhost_engine \{\s*include (\S+);\s*\}")
_POLL_S = 0.05
_TEST_S = 30
_RELOAD_S = 15.0
"""For new workers to appear after a reload."""


class Gateway:
    """A running nginx that `selfhost gateway` made the configuration of."""

    def __init__(
        self,
        configuration: Path,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.configuration = Path(os.path.abspath(configuration))  # noqa: PTH100 - a link stays what it was called
        self._clock, self._sleep = clock, sleep
        try:
            text = self.configuration.read_text()
        except (OSError, ValueError) as error:
            raise UsageError("gateway.unreadable", path=configuration, detail=error) from error
        pid, include = _PID.search(text), _INCLUDE.search(text)
        if not pid or not include:
            raise UsageError("gateway.not_ours", path=configuration)
        self._pid_file, self.engine_file = Path(pid[1]), Path(include[1])
        self._old: set[Identity] = set()

    def port(self) -> int | None:
        """Of the engine it is pointed at; None when its file says something else."""
        try:
            found = ENGINE_LINE.fullmatch(self.engine_file.read_text())
        except (OSError, ValueError):
            return None
        return int(found["port"]) if found else None

    def check(self) -> None:
        """Raises MissingError as `point` would, as far as that can be told before."""
        self._test(self._master())

    def point(self, host: str, port: int) -> None:
        """Have new requests go there; those that run go on where they are.

        Raises MissingError when nginx does not run, does not take the configuration, or does not reload; then nothing
        has changed.
        """
        master = self._master()
        before = self.engine_file.read_bytes() if self.engine_file.exists() else None
        self._write(engine_line(host, port).encode())
        try:
            self._test(master)
            self._reload(master)
        except BaseException:
            if before is not None:
                self._write(before)
            raise

    def reload(self) -> None:
        """Have it read its files again. Raises MissingError as `point`."""
        master = self._master()
        self._test(master)
        self._reload(master)

    def old_workers(self) -> int:
        """How many workers still have requests from before the last reload."""
        self._old = {worker for worker in self._old if process.is_alive(worker)}
        return len(self._old)

    def _write(self, content: bytes) -> None:
        before = self.engine_file.stat() if self.engine_file.exists() else None
        with files.atomic_write(self.engine_file, stat.S_IMODE(before.st_mode) if before else 0o644) as stream:
            stream.write(content)
            if before and os.geteuid() == 0:
                os.fchown(stream.fileno(), before.st_uid, before.st_gid)

    def _master(self) -> psutil.Process:
        try:
            master = psutil.Process(int(self._pid_file.read_text()))
            if "nginx" in master.name():
                return master
        except (OSError, ValueError, psutil.Error):
            pass
        raise MissingError("gateway.not_running", path=self.configuration, pid_file=self._pid_file)

    def _test(self, master: psutil.Process) -> None:
        """As the user nginx runs as: a test by root would take nginx's own folders from that user."""
        argv = [master.exe(), "-t", "-q", "-e", "stderr", "-c", str(self.configuration)]
        root = os.geteuid() == 0
        try:
            done = subprocess.run(
                argv,
                check=False,
                capture_output=True,
                text=True,
                timeout=_TEST_S,
                cwd="/",
                user=master.uids().real if root else None,
                group=master.gids().real if root else None,
                extra_groups=[] if root else None,
            )
            failed, said = done.returncode != 0, done.stderr
        except (OSError, subprocess.TimeoutExpired) as error:
            failed, said = True, str(error)
        if failed:
            raise MissingError("gateway.refused", path=self.configuration, detail=said.strip())

    def _reload(self, master: psutil.Process) -> None:
        old = _workers(master)
        try:
            master.send_signal(signal.SIGHUP)
        except psutil.NoSuchProcess as error:
            raise MissingError("gateway.not_running", path=self.configuration, pid_file=self._pid_file) from error
        except psutil.AccessDenied as error:
            raise MissingError("gateway.not_allowed", path=self.configuration, pid=master.pid) from error
        until = self._clock() + _RELOAD_S
        while not _workers(master) - old:
            if self._clock() > until:
                raise MissingError("gateway.no_reload", path=self.configuration, seconds=int(_RELOAD_S))
            self._sleep(_POLL_S)
        self._old |= old


def _workers(master: psutil.Process) -> set[Identity]:
    """Those that are no zombies; empty when the master is gone."""
    with contextlib.suppress(psutil.Error):
        found = (process.identify(child.pid) for child in master.children())
        return {identity for identity in found if identity is not None}
    return set()
