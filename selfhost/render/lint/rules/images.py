"""R1, R15, R18: which images run, and where."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.engines.specs import CUDA
from selfhost.render.lint.site import Container, ImageVolume, Kind, error, warning
from selfhost.render.lint.values import name_and_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.findings import Finding
    from selfhost.render.lint.command import Engine
from selfhost.render.lint.site import Site

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_MOVING = {"latest", "nightly", "main", "master", "dev", "stable"}
_CUDA = re.compile(r"cu(\d{2})(\d)(?![0-9])")
_LOCAL_PULL = {Kind.COMPOSE: {"never"}, Kind.QUADLET: {"never"}, Kind.KUBERNETES: {"Never", "IfNotPresent"}}


def pinned(site: Site) -> Iterator[Finding]:
    """R1: an image is named by digest, run or mounted; one made on the machine has a version and is never pulled."""
    named: list[Container | ImageVolume] = [*site.containers, *site.image_volumes]
    for container in named:
        image = container.image
        if not image:
            continue
        if "$" in image:
            yield warning(container.at("image"), "render_lint.r1_variable", image=image)
        elif not _DIGEST.search(image):
            yield from _by_tag(container)
        known = site.beside.images
        if known is not None and image not in known and "$" not in image:
            yield error(container.at("image"), "render_lint.r1_not_brought", image=image)


def _by_tag(container: Container | ImageVolume) -> Iterator[Finding]:
    image, where = container.image, container.at("image")
    _, tag = name_and_tag(image)
    if not image.startswith("localhost/"):
        yield error(where, "render_lint.r1_tag", image=image)
    elif not tag or tag in _MOVING:
        yield error(where, "render_lint.r1_moving", image=image, tag=tag or "latest")
    elif container.pull not in _LOCAL_PULL.get(container.kind, set()):
        yield error(where, "render_lint.r1_pulled", image=image, pull=container.pull or "not said")


def same_on_all_nodes(site: Site) -> Iterator[Finding]:
    """R15: the nodes of one engine run the same image and read the same model."""
    first: dict[tuple[str, str, str], tuple[Container, Engine]] = {}
    for container, engine in site.engines:
        if not engine.several_nodes:
            continue
        address = engine.text("--master-addr") or engine.text("--data-parallel-address")
        # `$(LWS_LEADER_ADDRESS)` is another one in each object of a file.
        group = _object(container) if address.startswith("$") else ""
        one, other = first.setdefault((container.deployment, group, address), (container, engine))
        if container.image != one.image:
            yield error(
                container.at("image"),
                "render_lint.r15_image",
                here=container.image,
                there=one.image,
                where=one.at("image"),
            )
        here, there = _model(container, engine), _model(one, other)
        if here != there:
            yield error(
                container.at("command"), "render_lint.r15_model", here=here, there=there, where=one.at("command")
            )


def _model(container: Container, engine: Engine) -> str:
    """What it reads: the path of its command, and the image that is mounted there."""
    mount = container.mount_of(engine.model) if engine.model.startswith("/") else None
    return f"{engine.model} of {mount.image}" if mount and mount.image else engine.model


def _object(container: Container) -> str:
    """Which object of a file of Kubernetes a container is in; empty for other formats."""
    item = re.match(r"items\[\d+\]", container.place)
    line = container.document.lines.get("kind", 0)
    return f"{line} {item[0] if item else ''}" if container.kind is Kind.KUBERNETES else ""


def cuda(site: Site) -> Iterator[Finding]:
    """R18: the driver runs the CUDA of the image; a lower minor version is compatible, a lower major is not."""
    ceiling = site.beside.cuda_ceiling
    for container, _ in site.engines if ceiling else ():
        built = _cuda_of(container.image)
        if ceiling and built and int(built.partition(".")[0]) > ceiling[0]:
            yield error(
                container.at("image"),
                "render_lint.r18_cuda",
                image=container.image,
                cuda=built,
                ceiling=f"{ceiling[0]}.{ceiling[1]}",
            )


def _cuda_of(image: str) -> str:
    """The CUDA version an image is built for, from its tag (`-cu129`) or as our own are; empty when it is not said."""
    name, tag = name_and_tag(image)
    if found := _CUDA.search(tag):
        return f"{found[1]}.{found[2]}"
    return CUDA.cuda.toolkit if name.startswith("selfhost-cuda") and CUDA.cuda else ""
