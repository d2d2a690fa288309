"""The images that can be built: one record each, facts only."""

from __future__ import annotations

import difflib
from dataclasses import field, replace
from typing import TYPE_CHECKING

from selfhost.errors import UsageError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

OURS = "localhost/selfhost-"
"""Images that are made here are called so, with their kind: no registry has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One image, of a folder below `containers/`."""

    name: str
    base: str
    """What it is built on where nobody names another."""
    engine: str = ""
    """The engine (`engine install`) whose wheels go into it; empty: the base brings one."""
    python: tuple[int, int]
    """Of the base; selfhost's wheels are chosen for it."""
    glibc: tuple[int, int]
    """Of the base."""
    of_folder: str = ""
    """The folder, where several images are made of one."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """`ARG` values that make it this image."""
    serves: bool = True
    """False: it makes checkpoints, and nothing listens in it."""

    @property
    def folder(self) -> str:
        """Name of the folder below `containers/`."""
        return self.of_folder or self.name

    @property
    def repository(self) -> str:
        """What the image is called, without a tag: files that are rendered name it so."""
        return f"{OURS}{self.name}"


CPU = Kind(
    # Debian 12.
    name="cpu",
    base="docker.io/library/debian:bookworm-slim",
    engine="cpu",
    python=(3, 11),
    glibc=(2, 36),
)
CUDA = Kind(
    # Ubuntu 22.04. Its Python is what recent releases had: `--python` says another, and pip refuses what does not fit.
    name="cuda",
    base="docker.io/vllm/vllm-openai:v0.32.0",
    python=(3, 12),
    glibc=(2, 35),
)
ASCEND = Kind(
    # Atlas A2; `-a3`, `-310p` and `-950dt` after the tag are for the other families. Ubuntu 22.04, Python 3.12.
    # Source: vllm-project/vllm-ascend, Dockerfile with CANN 9.1.0.
    name="ascend",
    base="quay.io/ascend/vllm-ascend:v0.23.0",
    python=(3, 12),
    glibc=(2, 35),
)
QUANTIZE = Kind(
    # Debian 12, as `cpu`: CUDA comes in wheels.
    name="quantize",
    base=CPU.base,
    engine="quantize-cuda",
    python=CPU.python,
    glibc=CPU.glibc,
    arguments={"ENGINE": "quantize-cuda"},
    serves=False,
)
QUANTIZE_CPU = replace(
    QUANTIZE,
    name="quantize-cpu",
    engine="quantize-cpu",
    of_folder="quantize",
    arguments={"ENGINE": "quantize-cpu"},
)
KINDS = (CPU, CUDA, ASCEND, QUANTIZE, QUANTIZE_CPU)


def find_kind(name: str) -> Kind:
    """The image with this name. Raises UsageError."""
    for kind in KINDS:
        if kind.name == name:
            return kind
    names = [kind.name for kind in KINDS]
    nearest = difflib.get_close_matches(name, names, n=1)
    raise UsageError(
        "container.unknown", name=name, names=", ".join(names), nearest=nearest[0] if nearest else names[0]
    )
