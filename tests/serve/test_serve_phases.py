"""The engine's log, read for phases and figures."""

# ruff: noqa: E501, ISC004 - lines of logs as they are

from __future__ import annotations

import pytest

from selfhost.serve.phases import Measured, read_line, read_measured, split_lines, strip_prefix
from tests.serve.serve_support import LOGS

GIB = 1 << 30


def test_a_recorded_start_goes_through_the_phases_in_order():
    log = (LOGS / "started.log").read_text()
    seen = [(p.phase.value, p.message.what) for line in split_lines(log) if (p := read_line(line))]
    assert seen == [
        ("loading", "loading: engine process is up"),
        ("loading", "loading: building the model"),
        ("loading", "loading: weights, file 0 of 1"),
        ("loading", "loading: weights, file 1 of 1"),
        ("loading", "loading: weights, file 1 of 1"),
        ("warming", "warming: weights are loaded; measuring memory"),
        ("warming", "warming: KV cache allocated"),
        ("warming", "warming: starting the API server"),
    ]


def test_figures_of_a_recorded_start():
    assert read_measured((LOGS / "started.log").read_text()) == Measured(
        kv_cache_bytes=GIB, kv_cache_tokens=46592, max_concurrency=45.5, weight_load_s=0.23, engine_init_s=0.89
    )


def test_figures_of_a_start_on_two_gpus():
    # Formats of v1/worker/gpu_worker.py and v1/worker/gpu/model_runner.py @ 0.32.0
    log = "\n".join(  # noqa: FLY002
        [
            "(Worker_TP0 pid=1) INFO 11-22 04:02:12 [model_runner.py:425] Model loading took 33.87 GiB memory and 41.25 seconds",
            "(Worker_TP1 pid=2) INFO 11-22 04:02:12 [model_runner.py:425] Model loading took 33.98 GiB memory and 41.25 seconds",
            "(Worker_TP0 pid=1) INFO 11-22 04:02:12 [gpu_worker.py:760] Available KV cache memory: 37.0 GiB",
            "(Worker_TP1 pid=2) INFO 11-22 04:02:12 [gpu_worker.py:760] Available KV cache memory: 36.5 GiB",
            "(EngineCore pid=3) INFO 11-22 04:02:12 [kv_cache_utils.py:2327] GPU KV cache size: 478,000 tokens, "
            "Maximum concurrency for 32,768 tokens per request: 14.59x",
            "Capturing CUDA graphs (decode, FULL):  50%|#####     | 2/4 [00:01<00:01,  1.1it/s]",
            "(Worker_TP0 pid=1) INFO 11-22 04:02:30 [model_runner.py:1128] Graph capturing finished in 9 secs, took 0.50 GiB",
            "(Worker_TP0 pid=1) INFO 11-22 04:02:30 [gpu_worker.py:969] CUDA graph pool memory: 0.5 GiB (actual), "
            "1.25 GiB (estimated), difference: 0.75 GiB (150.0%).",
            "(Worker_TP0 pid=1) INFO 11-22 04:02:30 [gpu_worker.py:1012] Free memory on device (78.5/79.25 GiB) on startup. "
            "Desired GPU memory utilization is (0.92, 72.91 GiB). Actual usage is 34.8 GiB for consumed memory (weights + "
            "non-torch), 1.44 GiB for peak activation, and 0.5 GiB for CUDAGraph memory. Replace ...",
            "(EngineCore pid=3) INFO 11-22 04:02:30 [core.py:395] init engine (profile, create kv cache, warmup model) took "
            "30.5 s (compilation: 12.25 s)",
        ]
    )
    assert read_measured(log) == Measured(
        visible_memory_bytes=int(79.25 * GIB),
        free_at_start_bytes=int(78.5 * GIB),
        weight_bytes=int(33.98 * GIB),
        consumed_bytes=int(34.8 * GIB),
        peak_activation_bytes=int(1.44 * GIB),
        cudagraph_bytes=int(0.5 * GIB),
        cudagraph_estimate_bytes=int(1.25 * GIB),
        kv_cache_bytes=int(36.5 * GIB),
        kv_cache_tokens=478000,
        max_concurrency=14.59,
        compile_s=12.25,
        engine_init_s=30.5,
    )
    assert (
        read_line("Capturing CUDA graphs (decode, FULL):  50%|#####     | 2/4 [00:01<00:01,  1.1it/s]").fraction == 0.5
    )


def test_older_log_lines():
    assert (
        read_line("INFO [api_server.py:1] Starting vLLM API server 0 on http://0.0.0.0:8000").phase.value == "warming"
    )
    assert read_measured(
        "GPU KV cache size: 1,024 tokens\nMaximum concurrency for 8 tokens per request: 2.00x"
    ) == Measured(kv_cache_tokens=1024, max_concurrency=2.0)


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("(EngineCore pid=1) ERROR 11-22 04:08:47 [core.py:1510] ValueError: no", "ValueError: no"),
        ("(Worker_TP0_EP1 pid=17) INFO 11-22 04:08:47 [a.py:1] b", "b"),
        ("ValueError: no", "ValueError: no"),
        ("", ""),
    ],
)
def test_prefixes(line, rest):
    assert strip_prefix(line) == rest
