"""Messages about boot records."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "boot.damaged": Text("启动记录 {path} 已损坏（{detail}），不予使用；可以删除"),
    "boot.unreadable": Text("启动记录 {path} 无法读取（{detail}），不予使用"),
    "boot.newer": Text("启动记录 {path} 由更新的 selfhost 写入（schema {found}，这里支持 {known}），不予使用"),
    "boot.ready": Text("预测与实际：{figures}"),
    "boot.weights": Text("权重 {predicted} / {actual} GiB"),
    "boot.kv": Text("KV 缓存 {predicted} / {actual} GiB"),
    "boot.tokens": Text("token {predicted:,} / {actual:,}"),
    "boot.time": Text("{actual} 后就绪"),
    "boot.kept": Text("启动记录：{path}"),
    "boot.not_kept": Text("启动记录：无法保存到 {path}；之后的规划不会知道这次启动"),
}
