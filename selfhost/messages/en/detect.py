"""What `detect` prints of a machine."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "detect.memory": Text("{total}, {free} available"),
    "detect.limited": Text(" (limited to {limit} by a control group)"),
    "detect.disk": Text("{path}: {free} free of {total}, {kind}"),
    "detect.cpu": Text("{count} usable, {name}"),
    "detect.hidden": Text("hidden by the environment"),
}
