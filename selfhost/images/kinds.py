"""The images that can be built: one record each, facts only."""

from __future__ import annotations

import difflib

from selfhost.errors import UsageError
from selfhost.records import dataclass

OURS = "localhost/selfhost-"
"""Images that are made here are called so, with their kind: no registry has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One image: a folder below `containers/`."""

    name: str
    base: str
    """What it is built on where nobody names another."""
    engine: str = ""
    """The engine (`engine install`) whose wheels go into it; empty: the base brings one."""
    python: tuple[int, int]
    """Of the base; selfhost's wheels are chosen for it."""
    glibc: tuple[int, int]
    """Of the base."""

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
KINDS = (CPU, CUDA, ASCEND)


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
