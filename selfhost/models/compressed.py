"""Compressed attention (DeepSeek-V4): queries look at a short window of tokens and at summaries of all others.

Caches of a layer with `compress_ratios` 0, 4 or 128, the same on every tensor-parallel rank; measured on the engine's
own layers (`get_kv_cache_spec` of models/deepseek_v4/attention.py, compressor.py and
v1/attention/backends/mla/sparse_swa.py), `--block-size 256`, the only one its backends take (sparse_mla.py):

    cache               layers  tokens/block  rows/block  bytes/row  page     kept
    window              all     64            64          584        37_440   128 tokens
    summaries           4       256           64          584        37_440   one row for 4 tokens
    summaries           128     256           2           584        1_728    one row for 128 tokens
    compressor state    4       4             4           8_192      32_832   8 tokens
    compressor state    128     8             8           4_096      32_832   128 tokens
    indexer             4       256           64          132        8_640    one row for 4 tokens
    indexer state       4       4             4           2_048      8_640    8 tokens

Rows of 584 bytes: 448 in FP8, 64 rotated ones in bf16, 8 of scales (dtype uint8, `fp8_ds_mla`, which `auto` and `fp8`
both mean; `bfloat16` is refused by FlashMLA). The indexer has 128 in FP8 and a float32 scale (with
`indexer_kv_dtype` mxfp4: 68). States are float32: 2 * 2 * head_dim values with ratio 4, 2 * head_dim with 128. Pages
are rounded up to 576 bytes. Layers of multi-token prediction have ratio 0, whatever the list says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.models.latent import Indexer
from selfhost.models.parts import FLOAT32, Cut, Linear, RotaryTable, Vector
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.models.parts import Part
    from selfhost.models.reader import Reader

RATIOS = (0, 4, 128)
_SPARSE_RATIO = 4
"""Layers with this ratio have an indexer, and summaries that overlap."""
_KERNEL_HEADS = 64
"""Heads of a call of the attention kernel: 64 or 128 (FlashMLA's `get_padded_num_q_heads`)."""
_PREFILL_CHUNK = 4
"""Requests that prefill gathers at once (models/deepseek_v4/attention.py `PREFILL_CHUNK_SIZE`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HyperConnections:
    """Several residual streams, mixed before and after each half of a layer; float32, whole on every rank."""

    hc_mult: int

    def parts(self, hidden_size: int) -> list[Part]:
        """Those of a layer, around attention and around the feed-forward part."""
        mixes, width = (2 + self.hc_mult) * self.hc_mult, self.hc_mult * hidden_size
        sizes = {"fn": mixes * width, "base": mixes, "scale": 3}
        return [
            Vector(name=f"hc_{half}_{name}", size=size, itemsize=FLOAT32, stored_itemsize=FLOAT32)
            for half in ("attn", "ffn")
            for name, size in sizes.items()
        ]

    def head_parts(self, hidden_size: int) -> list[Part]:
        """Those that make one stream of all; the engine has them on every pipeline stage."""
        sizes = {"fn": self.hc_mult**2 * hidden_size, "base": self.hc_mult, "scale": 1}
        return [
            Vector(name=f"hc_head_{name}", size=size, itemsize=FLOAT32, stored_itemsize=FLOAT32)
            for name, size in sizes.items()
        ]

    def first_parts(self, hidden_size: int) -> list[Part]:
        """What the first stage adds after loading: the streams of the embedding are equal (`hc_attn_fn_broadcast`)."""
        size = (2 + self.hc_mult) * self.hc_mult * hidden_size
        return [Vector(name="hc_attn_fn_broadcast", size=size, itemsize=FLOAT32, stored_itemsize=0, trained=False)]


@dataclass(frozen=True, kw_only=True, slots=True)
class CompressedAttention:
    """Attention of a layer; names as in `config.json`. Source: vLLM 0.32 models/deepseek_v4/ with nvidia/model.py."""

    num_attention_heads: int
    head_dim: int
    qk_rope_head_dim: int
    q_lora_rank: int
    o_lora_rank: int
    o_groups: int
    sliding_window: int
    compress_ratio: int
    """Tokens in a summary; 0: only the window is looked at."""
    indexer: Indexer | None
    """Picks the summaries to look at; with ratio 4."""
    connections: HyperConnections

    @property
    def num_key_value_heads(self) -> int:
        """One vector serves all heads as key and value."""
        return 1

    @property
    def rotary(self) -> tuple[RotaryTable, ...]:
        """Layers with summaries rotate by their own base, stretched; the others as far as the context goes."""
        if self.compress_ratio:
            return (RotaryTable("compressed", self.qk_rope_head_dim, itemsize=FLOAT32),)
        return (RotaryTable("main", self.qk_rope_head_dim, itemsize=FLOAT32, stretched=False),)

    def kernel_heads(self, tp: int) -> int:
        """Query heads of a rank, with those that only pad.

        Check: 64 heads -> 64 at every TP; 128 heads -> 128 at TP1, else 64.
        """
        return -(-self.num_attention_heads // tp // _KERNEL_HEADS) * _KERNEL_HEADS

    def width_per_token(self, tp: int) -> int:
        """Queries, padded queries and what attention makes of them, of one token on a rank, in elements."""
        return (self.num_attention_heads // tp + 2 * self.kernel_heads(tp)) * self.head_dim

    def workspace_bytes(self, max_model_len: int, max_num_batched_tokens: int) -> int:
        """What prefill reserves: summaries and window of four requests as bf16, and the indices to look at.

        Source: models/deepseek_v4/nvidia/flashmla.py `forward_mqa`. Check: ratio 4, 131_072 tokens of context, 8192 per
        step, top 512 -> 4 * (32_768 + 128 + 8192) * 1024 + 8192 * (640 + 1) * 4 = 189_300_736.
        """
        rows = -(-max_model_len // self.compress_ratio) if self.compress_ratio else 0
        topk = self.indexer.index_topk if self.indexer else 0
        indices = -(-(topk + self.sliding_window) // 128) * 128
        gathered = _PREFILL_CHUNK * (rows + self.sliding_window + max_num_batched_tokens) * self.head_dim * 2
        return gathered + max_num_batched_tokens * (indices + 1) * 4

    def parts(self, hidden_size: int) -> list[Part]:
        """Everything it holds, uncut, with the hyper-connections of its layer."""
        width, low = self.num_attention_heads * self.head_dim, self.o_groups * self.o_lora_rank
        padded = self.kernel_heads(1)
        parts: list[Part] = [
            *self.connections.parts(hidden_size),
            Vector(
                name="attn.attn_sink",
                size=padded,
                cut=Cut.COLUMN,
                at_most=padded // _KERNEL_HEADS,
                itemsize=FLOAT32,
                stored_itemsize=FLOAT32,
            ),
            Linear(
                name="attn.fused_wqa_wkv",
                outputs=(self.q_lora_rank, self.head_dim),
                inputs=hidden_size,
                cut=Cut.WHOLE,
                parts=("wq_a", "wkv"),
            ),
            Vector(name="attn.q_norm", size=self.q_lora_rank),
            Linear(name="attn.wq_b", outputs=(width,), inputs=self.q_lora_rank, cut=Cut.COLUMN),
            Vector(name="attn.kv_norm", size=self.head_dim),
            Linear(name="attn.wo_a", outputs=(low,), inputs=width // self.o_groups, cut=Cut.COLUMN),
            Linear(name="attn.wo_b", outputs=(hidden_size,), inputs=low, cut=Cut.ROW),
        ]
        if self.compress_ratio:
            parts += _compressor("attn.compressor", hidden_size, self.head_dim, self.compress_ratio)
        if self.indexer:
            parts += self._indexer(self.indexer, hidden_size)
        return parts

    def _indexer(self, indexer: Indexer, hidden_size: int) -> list[Part]:
        """Whole on every rank, with a compressor of its own."""
        heads, dim = indexer.index_n_heads, indexer.index_head_dim
        return [
            Linear(name="attn.indexer.wq_b", outputs=(heads * dim,), inputs=self.q_lora_rank, cut=Cut.WHOLE),
            Linear(
                name="attn.indexer.weights_proj",
                outputs=(heads,),
                inputs=hidden_size,
                cut=Cut.WHOLE,
                quantizable=False,
            ),
            *_compressor("attn.indexer.compressor", hidden_size, dim, self.compress_ratio),
        ]


def _compressor(name: str, hidden_size: int, head_dim: int, ratio: int) -> list[Part]:
    """Makes one row of `ratio` tokens: positions in float32, keys and gates in the model's dtype, a norm."""
    width = head_dim * (2 if ratio == _SPARSE_RATIO else 1)
    return [
        Vector(name=f"{name}.ape", size=ratio * width, itemsize=FLOAT32, stored_itemsize=FLOAT32),
        Linear(
            name=f"{name}.fused_wkv_wgate",
            outputs=(width, width),
            inputs=hidden_size,
            cut=Cut.WHOLE,
            quantizable=False,
            parts=("wkv", "wgate"),
        ),
        Vector(name=f"{name}.norm", size=head_dim),
    ]


def read_compressed(reader: Reader, count: int, drafts: int) -> list[CompressedAttention]:
    """One for each of `count` layers, and for each of multi-token prediction, which have a window only."""
    ratios = reader.numbers("compress_ratios")
    known = len(ratios) >= count and set(ratios) <= set(RATIOS)
    wanted = f"a list of {', '.join(map(str, RATIOS))}, one for each of the {count} layers"
    reader.check("compress_ratios", len(ratios), wanted, good=known)
    connections = HyperConnections(hc_mult=reader.integer("hc_mult"))
    indexer = Indexer(
        index_topk=reader.integer("index_topk"),
        index_n_heads=reader.integer("index_n_heads"),
        index_head_dim=reader.integer("index_head_dim"),
    )
    heads, groups = reader.integer("num_attention_heads"), reader.integer("o_groups")
    reader.check("o_groups", groups, f"a divisor of the {heads} heads", good=heads % groups == 0)
    window = CompressedAttention(
        num_attention_heads=heads,
        head_dim=reader.integer("head_dim"),
        qk_rope_head_dim=reader.integer("qk_rope_head_dim"),
        q_lora_rank=reader.integer("q_lora_rank"),
        o_lora_rank=reader.integer("o_lora_rank"),
        o_groups=groups,
        sliding_window=reader.integer("sliding_window"),
        compress_ratio=0,
        indexer=None,
        connections=connections,
    )
    kinds = {
        ratio: replace(window, compress_ratio=ratio, indexer=indexer if ratio == _SPARSE_RATIO else None)
        for ratio in RATIOS
    }
    return [kinds[ratio] for ratio in (ratios[:count] if known else RATIOS[:1] * count)] + [window] * drafts
