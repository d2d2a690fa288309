"""R9, R10, R17: accelerators that are given, and those that are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.engines.ascend_variables import VISIBLE
from selfhost.render.lint.site import Kind, error
from selfhost.render.lint.values import is_npu, name_and_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.findings import Finding
    from selfhost.render.lint.command import Engine
    from selfhost.render.lint.site import Container, Site

_ASCEND = "vllm-ascend"
_MANAGERS = ("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc")
_FAMILIES = (("-310p", "310P"), ("-a3", "A3"), ("-950dt", "950"))
_EXTERNAL = ("--data-parallel-external-lb", "--data-parallel-rank")


def reservations(site: Site) -> Iterator[Finding]:
    """R9: compose takes devices by number or by id, not by both, and wants to know what they are for."""
    for container in site.containers:
        where = container.at("deploy.resources.reservations.devices")
        for device in container.reservations:
            if "count" in device and "device_ids" in device:
                yield error(where, "render_lint.r9_both", count=device["count"], ids=device["device_ids"])
            if not device.get("capabilities"):
                yield error(where, "render_lint.r9_capabilities")


def layout(site: Site) -> Iterator[Finding]:
    """R10: the sizes multiply to the devices, divide over the nodes, and fit the model."""
    for container, engine in site.engines:
        where = container.at("command")
        ranks, devices = engine.ranks_here, container.device_count
        if devices and (visible := container.env.get(VISIBLE)):
            devices = len(visible.split(","))
        if ranks is not None and devices is not None and ranks != devices:
            yield error(where, "render_lint.r10_devices", ranks=ranks, devices=devices)
        yield from _divides(engine, where)
        yield from _model(site, engine, where)


def _sizes(engine: Engine) -> list[int | None]:
    return [engine.number(f"--{name}-parallel-size", 1) for name in ("tensor", "pipeline", "data")]


def _divides(engine: Engine, where: str) -> Iterator[Finding]:
    tensor, pipeline, data = _sizes(engine)
    nodes, rank = engine.number("--nnodes", 1), engine.number("--node-rank", 0)
    if not tensor or not pipeline or not data or not nodes:
        return
    world = tensor * pipeline * data
    if world % nodes:
        yield error(where, "render_lint.r10_nodes", world=world, nodes=nodes)
    if rank is not None and rank >= nodes:
        yield error(where, "render_lint.r10_rank", rank=rank, nodes=nodes)
    here = engine.number("--data-parallel-size-local", data)
    if here and data % here:
        yield error(where, "render_lint.r10_local", data=data, here=here)


def _model(site: Site, engine: Engine, where: str) -> Iterator[Finding]:
    arch = site.beside.arch
    if arch is None:
        return
    tensor = _sizes(engine)[0]
    if tensor and arch.num_attention_heads % tensor:
        yield error(where, "render_lint.r10_heads", heads=arch.num_attention_heads, tensor=tensor)
    for flag in _EXTERNAL:
        if flag in engine.flags and not arch.is_moe:
            yield error(where, "render_lint.r10_dense", flag=flag)


def ascend(site: Site) -> Iterator[Finding]:
    """R17: Ascend's image runs nothing by itself, its devices come with three managers, and it is made for one chip."""
    for container in site.containers:
        if _ASCEND not in container.image and "selfhost-ascend" not in container.image:
            continue
        if not container.explicit:
            yield error(container.at(), "render_lint.r17_command", image=container.image)
        yield from _managers(container)
        yield from _family(site, container)


def _managers(container: Container) -> Iterator[Finding]:
    if container.kind is Kind.KUBERNETES or container.privileged or container.engine is None:
        return
    # Its runtime, which may be the default one, brings devices and managers.
    if container.runtime == "ascend" or container.env.get("ASCEND_VISIBLE_DEVICES"):
        return
    if not any(is_npu(path) for path in container.device_paths):
        yield error(container.at("devices"), "render_lint.r17_devices")
    elif lacking := [path for path in _MANAGERS if path not in container.device_paths]:
        yield error(container.at("devices"), "render_lint.r17_managers", lacking=", ".join(lacking))


def _family(site: Site, container: Container) -> Iterator[Finding]:
    wanted = site.beside.soc_family
    _, tag = name_and_tag(container.image)
    if wanted is None or not tag or _ASCEND not in container.image:
        return
    made_for = next((family for part, family in _FAMILIES if part in tag), "A2")
    if made_for != wanted:
        yield error(
            container.at("image"), "render_lint.r17_family", image=container.image, made_for=made_for, family=wanted
        )
