"""Messages about servers that are watched, started again and ended."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "supervise.bad_restart": Text(
        "不是有效的重启方式：`{value}`",
        "可用：`never`、`on-failure`（连续五次）、`on-failure:N`",
        "例如 `--restart on-failure`",
    ),
    "supervise.restarting": Text("正在重启：{cause}"),
    "supervise.ready_again": Text("就绪：`{name}` 已恢复服务"),
    "supervise.wedged": Text(
        "`{name}` 响应健康检查但不做计算，已停止",
        "{waited} 内引擎的计数器没有变化，单 token 的提问也没有回答\n日志末行：{line}",
        "查看日志：`selfhost logs {name}`；若反复发生：`selfhost serve {model} --restart on-failure`",
    ),
    "supervise.crash_loop": Text(
        "`{name}` 连续失败 {count} 次，不再重启",
        "最近一次：{last}\n{why}",
        "{hint}",
    ),
    "supervise.stopped_held": Text(
        "{name} 已停止：{seconds} s 内结束 {count} 个进程，端口 {port} 已关闭；其设备上启动前空闲的显存仍被占用：{held}"
    ),
    "supervise.stray_stopped": Text("{name} 已停止：{seconds} s 内结束 {count} 个没有记录的进程"),
    "supervise.stray_survivors": Text(
        "没有记录的 `{name}` 的进程无法结束",
        "SIGKILL 之后仍在：pid {pids}",
        "等待驱动的进程无法被杀死：检查驱动，或重启机器",
    ),
    "supervise.stray": Text("{name}：{count} 个没有记录的进程（pid {pids}）；`selfhost stop --orphans` 可结束它们"),
    "supervise.restarted": Text("{name}：重启 {count} 次，最近一次的原因：{what}"),
    "supervise.no_orphans": Text("没有孤儿进程"),
    "supervise.read_log": Text("查看日志：`selfhost logs {name}`"),
}
