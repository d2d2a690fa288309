"""A plain web server over `<root>/<org>/<name>/...`, as nginx serves a directory: ranges, ETag, no API.

With `sums`, each model has a `SHA256SUMS`; with `index`, folders answer with a page of links as autoindex makes it.
`python -m tests.standins.mirror --root DIR` runs it alone.
"""

from __future__ import annotations

import hashlib
from email.utils import formatdate
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.standins.command import main
from tests.standins.sending import Content
from tests.standins.serving import Server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.standins.exchange import Exchange
    from tests.standins.tree import File

SUMS = "SHA256SUMS"


class Mirror(Server):
    """See the module. With `token`, everything needs it as a bearer token."""

    def __init__(
        self, root: Path, token: str | None = None, *, sums: bool = False, index: bool = False, **options
    ) -> None:
        super().__init__(root, token=token, **options)
        self.sums, self.index = sums, index

    def prepare(self) -> None:
        if self.sums:
            super().prepare()

    def answer(self, exchange: Exchange) -> None:
        if self.options.token is not None and exchange.bearer != self.options.token:
            exchange.plain(b"401 Authorization Required\n", 401, {"WWW-Authenticate": 'Bearer realm="mirror"'})
            return
        match exchange.segments:
            case [org, name, *path] if self.models.has(f"{org}/{name}"):
                self._inside(exchange, f"{org}/{name}", "/".join(path))
            case _:
                self._missing(exchange)

    def _inside(self, exchange: Exchange, model: str, path: str) -> None:
        snapshot = self.models.find(model, self.branch)
        file = snapshot.files.get(path)
        if file is not None:
            headers = {"Last-Modified": formatdate(file.mtime_ns // 10**9, usegmt=True)}
            exchange.file(path, Content(file.size, _etag(file), file.local), headers)
        elif path == SUMS and self.sums:
            data = "".join(f"{file.sha256}  {name}\n" for name, file in snapshot.files.items()).encode()
            content = Content(len(data), hashlib.sha256(data).hexdigest()[:16], data=data)
            exchange.file(path, content, {"Content-Type": "text/plain"})
        elif self.index and (not path or path.rstrip("/") in snapshot.folders):
            if not exchange.spoiled():
                _index(exchange, path.rstrip("/"), [*snapshot.files, *(f"{folder}/" for folder in snapshot.folders)])
        else:
            self._missing(exchange)

    def _missing(self, exchange: Exchange) -> None:
        if not exchange.spoiled():
            exchange.plain(b"404 Not Found\n", 404)


def _etag(file: File) -> str:
    return f"{file.mtime_ns // 10**9:x}-{file.size:x}"


def _index(exchange: Exchange, folder: str, paths: list[str]) -> None:
    start = f"{folder}/" if folder else ""
    names = [path.removeprefix(start) for path in sorted(paths) if path.startswith(start) and path != start]
    direct = [name for name in names if "/" not in name.rstrip("/")]
    links = "".join(f'<a href="{quote(name)}">{escape(name)}</a>\n' for name in direct)
    page = (
        f'<html><head><title>Index of /{escape(folder)}</title></head><body><pre><a href="../">../</a>\n{links}</pre>'
    )
    exchange.plain(page.encode(), headers={"Content-Type": "text/html"})


if __name__ == "__main__":
    main(Mirror)
