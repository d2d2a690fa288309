"""Machines that share a wire: network namespaces with nothing in them but loopback and `eth0`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_UP = (["link", "set", "eth0", "up"], ["link", "set", "lo", "up"])
ASKER = Path(__file__).with_name("asker.py")


@dataclass(frozen=True)
class Machine:
    """One of them; it lasts as long as its process does."""

    address: str
    process: subprocess.Popen[bytes]

    @property
    def enter(self) -> list[str]:
        """What stands before a command that runs there."""
        return ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", "--"]

    def ask(self, host: str, port: int, *requests: dict) -> list[tuple[int, str]]:
        """Status and body of requests that are made there."""
        command = [*self.enter, sys.executable, str(ASKER), host, str(port)]
        done = subprocess.run(command, input=json.dumps(requests), capture_output=True, text=True, check=True)
        return [(status, body) for status, body in json.loads(done.stdout)]


@contextlib.contextmanager
def two_machines():
    """Two, with addresses on one wire. Needs root."""
    holders = [subprocess.Popen(["unshare", "-n", "sleep", "infinity"]) for _ in range(2)]
    try:
        for holder in holders:
            _wait_for_namespace(holder)
        first, second = (Machine(f"10.77.0.{n + 1}", holder) for n, holder in enumerate(holders))
        ends = [["eth0", "netns", str(holder.pid)] for holder in holders]
        subprocess.run(["ip", "link", "add", *ends[0], "type", "veth", "peer", "name", *ends[1]], check=True)
        for machine in (first, second):
            for words in (["addr", "add", f"{machine.address}/24", "dev", "eth0"], *_UP):
                subprocess.run([*machine.enter, "ip", *words], check=True)
        yield first, second
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()


def _wait_for_namespace(holder: subprocess.Popen[bytes]) -> None:
    ours = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{holder.pid}/ns/net").readlink() == ours:
        assert time.monotonic() < deadline, "no network namespace"
        time.sleep(0.01)
