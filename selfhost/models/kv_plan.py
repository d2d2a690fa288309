"""The KV cache of a whole engine: from a model and what a launch decides to groups of caches and blocks.

    plan = plan_caches(arch, CacheLaunch(platform=Platform.CUDA, compute_capability=(9, 0), tensor_parallel_size=8))
    found = capacity(plan.groups, available_bytes_of_each_stage, max_model_len, request_terms)

What a layer keeps: `cache_specs`; blocks of models with states: `kv_hybrid`; groups: `kv_groups`; the pool: `kv_pool`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware.types import Platform
from selfhost.models import cache_specs
from selfhost.models.attention import GroupedAttention
from selfhost.models.cache import CacheTerms
from selfhost.models.compressed import CompressedAttention
from selfhost.models.kimi_linear import DeltaAttention
from selfhost.models.kv_backends import Attention, AttentionNeeds, attention_backend, block_size
from selfhost.models.kv_groups import group_caches
from selfhost.models.kv_hybrid import align_states
from selfhost.models.latent import LatentAttention
from selfhost.models.linear_attention import GatedDeltaNet
from selfhost.models.tensors import stage_layers

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch
    from selfhost.models.cache import LayerCache
    from selfhost.models.kv_backends import Backend
    from selfhost.models.kv_groups import CacheGroups
    from selfhost.models.layers import Mixer


_CHECKPOINTS = 1
"""States that FlashKDA hands out while it reads a prompt: on compute capability 9, 10 and 12, all that Kimi-K3 is for
(models/kimi_k3/nvidia/kda.py, layers/mamba/kda_checkpoint.py)."""


class CacheLaunch(NamedTuple):
    """What a launch decides about the KV cache; names as the engine's options."""

    platform: Platform | None
    compute_capability: tuple[int, int] | None = None
    kv_cache_dtype: str = "auto"
    block_size: int | None = None
    """None: what the backend takes."""
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    num_speculative_tokens: int = 0
    hybrid_manager: bool = True
    amx: bool = False
    """Whether the CPU has AMX tiles."""
    state_dtype: str = ""
    """`float32` on a CPU with AVX512-BF16, where the engine keeps states so (platforms/cpu.py)."""


class CachePlan(NamedTuple):
    """How the engine lays out its KV cache."""

    backend: Backend
    block_size: int
    """As the engine uses it: enlarged for a model with states."""
    groups: CacheGroups


@lru_cache(maxsize=1024)
def plan_caches(arch: ModelArch, launch: CacheLaunch, draft: tuple[Mixer, ...] = ()) -> CachePlan:
    """The layout of the KV cache of all stages; `draft`: layers that guess ahead, which are on the last stage.

    Those of the model's own multi-token prediction are there without being named, if they are loaded.
    Raises NoError where no backend runs or the engine finds no layout, UsageError for a KV dtype of unknown size.
    Checks, bytes per block: Qwen2.5-72B TP4 -> 1_310_720 for 16 tokens; DeepSeek-V3.2 TP8 on Hopper with `fp8` ->
    3_076_352 for 64 tokens (61 * 64 * (656 + 132)).
    """
    # What is known of the device has done its part once there is a backend.
    return _with_backend(arch, launch._replace(compute_capability=None, amx=False), draft, backend_of(arch, launch))


@lru_cache(maxsize=1024)
def _with_backend(arch: ModelArch, launch: CacheLaunch, draft: tuple[Mixer, ...], backend: Backend) -> CachePlan:
    size = block_size(backend, launch.block_size)
    terms = cache_terms(arch, launch, backend)
    made, pp = [layer_caches(kind.mixer, terms) for kind in arch.kinds], launch.pipeline_parallel_size
    numbers = [stage_layers(arch.num_hidden_layers, pp, rank) for rank in range(pp)]
    stages = [tuple(cache for number in stage for cache in made[arch.layers[number]]) for stage in numbers]
    own = [kind.mixer for kind in arch.loaded_draft.layers] if arch.loaded_draft else []
    stages[-1] += tuple(cache for mixer in (*own, *draft) for cache in layer_caches(mixer, terms))
    aligned = align_states(tuple(stages), size, backend.kernel_block_size)
    groups = group_caches(aligned.stages, block_outermost=backend.block_outermost, hybrid_manager=launch.hybrid_manager)
    return CachePlan(backend, aligned.block_size, groups)


