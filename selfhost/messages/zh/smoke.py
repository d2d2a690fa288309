"""Messages about smoke runs: a small stand-in for a model is started to prove a machine."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "smoke.reduction": Text("{name} {before} -> {after}"),
    "smoke.reduced": Text("已缩小：{what}"),
    "smoke.does_not_fit": Text("`{name}` 本身无法在 {hardware} 上部署（{verdict}）；缩小的模型用于验证其余部分"),
    "smoke.ranks": Text("{hardware} 上 {count} 个：TP={tp} PP={pp} DP={dp}{ep}"),
    "smoke.weights": Text("随机，{dtype}"),
    "smoke.answered": Text("提示词 {prompt} token，回答 {answer} token"),
    "smoke.passed": Text("通过，用时 {duration}：就本机而言，`{name}` 可以在此启动"),
    "smoke.failed": Text("失败，用时 {duration}"),
    "smoke.unsupported": Text(
        "无法缩小 `{architecture}`",
        "不知道其哪些层处理图像、哪些只处理文本",
        "看看模型本身是否放得下：`selfhost plan MODEL`",
    ),
    "smoke.not_here": Text(
        "即使缩小，`{name}` 也无法在 {hardware} 上部署",
        "{reasons}",
        "按原因修改",
    ),
    "smoke.no_answer": Text(
        "`{name}` 已就绪，但没有回答长提示词",
        "{detail}",
        "查看日志：`selfhost logs {name}`",
    ),
}
