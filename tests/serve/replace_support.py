"""`replace` on fake engines, and a steady load on whatever stands in front of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import threading
from dataclasses import dataclass, field
from dataclasses import replace as changed

from selfhost.app import replace, serve, servers, start
from selfhost.planner.plan import PlanRequest
from tests.serve.serve_support import FAKE, QUICK, make_plan


class Replacing:
    """`replace` on fake engines."""

    def __init__(self, fakes, monkeypatch) -> None:
        self.fakes, self.home = fakes, fakes.home
        self.said: list[str] = []
        self.room = 2
        self.now_s = 0.0
        self.sleep = self._pass
        self.clock = lambda: self.now_s
        self.weights = lambda: "/models/tiny"
        monkeypatch.setattr(serve, "engine_command", lambda python, plan: (str(python), str(FAKE), *plan.argv[1:]))
        self._monkeypatch = monkeypatch

    def _pass(self, seconds):
        self.now_s += seconds

    def how(self, **how):
        """What the next engine does."""
        self._monkeypatch.setenv("FAKE_ENGINE", json.dumps(how))

    def tools(self, _request):

        class Named:
            name = "tiny"
            model_path = "/models/tiny"

        def plan(_model, asked):
            running = servers.running_generations(self.home, "tiny")
            blocked = () if len(running) < self.room else tuple(server.record.name for server in running)
            argv = ("vllm", "serve", "/models/tiny", "--host", asked.host, "--port", str(asked.port))
            made = make_plan(host=asked.host, port=asked.port, argv=argv, blocked_by=blocked)
            return changed(made, verdict="does_not_fit", reasons=("too little",)) if blocked else made

        found = type("Found", (), {"to_plan": lambda _self: Named()})()
        return serve.Tools(
            resolve=lambda _target, _variant: found,
            make_plan=plan,
            engine_python=lambda _plan: sys.executable,
            ensure_weights=lambda _model, _engine: self.weights(),
            tell=self.said.append,
        )

    def means(self):
        return replace.Means(
            tools=self.tools,
            report=self.fakes.report(),
            tell=self.said.append,
            clock=self.clock,
            sleep=self.sleep,
            limits=QUICK,
        )

    def run(self, front=None, **wish):
        settings = wish.pop("settings", PlanRequest(host_is_free=True, port_is_free=True))
        return replace.run(self.home, replace.Wish(name="tiny", settings=settings, gateway=front, **wish), self.means())

    def beside(self, old):
        """A new one that serves beside the old one, as a replacement that is killed leaves them."""
        wish = replace.Wish(name="tiny", settings=PlanRequest(host_is_free=True, port_is_free=True))
        request = replace.request_for(old, wish, self.means())
        record, orders = serve.claim(self.home, request, serve.prepare(self.home, request, self.tools(request)))
        return start.run_detached(self.home, record, orders, self.fakes.report())

    def states(self) -> dict[str, str]:
        found, _ = servers.list_servers(self.home)
        return {server.record.name: server.state.value for server in found}


@dataclass
class Load:
    """Clients that ask one after the other until told to stop: half of them for streams, some on kept connections."""

    port: int
    key: str
    model: str
    max_tokens: int = 64
    pause_s: float = 0.0
    """Between two questions: an engine on few cores that never rests leaves the one that starts beside it none."""
    whole: int = 0
    again: int = 0
    """Asked twice, as every client library does, because a kept connection was closed before a byte of an answer."""
    failed: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def running(self, clients: int):
        """With that many clients."""
        kinds = [{"stream": number % 2 == 0, "keep": number % 4 > 1} for number in range(clients)]
        threads = [threading.Thread(target=self._client, kwargs=kind) for kind in kinds]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(60)

    def _client(self, *, stream: bool, keep: bool) -> None:
        connection = None
        while not self._stop.is_set():
            self._stop.wait(self.pause_s)
            fresh = connection is None
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                problem = self._ask(connection, stream=stream)
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                connection = None
                if not fresh and isinstance(
                    error, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError
                ):
                    self.again += 1
                    continue
                problem = f"{type(error).__name__}: {error}"
            with self._lock:
                self.whole += problem is None
                self.failed += [problem] if problem else []
            if connection and not keep:
                connection.close()
                connection = None
        if connection:
            connection.close()

    def _ask(self, connection, *, stream: bool) -> str | None:
        """What was wrong with the answer."""
        body = {"model": self.model, "prompt": "x", "max_tokens": self.max_tokens, "stream": stream, "ignore_eos": True}
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            return f"{answer.status} {text[:200]}"
        if stream:
            return None if text.endswith("data: [DONE]\n\n") else f"cut: {text[-200:]}"
        tokens = json.loads(text)["usage"]["completion_tokens"]
        return None if tokens == self.max_tokens else f"{tokens} tokens of {self.max_tokens}"
