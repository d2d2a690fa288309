"""Messages about the KV cache."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "kv.dtype_unknown": Text(
        "这里不知道该模型在 dtype `{dtype}` 下的 KV 缓存大小",
        "已知：{known}",
        "去掉 `--kv-cache-dtype`",
    ),
    "kv.no_backend": Text("在该设备上，没有注意力后端能为该模型以 dtype `{dtype}` 保存 KV 缓存"),
    "kv.sparse_on_cpu": Text("稀疏注意力不能在 CPU 上运行"),
    "kv.compressed_dtype": Text("DeepSeek-V4 的 KV 缓存只能用 FP8，不能用 `{dtype}`"),
    "kv.stage_without_cache": Text("有一个流水线阶段没有任何需要缓存的层：引擎这样无法启动"),
    "kv.no_layout": Text("引擎无法把这些层的缓存安排在同一个池中"),
    "kv.window_over_ranks": Text("解码上下文并行不能与滑动窗口一起使用"),
}
