"""What can be rendered: the name of a target -> its pure function from a deployment to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.render.compose import compose
from selfhost.render.images import images
from selfhost.render.k8s import k8s
from selfhost.render.lws import lws
from selfhost.render.quadlet import quadlet
from selfhost.render.systemd import systemd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from selfhost.render.deployment import Deployment
    from selfhost.render.rendered import RenderedFile

TARGETS: Mapping[str, Callable[[Deployment], list[RenderedFile]]] = {
    "compose": compose,
    "quadlet": quadlet,
    "systemd": systemd,
    "k8s": k8s,
    "k8s-lws": lws,
    "images": images,
}
