"""Multi-head latent attention (MLA), and the indexer that makes it sparse (DSA)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfhost.models.attention import CACHE_SCALES
from selfhost.models.parts import FLOAT32, Cut, Linear, Vector

if TYPE_CHECKING:
    from selfhost.models.parts import Part
    from selfhost.models.reader import Reader


@dataclass(frozen=True, kw_only=True, slots=True)
class Indexer:
    """Picks the tokens that sparse attention looks at; whole on every rank."""

    index_topk: int
    index_n_heads: int
    index_head_dim: int

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

    Source: vLLM 0.32 model_executor/models/deepseek_v2.py, models/deepseek_v32/attention.py.
    """

    num_attention_heads: int
    q_lora_rank: int
    """0: queries are projected directly."""
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    indexer: Indexer | None = None
    """None: every token is looked at."""

    @property
    def num_key_value_heads(self) -> int:
        """One latent vector serves all heads."""
        return 1

    @property
    def rotary(self) -> tuple[tuple[str, int], ...]:
        """The indexer has a table of its own, which pairs the dimensions another way."""
        tables = (("main", self.qk_rope_head_dim),)
        return (*tables, ("indexer", self.qk_rope_head_dim)) if self.indexer else tables

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


def read_latent(reader: Reader) -> LatentAttention:
    """From the keys of a config. Sparse attention indexes the compressed queries, so it needs `q_lora_rank`."""
    topk = reader.integer("index_topk", default=0, minimum=0)
    needed = None if topk else 0
    indexer = Indexer(
        index_topk=topk,
        index_n_heads=reader.integer("index_n_heads", default=needed),
        index_head_dim=reader.integer("index_head_dim", default=needed),
    )
    return LatentAttention(
        num_attention_heads=reader.integer("num_attention_heads"),
        q_lora_rank=reader.integer("q_lora_rank", default=needed),
        kv_lora_rank=reader.integer("kv_lora_rank"),
        qk_nope_head_dim=reader.integer("qk_nope_head_dim"),
        qk_rope_head_dim=reader.integer("qk_rope_head_dim"),
        v_head_dim=reader.integer("v_head_dim"),
        indexer=indexer if topk else None,
    )
