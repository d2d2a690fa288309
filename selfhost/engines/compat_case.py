"""What rules about an Ascend stack are given, and the words they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.engines import compat_data as data
from selfhost.engines import compat_versions as versions
from selfhost.engines.compat_types import State
from selfhost.messages import text
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.engines.compat_data import Release
    from selfhost.engines.compat_types import Found


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What rules are given."""

    found: Found
    release: Release | None
    name: str

    @property
    def image(self) -> str:
        """The official image of this release for this chip."""
        return data.image(self.name, self.found.family) or text("compat.no_image")

    @property
    def cann(self) -> tuple[str, ...]:
        """Versions of CANN that serve; the first is the one to install. Empty when not known."""
        if self.release:
            return self.release.cann
        installed = versions.public((self.found.packages or {}).get("torch-npu", ""))
        return (data.CANN_OF_TORCH_NPU[installed],) if installed in data.CANN_OF_TORCH_NPU else ()


def plugin_of(found: Found) -> str | None:
    """Version of vllm-ascend in the environment."""
    return None if found.packages is None else found.packages.get("vllm-ascend")


def state_of(fits: bool | None) -> State:  # noqa: FBT001 - three-valued
    """Of an answer that may be unknown."""
    return State.UNKNOWN if fits is None else State.OK if fits else State.WRONG


def shown(value: str | None, *, looked: bool = False) -> str:
    """A value for people; without one, whether it was looked for."""
    return value or text("compat.absent" if looked else "compat.not_told")
