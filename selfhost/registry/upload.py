"""One blob into a registry, in pieces, each hashed as it goes; goes on from where the registry says that it is.

Source: OCI distribution-spec 1.1, "Pushing a blob in chunks" and "Resuming a push".
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from selfhost.errors import IntegrityError
from selfhost.messages import text
from selfhost.registry.transport import Answer, Request
from selfhost.registry.types import MIN_CHUNK_BYTES
from selfhost.weights.move.retry import TroubleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.registry.transport import Transport
    from selfhost.registry.types import Blob, Told

_CREATED, _ACCEPTED, _NO_CONTENT = 201, 202, 204
_BAD, _GONE, _TOO_LARGE, _RANGE = 400, 404, 413, 416
_DONE_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})")


class Upload:
    """The state of one blob on its way."""

    def __init__(self, transport: Transport, repository: str, scope: str, blob: Blob, told: Told) -> None:
        self._transport, self._scope, self._blob, self._told = transport, scope, blob, told
        self._repository = repository
        self._chunk = max(transport.options.chunk_bytes, 1)
        self._location = ""
        self._sure = False
        self._has_one = False
        """`0-0` is what registries say of nothing and of one byte: whether it is the latter."""
        self._hashes: list[tuple[int, Any]] = [(0, hashlib.sha256())]
        """The digest of all bytes before a place, at the ends of pieces."""
        self._told_bytes = 0
        self.offset = 0
        """Bytes that the registry has."""
        self.furthest = 0
        """The most that it ever had: progress is what goes beyond."""

    def start(self, mount_from: str = "") -> bool:
        """Begin, or let the registry take the blob from a repository that has it; whether it is there now."""
        query = f"?mount=sha256:{self._blob.sha256}&from={mount_from}" if mount_from else ""
        url = f"{self._transport.root}/v2/{self._repository}/blobs/uploads/{query}"
        answer = self._ask("POST", url)
        if answer.status == _CREATED and mount_from:
            self._tell(self._blob.size)
            return True
        if answer.status != _ACCEPTED:
            raise self._transport.problem(answer, self._scope)
        self._moved_on(answer)
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        if least.isascii() and least.isdigit():
            self._chunk = max(self._chunk, min(int(least), 1 << 40))
        self._at(0)
        return False

    def step(self) -> bool:
        """One request; whether the blob is there now. Raises TroubleError for what may be gone the next time."""
        if not self._location:
            return self.start()
        if not self._sure:
            self._ask_where()
        elif self.offset < self._blob.size:
            self._send()
        else:
            self._finish()
            return True
        return False

    def doubt(self) -> None:
        """Something went wrong: ask the registry before going on."""
        self._sure = False

    # Steps

    def _ask_where(self) -> None:
        answer = self._ask("GET", self._location)
        if answer.status in (_GONE, _BAD, _RANGE):
            # docker-registry 2 forgets an upload that broke off within a piece. What broke it off was counted.
            self._told.note(self._forget(answer))
            return
        if answer.status not in (_NO_CONTENT, 200, _ACCEPTED):
            raise self._transport.problem(answer, self._scope)
        self._moved_on(answer)
        found = _bytes_there(answer.headers.get("Range"))
        if found is None or found > self._blob.size:
            raise self._lost(answer)
        self._at(0 if found == 1 and not self._has_one else found)

    def _send(self) -> None:
        begin, end = self.offset, min(self.offset + self._chunk, self._blob.size)
        before = self._hash_at(begin)
        running = [before]

        def body() -> Iterator[bytes | memoryview]:
            # A redirect or another token makes it begin again.
            running[0] = before.copy()
            self._tell(begin)
            for data in self._blob.read(begin, end):
                running[0].update(data)
                yield data
                self._tell(self._told_bytes + len(data))

        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{begin}-{end - 1}",
            "Content-Length": str(end - begin),
        }
        self._sure = False
        answer = self._ask("PATCH", self._location, headers, body)
        self._take(answer, begin, end, running[0])

    def _take(self, answer: Answer, begin: int, end: int, digest: Any) -> None:
        if answer.status == _TOO_LARGE and self._chunk > MIN_CHUNK_BYTES:
            self._chunk = max(self._chunk // 2, MIN_CHUNK_BYTES)
            self._told.note(text("registry.smaller", name=self._blob.name, host=self._transport.host))
            return
        if answer.status == _GONE:
            raise self._lost(answer)
        if answer.status == _RANGE:
            self._has_one = begin == 0 and _bytes_there(answer.headers.get("Range")) == 1
            raise TroubleError(text("registry.elsewhere", name=self._blob.name), at_once=True)
        if answer.status not in (_ACCEPTED, _CREATED, _NO_CONTENT):
            raise self._transport.problem(answer, self._scope)
        self._moved_on(answer)
        said = answer.headers.get("Range")
        found = end if said is None else _bytes_there(said)
        if found == 1 < end and begin == 0:
            found = 0
        if found is None or not begin <= found <= end:
            self._location = ""
            self._at(0)
            raise TroubleError(text("registry.bad_range", host=self._transport.host, found=said, end=end - 1))
        if found == end:
            self._hashes.append((end, digest))
        self._at(found)
        if found == begin:
            raise TroubleError(text("registry.bad_range", host=self._transport.host, found=said, end=end - 1))

    def _finish(self) -> None:
        found = self._hash_at(self._blob.size).hexdigest()
        if found != self._blob.sha256:
            self._ask("DELETE", self._location)
            raise IntegrityError("registry.other_bytes", name=self._blob.name, wanted=self._blob.sha256, found=found)
        join = "&" if "?" in self._location else "?"
        self._sure = False
        answer = self._ask("PUT", f"{self._location}{join}digest=sha256:{self._blob.sha256}")
        if answer.status == _GONE:
            raise self._lost(answer)
        if answer.status == _BAD:
            # The bytes were right here: they were changed on the way, or the registry lost some.
            self._location = ""
            self._at(0)
            final = IntegrityError(
                "registry.not_kept", host=self._transport.host, name=self._blob.name, detail=answer.detail or "-"
            )
            raise TroubleError(final.message.what, final=final)
        if answer.status not in (_CREATED, _NO_CONTENT):
            raise self._transport.problem(answer, self._scope)
        check_digest(answer, self._blob.sha256, self._transport.host, self._blob.name)

    # State

    def _ask(self, method: str, url: str, headers: Any = None, body: Any = None) -> Answer:
        request = Request(method=method, url=url, scope=self._scope, headers=headers or {}, body=body)
        return self._transport.ask(request)

    def _moved_on(self, answer: Answer) -> None:
        """The next request goes where this answer says."""
        where = answer.headers.get("Location")
        if where or not self._location:
            self._location = self._transport.location(where, answer.url)
        self._sure = True

    def _at(self, offset: int) -> None:
        self.offset = offset
        self.furthest = max(self.furthest, offset)
        self._tell(offset)

    def _tell(self, n_bytes: int) -> None:
        # Asked even when nothing moved: this is where the work is stopped.
        self._told.moved(n_bytes - self._told_bytes)
        self._told_bytes = n_bytes

    def _forget(self, answer: Answer) -> str:
        """The registry no longer knows what it was sent: a line about it."""
        self._location, self._has_one = "", False
        self._at(0)
        return text("registry.lost", name=self._blob.name, status=answer.status)

    def _lost(self, answer: Answer) -> TroubleError:
        return TroubleError(self._forget(answer), at_once=True)

    def _hash_at(self, offset: int) -> Any:
        """The digest of all bytes before a place; reads again what lies between it and the last one known."""
        self._hashes = [one for one in self._hashes if one[0] <= offset]
        place, digest = self._hashes[-1]
        if place < offset:
            digest = digest.copy()
            for data in self._blob.read(place, offset):
                digest.update(data)
            self._hashes.append((offset, digest))
        return digest


def _bytes_there(value: str | None) -> int | None:
    """How many bytes a `Range` of an upload speaks of; None for what is no such range.

    >>> _bytes_there("0-99")
    100
    """
    found = _DONE_RANGE.fullmatch(value or "")
    return int(found[1]) + 1 if found else None


def check_digest(answer: Answer, sha256: str, host: str, name: str) -> None:
    """Raises IntegrityError when a registry says that it has put something else in place."""
    said = answer.headers.get("Docker-Content-Digest", "")
    if said and said != f"sha256:{sha256}":
        raise IntegrityError("registry.other_digest", host=host, name=name, wanted=f"sha256:{sha256}", found=said[:100])
