"""A stand-in for vLLM's load generator: really sends the requests, one after the other, and counts what comes.

As the real one it takes the key from OPENAI_API_KEY, streams completions, and keeps an error as a traceback. FAKE_BENCH
may be `crash`: it ends with an error, or `slow`: it never comes to its end.
"""

from __future__ import annotations

import json
import os
import ssl
import statistics
import time
import traceback
import urllib.request
from types import SimpleNamespace

get_samples = None
FLAGS = ("--backend", "--base-url", "--endpoint", "--model", "--tokenizer", "--dataset-name", "--num-prompts")
FLAGS += ("--max-concurrency", "--percentile-metrics", "--metric-percentiles", "--tokenizer-mode")
SWITCHES = ("--ignore-eos", "--disable-tqdm", "--save-detailed", "--trust-remote-code", "--insecure")


def add_cli_args(parser):
    for flag in FLAGS:
        parser.add_argument(flag)
    for switch in SWITCHES:
        parser.add_argument(switch, action="store_true")


def send(args, sample):
    """Tokens of an answer, by its usage."""
    body = {"model": args.model, "prompt": sample.prompt, "max_tokens": sample.expected_output_len, "stream": True}
    headers = {"Content-Type": "application/json", "X-Request-Id": sample.request_id}
    headers["Authorization"] = f"Bearer {os.environ['OPENAI_API_KEY']}"
    request = urllib.request.Request(args.base_url + args.endpoint, json.dumps(body).encode(), headers)
    tokens = 0
    context = ssl._create_unverified_context() if args.insecure else None  # as the generator's flag says
    with urllib.request.urlopen(request, timeout=30, context=context) as response:
        for line in response:
            if line.startswith(b"data: {") and (usage := json.loads(line[6:]).get("usage")):
                tokens = usage["completion_tokens"]
    return tokens


def main(args):
    print("stand-in:", vars(args), flush=True)
    if os.environ.get("FAKE_BENCH") == "crash":
        msg = "the generator is broken"
        raise RuntimeError(msg)
    if os.environ.get("FAKE_BENCH") == "slow":
        time.sleep(3600)
    tokenizer = SimpleNamespace(encode=lambda text, add_special_tokens: [ord(letter) for letter in text])
    samples = get_samples(args, tokenizer)
    assert len(samples) == int(args.num_prompts)
    lengths, errors, times = [], [], []
    began = time.perf_counter()
    for sample in samples:
        sent = time.perf_counter()
        try:
            lengths.append(send(args, sample))
            errors.append("")
            times.append(time.perf_counter() - sent)
        except OSError:
            lengths.append(0)
            errors.append(traceback.format_exc())
    duration = time.perf_counter() - began
    middle = statistics.median(times) * 1000 if times else 0.0
    return {
        "duration": duration,
        "completed": len(times),
        "failed": len(errors) - len(times),
        "total_input_tokens": sum(sample.prompt_len for sample in samples),
        "total_output_tokens": sum(lengths),
        "request_throughput": len(times) / duration,
        "output_throughput": sum(lengths) / duration,
        "total_token_throughput": sum(lengths) / duration,
        "output_lens": lengths,
        "errors": errors,
        **{
            f"{kind}_{name}_ms": middle
            for kind in ("mean", "median", "p99")
            for name in ("ttft", "itl", "tpot", "e2el")
        },
    }
