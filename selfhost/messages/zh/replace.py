"""Messages about servers that take the place of others."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "replace.begin": Text("{old} 继续在 {url} 服务，直到 {new} 就绪"),
    "replace.switched": Text("新请求转到 {new}（{url}）"),
    "replace.draining": Text("{old} 正在完成已开始的请求：网关有 {workers} 个 worker 在等待"),
    "replace.cut": Text("{old} 在给定的 {seconds} s 内没有完成：仍在运行的请求已被切断"),
    "replace.moved": Text("地址已变为 {url}；用网关可保持地址不变（`selfhost gateway --help`）"),
    "replace.done": Text("{new} 已取代 {old}"),
    "replace.leftover": Text("此前被中断的替换留下的 {name} 已结束"),
    "replace.gap": Text("先结束 {old}：在 {new} 就绪之前无人应答"),
    "replace.back": Text("{new} 未能启动：{old} 按原样重新启动"),
    "replace.busy": Text("`{name}` 正在被替换", hint="查看：`selfhost ps`"),
    "replace.not_serving": Text(
        "`{name}` 目前不在服务，没有可替换的内容",
        "状态为 {state}",
        "启动：`selfhost serve`；查看原因：`selfhost ps`、`selfhost logs {name}`",
    ),
    "replace.foreground": Text(
        "`{name}` 在另一命令的前台运行（pid {pid}）",
        "该命令会随之结束，而启动它的程序（终端、systemd、容器）可能再次启动它",
        "只替换用 `selfhost serve -d` 启动的服务",
    ),
    "replace.other_engine": Text(
        "网关 `{path}` 不在 `{name}` 之前",
        "`{name}` 在端口 {port}，网关访问的是端口 {found}，那里是 `{other}`",
        "请指定网关之后的服务：`selfhost replace {other} --gateway {path}`",
    ),
    "replace.no_room": Text(
        "两者不能同时放下：`{name}` 和要取代它的服务",
        "{reasons}",
        "先结束旧的，会有中断：`selfhost replace {name} --stop-first`",
    ),
}
