"""A small container registry: blobs, chunked uploads that can be taken up, manifests, referrers, tokens that expire.

Strict where the distribution specification is: a piece that does not begin where the last one ended gets 416, a digest
that does not fit 400. An upload that breaks off keeps what came.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

USER, PASSWORD = "pusher", "a-secret-nobody-logs"


class Listening:
    """A server on a port of its own, up to the end of a `with`."""

    def listen(self, handler: type[Quiet]) -> None:
        """From now on; handlers know us as `self.server.owner`."""
        self.server = _Server(("127.0.0.1", 0), handler)
        self.server.owner = self
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def __exit__(self, *_error) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


class Quiet(BaseHTTPRequestHandler):
    """Keeps connections, and says nothing of requests."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_args) -> None:
        """Say nothing."""


class Registry(Listening):
    """`with Registry() as registry: registry.host`. uses: wants bearer tokens, each good for so many requests."""

    def __init__(
        self, *, uses: int | None = None, basic: bool = False, referrers: bool = True, certificate: Path | None = None
    ) -> None:
        self.certificate = certificate
        """With its key in the same file; None: no TLS."""
        self.realm = ""
        """Where tokens are said to be; empty: here."""
        self.leads_to = ""
        """Where uploads are said to be; empty: here."""
        self.uses, self.basic, self.referrers = uses, basic, referrers
        self.blobs: dict[str, bytes] = {}
        self.linked: set[tuple[str, str]] = set()
        """(repository, digest)."""
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.tokens: dict[str, int] = {}
        self.seen: list[tuple[str, str, str]] = []
        """(method, path, Authorization)."""
        self.lock = threading.Lock()

    def __enter__(self):
        self.listen(_Handler)
        if self.certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        return self

    def count(self, method: str, part: str = "") -> int:
        return sum(one == method and part in path for one, path, _ in self.seen)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address) -> None:
        """Connections that break are no errors here."""


