"""What the engine measured, read from its log: lines of vLLM 0.6 to 0.32 and vllm-ascend as public logs have them."""

# ruff: noqa: E501 - lines of logs as they are

from __future__ import annotations

import pytest

from selfhost.planner.boots import Measured
from selfhost.serve.figures import read_measured, read_version
from tests.serve.serve_support import LOGS

GIB = 1 << 30


def gib(value: float) -> int:
    return int(value * GIB)


def test_a_recorded_start_on_a_cpu():
    log = (LOGS / "started.log").read_text()
    assert read_measured(log) == Measured(
        kv_cache_bytes=GIB, kv_cache_tokens=46592, max_concurrency=45.5, weight_load_s=0.23, engine_init_s=0.89
    )
    assert read_version(log) == "0.32.0"


def test_a_recorded_start_without_room_for_one_request():
    # `--num-gpu-blocks-override`: the size that was set, and that of the blocks in the error
    measured = read_measured((LOGS / "kv-too-small.log").read_text())
    assert (measured.kv_cache_bytes, measured.kv_needed_bytes, measured.longest_max_model_len) == (GIB, gib(0.02), 256)


# Formats of v1/worker/gpu_worker.py, v1/worker/gpu/model_runner.py, compilation/monitor.py, v1/engine/core.py @ 0.32.0
TWO_GPUS = """\
(EngineCore pid=3) INFO 11-22 04:01:12 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='/models/a'
(Worker_TP0 pid=1) INFO 11-22 04:02:10 [default_loader.py:502] Loading weights took 38.50 seconds
(Worker_TP1 pid=2) INFO 11-22 04:02:10 [default_loader.py:502] Loading weights took 39.75 seconds
(Worker_TP0 pid=1) INFO 11-22 04:02:12 [model_runner.py:425] Model loading took 33.87 GiB memory and 41.250000 seconds
(Worker_TP1 pid=2) INFO 11-22 04:02:12 [model_runner.py:425] Model loading took 33.98 GiB memory and 41.500000 seconds
(Worker_TP0 pid=1) INFO 11-22 04:02:20 [monitor.py:60] torch.compile took 8.50 s in total
(Worker_TP0 pid=1) INFO 11-22 04:02:22 [monitor.py:91] Initial profiling/warmup run took 1.75 s
(Worker_TP0 pid=1) INFO 11-22 04:02:12 [gpu_worker.py:760] Available KV cache memory: 37.0 GiB
(Worker_TP1 pid=2) INFO 11-22 04:02:12 [gpu_worker.py:760] Available KV cache memory: 36.5 GiB
(EngineCore pid=3) INFO 11-22 04:02:12 [kv_cache_utils.py:2327] GPU KV cache size: 478,000 tokens, Maximum concurrency for 32,768 tokens per request: 14.59x
Capturing CUDA graphs (decode, FULL):  50%|#####     | 2/4 [00:01<00:01,  1.1it/s]
(Worker_TP0 pid=1) INFO 11-22 04:02:30 [model_runner.py:1128] Graph capturing finished in 9 secs, took 0.50 GiB
(Worker_TP0 pid=1) INFO 11-22 04:02:30 [gpu_worker.py:969] CUDA graph pool memory: 0.5 GiB (actual), 1.25 GiB (estimated), difference: 0.75 GiB (150.0%).
(Worker_TP0 pid=1) INFO 11-22 04:02:30 [gpu_worker.py:1012] Free memory on device (78.5/79.25 GiB) on startup. Desired GPU memory utilization is (0.92, 72.91 GiB). Actual usage is 34.8 GiB for consumed memory (weights + non-torch), 1.44 GiB for peak activation, and 0.5 GiB for CUDAGraph memory. Replace gpu_memory_utilization config with `--kv-cache-memory=38929924915` (36.26 GiB) to fit into requested memory, or `--kv-cache-memory=44931926323` (41.85 GiB) to fully utilize gpu memory. Current kv cache memory in use is 37.0 GiB.
(EngineCore pid=3) INFO 11-22 04:02:30 [core.py:395] init engine (profile, create kv cache, warmup model) took 30.5 s (compilation: 12.25 s)
"""


