"""Mixed streaming load at the promised concurrency on the real CPU engine, for half an hour: is a stream ever lost?

Run as `make soak` or `python -m tests.bench.soak [MINUTES [OPTIONS OF serve]]`; SELFHOST_TEST_ENGINE_PYTHON names the
CPU engine's Python.
As many clients as the engine promised requests at once ask smollm2-135m, without a pause: short and long prompts, short
and long answers, Chinese and English, chat and plain completions; one in ten goes away in the middle of its answer.
Meanwhile the key is changed again and again, by rotation and by making the next one and revoking the last: streams that
were let in with it must come to their end. Logs roll at a small size.

Prints figures. Exit status 1 when a stream that was not cancelled ended without a finish_reason, `[DONE]`, or as many
tokens as its usage says; when a key that was ended still holds; when a cancelled request is still computed at the end;
or when memory is not flat (runs of 10 minutes and more: shorter ones only fill caches).
"""

from __future__ import annotations

import collections
import http.client
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import psutil

import selfhost
from selfhost.app import bench
from selfhost.app import key as key_commands
from selfhost.home import Home
from selfhost.serve import health, records, series
from tests.bench.soak_figures import FLAT_FRACTION, LostError, Memory, Stream

MODEL, NAME = "smollm2-135m", "soak"
# What two cores can do: all clients together get some tens of tokens a second. Few tokens in a step: the CPU engine
# keeps compiled products of matrices for each number of tokens that a step had (oneDNN for 1,024 of them, and vLLM 128
# a layer), some 300 KiB each: with 2,048 in a step they grow for half an hour, with 128 they are soon all there.
SETTINGS = ["--max-model-len", "2048", "--max-num-seqs", "16", "--max-num-batched-tokens", "128"]
FIRST_KEY = "soak"
ROTATES = hasattr(key_commands, "rotate")
KEEP_S = 6
LOG_SIZE = "16K"
"""Small, so that logs roll every few minutes, where they do."""
SILENCE_S = 300
SAMPLE_S = 5.0
SETTLE_S = 2.5
"""The door looks for changed keys every second."""
JUDGED_MINUTES = 10
TEXT = Path(selfhost.__file__).parent / "inside" / "selfhost_calibrate_text.txt"


