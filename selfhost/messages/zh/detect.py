"""What `detect` prints of a machine."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "detect.memory": Text("{total}，可用 {free}"),
    "detect.limited": Text("（control group 限制为 {limit}）"),
    "detect.disk": Text("{path}：共 {total}，空闲 {free}，{kind}"),
    "detect.cpu": Text("{count} 个可用，{name}"),
    "detect.hidden": Text("被环境变量隐藏"),
}
