"""What can be rendered: the name of a target -> its pure function from a deployment to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.render.compose import compose
from selfhost.render.k8s import k8s
from selfhost.render.lws import lws

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from selfhost.render.deployment import Deployment
    from selfhost.render.rendered import RenderedFile

TARGETS: Mapping[str, Callable[[Deployment], list[RenderedFile]]] = {
    "compose": compose,
    "k8s": k8s,
    "k8s-lws": lws,
}
