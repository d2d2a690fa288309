"""Multi-head latent attention (MLA), and the indexer that makes it sparse (DSA)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.models.attention import CACHE_SCALES
from selfhost.models.parts import FLOAT32, Cut, Linear, RotaryTable, Vector
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.models.parts import Part
    from selfhost.models.reader import Reader


@dataclass(frozen=True, kw_only=True, slots=True)
class Indexer:
    """Picks the tokens that sparse attention looks at; whole on every rank."""

    index_topk: int
    index_n_heads: int
    index_head_dim: int
    interleaved: bool = False
    """Whether it pairs the rotated dimensions as the attention does, so that one table serves both."""

    def parts(self, hidden_size: int, q_lora_rank: int) -> list[Part]:
        """Everything it holds; its small projections stay in the model's dtype."""
        return [
            Linear(
                name="self_attn.indexer.wq_b",
                outputs=(self.index_n_heads * self.index_head_dim,),
                inputs=q_lora_rank,
                cut=Cut.WHOLE,
            ),
            Linear(
                name="self_attn.indexer.wk_weights_proj",
                outputs=(self.index_head_dim, self.index_n_heads),
                inputs=hidden_size,
                cut=Cut.WHOLE,
                quantizable=False,
                parts=("wk", "weights_proj"),
            ),
            Vector(name="self_attn.indexer.k_norm.weight", size=self.index_head_dim, itemsize=FLOAT32),
            Vector(name="self_attn.indexer.k_norm.bias", size=self.index_head_dim, itemsize=FLOAT32),
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentAttention:
    """Attention of a layer whose cache holds one latent vector per token; names as in `config.json`.

    The heads are `qk_nope_head_dim` + `qk_rope_head_dim` wide for queries and keys; a `head_dim` beside these (GLM-5)
    is not used. Source: vLLM 0.32 model_executor/models/deepseek_v2.py, and for sparse attention on CUDA
    models/deepseek_v32/ (attention.py, nvidia/model.py), whose tensors are the same.

    `kv_b_proj` stays as it is, for prefill; decoding takes its two halves, W_UK and W_UV, in the model's dtype: views
    of it when it is not quantized, one de-quantized copy whatever else it is in (layers/attention/mla_attention.py
    `split_kv_b_proj`, quant_utils.py `get_and_maybe_dequant_weights`).

    Decode context parallelism does not change any of it, but for `--dcp-q-replicate` (layers/linear.py
    `DCPGroupColumnParallelLinear`), which is off unless asked for: the default of GLM-5 that turns it on
    (models/config.py) is not read by the CUDA class.
    """

    num_attention_heads: int
    q_lora_rank: int
    """0: queries are projected directly."""
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    indexer: Indexer | None = None
    """None: every token is looked at, or what the indexer of an earlier layer picked."""
    is_sparse: bool = False
    """Whether only the tokens that an indexer picked are looked at, which decides how the cache is laid out."""

    @property
    def num_key_value_heads(self) -> int:
        """One latent vector serves all heads."""
        return 1

    @property
    def rotary(self) -> tuple[RotaryTable, ...]:
        """The indexer has a table of its own where it pairs the dimensions another way."""
        main = RotaryTable("main", self.qk_rope_head_dim)
        own = self.indexer is not None and not self.indexer.interleaved
        return (main, RotaryTable("indexer", self.qk_rope_head_dim)) if own else (main,)

    def width_per_token(self, tp: int) -> int:
        """Queries, up-projected keys and values of one token on a rank, in elements."""
        each = 2 * self.qk_nope_head_dim + self.qk_rope_head_dim + self.v_head_dim
        return self.num_attention_heads // tp * each

    def parts(self, hidden_size: int) -> list[Part]:
        """Everything it holds, uncut; the a-projections are whole on every rank."""
        heads, query = self.num_attention_heads, self.qk_nope_head_dim + self.qk_rope_head_dim
        latent = self.kv_lora_rank + self.qk_rope_head_dim
        parts: list[Part] = []
        if self.q_lora_rank:
            parts += [
                Linear(
                    name="self_attn.fused_qkv_a_proj",
                    outputs=(self.q_lora_rank, latent),
                    inputs=hidden_size,
                    cut=Cut.WHOLE,
                    parts=("q_a_proj", "kv_a_proj_with_mqa"),
                ),
                Vector(name="self_attn.q_a_layernorm", size=self.q_lora_rank),
                Linear(name="self_attn.q_b_proj", outputs=(heads * query,), inputs=self.q_lora_rank, cut=Cut.COLUMN),
            ]
        else:
            parts += [
                Linear(name="self_attn.kv_a_proj_with_mqa", outputs=(latent,), inputs=hidden_size, cut=Cut.WHOLE),
                Linear(name="self_attn.q_proj", outputs=(heads * query,), inputs=hidden_size, cut=Cut.COLUMN),
            ]
        return [
            *parts,
            Vector(name="self_attn.kv_a_layernorm", size=self.kv_lora_rank),
            Linear(
                name="self_attn.kv_b_proj",
                outputs=(heads * (self.qk_nope_head_dim + self.v_head_dim),),
                inputs=self.kv_lora_rank,
                cut=Cut.COLUMN,
                kept_plain_too=True,
            ),
            Linear(name="self_attn.o_proj", outputs=(hidden_size,), inputs=heads * self.v_head_dim, cut=Cut.ROW),
            *(self.indexer.parts(hidden_size, self.q_lora_rank) if self.indexer else ()),
            *CACHE_SCALES,
        ]


def read_latents(reader: Reader, count: int, drafts: int) -> list[LatentAttention]:
    """One for each of `count` layers, and for each of multi-token prediction, which never shares an indexer.

    Sparse attention indexes the compressed queries, so it needs `q_lora_rank`.
    """
    topk = reader.integer("index_topk", default=0, minimum=0)
    needed = None if topk else 0
    indexer = Indexer(
        index_topk=topk,
        index_n_heads=reader.integer("index_n_heads", default=needed),
        index_head_dim=reader.integer("index_head_dim", default=needed),
        interleaved=reader.flag("indexer_rope_interleave"),
    )
    latent = LatentAttention(
        num_attention_heads=reader.integer("num_attention_heads"),
        q_lora_rank=reader.integer("q_lora_rank", default=needed),
        kv_lora_rank=reader.integer("kv_lora_rank"),
        qk_nope_head_dim=reader.integer("qk_nope_head_dim"),
        qk_rope_head_dim=reader.integer("qk_rope_head_dim"),
        v_head_dim=reader.integer("v_head_dim"),
        indexer=indexer if topk else None,
        is_sparse=topk > 0,
    )
    if not topk:
        return [latent] * (count + drafts)
    shared = replace(latent, indexer=None)
    return [latent if own else shared for own in (*_own_indexer(reader, count), *([True] * drafts))]


def _own_indexer(reader: Reader, count: int) -> list[bool]:
    """Which layers have an indexer of their own; the others use what the last one picked.

    `index_topk_pattern` has an S for each layer that shares; without one, of the layers from `index_skip_topk_offset`
    - 1 on every `index_topk_freq`th has its own (models/deepseek_v32/attention.py). `indexer_types` is not read.
    Check: GLM-5.2 (offset 3, every 4th) -> 21 of 78: 0, 1, 2, 6, 10, ..., 74.
    """
    pattern = reader.word("index_topk_pattern")
    if pattern:
        return [letter != "S" for letter in pattern.ljust(count, "F")[:count]]
    offset = reader.integer("index_skip_topk_offset", default=2, minimum=0)
    every = reader.integer("index_topk_freq", default=1)
    return [max(layer - offset + 1, 0) % every == 0 for layer in range(count)]
