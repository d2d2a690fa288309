"""Bundles: what is on a medium."""

from __future__ import annotations

from selfhost.messages import Text

_CHECK = "检查介质：在其目录中运行 `python3 verify.py`；在制作它的地方重新复制"

MESSAGES: dict[str, Text] = {
    "bundle.bad_json": Text(what="`{path}` 已损坏", why="{detail}", hint=_CHECK),
    "bundle.bad_info": Text(what="`{path}` 描述的不是离线包", why="{detail}", hint=_CHECK),
    "bundle.newer": Text(
        what="`{path}` 由更新的 selfhost 写入",
        why="格式：{found}，这里最高支持：{known}",
        hint="安装制作该离线包所用的 selfhost",
    ),
    "bundle.bad_paths": Text(
        what="`{path}` 列出了不能写入的文件",
        why="{detail}",
        hint="不要使用它：制作者怀有恶意，或是为另一种系统制作的；没有写入任何内容",
    ),
    "bundle.no_room": Text(
        what="卷对该离线包来说太小",
        why="一个 {size} 的文件无处可放；各卷剩余：{rooms}",
        hint="使用更大或更多的卷：`--volume-size 2T`，或再写一个 `--to`",
    ),
    "bundle.bad_manifest": Text(what="`{path}` 不是制品的清单", why="{detail}", hint=_CHECK),
}
