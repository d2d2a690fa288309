"""Messages about the KV cache."""

from selfhost.messages import Text

MESSAGES = {
    "kv.dtype_unknown": Text(
        "the size of this model's KV cache with dtype `{dtype}` is not known here",
        "known: {known}",
        "leave out `--kv-cache-dtype`",
    ),
    "kv.no_backend": Text("no attention backend keeps a KV cache with dtype `{dtype}` for this model on this device"),
    "kv.sparse_on_cpu": Text("sparse attention does not run on a CPU"),
    "kv.compressed_dtype": Text("DeepSeek-V4 keeps its KV cache in FP8 only, not in `{dtype}`"),
    "kv.stage_without_cache": Text("a pipeline stage has no layer that keeps anything: the engine does not start so"),
    "kv.no_layout": Text("the engine finds no way to lay the caches of these layers out in one pool"),
    "kv.window_over_ranks": Text("decode context parallel does not work with sliding windows"),
}
