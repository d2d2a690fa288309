"""Blobs to send, somebody who is told, and the real docker-registry where it is installed."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import random
import subprocess
import time

import bcrypt
import pytest

from selfhost.registry.client import Registry
from selfhost.registry.reference import parse_reference
from selfhost.registry.types import Blob, Options
from selfhost.serve.ports import free_port
from selfhost.weights.move.types import MoveOptions
from tests.standins.registry import PASSWORD, USER

REPOSITORY = "team/models"
QUICK = MoveOptions(backoff_s=0.0, backoff_max_s=0.0, attempts=4, stall_s=5.0)


def bytes_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def blob_of(data: bytes, name: str = "model.safetensors") -> Blob:
    def read(begin: int, end: int):
        for place in range(begin, end, 1 << 16):
            yield data[place : min(place + (1 << 16), end)]

    return Blob(name=name, sha256=hashlib.sha256(data).hexdigest(), size=len(data), read=read)


class Told:
    def __init__(self) -> None:
        self.done = 0
        self.lines: list[str] = []

    def moved(self, n_bytes: int) -> None:
        self.done += n_bytes

    def note(self, line: str) -> None:
        self.lines.append(line)


def client(host: str, *, chunk_bytes: int = 100_000, slept: list[float] | None = None, **options) -> Registry:
    reference = parse_reference(f"{host}/{REPOSITORY}")
    moving = options.pop("moving", QUICK)
    settings = Options(plain_http=True, chunk_bytes=chunk_bytes, moving=moving)
    noted = slept if slept is not None else []

    def nap(seconds: float) -> None:
        noted.append(seconds)
        time.sleep(min(seconds, 0.05))  # a real registry is done with what broke off after a moment only

    return Registry(reference, settings, sleep=nap, **options)


def pulled(registry, blob: Blob, told: Told) -> bytes:
    return b"".join(bytes(view) for view in registry.read_blob(REPOSITORY, blob.sha256, blob.size, told))


@contextlib.contextmanager
def run_registry(program, folder, *, password: bool = False):
    """The port of a real one, stopped at the end."""
    port = free_port("127.0.0.1")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "version: 0.1",
        "log: {level: error}",
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}",
        f"http: {{addr: '127.0.0.1:{port}', secret: x}}",
    ]
    if password:
        entry = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        (folder / "htpasswd").write_text(f"{USER}:{entry}\n")
        lines.append(f"auth: {{htpasswd: {{realm: here, path: {folder}/htpasswd}}}}")
    (folder / "config.yml").write_text("\n".join(lines))
    # It takes settings from variables, and REGISTRY_AUTH_FILE is another program's.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log, env=environ)
    try:
        _wait(port, process, folder / "log")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int, process, log) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/v2/")
            connection.getresponse().read()
            return
        time.sleep(0.05)
    pytest.fail(f"docker-registry did not start: {log.read_text()}")
