"""What `--image` and `--cluster` name: images, and what a cluster is like."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost.errors import UsageError
from selfhost.render.deployment import Image
from selfhost.render.kubernetes import IMAGE_VOLUME_MINOR, OLDEST_MINOR, Kubernetes, Storage

if TYPE_CHECKING:
    from collections.abc import Iterable

_IMAGE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
"""With its registry, as podman asks which one is meant otherwise. Source: distribution/reference, grammar of names."""


def parse_image(reference: str, role: str) -> Image:
    """`registry/name[:tag][@sha256:...]` as a record. Raises UsageError."""
    found = _IMAGE.fullmatch(reference)
    if not found:
        raise UsageError("render.bad_image", image=reference)
    return Image(name=found["name"], tag=found["tag"] or "", digest=found["digest"] or "", role=role)


def parse_cluster(words: Iterable[str]) -> Kubernetes:
    """`version=1.30`, `namespace=llm`, `storage=host`, `claim=NAME`, `image=NAME@sha256:...`, `uid=any`, ...

    Raises UsageError for other keys, for values that no cluster can have, and for two places of one model.
    """
    found, storage = Kubernetes(), None
    for word in words:
        key, _, value = word.partition("=")
        if key == "version":
            found = replace(found, minor=_minor(value))
        elif key == "storage" and value in {*Storage}:
            storage = Storage(value)
        elif key == "image" and value:
            found = replace(found, image=_model_image(value))
        elif word == "uid=any":
            found = replace(found, any_user=True)
        elif key in _CLUSTER and _CLUSTER[key].fullmatch(value):
            changes: dict[str, Any] = {key: value}
            found = replace(found, **changes)
        else:
            raise UsageError("render.bad_cluster", word=word)
    return _placed(found, storage)


def _minor(value: str) -> int:
    minor = re.fullmatch(r"v?1\.(\d+)(?:\..*)?", value)
    if not minor or int(minor[1]) < OLDEST_MINOR:
        raise UsageError("render.bad_version", value=value, oldest=f"1.{OLDEST_MINOR}")
    return int(minor[1])


def _model_image(value: str) -> str:
    """By digest: nothing else in the files says which model it is, as an image has no lock."""
    image = parse_image(value, "model")
    if not image.digest:
        raise UsageError("render.model_by_tag", image=value)
    return image.reference


def _placed(cluster: Kubernetes, storage: Storage | None) -> Kubernetes:
    """The cluster with the storage that was asked for, or that its other settings mean."""
    if not cluster.image:
        if storage is Storage.IMAGE:
            raise UsageError("render.no_model_image")
        return replace(cluster, storage=storage or Storage.CLAIM)
    if cluster.claim or storage not in {None, Storage.IMAGE}:
        other = f"claim={cluster.claim}" if cluster.claim else f"storage={storage}"
        raise UsageError("render.two_places", other=other, image=cluster.image)
    if cluster.minor < IMAGE_VOLUME_MINOR:
        raise UsageError("render.no_image_volumes", version=f"1.{cluster.minor}", first=f"1.{IMAGE_VOLUME_MINOR}")
    return replace(cluster, storage=Storage.IMAGE)


_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_CLUSTER = {
    "namespace": re.compile(_DNS_LABEL),
    "claim": re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*"),
    "resource": re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*/[A-Za-z0-9](?:[A-Za-z0-9_.-]{{0,61}}[A-Za-z0-9])?"),
    "interface": re.compile(r"[A-Za-z0-9_.-]{1,15}"),
}
