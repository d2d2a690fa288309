"""Inputs of the oracle of KV-cache groups: layers of public models in many layouts, and seeded random mixtures.

Plain numbers only; `kv_groups.py` gives them to the engine, `tests/models/test_models_kv_oracle.py` to ours. Kinds of
layers are letters, a stage is a word of them. A run is [max_model_len, bytes of each stage, override, auto].
"""

from __future__ import annotations

import random
from typing import Any

GIB = 1 << 30
FULL = {"kind": "full"}
SLIDING = {"kind": "sliding"}
GDN = {"kind": "gdn", "key_heads": 16, "key_head_dim": 128, "value_head_dim": 128, "conv_kernel": 4}
LATENT = {"kind": "latent", "width": 576}
INDEXED = {"kind": "indexed", "width": 576, "index_head_dim": 128}
DSV4 = {"kind": "compressed", "head_dim": 512, "window": 128, "index_head_dim": 128}

# name: (kinds, layers, longest context); dimensions of public config.json files
MODELS: dict[str, tuple[dict[str, Any], str, int]] = {
    "Qwen2.5-0.5B": ({"a": FULL | {"kv_heads": 2, "head_dim": 64}}, "a" * 24, 32768),
    "Qwen2.5-72B": ({"a": FULL | {"kv_heads": 8, "head_dim": 128}}, "a" * 80, 32768),
    "Qwen3-235B-A22B": ({"a": FULL | {"kv_heads": 4, "head_dim": 128}}, "a" * 94, 262144),
    "GLM-4.5-Air": ({"a": FULL | {"kv_heads": 8, "head_dim": 128}}, "a" * 46, 131072),
    "SmolLM2-135M": ({"a": FULL | {"kv_heads": 3, "head_dim": 64}}, "a" * 30, 8192),
    "Qwen2 with windows": (
        {"a": FULL | {"kv_heads": 4, "head_dim": 128}, "b": SLIDING | {"kv_heads": 4, "head_dim": 128, "window": 4096}},
        "a" * 21 + "b" * 7,
        131072,
    ),
    "gpt-oss-20b": (
        {"a": FULL | {"kv_heads": 8, "head_dim": 64}, "b": SLIDING | {"kv_heads": 8, "head_dim": 64, "window": 128}},
        "ba" * 12,
        131072,
    ),
    "windows 5 to 1, other heads": (
        {
            "a": FULL | {"kv_heads": 4, "head_dim": 512},
            "b": SLIDING | {"kv_heads": 16, "head_dim": 256, "window": 1024},
        },
        "bbbbba" * 10,
        262144,
    ),
    "chunks 3 to 1": (
        {
            "a": FULL | {"kv_heads": 8, "head_dim": 128},
            "b": {"kind": "chunked", "kv_heads": 8, "head_dim": 128, "chunk": 8192},
        },
        "bbba" * 12,
        1_048_576,
    ),
    "DeepSeek-V3": ({"a": LATENT}, "a" * 61, 163840),
    "DeepSeek-V3.2": ({"a": INDEXED}, "a" * 61, 163840),
    "GLM-5.2": ({"a": INDEXED, "b": LATENT}, "aaa" + "bbba" * 18 + "bbb", 202752),
    "Qwen3-Next-80B": (
        {"a": FULL | {"kv_heads": 2, "head_dim": 256}, "b": GDN | {"value_heads": 32, "state_dtype": ""}},
        "bbba" * 12,
        262144,
    ),
    "Qwen3.6-27B": (
        {"a": FULL | {"kv_heads": 4, "head_dim": 256}, "b": GDN | {"value_heads": 48, "state_dtype": "float32"}},
        "bbba" * 16,
        262144,
    ),
    "Qwen3.5-397B": (
        {"a": FULL | {"kv_heads": 2, "head_dim": 256}, "b": GDN | {"value_heads": 64, "state_dtype": "float32"}},
        "bbba" * 15,
        262144,
    ),
    "Kimi-Linear-48B": (
        {"a": LATENT, "b": {"kind": "kda", "heads": 32, "head_dim": 128, "conv_kernel": 4}},
        "bbba" * 6 + "bba",
        1_048_576,
    ),
    "DeepSeek-V4-Flash": (
        {"a": DSV4 | {"ratio": 1}, "b": DSV4 | {"ratio": 4}, "c": DSV4 | {"ratio": 128}},
        "aa" + "bc" * 20 + "b",
        1_048_576,
    ),
    "DeepSeek-V4-Pro": (
        {"a": DSV4 | {"ratio": 1}, "b": DSV4 | {"ratio": 4}, "c": DSV4 | {"ratio": 128}},
        "cc" + "bc" * 29 + "b",
        1_048_576,
    ),
}
# name, tp, pp, block size, KV dtype, what else
LAYOUTS: list[tuple[str, int, int, int, str, dict[str, Any]]] = [
    ("Qwen2.5-0.5B", 1, 1, 16, "bfloat16", {}),
    ("Qwen2.5-0.5B", 4, 1, 128, "fp8", {}),
    ("Qwen2.5-72B", 4, 1, 16, "bfloat16", {}),
    ("Qwen2.5-72B", 8, 1, 16, "fp8", {}),
    ("Qwen2.5-72B", 2, 3, 16, "bfloat16", {}),
    ("Qwen2.5-72B", 8, 2, 16, "int8_per_token_head", {}),
    ("Qwen2.5-72B", 16, 1, 16, "int4_per_token_head", {"dcp": 2}),
    ("Qwen3-235B-A22B", 8, 2, 16, "bfloat16", {"dcp": 2}),
    ("Qwen3-235B-A22B", 4, 4, 16, "float16", {}),
    ("GLM-4.5-Air", 2, 1, 16, "bfloat16", {"mtp": "a"}),
    ("GLM-4.5-Air", 4, 3, 16, "fp8", {"mtp": "a"}),
    ("SmolLM2-135M", 1, 1, 128, "float32", {}),
    ("SmolLM2-135M", 3, 4, 32, "bfloat16", {}),
    ("Qwen2 with windows", 4, 1, 16, "bfloat16", {}),
    ("Qwen2 with windows", 4, 2, 16, "bfloat16", {}),
    ("Qwen2 with windows", 2, 1, 128, "fp8", {"no_hybrid": True}),
    ("Qwen2 with windows", 2, 1, 16, "bfloat16", {"dcp": 2}),
    ("gpt-oss-20b", 1, 1, 16, "bfloat16", {}),
    ("gpt-oss-20b", 2, 2, 16, "fp8", {"mtp": "a"}),
    ("gpt-oss-20b", 8, 5, 16, "bfloat16", {}),
    ("windows 5 to 1, other heads", 1, 1, 16, "bfloat16", {}),
    ("windows 5 to 1, other heads", 2, 2, 16, "bfloat16", {"retained": 2}),
    ("windows 5 to 1, other heads", 4, 1, 64, "fp8", {"outermost": True}),
    ("chunks 3 to 1", 8, 1, 16, "bfloat16", {}),
    ("chunks 3 to 1", 8, 2, 16, "bfloat16", {"no_hybrid": True}),
    ("DeepSeek-V3", 8, 1, 16, "bfloat16", {}),
    ("DeepSeek-V3", 8, 2, 64, "fp8", {}),
    ("DeepSeek-V3", 1, 1, 32, "bfloat16", {"mtp": "a"}),
    ("DeepSeek-V3", 8, 1, 64, "fp8", {"dcp": 8}),
    ("DeepSeek-V3.2", 8, 1, 64, "bfloat16", {}),
    ("DeepSeek-V3.2", 8, 1, 64, "fp8_ds_mla", {"dcp": 4}),
    ("DeepSeek-V3.2", 8, 2, 64, "fp8_ds_mla", {"mtp": "a"}),
    ("DeepSeek-V3.2", 8, 1, 64, "nvfp4_ds_mla", {}),
    ("GLM-5.2", 8, 1, 64, "bfloat16", {}),
    ("GLM-5.2", 8, 2, 64, "fp8_ds_mla", {"mtp": "a"}),
    ("GLM-5.2", 8, 3, 64, "fp8", {"outermost": True}),
    ("Qwen3-Next-80B", 2, 1, 16, "bfloat16", {"states": 16}),
    ("Qwen3-Next-80B", 2, 1, 16, "bfloat16", {"states": 16, "mode": "none"}),
    ("Qwen3-Next-80B", 1, 1, 128, "bfloat16", {"states": 32, "state": "float32"}),
    ("Qwen3-Next-80B", 4, 2, 16, "fp8", {"states": 16}),
    ("Qwen3-Next-80B", 4, 1, 16, "bfloat16", {"states": 16, "mtp": "a", "spec": 2}),
    ("Qwen3-Next-80B", 4, 1, 16, "bfloat16", {"states": 16, "outermost": True}),
    ("Qwen3-Next-80B", 2, 1, 16, "bfloat16", {"states": 16, "no_hybrid": True}),
    ("Qwen3.6-27B", 2, 1, 16, "fp8_e5m2", {"states": 16, "dtype": "float16", "mtp": "a", "spec": 3}),
    ("Qwen3.6-27B", 1, 1, 16, "bfloat16", {"states": 16}),
    ("Qwen3.6-27B", 8, 2, 16, "bfloat16", {"states": 16, "dcp": 2}),
    ("Qwen3.5-397B", 8, 1, 16, "bfloat16", {"states": 16}),
    ("Qwen3.5-397B", 16, 2, 16, "fp8", {"states": 16, "mode": "none"}),
    ("Kimi-Linear-48B", 2, 1, 16, "bfloat16", {"states": 16}),
    ("Kimi-Linear-48B", 4, 1, 64, "fp8", {"states": 64}),
    ("Kimi-Linear-48B", 1, 2, 16, "bfloat16", {"states": 16, "mode": "none"}),
    ("DeepSeek-V4-Flash", 8, 1, 256, "fp8_ds_mla", {"outermost": True}),
    ("DeepSeek-V4-Flash", 8, 2, 256, "fp8_ds_mla", {"outermost": True, "mtp": "a"}),
    ("DeepSeek-V4-Flash", 4, 1, 512, "fp8_ds_mla", {"outermost": True}),
    ("DeepSeek-V4-Flash", 4, 1, 256, "bfloat16", {"outermost": True}),
    ("DeepSeek-V4-Flash", 4, 1, 256, "fp8_ds_mla", {"outermost": True, "no_hybrid": True}),
    ("DeepSeek-V4-Pro", 8, 1, 256, "fp8_ds_mla", {"outermost": True}),
    ("DeepSeek-V4-Pro", 8, 3, 256, "fp8_ds_mla", {"outermost": True, "mtp": "a", "retained": 1}),
]


