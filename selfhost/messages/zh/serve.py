"""Messages about starting, watching and stopping servers."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    # Phases
    "serve.progress": Text("{elapsed:>10}  {what}"),
    "serve.phase_loading": Text("加载：正在启动 `{name}` 的引擎"),
    "serve.phase_checking": Text("检查：引擎健康，正在试问一个问题"),
    "serve.phase_stopping": Text("停止：正在结束 `{name}` 的所有进程"),
    "serve.step_engine": Text("加载：引擎进程已启动"),
    "serve.step_weights": Text("加载：正在构建模型"),
    "serve.step_shards": Text("加载：权重，第 {done} 个文件，共 {total} 个"),
    "serve.step_profiling": Text("预热：权重已加载，正在测量内存"),
    "serve.step_compiling": Text("预热：正在编译模型"),
    "serve.step_kv_cache": Text("预热：KV 缓存已分配"),
    "serve.step_graphs": Text("预热：正在捕获图，{done}/{total}"),
    "serve.step_http": Text("预热：正在启动 API 服务"),
    "serve.while_loading": Text("加载"),
    "serve.while_warming": Text("预热"),
    "serve.while_checking": Text("检查"),
    "serve.while_serving": Text("提供服务"),
    # Refused before anything was made
    "serve.bad_log_size": Text(
        "`SELFHOST_LOG_SIZE` 不是有效的日志大小：`{text}`",
        "至少为 {least}，例如 `64MiB`",
        "取消设置 SELFHOST_LOG_SIZE",
    ),
    "serve.bad_name": Text(
        "不能作为服务名：`{name}`",
        "可用小写字母、数字、`.`、`_` 和 `-`，最多 63 个字符，以字母或数字开头",
        "用 `--name NAME` 指定",
    ),
    "serve.name_taken": Text(
        "名为 `{name}` 的服务已存在",
        "状态为 {state}，地址 {url}",
        "用 `selfhost stop {name}` 结束它，或换个名称：`--name {free}`",
    ),
    "serve.port_taken": Text(
        "{host} 的端口 {port} 已被占用",
        "占用者：{holder}",
        "改用下一个空闲端口：`selfhost serve {model} --port {free}`，或自动选择：`--port 0`",
    ),
    "serve.port_moved": Text("端口 {port} 已被占用（{holder}），改用 {free}"),
    "serve.devices": Text("设备：{devices}"),
    "serve.blocked": Text(
        "`{name}` 与正在运行的服务无法同时放在 {hardware} 上",
        "{reasons}",
        "腾出空间：`selfhost stop {servers}`；其他办法见 `selfhost plan`\n仍要启动：`--force`",
    ),
    "serve.holder_server": Text("服务 `{name}`，可用 `selfhost stop {name}` 结束"),
    "serve.holder_process": Text("{name}（pid {pid}）"),
    "serve.holder_unknown": Text("其他用户的进程"),
    "serve.port_forbidden": Text(
        "当前用户不能监听端口 {port}",
        "1024 以下的端口需要特权",
        "改用更大的端口：`selfhost serve {model} --port 8000`",
    ),
    "serve.bad_host": Text(
        "无法监听 `{host}`",
        "{detail}",
        "使用本机的地址：`--host 127.0.0.1`",
    ),
    "serve.does_not_fit": Text(
        "`{name}` 在 {hardware} 上放不下",
        "{reasons}",
        "试试 `{command}`\n仍要启动：`--force`",
    ),
    "serve.several_nodes": Text(
        "`{name}` 在 {hardware} 上由 {nodes} 个节点部署",
        "`serve` 只启动本机的进程",
        "在每个节点上各运行一条，把 `NODE0` 换成首个节点的地址：\n{commands}",
    ),
    "serve.unsupported": Text(
        "`{name}` 无法在 {hardware} 上部署",
        "{reasons}",
        "按原因修改，或看看其他硬件是否可行：`selfhost plan {model} --on 8xH20`",
    ),
    "serve.forced": Text("规划显示放不下，因指定了 `--force` 仍然启动"),
    "serve.not_runnable": Text(
        "引擎无法启动：`{python}`",
        "{detail}",
        "检查其环境：`selfhost engine check`",
    ),
    # Failures of a start or of a running server; those read from the log are in `diagnose`
    "serve.wrong_answer": Text(
        "`{name}` 的回答不合理，已停止",
        "问题：{prompt}\n回答应含：{expect}\n实际回答：{line}",
        "检查模型文件，以及会改变结果的设置（`--kv-cache-dtype`、`--` 之后的参数）",
    ),
    "serve.no_answer": Text(
        "`{name}` 健康检查正常但不回答问题，已停止",
        "{detail}\n日志末行：{line}",
        "查看日志：`selfhost logs {name}`",
    ),
    "serve.unhealthy": Text(
        "`{name}` 在“{phase}”阶段不再响应健康检查，已停止",
        "日志末行：{line}",
        "查看日志：`selfhost logs {name}`；重新启动：`selfhost serve {model}`",
    ),
    "serve.deadline": Text(
        "`{name}` 未能在 {deadline} 内就绪，在“{phase}”阶段被停止",
        "日志末行：{line}",
        "查看它在等什么：`selfhost logs {name}`",
    ),
    "serve.survivors": Text(
        "`{name}` 的进程无法结束",
        "SIGKILL 之后仍在：pid {pids}",
        "等待驱动的进程无法被杀死：检查驱动，或重启机器",
    ),
    "serve.supervisor_died": Text(
        "`{name}` 的守护进程意外退出；它启动的进程已停止",
        "{line}",
        "其日志：`{log}`",
    ),
    "serve.no_orders": Text(
        "`{name}` 没有需要守护的内容",
        "`{path}` 中没有启动指令",
        "用 `selfhost serve` 启动服务",
    ),
    "serve.replaced": Text("`{name}` 已被另一次启动取代", hint="查看：`selfhost ps`"),
    "serve.stopped_meanwhile": Text(
        "`{name}` 在就绪之前被停止",
        hint="有人执行了 `selfhost stop {name}`；用 `selfhost serve` 重新启动",
    ),
    # Success
    "serve.ready": Text("就绪：{url}（模型 `{model}`）"),
    "serve.foreground": Text("按 Ctrl-C 停止；日志：`selfhost logs {name} -f`"),
    "serve.detached": Text(
        "对话：`selfhost chat {name}`，日志：`selfhost logs {name} -f`，结束：`selfhost stop {name}`",
    ),
    "serve.ended": Text("{name} 已停止：没有残留进程"),
    "serve.stopped": Text("{name} 已停止：{seconds} s 内结束 {count} 个进程，端口 {port} 已关闭"),
    # Servers that are asked for
    "serve.unknown_server": Text(
        "没有名为 `{name}` 的服务",
        "已知：{known}",
        "查看全部：`selfhost ps`",
    ),
    "serve.none_running": Text("没有正在运行的服务", hint="启动一个：`selfhost serve MODEL -d`"),
    "serve.several_running": Text(
        "有多个服务正在运行",
        "{names}",
        "请指定一个：`selfhost chat NAME`",
    ),
    "serve.which_to_stop": Text(
        "`stop` 须给出名称、`--all` 或 `--orphans`，三者选一",
        hint="指定名称：`selfhost stop NAME`，全部：`selfhost stop --all`，孤儿进程：`selfhost stop --orphans`",
    ),
    "serve.not_running": Text("`{name}` 未在运行", "此前已停止"),
    "serve.was_dead": Text("`{name}` 未在运行", "记录的状态为 {state}，但其进程均已不在；记录已清理"),
    "serve.was_failed": Text(
        "`{name}` 未在运行",
        "{failure}；其进程均已不在，记录已清理",
        "其日志：`selfhost logs {name}`",
    ),
    "serve.not_ready": Text(
        "`{name}` 目前不接受提问",
        "状态为 {state}",
        "查看 `selfhost ps`、`selfhost logs {name}`",
    ),
    "serve.port_still_open": Text(
        "`{name}` 已结束，但端口 {port} 上仍有监听者",
        "现在是：{holder}",
        "确认它是否归你所有；它不是 `{name}` 的进程",
    ),
    "serve.chat_cut": Text("回答因 `--max-tokens` 被截断"),
    "serve.chat_refused": Text(
        "`{name}` 没有回答",
        "{detail}",
        "查看 `selfhost ps` 和 `selfhost logs`",
    ),
    "serve.newer_record": Text(
        "服务 `{name}` 由更新版本的 selfhost 启动",
        "`{path}` 的 schema_version 为 {found}，当前版本支持 {known}",
        "请用该版本操作它",
    ),
    "serve.bad_record": Text("不是服务记录：`{path}`", hint="若其中没有运行的服务，请删除"),
    "serve.no_servers": Text("没有服务"),
    "serve.state_failed": Text("{name}：{what}"),
}