def command(*arguments: str) -> str:
    """Standard output of a command of selfhost."""
    argv = [sys.executable, "-m", "selfhost", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Kind(NamedTuple):
    """A sort of request."""

    name: str
    letters: int
    """Of the prompt; about a third as many tokens in English, about as many in Chinese with this model."""
    max_tokens: int
    share: int
    cancelled: bool = False


KINDS = (
    Kind("short", 60, 48, 45),
    Kind("long prompt", 900, 32, 20),
    Kind("long answer", 60, 256, 20),
    Kind("cancelled", 300, 256, 15, cancelled=True),
)


class Prompts:
    """Text in two languages."""

    def __init__(self) -> None:
        passages = TEXT.read_text(encoding="utf-8").split("\n\n")
        chinese = [p for p in passages if sum("\u4e00" <= letter <= "\u9fff" for letter in p) > len(p) // 3]
        english = [p for p in passages if p.isascii()]
        self._texts = ["\n".join(chinese), "\n".join(english)]

    def make(self, rng: random.Random, letters: int) -> str:
        """Some of it, with a beginning that is its own."""
        text = rng.choice(self._texts)
        start = rng.randrange(len(text) - letters)
        return f"{rng.random()} {text[start : start + letters]}"


class Soak:
    """The load and what came of it."""

    def __init__(self, home: Home, minutes: float) -> None:
        self._home = home
        self.record = records.read(home, NAME)
        self.promise = bench.promise_of(home, self.record)
        self._until = time.monotonic() + 60 * minutes
        self._prompts = Prompts()
        self._lock = threading.Lock()
        self.counts: collections.Counter[str] = collections.Counter()
        self.tokens = 0
        self.problems: list[str] = []
        self.key, self.key_name = "", ""
        self.memory: dict[str, list[tuple[float, int]]] = collections.defaultdict(list)
        self.most_running = 0

    @property
    def over(self) -> bool:
        """Whether nothing new is asked."""
        return time.monotonic() >= self._until

    def run(self) -> None:
        """The whole time."""
        # Daemons: when the run is interrupted, nobody waits for them.
        work = [(self._client, (n,)) for n in range(self.promise.concurrency)] + [(self._rotate, ())]
        clients = [threading.Thread(target=target, args=args, daemon=True) for target, args in work]
        for client in clients:
            client.start()
        began, told = time.monotonic(), 0.0
        while any(client.is_alive() for client in clients):
            self._sample(time.monotonic() - began)
            if time.monotonic() - told > 60:
                told = time.monotonic()
                sizes = ", ".join(f"{name} {samples[-1][1] >> 20} MiB" for name, samples in self.memory.items())
                counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
                seconds = f"{time.monotonic() - began:6.0f} s"
                print(f"{seconds}  {counts or 'nothing yet'}; {sizes}; {len(self.problems)} problems", flush=True)
            time.sleep(SAMPLE_S)
        self.seconds = time.monotonic() - began
        self._check_nothing_runs()

    def _client(self, number: int) -> None:
        rng = random.Random(number)
        while not self.over:
            kind = rng.choices(KINDS, [kind.share for kind in KINDS])[0]
            try:
                tokens = self._ask(rng, kind)
            except (OSError, http.client.HTTPException, ValueError, LostError) as error:
                self._problem(f"lost: {kind.name}: {type(error).__name__}: {error}")
            else:
                with self._lock:
                    self.counts[kind.name] += 1
                    self.tokens += tokens

    def _ask(self, rng: random.Random, kind: Kind) -> int:
        body: dict[str, object] = {
            "model": self.record.served_model_name,
            "max_tokens": kind.max_tokens,
            "stream": True,
        }
        body |= {"stream_options": {"include_usage": True}, "return_token_ids": True}
        prompt = self._prompts.make(rng, kind.letters)
        if rng.random() < 0.7:
            path, body["messages"] = "/v1/chat/completions", [{"role": "user", "content": prompt}]
        else:
            path, body["prompt"] = "/v1/completions", prompt
        if kind.name == "long answer":
            body["ignore_eos"] = True
        goes_after = rng.randrange(1, 30) if kind.cancelled else None
        connection = http.client.HTTPConnection(self.record.host, self.record.port, timeout=SILENCE_S)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        try:
            connection.request("POST", path, json.dumps(body), headers)
            with connection.getresponse() as response:
                if response.status != http.HTTPStatus.OK:
                    msg = f"{response.status} {response.read()[:200]!r}"
                    raise LostError(msg)
                return self._read(response, goes_after)
        finally:
            connection.close()

    @staticmethod
    def _read(response: http.client.HTTPResponse, goes_after: int | None) -> int:
        stream = Stream()
        while line := response.readline():
            stream.feed(line)
            if goes_after is not None and stream.events >= goes_after:
                return stream.tokens
        stream.finish()
        return stream.tokens

    def _rotate(self) -> None:
        turns = itertools.cycle([self._rotated, self._revoked] if ROTATES else [self._revoked])
        while not self.over:
            old = self.key
            next(turns)()
            time.sleep(SETTLE_S)
            if (status := self._status(old)) != http.HTTPStatus.UNAUTHORIZED:
                self._problem(f"a key that was ended got {status}")
            if (status := self._status(self.key)) != http.HTTPStatus.OK:
                self._problem(f"a new key got {status}")
            with self._lock:
                self.counts["keys changed"] += 1
            time.sleep(5)

    def _rotated(self) -> None:
        """Another key of the same name; the old one holds long enough to change over."""
        new = command("key", "rotate", self.key_name, "--keep", f"{KEEP_S}s").strip()
        time.sleep(SETTLE_S)
        self.key = new
        time.sleep(KEEP_S)

    def _revoked(self) -> None:
        """A key of another name; the old one ends while streams run that it let in."""
        old_name, self.key_name = self.key_name, f"soak-{time.time_ns()}"
        new = command("key", "new", self.key_name).strip()
        time.sleep(SETTLE_S)
        self.key = new
        time.sleep(1)  # for requests that took the old one and are on their way
        command("key", "revoke", old_name)

    def _status(self, key: str) -> int:
        connection = http.client.HTTPConnection(self.record.host, self.record.port, timeout=SILENCE_S)
        try:
            connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
            return connection.getresponse().status
        finally:
            connection.close()

    def _problem(self, what: str) -> None:
        with self._lock:
            self.problems.append(what)
            print(f"PROBLEM {what}", flush=True)
        time.sleep(1)

    def _load(self) -> series.Load:
        key = records.read_control_key(self._home, NAME)
        host, port, model = self.record.host, self.record.port, self.record.served_model_name
        return series.read(health.ask_metrics(health.Endpoint(host=host, port=port, model=model, key=key), 30))

    def _sample(self, second: float) -> None:
        front = psutil.Process(self.record.engine.pid)
        for name, processes in {
            "supervisor": [psutil.Process(self.record.supervisor.pid)],
            "front process": [front],
            "engine core": front.children(recursive=True),
        }.items():
            self.memory[name].append((second, sum(process.memory_full_info().pss for process in processes)))
        self.most_running = max(self.most_running, self._load().running or 0)

    def _check_nothing_runs(self) -> None:
        until = time.monotonic() + 30
        while (found := self._load()).running or found.waiting:
            if time.monotonic() > until:
                self._problem(f"{found.running} requests run and {found.waiting} wait after the last client went")
                return
            time.sleep(0.5)
        self.preemptions = found.preemptions

    def report(self, minutes: float) -> bool:
        """Print the figures; whether all is well."""
        folder = records.folder(self._home, NAME).path
        logs = sorted(path for path in folder.iterdir() if ".log" in path.name)
        print(f"{self.seconds:.0f} s at {self.promise.concurrency} requests at once ({self.promise.source})")
        print(f"requests by kind: {dict(self.counts)}")
        print(f"tokens: {self.tokens}, {self.tokens / self.seconds:.1f} a second")
        print(f"at most {self.most_running} ran at once, {self.preemptions} preemptions")
        memory = {name: Memory(tuple(samples)) for name, samples in self.memory.items()}
        for name, samples in memory.items():
            print(samples.line(f"PSS of the {name}"))
        print("logs: " + ", ".join(f"{path.name} {path.stat().st_size:,} bytes" for path in logs))
        print(f"problems: {len(self.problems)}")
        grown = [name for name, samples in memory.items() if samples.growth_fraction() > FLAT_FRACTION]
        if minutes >= JUDGED_MINUTES and grown:
            print(f"memory is not flat: {', '.join(grown)}")
        return not self.problems and not (minutes >= JUDGED_MINUTES and grown)


def main() -> None:
    """Serve, load, stop, tell."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    engine = Path(os.environ["SELFHOST_TEST_ENGINE_PYTHON"]).parent.parent
    with tempfile.TemporaryDirectory(prefix="selfhost-soak-") as folder:
        os.environ |= {"SELFHOST_HOME": folder, "SELFHOST_LOG_SIZE": LOG_SIZE}
        target = Path(folder) / "engines" / engine.parent.name
        target.mkdir(parents=True)
        (target / engine.name).symlink_to(engine)
        first = command("key", "new", FIRST_KEY).strip()
        command("serve", MODEL, "--detach", "--name", NAME, "--port", "0", *SETTINGS, *sys.argv[2:])
        try:
            soak = Soak(Home(Path(folder)), minutes)
            soak.key, soak.key_name = first, FIRST_KEY
            soak.run()
            well = soak.report(minutes)
        finally:
            print(command("stop", NAME).strip())
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
