"""R11, R14: memory and mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.render.lint.site import error, warning
from selfhost.units import GIB, format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.findings import Finding
    from selfhost.render.lint.command import Engine
    from selfhost.render.lint.site import Container, Mount, Site

_CACHES = ("VLLM_CACHE_ROOT", "HF_HOME", "HOME")


def shared_memory(site: Site) -> Iterator[Finding]:
    """R11: processes that exchange tensors have shared memory for it, and the container has memory for that."""
    for container, engine in site.engines:
        if container.host_ipc or (container.shm_bytes is None and _has_shm(container)):
            continue
        shm, limit = container.shm_bytes, container.memory_bytes
        several = (engine.ranks_here or 1) > 1
        if several and shm is None:
            yield error(container.at(), "render_lint.r11_default", ranks=engine.ranks_here)
        elif several and shm is not None and shm < GIB:
            yield warning(container.at(), "render_lint.r11_small", shm=format_bytes(shm), ranks=engine.ranks_here)
        if shm is not None and limit is not None and shm >= limit:
            shown = format_bytes(shm) if shm < 1 << 60 else "no limit"
            yield error(container.at(), "render_lint.r11_limit", shm=shown, limit=format_bytes(limit))


def _has_shm(container: Container) -> bool:
    """Whether a tmpfs of unknown size or the host's own lies at /dev/shm."""
    return any(
        mount.target == "/dev/shm" and (mount.memory or mount.source.startswith("/"))  # noqa: S108 - of the container
        for mount in container.mounts
    )


def mounts(site: Site) -> Iterator[Finding]:
    """R14: weights are read-only; caches can be written, and lie elsewhere."""
    for container, engine in site.engines:
        places = _weights(container, engine)
        for mount in places:
            if not mount.read_only:
                yield error(container.at(), "render_lint.r14_writable", path=mount.target, source=mount.source)
        yield from _caches(container, places)


def _weights(container: Container, engine: Engine) -> list[Mount]:
    """What weights are read from: the mount that holds the model, and those of our store."""
    if engine.own and (home := container.env.get("SELFHOST_HOME")):
        return [mount for mount in container.mounts if mount.target in {f"{home}/models", f"{home}/blobs"}]
    found = container.mount_of(engine.model) if engine.model.startswith("/") else None
    return [found] if found else []


def _caches(container: Container, weights: list[Mount]) -> Iterator[Finding]:
    for name in _CACHES:
        path = container.env.get(name) or ""
        if not path.startswith("/"):
            continue
        holder = container.mount_of(path)
        if holder in weights and holder is not None:
            yield error(container.at(), "render_lint.r14_together", variable=name, path=path, mount=holder.target)
        elif holder is not None and holder.read_only:
            yield error(container.at(), "render_lint.r14_read_only", variable=name, path=path, mount=holder.target)
        elif holder is None and container.read_only_root:
            yield error(container.at(), "render_lint.r14_root", variable=name, path=path)
