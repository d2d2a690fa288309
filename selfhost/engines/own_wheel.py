"""The wheel of an installed package, made again from its files: so selfhost crosses a gap as it runs here.

selfhost need not be in any index, and what is carried is then what was used. The files are those that the package's
RECORD names, each with the digest it had when it was installed; pip's notes about this installation stay behind.
Source: packaging.python.org, "Binary distribution format" and "Recording installed projects".
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.engines.lock import wheel_prefix
from selfhost.errors import IntegrityError, MissingError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, PackagePath

DISTRIBUTION = "selfhost-llm"
_NOT_CARRIED = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
_SCRIPTS = ("console_scripts", "gui_scripts")
_DATE = (1980, 1, 1, 0, 0, 0)
"""The first that a zip can hold: the same files give the same wheel."""
_MODE = 0o644 << 16


def checkout(package: Path) -> Path | None:
    """The folder of sources that a package runs from, editable or not installed at all; None for an installed one."""
    root = package.resolve().parent
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    except (OSError, ValueError, KeyError):
        return None
    return root if project.get("name") == DISTRIBUTION else None


def installed(package: Path, name: str = DISTRIBUTION) -> Distribution:
    """The distribution that a package of this Python is of.

    Raises MissingError when it was not installed, or when another copy of it runs than the one that was.
    """
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise MissingError("wheels.not_installed", name=name, found=package) from None
    if Path(str(found.locate_file(package.name))).resolve() != package.resolve():
        raise MissingError("wheels.not_installed", name=name, found=package)
    return found


def rebuild(package: Distribution, folder: Path) -> Path:
    """Write the wheel of a package into `folder`; the same files give the same bytes.

    Raises IntegrityError when a file is not the one that was installed, MissingError for a package that cannot be made
    again from what is there.
    """
    name, version = package.metadata["Name"], package.version
    contents = {path: _read(name, entry) for path, entry in _carried(package).items()}
    info = next((path.partition("/")[0] for path in contents if path.endswith(".dist-info/METADATA")), None)
    if info is None:
        raise MissingError("wheels.not_rebuilt", name=name, detail="RECORD does not name its METADATA")
    record = "".join(f"{_quoted(path)},sha256={_digest(data)},{len(data)}\n" for path, data in contents.items())
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    tags = file_tags(contents.get(f"{info}/WHEEL", b"").decode(errors="replace"))
    if not tags:
        raise MissingError("wheels.not_rebuilt", name=name, detail="WHEEL names no tag")
    target = folder / f"{wheel_prefix(name, version)}{tags}.whl"
    with files.atomic_write(target) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in contents.items():
            entry = zipfile.ZipInfo(path, _DATE)
            entry.external_attr, entry.compress_type = _MODE, zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return target


def file_tags(wheel_metadata: str) -> str:
    r"""The end of a wheel's file name, from its WHEEL file; empty when that names no tag.

    >>> file_tags("Wheel-Version: 1.0\nTag: py2-none-any\nTag: py3-none-any\n")
    'py2.py3-none-any'
    """
    said = Parser().parsestr(wheel_metadata)
    tags = [tag.strip().split("-") for tag in said.get_all("Tag", [])]
    if not tags or any(len(tag) != len(("python", "abi", "platform")) for tag in tags):
        return ""
    parts = [".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True)]
    build = said.get("Build", "").strip()
    return "-".join([build, *parts] if build else parts)


def _carried(package: Distribution) -> dict[str, PackagePath]:
    """What goes into the wheel, sorted by its path there."""
    name = package.metadata["Name"]
    if not package.files or package.read_text("RECORD") is None:
        raise MissingError("wheels.not_rebuilt", name=name, detail="it has no RECORD of its files")
    scripts = {entry.name for entry in package.entry_points if entry.group in _SCRIPTS}
    found: dict[str, PackagePath] = {}
    for entry in package.files:
        path = entry.as_posix()
        if entry.suffix == ".pyc" or (entry.parent.name.endswith(".dist-info") and entry.name in _NOT_CARRIED):
            continue
        if path.startswith(("../", "/")):
            if entry.name in scripts:
                continue  # pip writes them anew
            raise MissingError("wheels.not_rebuilt", name=name, detail=f"`{path}` lies outside of site-packages")
        found[path] = entry
    return dict(sorted(found.items()))


def _read(name: str, entry: PackagePath) -> bytes:
    """A file as it was installed."""
    path = Path(str(entry.locate()))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IntegrityError("wheels.changed", name=name, path=path, detail=error.strerror or error) from error
    if entry.hash is None or entry.hash.mode != "sha256":
        raise MissingError("wheels.not_rebuilt", name=name, detail=f"RECORD has no sha256 of `{entry}`")
    if entry.hash.value != _digest(data):
        raise IntegrityError("wheels.changed", name=name, path=path, detail="its sha256 is another")
    return data


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _quoted(path: str) -> str:
    """As RECORD, a CSV, has it."""
    return '"' + path.replace('"', '""') + '"' if "," in path or '"' in path else path
