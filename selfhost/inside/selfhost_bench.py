"""Rounds of load on a running server by vLLM's own load generator (`vllm bench serve`), called as a function.

    ENGINE_PYTHON selfhost_bench.py JOB

The console script of the community's CPU wheel does not start, and one process for all rounds imports vLLM once. The
requests, the clock and the figures are the generator's; ours are the prompts: its data set for files wants pandas,
which engine environments do not have, and its random tokens are no language. They go out as token ids, so a prompt of
1000 tokens has 1000 for the server, too. The key comes in OPENAI_API_KEY, where the generator looks for it.

JOB is a JSON object: `base_url`, `insecure` (its certificate is compared elsewhere), `model` (as served), `tokenizer`,
`tokenizer_mode`, `trust_remote_code`, `languages`, `seed`, `events` (the file that gets one JSON line for the beginning
and the result of each round), and `rounds` with `concurrency`, `lengths` (pairs of prompt and answer, in turns),
`requests` or `duration_s`, and `warm_up`.

Source: vllm/benchmarks/serve.py @ 0.32.0; `main` and `get_samples` are there since 0.10.
"""

from __future__ import annotations

import json
import math
import sys
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import selfhost_calibrate_text as texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MOST_REQUESTS = 100_000
_ERRORS = 5
_LISTS = frozenset(
    {"input_lens", "output_lens", "ttfts", "itls", "latencies", "start_times", "queue_times", "generated_texts"}
)
"""One entry a request; what is wanted of them is counted here."""


class Prompts:
    """Prompts of exact lengths in tokens. None begins like another, so no prefix cache spares the server the work."""

    def __init__(self, encode: Callable[[str], list[int]], languages: Sequence[str], seed: str) -> None:
        self._encode, self._seed = encode, seed
        passages = texts.passages_of(texts.OWN)
        self._pools = []
        for language in languages:
            said = "\n\n".join(passage.text for passage in passages if passage.language == language and passage.text)
            self._pools.append(encode(said))
        self._made = 0

    def make(self, length: int) -> list[int]:
        """The next prompt, of the languages in turns."""
        pool = self._pools[self._made % len(self._pools)]
        heading = self._encode(f"{self._made}/{self._seed}\n")
        start = self._made * 997 % len(pool)
        self._made += 1
        return [*heading, *islice(cycle(pool), start, start + length)][:length]


def arguments(job: Mapping[str, Any], concurrency: int, requests: int) -> list[str]:
    """The generator's own command line."""
    mode = ["--tokenizer-mode", job["tokenizer_mode"]] if job.get("tokenizer_mode") else []
    remote = ["--trust-remote-code"] if job.get("trust_remote_code") else []
    # On this machine, with a certificate for another name; whoever starts this compares it with what the server was
    # started with, while this runs.
    insecure = ["--insecure"] if job.get("insecure") else []
    return [
        *("--backend", "openai", "--base-url", job["base_url"], "--endpoint", "/v1/completions"),
        *insecure,
        *("--model", job["model"], "--tokenizer", job["tokenizer"], *mode, *remote),
        # Named, because the generator wants a name; `get_samples` is ours.
        *("--dataset-name", "custom", "--num-prompts", str(requests), "--max-concurrency", str(concurrency)),
        *("--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "99"),
        # The answer ends where it shall end, so that rounds are comparable and a shorter one is a lost one.
        *("--ignore-eos", "--disable-tqdm", "--save-detailed"),
    ]


def requests_for(round_: Mapping[str, Any], rate_per_s: float) -> int:
    """How many requests a round has: as told, or as many as its time should do at this rate.

    >>> requests_for({"requests": 7}, 0), requests_for({"concurrency": 4, "duration_s": 30}, 2.5)
    (7, 75)
    """
    if round_.get("requests"):
        return int(round_["requests"])
    wanted = math.ceil(round_["duration_s"] * rate_per_s)
    return min(max(wanted, 2 * round_["concurrency"]), MOST_REQUESTS)


def result(found: Mapping[str, Any], wanted: Sequence[int]) -> dict[str, Any]:
    """The generator's figures without its lists; and how many answers broke off, which it counts as complete."""
    errors = list(dict.fromkeys(_last_line(error) for error in found.get("errors", []) if error))
    lengths = found.get("output_lens", [])
    failed = [bool(error) for error in found.get("errors", [])]
    short = sum(not bad and got < want for got, want, bad in zip(lengths, wanted, failed, strict=True))
    figures = {name: value for name, value in found.items() if name not in _LISTS and name != "errors"}
    return {"figures": figures, "truncated": short, "errors": errors[:_ERRORS]}


def _last_line(error: str) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip()[:300] if lines else ""


class Generator:
    """vLLM's load generator with our prompts."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        from vllm.benchmarks import datasets, serve
        from vllm.entrypoints.cli.benchmark import serve as command

        self._job, self._serve, self._sample = job, serve, datasets.SampleRequest
        self._parser = command.FlexibleArgumentParser()
        serve.add_cli_args(self._parser)
        self._prompts: Prompts | None = None
        self._number = 0

    def run(self, concurrency: int, requests: int, lengths: Iterable[Sequence[int]]) -> dict[str, Any]:
        """One round; what `result` makes of it."""
        args = self._parser.parse_args(arguments(self._job, concurrency, requests))
        wanted = [(int(prompt), int(answer)) for prompt, answer in islice(cycle(lengths), requests)]
        self._serve.get_samples = lambda _args, tokenizer, **_options: self._samples(tokenizer, wanted)
        return result(self._serve.main(args), [answer for _, answer in wanted])

    def _samples(self, tokenizer: Any, wanted: Sequence[tuple[int, int]]) -> list[Any]:
        if self._prompts is None:
            job = self._job

            def encode(text: str) -> list[int]:
                return list(tokenizer.encode(text, add_special_tokens=False))

            self._prompts = Prompts(encode, job["languages"], job["seed"])
        samples = []
        for prompt_len, answer_len in wanted:
            self._number += 1
            samples.append(
                self._sample(
                    prompt=self._prompts.make(prompt_len),
                    prompt_len=prompt_len,
                    expected_output_len=answer_len,
                    request_id=f"bench-{self._job['seed']}-{self._number}",
                )
            )
        return samples


def run(job: Mapping[str, Any], generator: Generator, tell: Callable[[Mapping[str, Any]], None]) -> None:
    """All rounds of a job. Where nothing of a warm-up was answered, nothing else is asked."""
    for number, round_ in enumerate(job["rounds"], start=1):
        about = {"number": number, "of": len(job["rounds"]), "concurrency": round_["concurrency"]}
        rate = 0.0
        if warm_up := round_["warm_up"]:
            tell({"event": "warm_up", "requests": warm_up, **about})
            warm = generator.run(round_["concurrency"], warm_up, round_["lengths"])
            if not warm["figures"]["completed"]:
                tell({"event": "result", "requests": warm_up, **about, **warm})
                return
            rate = warm["figures"]["request_throughput"]
        requests = requests_for(round_, rate)
        tell({"event": "round", "requests": requests, **about})
        tell(
            {
                "event": "result",
                "requests": requests,
                **about,
                **generator.run(round_["concurrency"], requests, round_["lengths"]),
            }
        )


def main() -> None:
    """Read the job, run its rounds, append a line to its events for each."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    generator = Generator(job)
    with Path(job["events"]).open("a", encoding="utf-8") as events:

        def tell(event: Mapping[str, Any]) -> None:
            events.write(json.dumps(event, default=float) + "\n")
            events.flush()

        run(job, generator, tell)


if __name__ == "__main__":
    main()