def split(layers: str, pp: int) -> list[str]:
    """As the engine deals layers to stages: what is left over goes to the last but one, and so on upwards."""
    sizes = [len(layers) // pp] * pp
    for i in range(2, len(layers) % pp + 2):
        sizes[-i] += 1
    return [layers[sum(sizes[:i]) : sum(sizes[: i + 1])] for i in range(pp)]


def runs(rng: random.Random, stages: int, longest: int) -> list[list[Any]]:
    """Lengths, memory, overrides: from far too little to plenty."""
    found = []
    for _ in range(5):
        length = rng.choice([longest, longest, 1, 1000, 4096, rng.randrange(1, longest)])
        base = int(GIB * 2 ** rng.uniform(-12 if rng.random() < 0.1 else -4, 6.5))
        memory = [int(base * rng.uniform(0.9, 1.1)) for _ in range(stages)]
        override = rng.choice([None, None, None, rng.randrange(1, 600)])
        found.append([length, memory, override, int(rng.random() < 0.3)])
    return found


def model_cases() -> list[dict[str, Any]]:
    cases = []
    for number, (name, tp, pp, block, kv, rest) in enumerate(LAYOUTS):
        rng = random.Random(number)
        kinds, layers, longest = MODELS[name]
        stages = split(layers, pp)
        extra = dict(rest)
        stages[-1] += extra.pop("mtp", "")
        in_flight = rng.choice([2048, 8192, 16384]) * rng.choice([1, 1 + pp])
        title = " ".join([name, f"tp{tp}", f"pp{pp}", f"b{block}", kv, *(f"{k}={v}" for k, v in rest.items())])
        case = {"name": title, "block": block, "kv": kv, "tp": tp, "in_flight": in_flight, "kinds": kinds}
        cases.append(case | extra | {"stages": stages, "runs": runs(rng, pp, longest)})
    return cases


# Random mixtures: a cache is [kind, block, heads, head size, of values, dtype, window, tokens per state, alignment,
# DCP-sharded, speculative blocks].


def _random_caches(rng: random.Random, *, outermost: bool) -> dict[str, list[Any]]:
    block = rng.choice([16, 16, 32, 64, 128])
    heads, size = rng.choice([1, 2, 4, 8]), rng.choice([64, 128, 256])
    window = rng.choice([128, 512, 1024, 4096])
    dtype = rng.choice(["bfloat16", "bfloat16", "uint8", "float32"])
    flavour = rng.choice(["heads", "heads", "latent", "states", "states", "compressed" if outermost else "heads"])
    full = ["full", block, heads, size, size, dtype, 0, 1, 0, 1, 0]
    latent = ["latent", block, 1, rng.choice([576, 512, 132]), 0, dtype, 0, 1, 0, 1, 0]
    sliding = ["sliding", block, rng.choice([heads, 2 * heads, 3]), size, size, dtype, window, 1, 0, 1, 0]
    chunked = ["chunked", block, heads, size, size, dtype, 8192, 1, 0, 1, 0]
    state = ["state", block, 1, rng.randrange(1000, 3_000_000), 0, "uint8", 0, 1, 0, 1, rng.choice([0, 0, 1, 3])]
    choices = {
        "heads": [full, sliding, [*sliding[:6], 2 * window, *sliding[7:]], [*full[:3], 2 * size, *full[4:]], chunked],
        "latent": [latent, [*latent[:3], 132, 0, "uint8", *latent[6:]], sliding],
        "states": [full, state, latent, [*state[:3], state[3] // 3 + 1, *state[4:]]],
        "compressed": [
            ["latent", 256, 1, 584, 0, "uint8", 0, 4, 576, 1, 0],
            ["latent", 256, 1, 584, 0, "uint8", 0, 128, 576, 1, 0],
            ["sliding_latent", 64, 1, 584, 0, "uint8", 128, 1, 576, 1, 0],
            ["sliding_latent", 4, 1, 2048, 0, "float32", 8, 1, 576, 1, 0],
            ["ring", 8, 1, 300, 0, "float32", 0, 1, 0, 0, 0],
        ],
    }[flavour]
    picked = rng.sample(choices, rng.randrange(1, min(4, len(choices)) + 1))
    if rng.random() < 0.1:
        picked.append([*full[:9], 0, 0])
    return {"abcdefgh"[i]: cache for i, cache in enumerate(picked)}


def random_cases(count: int) -> list[dict[str, Any]]:
    cases = []
    for seed in range(count):
        rng = random.Random(10_000 + seed)
        outermost = rng.random() < 0.5
        caches = _random_caches(rng, outermost=outermost)
        kinds = {letter: {"kind": "raw", "raw": cache} for letter, cache in caches.items()}
        pattern = "".join(letter * rng.randrange(1, 5) for letter in caches)
        layers = (pattern * rng.randrange(1, 9))[: rng.randrange(2, 60)] + rng.choice(["", pattern[-1], pattern[0]])
        pp = min(rng.choice([1, 1, 1, 2, 3]), len(layers))
        case: dict[str, Any] = {"name": f"random {seed}", "block": 16, "kv": "bfloat16", "tp": 1}
        case |= {"in_flight": rng.choice([2048, 8192, 24576]), "kinds": kinds}
        case |= {key: True for key, odds in (("no_hybrid", 0.15),) if rng.random() < odds}
        case |= {"outermost": True} if outermost else {}
        case |= {"mode": "none"} if rng.random() < 0.3 else {}
        case |= {"dcp": 2} if rng.random() < 0.1 else {}
        case |= {"retained": 2} if rng.random() < 0.1 else {}
        cases.append(case | {"stages": split(layers, pp), "runs": runs(rng, pp, 131072)[:2]})
    return cases
