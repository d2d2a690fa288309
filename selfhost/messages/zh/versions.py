"""Messages about versions of an engine side by side."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "versions.unknown": Text(
        "`{engine}` 没有版本为 `{version}` 的环境",
        "已安装：{found}",
        "`selfhost engine install {name}` 安装当前 selfhost 所固定的版本：{pin}\n"
        "其他版本随固定该版本的 selfhost 提供，或指定 Python：`--engine-python PYTHON`",
    ),
    "versions.several": Text(
        "版本 `{version}` 对应多个环境",
        "{found}",
        "请指定一个：`--engine-version {first}`",
    ),
    "versions.differs": Text("按 {engine} {planned} 规划，以 {version} 启动：其内存和选项可能不同（{path}）"),
    "versions.python_and_version": Text("`--engine-python` 和 `--engine-version` 都指定环境：只给一个"),
    "versions.same": Text("将以 {engine} {version} 启动：{path}"),
    "versions.none_to_remove": Text(
        "没有安装引擎 `{name}` 的版本 `{version}`",
        "已安装：{found}",
        "`selfhost engine ls` 列出已有的环境",
    ),
    "versions.nothing_unused": Text("每个环境都属于当前 selfhost 的锁文件，或有服务正在使用"),
    "versions.which_to_remove": Text(
        "未指定引擎",
        hint="请指定：`selfhost engine remove NAME`，或删除所有不再需要的：`selfhost engine remove --unused`",
    ),
    "versions.not_with_unused": Text("`--unused` 检查所有引擎：不能与 NAME 和 `--version` 同用"),
}