def backend_of(arch: ModelArch, launch: CacheLaunch) -> Backend:
    """The attention backend of a launch. Raises NoError where none runs."""
    return attention_backend(
        attention_needs(arch), launch.platform, launch.compute_capability, launch.kv_cache_dtype, amx=launch.amx
    )


def cache_terms(arch: ModelArch, launch: CacheLaunch, backend: Backend) -> CacheTerms:
    """What a launch says about the caches of all layers, before their blocks are enlarged for states."""
    return CacheTerms(
        block_size=block_size(backend, launch.block_size),
        kv_cache_dtype=backend.kv_cache_dtype,
        dtype=arch.torch_dtype,
        tensor_parallel_size=launch.tensor_parallel_size,
        num_speculative_tokens=launch.num_speculative_tokens,
        state_dtype=launch.state_dtype,
        platform=launch.platform,
    )


def attention_needs(arch: ModelArch) -> AttentionNeeds:
    """What a model asks of an attention backend."""
    latent = arch.latent
    if arch.connections:
        return AttentionNeeds(Attention.COMPRESSED, dtype=arch.torch_dtype)
    if latent is None:
        head_dim = next((mixer.head_dim for mixer in arch.mixers if isinstance(mixer, GroupedAttention)), 0)
        return AttentionNeeds(Attention.GROUPED, dtype=arch.torch_dtype, head_dim=head_dim)
    return AttentionNeeds(
        Attention.SPARSE_LATENT if arch.indexer else Attention.LATENT,
        dtype=arch.torch_dtype,
        qk_nope_head_dim=latent.qk_nope_head_dim,
        fp8_on_blackwell=arch.architecture == "GlmMoeDsaForCausalLM",
    )


def layer_caches(mixer: Mixer, terms: CacheTerms) -> tuple[LayerCache, ...]:
    """What a layer keeps on one rank, in the engine's order."""
    if isinstance(mixer, GroupedAttention):
        return (_grouped(mixer, terms),)
    if isinstance(mixer, GatedDeltaNet | DeltaAttention):
        return (_state(mixer, terms),)
    if isinstance(mixer, LatentAttention):
        width = mixer.kv_lora_rank + mixer.qk_rope_head_dim
        main = cache_specs.latent_cache(terms, width=width)
        if mixer.indexer is None:
            return (main,)
        if terms.platform is Platform.ASCEND:
            # Keys of the indexer in 16 bits, in one cache with the vectors (vllm-ascend 0.23 model_runner_v1.py).
            return (cache_specs.latent_cache(terms, width=width + mixer.indexer.index_head_dim),)
        return cache_specs.indexer_cache(terms, index_head_dim=mixer.indexer.index_head_dim), main
    if isinstance(mixer, CompressedAttention):
        return cache_specs.compressed_caches(
            terms,
            ratio=mixer.compress_ratio,
            head_dim=mixer.head_dim,
            window=mixer.sliding_window,
            index_head_dim=mixer.indexer.index_head_dim if mixer.indexer else 0,
        )
    raise TypeError(mixer)


def _grouped(mixer: GroupedAttention, terms: CacheTerms) -> LayerCache:
    heads, width, window = mixer.num_key_value_heads, mixer.head_dim, mixer.sliding_window
    if window:
        return cache_specs.sliding_cache(terms, kv_heads=heads, head_dim=width, window=window)
    return cache_specs.full_cache(terms, kv_heads=heads, head_dim=width)


def _state(mixer: GatedDeltaNet | DeltaAttention, terms: CacheTerms) -> LayerCache:
    if isinstance(mixer, DeltaAttention):
        return cache_specs.delta_attention_cache(
            terms,
            heads=mixer.num_heads,
            head_dim=mixer.head_dim,
            conv_kernel=mixer.short_conv_kernel_size,
            checkpoint_blocks=_CHECKPOINTS,
        )
    return cache_specs.gated_delta_cache(
        terms,
        key_heads=mixer.linear_num_key_heads,
        value_heads=mixer.linear_num_value_heads,
        key_head_dim=mixer.linear_key_head_dim,
        value_head_dim=mixer.linear_value_head_dim,
        conv_kernel=mixer.linear_conv_kernel_dim,
        state_itemsize=mixer.ssm_itemsize,
    )
