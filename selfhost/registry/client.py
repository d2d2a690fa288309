"""A registry as those use it who push and pull: blobs, manifests, referrers; each with its retries.

Whatever comes is compared with its digest, whatever goes is hashed on the way and its digest is read back.
Source: OCI distribution-spec 1.1.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.parse
from typing import TYPE_CHECKING, Any, TypeVar

from selfhost.errors import IntegrityError
from selfhost.messages import text
from selfhost.registry import credentials
from selfhost.registry.transport import Request, Transport
from selfhost.registry.tries import Tries
from selfhost.registry.types import MAX_MANIFEST_BYTES, Options, Pulled
from selfhost.registry.upload import Upload, check_digest
from selfhost.weights.move.halt import Halt
from selfhost.weights.move.retry import TroubleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from selfhost.registry.credentials import Credential
    from selfhost.registry.reference import Reference
    from selfhost.registry.transport import Answer
    from selfhost.registry.types import Blob, Told

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
INDEX = MANIFEST_TYPES[1]
_OK, _PARTIAL, _CREATED, _ABSENT = 200, 206, 201, 404
_BUFFER_BYTES = 1 << 20
_ResultT = TypeVar("_ResultT")


class Registry:
    """One registry, named by a reference. For all threads; used as a context."""

    def __init__(
        self,
        reference: Reference,
        options: Options | None = None,
        *,
        credential: Credential | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """credential: None looks for one where `docker login` and others leave them."""
        self.options = options or Options()
        self.halt = Halt()
        """Put it up, and everything that waits for the registry is stopped."""
        self._sleep = sleep or self.halt.sleep
        credential = credential or credentials.find(reference.host, reference.repository)
        self._transport = Transport(reference, self.options, credential, clock, self.halt)
        self._has: dict[str, str] = {}
        """sha256 of blobs that the registry has, with a repository that they are in."""
        self._lock = threading.Lock()

    def __enter__(self) -> Registry:  # noqa: PYI034 - nobody inherits
        return self

    def __exit__(self, *_error: object) -> None:
        self._transport.close()

    # Blobs

    def has_blob(self, repository: str, sha256: str, size: int, told: Told) -> bool:
        """Whether a repository has a blob. Raises IntegrityError when it has another one under its digest."""
        url = self._url(repository, f"blobs/sha256:{sha256}")
        answer = self._retried(url, lambda: self._got("HEAD", url, _pushing(repository)), told)
        if answer is None:
            return False
        length = answer.headers.get("Content-Length")
        if length is not None and length != str(size):
            raise IntegrityError(
                "registry.other_size", host=self._transport.host, sha256=sha256, wanted=size, found=length[:30]
            )
        with self._lock:
            self._has[sha256] = repository
        return True

    def push_blob(self, repository: str, blob: Blob, told: Told) -> str:
        """Bring a blob into a repository; says how: `there`, `mounted` or `sent`.

        Raises IntegrityError when the bytes are not those of the digest, or the registry does not keep them;
        MissingError when we may not; NoSpaceError; IncompleteError after too many failures in a row.
        """
        if self.has_blob(repository, blob.sha256, blob.size, told):
            told.moved(blob.size)
            return "there"
        with self._lock:
            other = self._has.get(blob.sha256, "")
        scope = _pushing(repository, other)
        upload = Upload(self._transport, repository, scope, blob, told)
        if self._retried(blob.name, lambda: upload.start(other), told):
            return "mounted"
        self._finish(repository, blob, upload, told)
        with self._lock:
            self._has[blob.sha256] = repository
        return "sent"

    def _finish(self, repository: str, blob: Blob, upload: Upload, told: Told) -> None:
        tries = Tries(self._transport, blob.name, told, self._sleep)
        done = False
        while not done:
            before = upload.furthest
            try:
                done = upload.step()
            except TroubleError as failed:
                upload.doubt()
                tries.failed(failed)
                # What failed may have been the answer only: gigabytes are not sent again for that.
                if upload.offset == blob.size and self.has_blob(repository, blob.sha256, blob.size, told):
                    return
            if upload.furthest > before:
                tries.progressed()

    def read_blob(self, repository: str, sha256: str, size: int, told: Told) -> Iterator[memoryview]:
        """The bytes of a blob, in a buffer that is used again; a connection that breaks is taken up where it was.

        They are to be believed when the last one was taken: raises IntegrityError for others than those of the digest,
        IncompleteError after too many failures in a row.
        """
        url = self._url(repository, f"blobs/sha256:{sha256}")
        digest, have = hashlib.sha256(), 0
        tries = Tries(self._transport, url, told, self._sleep)
        while have < size:
            try:
                for view in self._from(url, repository, have, size):
                    digest.update(view)
                    have += len(view)
                    tries.progressed()
                    told.moved(len(view))
                    yield view
            except TroubleError as failed:
                tries.failed(failed)
        if digest.hexdigest() != sha256:
            found = digest.hexdigest()
            raise IntegrityError(
                "registry.other_digest", host=self._transport.host, name=url, wanted=f"sha256:{sha256}", found=found
            )

    def _from(self, url: str, repository: str, begin: int, end: int) -> Iterator[memoryview]:
        headers = {"Range": f"bytes={begin}-{end - 1}"} if begin else {}
        request = Request(method="GET", url=url, scope=_pulling(repository), headers=headers)
        with self._transport.open(request) as (response, where):
            if response.status not in (_OK, _PARTIAL):
                raise self._transport.problem(self._transport.answer(response, where), request.scope)
            place, said = 0, response.headers.get("Content-Range", "")
            if response.status == _PARTIAL:
                if not said.startswith(f"bytes {begin}-"):
                    raise TroubleError(text("move.bad_range", found=said[:100], begin=begin, end=end - 1))
                place = begin
            while place < end and (data := self._transport.read(response, min(_BUFFER_BYTES, end - place), where)):
                # A server that takes no ranges begins at the beginning.
                if (skipped := max(0, begin - place)) < len(data):
                    yield memoryview(data)[skipped:]
                place += len(data)
            if place < end:
                raise TroubleError(text("move.cut", missing=end - place))

    # Manifests

    def manifest(self, repository: str, wanted: str, told: Told) -> Pulled | None:
        """What a tag or a digest (`sha256:...`) names; None when there is nothing.

        Raises IntegrityError when the bytes are not those of the digest, or too many.
        """
        url = self._url(repository, f"manifests/{wanted}")
        headers = {"Accept": ", ".join(MANIFEST_TYPES)}
        answer = self._retried(url, lambda: self._got("GET", url, _pulling(repository), headers), told)
        if answer is None:
            return None
        if len(answer.body) > MAX_MANIFEST_BYTES:
            raise IntegrityError("registry.large", host=self._transport.host, name=wanted, limit=MAX_MANIFEST_BYTES)
        found = hashlib.sha256(answer.body).hexdigest()
        said = answer.headers.get("Docker-Content-Digest", "")
        expected = wanted if wanted.startswith("sha256:") else said if said.startswith("sha256:") else ""
        if expected and expected != f"sha256:{found}":
            raise IntegrityError(
                "registry.other_digest",
                host=self._transport.host,
                name=wanted,
                wanted=expected,
                found=f"sha256:{found}",
            )
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Pulled(media_type=kind, sha256=found, data=answer.body)

    def push_manifest(self, repository: str, wanted: str, data: bytes, media_type: str, told: Told) -> bool:
        """Put a manifest in place, read it back and compare it; whether the registry knows what it belongs to.

        wanted: a tag, or its digest. Raises IntegrityError when the registry has something else afterwards.
        """
        url, sha256 = self._url(repository, f"manifests/{wanted}"), hashlib.sha256(data).hexdigest()
        headers = {"Content-Type": media_type, "Content-Length": str(len(data))}

        def put() -> Answer:
            scope = _pushing(repository)
            request = Request(method="PUT", url=url, scope=scope, headers=headers, body=lambda: iter([data]))
            answer = self._transport.ask(request)
            if answer.status != _CREATED:
                raise self._transport.problem(answer, scope)
            return answer

        answer = self._retried(url, put, told)
        check_digest(answer, sha256, self._transport.host, wanted)
        found = self.manifest(repository, wanted, told)
        if found is None or found.data != data:
            said = f"sha256:{found.sha256}" if found else "-"
            raise IntegrityError(
                "registry.other_digest", host=self._transport.host, name=wanted, wanted=f"sha256:{sha256}", found=said
            )
        return "OCI-Subject" in answer.headers

    def add_referrers(self, repository: str, subject: str, entries: Sequence[dict[str, Any]], told: Told) -> None:
        """List what belongs to a manifest under the tag that clients ask when a registry has no list of its own.

        Source: distribution-spec 1.1, "Referrers Tag Schema".
        """
        tag = f"sha256-{subject}"
        found = self.manifest(repository, tag, told)
        try:
            listed = list(json.loads(found.data)["manifests"]) if found else []
        except (ValueError, KeyError, TypeError, RecursionError):
            listed = []
        new = {one["digest"] for one in entries}
        listed = [one for one in listed if isinstance(one, dict) and one.get("digest") not in new]
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*listed, *entries]}
        self.push_manifest(repository, tag, json.dumps(body, sort_keys=True).encode(), INDEX, told)

    # Requests

    def _url(self, repository: str, rest: str) -> str:
        return f"{self._transport.root}/v2/{repository}/{urllib.parse.quote(rest, safe='/:')}"

    def _got(self, method: str, url: str, scope: str, headers: dict[str, str] | None = None) -> Answer | None:
        answer = self._transport.ask(Request(method=method, url=url, scope=scope, headers=headers or {}))
        if answer.status == _ABSENT:
            return None
        if answer.status != _OK:
            raise self._transport.problem(answer, scope)
        return answer

    def _retried(self, name: str, work: Callable[[], _ResultT], told: Told) -> _ResultT:
        tries = Tries(self._transport, name, told, self._sleep)
        while True:
            try:
                return work()
            except TroubleError as failed:
                tries.failed(failed)


def _pulling(repository: str) -> str:
    return f"repository:{repository}:pull"


def _pushing(repository: str, other: str = "") -> str:
    more = f" repository:{other}:pull" if other and other != repository else ""
    return f"repository:{repository}:pull,push{more}"
