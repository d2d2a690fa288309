"""Messages about the store: what is in it, and giving the space back."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "storage.in_flight": Text("`{variant}` 没有自己的文件；记录它的配方：`{path}`"),
    "storage.unknown": Text(
        "存储库中没有模型 `{name}`",
        "已存储：{known}",
        "列出已存储的内容：`selfhost ls`",
    ),
    "storage.image": Text("镜像 {name}，{size}：`{path}`"),
    "storage.in_use": Text(
        "`{path}` 正在使用中",
        "服务 `{server}` 正在使用它",
        "先停止：`selfhost stop {server}`",
    ),
    "storage.unseen": Text(
        "无法确定各模型使用哪些内容：没有删除任何东西",
        "`{path}`：{detail}",
        "若它在未挂载的共享上，请挂载；若属于其他用户，请由该用户运行；\n若模型是手动删除的，请一并删除 `{blobs}`",
    ),
    "storage.pull_runs": Text(
        "有下载或修复正在进行",
        "其所需的内容会被删除",
        "等它结束，再运行 `selfhost gc`",
    ),
    "storage.other_content": Text(
        "`{path}` 的内容与预期不符",
        "应为：{wanted}\n实际：{found}",
        "从原来的来源重新获取该文件",
    ),
    "storage.bad_paths": Text(
        "`{name}` 的文件无法构成目录",
        "{detail}",
        "该来源列出的文件名不安全：请换一个来源",
    ),
    "storage.confirm_needed": Text(
        "`rm` 删除前需要确认，但没有可询问的终端",
        "将删除：{paths}",
        "用 `--yes` 确认，或先用 `--dry-run` 查看",
    ),
    "storage.confirm": Text("删除 {paths} 并释放 {size}？[y/N] "),
    "storage.not_removed": Text("没有删除任何东西"),
    "storage.empty": Text("没有模型；`selfhost recipe ls` 列出现有的配方"),
    "storage.totals": Text("{count} 份内容，占用 {size}；`selfhost gc` 可释放 {reclaimable}"),
    "storage.partials": Text("未完成的下载：{count} 个，{names}"),
    "storage.partial": Text("`{name}` {there}/{size}"),
    "storage.removed": Text("已删除 `{path}`"),
    "storage.would_remove": Text("将删除 `{path}`"),
    "storage.freed": Text("已释放 {size}"),
    "storage.would_free": Text("将释放 {size}"),
    "storage.blobs_kept": Text("有下载正在进行：待其结束后由 `selfhost gc` 释放空间"),
    "storage.state": Text("`{name}`（{variant}）的状态为 {state}：{problem}"),
    "storage.waiting": Text("另一个 selfhost 正在处理该模型，等待中"),
}
