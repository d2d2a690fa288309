"""A package index with the wheels of a folder, as pip asks one, and a record of what it was asked for."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from selfhost.engines.lock import wheel_key

if TYPE_CHECKING:
    from pathlib import Path


class PackageIndex:
    """`with PackageIndex(folder) as index: PIP_INDEX_URL = index.url`; `fetched` names the wheels that went out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fetched: list[str] = []
        self.refused: set[str] = set()
        """Wheels that are listed and answered with 404."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """Of the simple index."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/simple/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def page(self, name: str) -> bytes:
        """The wheels of one package."""
        wheels = sorted(path.name for path in self.folder.glob("*.whl"))
        named = [wheel for wheel in wheels if wheel_key(wheel).partition("-")[0].replace("_", "-") == name]
        return "".join(f'<a href="/files/{wheel}">{wheel}</a>\n' for wheel in named).encode()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, index: PackageIndex, *args, **kwargs) -> None:
        self.index = index
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        _, kind, name, *_ = [*self.path.split("/"), ""]
        if kind == "simple":
            body, listed = self.index.page(name), "text/html"
        elif name in self.index.refused or not (self.index.folder / name).is_file():
            self.send_error(404)
            return
        else:
            body, listed = (self.index.folder / name).read_bytes(), "application/octet-stream"
            self.index.fetched.append(name)
        self.send_response(200)
        self.send_header("Content-Type", listed)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args) -> None:
        """Nothing on the terminal of the tests."""
