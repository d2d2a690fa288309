"""Groups, blocks, tokens and refusals of the KV cache against the engine's own functions: exactly equal."""

from __future__ import annotations

import json
import subprocess

import pytest

from selfhost.errors import NoError
from selfhost.models import cache_specs
from selfhost.models.cache import CacheKind, CacheTerms, LayerCache
from selfhost.models.kv_groups import group_caches
from selfhost.models.kv_hybrid import align_states
from selfhost.models.kv_pool import (
    RequestTerms,
    Shortage,
    capacity,
    growth,
    longest_that_fits,
    request_blocks,
)
from selfhost.units import GIB
from tests.models.public_models import DATA

KEPT = json.loads((DATA / "oracle" / "kv-groups-vllm-0.32.0.json").read_text())
CASES = {case["name"]: case for case in KEPT["cases"]}
ITEMSIZE = {"uint8": 1, "bfloat16": 2, "float32": 4}
LIVE = [
    "Qwen2.5-72B tp2 pp3 b16 bfloat16",
    "DeepSeek-V3.2 tp8 pp2 b64 fp8_ds_mla mtp=a",
    "Qwen3-Next-80B tp2 pp1 b16 bfloat16 states=16",
    "DeepSeek-V4-Flash tp8 pp2 b256 fp8_ds_mla outermost=True mtp=a",
    "random 7",
]


def caches_of(layer: dict, terms: CacheTerms) -> tuple[LayerCache, ...]:
    """What our constructors make of the same plain numbers."""
    numbers = {name: value for name, value in layer.items() if name != "kind"}
    match layer["kind"]:
        case "raw":
            return (raw_cache(layer["raw"]),)
        case "indexed":
            indexer = cache_specs.indexer_cache(terms, index_head_dim=numbers["index_head_dim"])
            return indexer, cache_specs.latent_cache(terms, width=numbers["width"])
        case "gdn":
            itemsize = ITEMSIZE.get(numbers.pop("state_dtype"))
            return (cache_specs.gated_delta_cache(terms, **numbers, state_itemsize=itemsize),)
        case "compressed":
            return cache_specs.compressed_caches(terms, **numbers)
    constructors = {
        "full": cache_specs.full_cache,
        "sliding": cache_specs.sliding_cache,
        "chunked": cache_specs.chunked_cache,
        "latent": cache_specs.latent_cache,
        "kda": cache_specs.delta_attention_cache,
    }
    return (constructors[layer["kind"]](terms, **numbers),)


def raw_cache(raw: list) -> LayerCache:
    kind, block, heads, size, size_v, dtype, window, per_state, alignment, sharded, spare = raw
    return LayerCache(
        kind=CacheKind(kind),
        block_size=block,
        heads=heads,
        state_content_bytes=(size + size_v) * ITEMSIZE[dtype],
        tokens_per_state=per_state,
        window_tokens=window,
        alignment_bytes=alignment,
        dcp_sharded=bool(sharded),
        speculative_blocks=spare,
        variant=dtype if kind == "sliding_latent" else f"{dtype} {size} {size_v}",
    )


def stages_of(case: dict) -> tuple[tuple[LayerCache, ...], ...]:
    model_dtype = case["kv"] if case["kv"] in ("bfloat16", "float16", "float32") else "bfloat16"
    terms = CacheTerms(
        block_size=case["block"],
        kv_cache_dtype=case["kv"],
        dtype=case.get("dtype", model_dtype),
        tensor_parallel_size=case["tp"],
        num_speculative_tokens=case.get("spec", 0),
        state_dtype=case.get("state", ""),
    )
    made = {letter: caches_of(layer, terms) for letter, layer in case["kinds"].items()}
    stages = tuple(tuple(cache for letter in stage for cache in made[letter]) for stage in case["stages"])
    return align_states(stages, case["block"], case["states"]).stages if "states" in case else stages


def groups_of(case: dict):
    return group_caches(
        stages_of(case),
        block_outermost=case.get("outermost", False),
        hybrid_manager=not case.get("no_hybrid", False),
    )


