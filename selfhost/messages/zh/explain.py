"""Messages of `plan --explain`: where each figure comes from."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "explain.nothing": Text("没有可以解释的：不能运行的规划没有数字"),
    "explain.title_layouts": Text("布局，按尝试的顺序"),
    "explain.title_memory": Text("KV 块最少的 rank 的内存，公式先用名称、再用数字"),
    "explain.title_encoder": Text("图像：引擎启动时编码的内容，以及其间占用的内存"),
    "explain.title_kv_cache": Text("从 KV 缓存到 token 数和请求数，每个引擎"),
    "explain.layout": Text("{layout}：{verdict}，权重 {weights}，{tokens:,} token，上下文 {length:,}"),
    "explain.layout_chosen": Text("{layout}：{verdict}，权重 {weights}，{tokens:,} token，上下文 {length:,}（已选）"),
    "explain.range": Text("（{low} 到 {high}）"),
    "explain.measured": Text("实测而非推导：范围中最可能的值"),
    "explain.source": Text("来源：{source}"),
}
