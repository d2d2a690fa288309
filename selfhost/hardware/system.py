"""The machine to ask: its files, its tools, and calls that end in time. Tests give another root, PATH and NVML."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from selfhost.messages import Message

CALL_LIMIT_S = 5.0
NPU_LIMIT_S = 8.0
"""npu-smi asks every device in turn: seconds on a machine with sixteen of them."""
TOTAL_LIMIT_S = 10.0
TORCH_LIMIT_S = 30.0
"""Beside the total: torch_npu, which is only asked when npu-smi told nothing of NPUs that are there."""
_MOST_OUTPUT_BYTES = 4 << 20
_PCI_VENDORS = {"0x10de": "nvidia", "0x19e5": "huawei"}
_PCI_CLASSES = ("0x03", "0x12")
"""Display controllers and processing accelerators; network and storage controllers have other classes."""
_VENDOR_PATHS = ("/usr/local/bin", "/usr/local/sbin", "/usr/lib/wsl/lib")


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """Where to look and how long to wait."""

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    # -P: the script's folder must not be on the path, its types.py would hide the standard library's.
    nvml_argv: tuple[str, ...] = (sys.executable, "-P", str(Path(__file__).with_name("nvml.py")))
    health_argv: tuple[str, ...] = (sys.executable, "-P", str(Path(__file__).with_name("nvml_health.py")))
    call_limit_s: float = CALL_LIMIT_S
    npu_limit_s: float = NPU_LIMIT_S
    total_limit_s: float = TOTAL_LIMIT_S
    torch_limit_s: float = TORCH_LIMIT_S

    def at(self, path: str) -> Path:
        """An absolute path, under this machine's root."""
        return self.root / path.lstrip("/")

    def read(self, path: str | Path) -> str:
        """Text of a file; empty when it cannot be read."""
        try:
            return (self.at(path) if isinstance(path, str) else path).read_text(encoding="utf-8", errors="replace")
        except (OSError, ValueError):
            # ValueError: a zero byte in the path, which a damaged file may have named.
            return ""

    def find(self, tool: str) -> str | None:
        """Path of a tool, on PATH or where vendors put it."""
        extra = (str(self.at(path)) for path in _VENDOR_PATHS)
        return shutil.which(tool, path=os.pathsep.join([self.environ.get("PATH", os.defpath), *extra]))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool said within its limit, stdout and stderr together."""

    output: str
    returncode: int | None
    """None when it did not end in time, negative when a signal ended it."""


def accelerators_on_bus(system: System) -> dict[str, list[str]]:
    """Vendor -> PCI ids of its accelerators, driver or not."""
    found: dict[str, list[str]] = {}
    for device in sorted(system.at("/sys/bus/pci/devices").glob("*")):
        vendor = _PCI_VENDORS.get(system.read(device / "vendor").strip())
        if vendor and system.read(device / "class").startswith(_PCI_CLASSES):
            found.setdefault(vendor, []).append(system.read(device / "device").strip().lower())
    return found


class Asking:
    """Calls to the vendors' tools, the time they have together, and what went wrong."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.deadline = time.monotonic() + system.total_limit_s
        self.notes: list[Message] = []
        self.on_bus = accelerators_on_bus(system)

    def left_s(self, limit_s: float) -> float:
        """A limit, or what is left of the time when that is less."""
        return min(limit_s, self.deadline - time.monotonic())

    def ask(self, argv: Sequence[str], more: Mapping[str, str] | None = None, limit_s: float | None = None) -> Answer:
        """What a tool says within a limit: that of one call, and what is left of the time, if none is given."""
        limit_s = self.left_s(self.system.call_limit_s) if limit_s is None else limit_s
        return run(argv, {**self.system.environ, "LC_ALL": "C", **(more or {})}, limit_s)

    def traces(self, paths: Sequence[str]) -> bool:
        """Whether one of these is there."""
        return any(self.system.at(path).exists() for path in paths)


def run(argv: Sequence[str], environ: Mapping[str, str], limit_s: float) -> Answer:
    """Run a tool in its own session for `limit_s` seconds and 4 MiB of output at most; then it is killed.

    A process that cannot be killed, because it is stuck in the driver, is left behind and not waited for.
    """
    if limit_s <= 0:
        return Answer("", None)
    deadline = time.monotonic() + limit_s
    try:
        process = subprocess.Popen(
            argv,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Answer(str(error), 127)
    output = b""
    try:
        output, ended = _read(process, deadline)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()) if ended else 0.0)
    finally:
        if process.returncode is None:
            _kill(process)
        if process.stdout:
            process.stdout.close()
    code = None if process.returncode == -signal.SIGKILL else process.returncode
    if len(output) > _MOST_OUTPUT_BYTES:
        code = 1
    return Answer(output.decode("utf-8", errors="replace"), code)


def _read(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bool]:
    """(output until its end, the deadline or too much of it, whether it ended)."""
    output = b""
    descriptor = process.stdout.fileno() if process.stdout else -1
    while len(output) <= _MOST_OUTPUT_BYTES and (left := deadline - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            break
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            return output, True
        output += piece
    return output, False


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.5)
