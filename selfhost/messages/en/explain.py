"""Messages of `plan --explain`: where each figure comes from."""

from selfhost.messages import Text

MESSAGES = {
    "explain.nothing": Text("nothing to explain: a plan that cannot run has no figures"),
    "explain.title_layouts": Text("layouts in the order in which they are tried"),
    "explain.title_memory": Text("memory of the rank with the fewest KV blocks, formulas in names and in numbers"),
    "explain.title_encoder": Text("images: what the engine encodes at start, and what it holds meanwhile"),
    "explain.title_kv_cache": Text("from the KV cache to tokens and requests, per engine"),
    "explain.layout": Text("{layout}: {verdict}, weights {weights}, {tokens:,} tokens, context {length:,}"),
    "explain.layout_chosen": Text(
        "{layout}: {verdict}, weights {weights}, {tokens:,} tokens, context {length:,} (chosen)"
    ),
    "explain.range": Text("({low} to {high})"),
    "explain.measured": Text("measured, not derived: the likely value of the range"),
    "explain.source": Text("source: {source}"),
}
