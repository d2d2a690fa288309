"""How podman, buildah and docker are told to build, and what they say of images: argv out, JSON in."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from selfhost.errors import UsageError
from selfhost.images.kinds import KINDS
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CHROOT = "chroot"
"""An isolation that shares the host's network; buildah takes no other network with it."""
_TAG = re.compile(r"(?:[\w.-]+(?::\d+)?/)?[a-z0-9][a-z0-9._/-]*(?::\w[\w.-]{0,127})?", re.ASCII)
_BASE = re.compile(r"[A-Za-z0-9][^\s@]*(?:@sha256:[0-9a-f]{64})?", re.ASCII)
"""A name, or where a builder reads one from: `oci-archive:/media/base.tar`."""
_ISOLATIONS = ("chroot", "oci", "rootless")
_OURS = re.compile(rf"(?:{'|'.join(kind.repository for kind in KINDS)}):\w[\w.-]*")


class Builder(StrEnum):
    """Who builds; the first that is installed is taken."""

    PODMAN = "podman"
    BUILDAH = "buildah"
    DOCKER = "docker"


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """One build."""

    reference: str
    """Name and tag of what is made."""
    containerfile: str
    context: str
    id_file: str
    arguments: Mapping[str, str]
    """`ARG` values of the Containerfile."""
    epoch: int
    """Seconds since 1970 that files and the image are dated with: the same contents give the same digest."""
    isolation: str = ""
    """`chroot` where no container can be run, as in a container; podman and buildah only."""
    offline: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltImage:
    """An image as its builder describes it."""

    reference: str
    id: str
    digest: str
    """`sha256:...` of the manifest; empty where docker has not pushed it anywhere."""
    size: int
    """Bytes of all layers, unpacked."""

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {"reference": self.reference, "id": self.id, "digest": self.digest, "size_bytes": self.size}


def check_names(base: str, tag: str, isolation: str) -> None:
    """Raises UsageError for what a builder would refuse after minutes, or take for an option; empty is not given."""
    if base and not _BASE.fullmatch(base):
        raise UsageError("container.bad_base", given=base)
    if tag and not _TAG.fullmatch(tag):
        raise UsageError("container.bad_tag", given=tag)
    if isolation and isolation not in _ISOLATIONS:
        raise UsageError("container.bad_isolation", given=isolation, known=", ".join(_ISOLATIONS))


def build_command(builder: Builder, build: Build) -> list[str]:
    """Argv that builds; the context is its last word."""
    arguments = {**build.arguments, "SOURCE_DATE_EPOCH": str(build.epoch)}
    argv = [builder.value, "build", "--file", build.containerfile, "--tag", build.reference, "--iidfile", build.id_file]
    for name, value in arguments.items():
        argv += ["--build-arg", f"{name}={value}"]
    if builder is not Builder.DOCKER:
        # OCI's own format has no place for HEALTHCHECK.
        argv += ["--format", "docker", "--timestamp", str(build.epoch), "--layers=false"]
        argv += ["--pull=never" if build.offline else "--pull=false"]
        argv += ["--isolation", build.isolation] if build.isolation else []
    if build.offline and build.isolation != CHROOT:
        argv += ["--network", "none"]
    return [*argv, build.context]


def inspect_command(builder: Builder, image: str) -> list[str]:
    """Argv that describes an image as JSON."""
    if builder is Builder.BUILDAH:
        return [builder.value, "inspect", "--type", "image", image]
    return [builder.value, "image", "inspect", image]


def list_command(builder: Builder) -> list[str]:
    """Argv that lists all images as JSON."""
    if builder is Builder.BUILDAH:
        return [builder.value, "images", "--json"]
    return [builder.value, "images", "--format", "json" if builder is Builder.PODMAN else "{{json .}}"]


def parse_inspect(builder: Builder, said: str, reference: str) -> BuiltImage:
    """What `inspect_command` printed. Raises ValueError or KeyError for something else."""
    found = json.loads(said)
    if builder is Builder.BUILDAH:
        size = sum(int(layer["size"]) for layer in json.loads(found["Manifest"])["layers"])
        return BuiltImage(
            reference=reference, id=_bare(found["FromImageID"]), digest=str(found["FromImageDigest"]), size=size
        )
    (image,) = found
    digests = [str(digest).partition("@")[2] for digest in image.get("RepoDigests") or ()]
    digest = str(image.get("Digest") or "") or next(iter(digests), "")
    return BuiltImage(reference=reference, id=_bare(image["Id"]), digest=digest, size=int(image["Size"]))


def _bare(image_id: str) -> str:
    return image_id.removeprefix("sha256:")


def parse_list(builder: Builder, said: str) -> list[str]:
    """Names of the images of ours in what `list_command` printed, sorted. Raises ValueError for something else."""
    if builder is Builder.DOCKER:
        rows: Sequence[dict[str, Any]] = [json.loads(line) for line in said.splitlines() if line.strip()]
        names: Iterable[str] = (f"{row['Repository']}:{row['Tag']}" for row in rows)
    else:
        rows = json.loads(said or "[]") or []
        names = (str(name) for row in rows for name in row.get("Names") or row.get("names") or ())
    return sorted({name for name in names if _OURS.fullmatch(name)})
