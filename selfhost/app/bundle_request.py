"""What `bundle create` was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.bundle.write import LinkMode
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from selfhost.bundle.sign import Signer
    from selfhost.engines.pip_output import Progress

NO_ENGINE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateRequest:
    """What the user asked for."""

    models: tuple[str, ...]
    to: tuple[Path, ...]
    variant: str | None = None
    volume_size: str | None = None
    target: Path | None = None
    have: Path | None = None
    link: LinkMode = LinkMode.AUTO
    images: tuple[str, ...] = ()
    """`oci:DIR`, `oci:DIR:NAME`, or a name in a registry."""
    plain_http: bool = False
    """Of registries."""
    fetching: Callable[[str, int, int], None] = lambda _name, _done, _total: None
    """Gets the image that is fetched, bytes done and bytes altogether."""
    note: Callable[[str], None] = lambda _line: None
    """Gets what goes wrong at a registry, and is tried again."""
    platform: str | None = None
    """Of each image, only what is for this one; None: all of it."""
    engine: str = NO_ENGINE
    wheelhouse: Path | None = None
    download: bool = True
    """Get wheels and images that are not here yet."""
    report: Callable[[Progress], None] = lambda _progress: None
    """Told of each step of getting wheels."""
    serial: int | None = None
    label: str | None = None
    signer: Signer | None = None
    max_file_bytes: int | None = None
    """None: what the file system of the medium says."""
