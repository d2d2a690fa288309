"""Where CANN's toolkit is: the one search that detection, the check of the stack and an engine's start go by.

Nothing is changed and nothing fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.hardware import ascend_files
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.hardware.system import System

ROOT = "/usr/local/Ascend"
SCRIPT = "set_env.sh"
_FOLDERS = ("ascend-toolkit/latest", "cann")
"""In the order in which their script is looked for; releases from 8.5 on leave both, one linked to the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolkit:
    """An installation of the toolkit."""

    folder: Path
    version: str | None
    """None: its file of versions is not there."""

    @property
    def scripts(self) -> tuple[Path, Path]:
        """Where its `set_env.sh` may be: `ascend-toolkit/latest` has it one folder above."""
        return self.folder / SCRIPT, self.folder.parent / SCRIPT


def find_cann(system: System) -> Toolkit | None:
    """The toolkit that the environment names, else the one where its installer puts it.

    One that has no version, only a script, counts where there is no other.
    """
    unversioned = None
    for folder in folders(system):
        for info in sorted(folder.glob("*-linux/ascend_toolkit_install.info")):
            version = ascend_files.parse_version(system.read(info))
            if version and version[0].isdecimal():
                return Toolkit(folder=folder, version=version)
        found = Toolkit(folder=folder, version=None)
        if unversioned is None and any(_is_file(script) for script in found.scripts):
            unversioned = found
    return unversioned


def folders(system: System) -> Iterator[Path]:
    """Everywhere it may be, in the order in which it is looked for."""
    yield from named(system, "ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")
    yield from (root / folder for root in roots(system) for folder in _FOLDERS)


def roots(system: System) -> Iterator[Path]:
    """Where installers put CANN and NNAL: root's is first, then that of the user."""
    yield system.at(ROOT)
    if home := system.environ.get("HOME"):
        yield system.at(home) / "Ascend"


def named(system: System, *variables: str) -> Iterator[Path]:
    """Folders that variables of the environment name."""
    for variable in variables:
        if value := system.environ.get(variable):
            yield system.at(value) if Path(value).is_absolute() else Path(value)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
