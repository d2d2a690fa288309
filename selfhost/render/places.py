"""Where a model that is not of a store lies in a container."""

from __future__ import annotations

from pathlib import PurePosixPath

from selfhost.records import dataclass

DIRECTORIES = "/models"
"""Models that are plain directories are mounted below it."""
IMAGE = f"{DIRECTORIES}/image"
"""A model's image is mounted here as a whole: parts of images can be mounted from Kubernetes 1.33 on only."""
IN_IMAGE = "models"
"""The files of a model lie below it in its image: in ours (`bundle push --as modelcar`), and in those of others.

Source: kserve/kserve, docs of modelcars and `oci+native://`: `/models`.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectoryMount:
    """A directory of the host in a container."""

    source: str
    target: str
    path: str
    """Of the model in the container."""


def directory_mount(directory: str) -> DirectoryMount:
    """How a model that is a plain directory gets into a container.

    Of a hub's cache the whole repository, as its snapshots are links.

    >>> directory_mount("/srv/hub/models--Qwen--Qwen3-8B/snapshots/0a1b").path
    '/models/models--Qwen--Qwen3-8B/snapshots/0a1b'
    """
    place = PurePosixPath(directory)
    top = place.parent.parent if place.parent.name == "snapshots" else place
    target = f"{DIRECTORIES}/{top.name}"
    return DirectoryMount(source=str(top), target=target, path=str(PurePosixPath(target) / place.relative_to(top)))