def terms_of(case: dict) -> RequestTerms:
    return RequestTerms(
        max_in_flight_tokens=case["in_flight"],
        decode_context_parallel_size=case.get("dcp", 1),
        mamba_cache_mode=case.get("mode", "align"),
        extra_retained_tokens=case.get("retained", 0),
    )


def gib(size: int) -> str:
    return f"{round(size / GIB, 2)}"


def answer(case: dict, length: int, memory: list[int], override: int | None, auto: int):
    """Our answer to a run, in the form in which the engine's is kept."""
    groups, terms = groups_of(case), terms_of(case)
    if auto:
        length = longest_that_fits(groups, memory, length, terms, override)
        if not length:
            return "not even one token"
    found = capacity(groups, memory, length, terms, override)
    if found.shortage is Shortage.NOTHING:
        return "nothing"
    if found.shortage is Shortage.TOO_LONG:
        return f"{gib(found.needed_bytes)} needed, {gib(found.available_bytes)} there, longest {found.longest}"
    return [found.blocks, found.blocks_per_request, found.tokens, found.max_concurrency, length]


def check_groups(case: dict) -> None:
    result = case["result"]
    terms_case = {**case, "stages": list(case["kinds"])}
    pages = [[cache.page_bytes for cache in stage] for stage in stages_of(terms_case)]
    assert dict(zip(case["kinds"], pages, strict=True)) == result["pages"], case["name"]
    if "refused" in result:
        with pytest.raises(NoError):
            groups_of(case)
        return
    groups = groups_of(case)
    # Without prefix caching the engine's blocks of states hold `max_model_len` tokens, and nobody reads that.
    sizes = [
        [theirs[0] if group.cache.kind is CacheKind.STATE else group.cache.block_size, *group.stage_layers]
        for group, theirs in zip(groups.groups, result["groups"], strict=True)
    ]
    assert sizes == result["groups"], case["name"]
    assert list(groups.bytes_per_block) == result["bytes_per_block"], case["name"]
    if "block" in result:
        assert max(group.cache.block_size for group in groups.groups) == result["block"]


def check_runs(case: dict) -> None:
    for run, theirs in zip(case["runs"], case["result"]["runs"], strict=True):
        if isinstance(theirs, str) and theirs.endswith("Error"):
            with pytest.raises(NoError):
                answer(case, *run)
        else:
            assert answer(case, *run) == theirs, (case["name"], run)


def check_growth(case: dict) -> None:
    """What grows and what is fixed add up to what a request takes."""
    length = 1 << 20
    try:
        groups, terms = groups_of(case), terms_of(case)
        blocks = request_blocks(groups, length, terms)
    except NoError:
        return
    for stage, size in enumerate(groups.bytes_per_block):
        grown = growth(groups, stage, length, terms)
        exact = grown.bytes_per_request_fixed + grown.bytes_per_token * length
        # Rounded up to whole blocks in one, to whole bytes in the other.
        assert exact - length * len(groups.groups) <= blocks * size <= exact + size * len(groups.groups), case["name"]


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("random")])
def test_layers_of_public_models(name):
    check_groups(CASES[name])
    check_runs(CASES[name])
    check_growth(CASES[name])


@pytest.mark.parametrize("tens", range(10))
def test_random_mixtures(tens):
    cases = [case for name, case in CASES.items() if name.startswith("random")][tens::10]
    assert len(cases) == 30
    for case in cases:
        check_groups(case)
        check_runs(case)
        check_growth(case)


def test_every_kind_of_outcome_is_in_the_kept_cases():
    runs = [run for case in CASES.values() for run in case["result"]["runs"]]
    assert {"nothing", "not even one token", "AssertionError"} <= {run for run in runs if isinstance(run, str)}
    assert sum(isinstance(run, list) for run in runs) > 500
    assert sum(isinstance(run, str) and "needed" in run for run in runs) > 100
    groups = {len(case["result"].get("groups", ())) for case in CASES.values()}
    assert set(range(9)) <= groups


@pytest.mark.e2e
def test_the_kept_answers_are_what_the_engine_says_today(engine_python):
    command = [str(engine_python), str(DATA.parent / "oracle/kv_groups.py")]
    command += [part for name in LIVE for part in ("--case", name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {name: CASES[name]["result"] for name in LIVE}
