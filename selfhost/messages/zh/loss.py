"""Messages about what a variant lost against its source."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "loss.unreadable": Text(
        "`{path}` 不是损失报告",
        "{detail}",
        "重新生成变体时会重写它：删除变体，再运行 `selfhost quantize`",
    ),
    "loss.summary": Text(
        "与来源相比：KL 散度 {kl:.4f} ± {error:.4f}，首选一致率 {top1:.1f} %，"
        "困惑度 {before:.2f} -> {after:.2f}（{tokens} 个 token）"
    ),
    "loss.of_language": Text(
        "{language}：KL 散度 {kl:.4f} ± {error:.4f}，首选一致率 {top1:.1f} %，困惑度 {before:.2f} -> {after:.2f}",
    ),
    "loss.english": Text("英文"),
    "loss.chinese": Text("中文"),
    "loss.worst_layers": Text("误差最大的层及其增量：{layers}"),
}