def test_a_start_on_two_gpus():
    """The largest rank, and the least of what is left."""
    assert read_measured(TWO_GPUS) == Measured(
        visible_memory_bytes=gib(79.25),
        requested_memory_bytes=gib(72.91),
        free_at_start_bytes=gib(78.5),
        weight_bytes=gib(33.98),
        consumed_bytes=gib(34.8),
        peak_activation_bytes=gib(1.44),
        cudagraph_bytes=gib(0.5),
        cudagraph_estimate_bytes=gib(1.25),
        kv_cache_bytes=gib(36.5),
        kv_cache_tokens=478000,
        max_concurrency=14.59,
        model_load_s=41.5,
        weight_load_s=39.75,
        compile_s=12.25,
        profile_s=1.75,
        capture_s=9,
        engine_init_s=30.5,
    )


def test_data_parallel_engines_log_one_line_each():
    log = """\
(EngineCore_DP0 pid=3) INFO 11-22 04:02:12 [kv_cache_utils.py:2327] GPU KV cache size: 478,000 tokens, Maximum concurrency for 32,768 tokens per request: 14.59x
(EngineCore_DP1 pid=4) INFO 11-22 04:02:12 [kv_cache_utils.py:2327] GPU KV cache size: 470,000 tokens, Maximum concurrency for 32,768 tokens per request: 14.34x
"""
    assert read_measured(log) == Measured(kv_cache_tokens=470000, max_concurrency=14.34)


def test_an_estimate_of_graphs_that_is_not_subtracted():
    line = "INFO [gpu_model_runner.py:6475] Estimated CUDA graph memory: 0.26 GiB total\n"
    warning = "WARNING [gpu_worker.py:791] CUDA graph memory profiling is disabled (VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS=0). Without it, ..."
    assert read_measured(line).cudagraph_estimate_bytes == gib(0.26)
    assert read_measured(line + warning).cudagraph_estimate_bytes == 0