class _Handler(Quiet):
    def _say(self, status: int, headers=None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(self, status: int, code: str, headers=None) -> None:
        self._say(status, headers, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode())

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _any(self) -> None:
        owner = self.server.owner
        owner.seen.append((self.command, self.path, self.headers.get("Authorization", "")))
        parts = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/token":
            self._token(owner)
            return
        if not self._may(owner, parts.path):
            return
        for pattern, work in self.ROUTES:
            if found := re.fullmatch(pattern, parts.path):
                work(self, owner, *found.groups())
                return
        self._error(404, "NAME_UNKNOWN")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

    def _is_basic(self) -> bool:
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return self.headers.get("Authorization") == wanted

    def _token(self, owner) -> None:
        if not self._is_basic():
            self._error(401, "UNAUTHORIZED")
            return
        with owner.lock:
            token = f"token-{len(owner.tokens)}"
            owner.tokens[token] = owner.uses
        self._say(200, {}, json.dumps({"token": token, "expires_in": 300}).encode())

    def _may(self, owner, path: str) -> bool:
        if owner.basic:
            if self._is_basic():
                return True
            self._body()
            self._error(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="here"'})
            return False
        if owner.uses is None:
            return True
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        with owner.lock:
            left = owner.tokens.get(token, 0)
            owner.tokens[token] = left - 1
        if left > 0:
            return True
        self._body()
        where = owner.realm or f"http://{self.headers['Host']}/token"
        realm = f'Bearer realm="{where}",service="here",scope="repository:{path}:pull,push"'
        self._error(401, "UNAUTHORIZED", {"WWW-Authenticate": realm})
        return False

    # Blobs

    def _blob(self, owner, name: str, digest: str) -> None:
        data = owner.blobs.get(digest) if (name, digest) in owner.linked else None
        if data is None:
            self._error(404, "BLOB_UNKNOWN")
            return
        headers = {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"}
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if self.command == "HEAD":
            self._say(200, {**headers, "Content-Length": str(len(data))})
        elif found:
            begin = int(found[1])
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            self._say(206, headers, data[begin:])
        else:
            self._say(200, headers, data)

    def _start(self, owner, name: str) -> None:
        self._body()
        mount = self.query.get("mount")
        if mount and (self.query.get("from"), mount) in owner.linked:
            owner.linked.add((name, mount))
            self._say(201, {"Location": f"/v2/{name}/blobs/{mount}"})
            return
        with owner.lock:
            session = f"u{len(owner.uploads)}"
            owner.uploads[session] = bytearray()
        self._say(202, {"Location": f"{owner.leads_to}/v2/{name}/blobs/uploads/{session}", "Range": "0-0"})

    def _upload(self, owner, name: str, session: str) -> None:
        data = owner.uploads.get(session)
        if data is None:
            self._body()
            self._error(404, "BLOB_UPLOAD_UNKNOWN")
        elif self.command == "PATCH":
            self._patch(name, session, data)
        elif self.command == "PUT":
            self._finish(owner, name, session, data)
        elif self.command == "DELETE":
            del owner.uploads[session]
            self._say(204)
        else:
            self._say(204, self._where(name, session, data))

    def _where(self, name, session, data) -> dict[str, str]:
        return {"Location": f"/v2/{name}/blobs/uploads/{session}", "Range": f"0-{max(0, len(data) - 1)}"}

    def _patch(self, name, session, data) -> None:
        begin = int(self.headers["Content-Range"].partition("-")[0])
        left = int(self.headers["Content-Length"])
        if begin != len(data):
            self._body()
            self._error(416, "BLOB_UPLOAD_INVALID", self._where(name, session, data))
            return
        while left and (piece := self.rfile.read1(min(left, 1 << 16))):
            data += piece
            left -= len(piece)
        if left:
            self.close_connection = True
            return
        self._say(202, self._where(name, session, data))

    def _finish(self, owner, name, session, data) -> None:
        data += self._body()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if digest != self.query.get("digest"):
            self._error(400, "DIGEST_INVALID")
            return
        owner.blobs[digest] = bytes(data)
        owner.linked.add((name, digest))
        del owner.uploads[session]
        self._say(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})

    # Manifests

    def _manifest(self, owner, name: str, wanted: str) -> None:
        if self.command == "PUT":
            self._put_manifest(owner, name, wanted, self._body())
            return
        found = owner.manifests.get((name, wanted))
        if found is None:
            self._error(404, "MANIFEST_UNKNOWN")
            return
        digest = "sha256:" + hashlib.sha256(found[1]).hexdigest()
        self._say(200, {"Content-Type": found[0], "Docker-Content-Digest": digest}, found[1])

    def _put_manifest(self, owner, name: str, wanted: str, data: bytes) -> None:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        body = json.loads(data)
        needed = [one["digest"] for one in [*body.get("layers", []), *([body["config"]] if "config" in body else [])]]
        below = [one["digest"] for one in body.get("manifests", [])]
        known = all((name, one) in owner.linked for one in needed) and all(
            (name, one) in owner.manifests for one in below
        )
        if not known or (wanted.startswith("sha256:") and wanted != digest):
            self._error(404 if not known else 400, "MANIFEST_BLOB_UNKNOWN")
            return
        for key in (wanted, digest):
            owner.manifests[name, key] = (self.headers["Content-Type"], data)
        subject = {"OCI-Subject": body["subject"]["digest"]} if owner.referrers and "subject" in body else {}
        self._say(201, {"Docker-Content-Digest": digest, **subject})

    NAME = r"/v2/(.+)"
    ROUTES = (
        (r"/v2/", lambda self, _owner: self._say(200)),
        (NAME + r"/blobs/uploads/", _start),
        (NAME + r"/blobs/uploads/([^/]+)", _upload),
        (NAME + r"/blobs/(sha256:[0-9a-f]{64})", _blob),
        (NAME + r"/manifests/([^/]+)", _manifest),
    )