PUBLIC = {
    # github.com/vllm-project/vllm/issues/10517
    "0.6, one line": (
        """Loading model weights took 14.9888 GB
Memory profiling results: total_gpu_memory=23.58GiB initial_memory_usage=15.34GiB peak_torch_memory=17.06GiB memory_usage_post_profile=15.35GiB non_torch_memory=0.35GiB kv_cache_size=3.81GiB gpu_memory_utilization=0.90
GPU blocks: 1952
Maximum concurrency for 20000 tokens per request: 1.56x""",
        Measured(
            visible_memory_bytes=gib(23.58),
            weight_bytes=gib(14.9888),
            non_torch_bytes=gib(0.35),
            kv_cache_bytes=gib(3.81),
            gpu_blocks=1952,
            max_concurrency=1.56,
        ),
    ),
    # github.com/vllm-project/vllm/issues/13061 and a public notebook
    "0.7, a sentence": (
        """Loading model weights took 0.9276 GB
total_gpu_memory (14.56GiB) x gpu_memory_utilization (0.90) = 13.11GiB
model weights take 0.93GiB; non_torch_memory takes 0.11GiB; PyTorch activation peak memory takes 1.44GiB; the rest of the memory reserved for KV Cache is 10.63GiB.
# GPU blocks: 58059, # CPU blocks: 21845
Maximum concurrency for 32768 tokens per request: 28.35x""",
        Measured(
            visible_memory_bytes=gib(14.56),
            requested_memory_bytes=gib(13.11),
            weight_bytes=gib(0.9276),
            non_torch_bytes=gib(0.11),
            peak_activation_bytes=gib(1.44),
            kv_cache_bytes=gib(10.63),
            gpu_blocks=58059,
            max_concurrency=28.35,
        ),
    ),
    "0.7, nothing left": (
        """Model loading took 6.5935 GiB
model weights take 6.59GiB; non_torch_memory takes 8.29GiB; PyTorch activation peak memory takes 4.93GiB; the rest of the memory reserved for KV Cache is -7.83GiB.
# cuda blocks: 0, # CPU blocks: 0
Maximum concurrency for 4096 tokens per request: 0.00x""",
        Measured(
            weight_bytes=gib(6.5935),
            non_torch_bytes=gib(8.29),
            peak_activation_bytes=gib(4.93),
            kv_cache_bytes=gib(-7.83),
            gpu_blocks=0,
            max_concurrency=0.0,
        ),
    ),
    "0.7, too long": (
        "The model's max seq len (131072) is larger than the maximum number of tokens that can be stored in KV cache (81536).",
        Measured(kv_cache_tokens=81536),
    ),
    "0.11": (
        """(EngineCore_DP0 pid=9) INFO 10-23 [gpu_model_runner.py:2392] Model loading took 74.2812 GiB and 41.250000 seconds
INFO 10-23 [gpu_worker.py:298] Available KV cache memory: 44.59 GiB
INFO 10-23 [kv_cache_utils.py:1028] GPU KV cache size: 973,760 tokens
INFO 10-23 [kv_cache_utils.py:1032] Maximum concurrency for 262,144 tokens per request: 14.77x
INFO 10-23 [gpu_model_runner.py:2984] Graph capturing finished in 25 secs, took 2.37 GiB
INFO 10-23 [gpu_worker.py:391] Free memory on device (139.21/139.81 GiB) on startup. Desired GPU memory utilization is (0.9, 125.83 GiB). Actual usage is 74.28 GiB for weight, 5.58 GiB for peak activation, 1.38 GiB for non-torch memory, and 2.37 GiB for CUDAGraph memory. Replace gpu_memory_utilization config with `--kv-cache-memory=45129` to fit into requested memory. Current kv cache memory in use is 47880536064 bytes.
DEBUG 10-23 cache_config_info with initialization after num_gpu_blocks is: 7162""",
        Measured(
            visible_memory_bytes=gib(139.81),
            requested_memory_bytes=gib(125.83),
            free_at_start_bytes=gib(139.21),
            weight_bytes=gib(74.2812),
            non_torch_bytes=gib(1.38),
            peak_activation_bytes=gib(5.58),
            cudagraph_bytes=gib(2.37),
            kv_cache_bytes=gib(44.59),
            kv_cache_tokens=973760,
            gpu_blocks=7162,
            max_concurrency=14.77,
            model_load_s=41.25,
            capture_s=25,
        ),
    ),
    "0.12, graphs that freed memory": (
        """Model loading took 16.9619 GiB memory and 9.5 seconds
Available KV cache memory: 106.17 GiB
Graph capturing finished in 8 secs, took -0.17 GiB""",
        Measured(
            weight_bytes=gib(16.9619),
            kv_cache_bytes=gib(106.17),
            cudagraph_bytes=gib(-0.17),
            model_load_s=9.5,
            capture_s=8,
        ),
    ),
    # github.com/noonghunna/club-3090/issues/1087: two ranks; the size of KV only in the last sentence
    "0.3x, two ranks": (
        """(Worker_TP0 pid=1) Free memory on device (30.27/31.4 GiB) on startup. Desired GPU memory utilization is (0.92, 28.88 GiB). Actual usage is 15.03 GiB for consumed memory (weights + non-torch), 1.59 GiB for peak activation, and 0.09 GiB for CUDAGraph memory. Current kv cache memory in use is 12.26 GiB.
(Worker_TP0 pid=1) CUDA graph pool memory: 0.09 GiB (actual), 0.13 GiB (estimated), difference: 0.04 GiB (44.4%).
(Worker_TP1 pid=2) Free memory on device (30.27/31.4 GiB) on startup. Desired GPU memory utilization is (0.92, 28.88 GiB). Actual usage is 15.05 GiB for consumed memory (weights + non-torch), 1.59 GiB for peak activation, and 0.09 GiB for CUDAGraph memory. Current kv cache memory in use is 12.24 GiB.""",
        Measured(
            visible_memory_bytes=gib(31.4),
            requested_memory_bytes=gib(28.88),
            free_at_start_bytes=gib(30.27),
            consumed_bytes=gib(15.05),
            peak_activation_bytes=gib(1.59),
            cudagraph_bytes=gib(0.09),
            cudagraph_estimate_bytes=gib(0.13),
            kv_cache_bytes=gib(12.24),
        ),
    ),
    # github.com/eugr/spark-vllm-docker/issues/396
    "0.29, too long": (
        """Available KV cache memory: 22.5 GiB
ValueError: To serve at least one request with the model's max seq len (196608), 23.25 GiB KV cache is needed, which is larger than the available KV cache memory (22.5 GiB). Based on the available memory, the estimated maximum model length is 190272. Try increasing `gpu_memory_utilization`""",
        Measured(kv_cache_bytes=gib(22.5), kv_needed_bytes=gib(23.25), longest_max_model_len=190272),
    ),
    # v1/core/kv_cache_utils.py @ 0.32.0
    "a length that was fitted": (
        "INFO [kv_cache_utils.py:2477] Auto-fit max_model_len: reduced from 2048 to 512 to fit in available KV cache memory (0.01 GiB CPU)",
        Measured(fitted_max_model_len=512),
    ),
    "a length that fits": (
        "INFO [kv_cache_utils.py:2468] Auto-fit max_model_len: full model context length 2048 fits in available KV cache memory (1.0 GiB CPU)",
        Measured(fitted_max_model_len=2048),
    ),
    # v1/worker/cpu_worker.py @ 0.32.0
    "a CPU that measures": (
        "INFO [cpu_worker.py:260] Auto set (20.96/23.46) GiB for KV cache on node 0, with 21.59 GiB requested memory for the worker. 0.63 GiB memory was consumed by non-kv usages.",
        Measured(kv_cache_bytes=gib(20.96), consumed_bytes=gib(0.63)),
    ),
    # v1/worker/gpu_worker.py @ 0.32.0
    "a size that was given": (
        "INFO [gpu_worker.py:669] Initial free memory 78.8 GiB, reserved 20.0 GiB memory for KV Cache as specified by kv_cache_memory_bytes config and skipped memory profiling.",
        Measured(kv_cache_bytes=gib(20)),
    ),
    # github.com/vllm-project/vllm-ascend: docs/source/quick_start.md, issues 5876, 3843, 9372
    "ascend": (
        """Loading model weights took 1.1397 GB
Available KV cache memory: 54.98 GiB
GPU KV cache size: 514,688 tokens
Maximum concurrency for 40,960 tokens per request: 12.57x
Graph capturing finished in 7 secs, took 0.09 GiB
Free memory on device (60.89/61.27 GiB) on startup. Desired GPU memory utilization is (0.92, 56.37 GiB). Actual usage: 1.14 GiB for weights, 0.22 GiB for peak activation, 0.03 GiB for non-torch memory, 0.09 GiB for NPU graph memory. Replace gpu_memory_utilization with `--kv-cache-memory=58786898124` (54.75 GiB) to fit in. Current KV cache memory: 54.98 GiB.""",
        Measured(
            visible_memory_bytes=gib(61.27),
            requested_memory_bytes=gib(56.37),
            free_at_start_bytes=gib(60.89),
            weight_bytes=gib(1.1397),
            non_torch_bytes=gib(0.03),
            peak_activation_bytes=gib(0.22),
            cudagraph_bytes=gib(0.09),
            kv_cache_bytes=gib(54.98),
            kv_cache_tokens=514688,
            max_concurrency=12.57,
            capture_s=7,
        ),
    ),
    "ascend, in bytes": (
        "INFO [worker_v1.py:259] Available memory: 25084186112, total memory: 65452113920",
        Measured(visible_memory_bytes=65452113920, kv_cache_bytes=25084186112),
    ),
    "ascend, nothing left": (
        "Loading model weights took 27.5376 GB\nAvailable KV cache memory: -0.87 GiB",
        Measured(weight_bytes=gib(27.5376), kv_cache_bytes=gib(-0.87)),
    ),
}


@pytest.mark.parametrize(("log", "measured"), PUBLIC.values(), ids=PUBLIC)
def test_lines_of_public_logs(log, measured):
    assert read_measured(log) == measured


@pytest.mark.parametrize(
    "line",
    [
        "",
        "INFO [weight_utils.py:1108] Filesystem type for checkpoints: EXT4. Checkpoint size: 0.25 GiB. Available RAM: 21.77 GiB.",
        "INFO [cudagraph.py:95] Encoder graph capturing finished in 3 secs, took 0.20 GiB (4 graphs)",
        "Available KV cache memory: nan GiB",
        "took GiB took GiB Model loading took .5.5 GiB",
        "GPU KV cache size: , tokens",
    ],
)
def test_lines_that_say_nothing_of_this(line):
    assert read_measured(line) == Measured()
