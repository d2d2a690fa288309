"""Whatever a registry and the way to it do, a blob arrives whole, or the error says what is wrong."""

from __future__ import annotations

import pytest

from selfhost.errors import IncompleteError, IntegrityError, MissingError, NoSpaceError
from selfhost.registry.types import Blob
from tests.registry.registry_support import REPOSITORY, Told, blob_of, bytes_of, client, pulled
from tests.standins.registry import Registry
from tests.standins.registry_proxy import Fault, Proxy

DATA = bytes_of(450_000)
HEALED = {
    "the connection breaks in the middle of a piece": [Fault("drop_body", "PATCH", after_bytes=30_000, skip=1)],
    "it breaks at the first byte of a piece": [Fault("drop_body", "PATCH", after_bytes=0, times=2)],
    "it breaks in each of three pieces": [Fault("drop_body", "PATCH", after_bytes=70_000, times=3)],
    "the answer to a piece is lost": [Fault("drop_answer", "PATCH", skip=2)],
    "the answer to the first request is lost": [Fault("drop_answer", "POST")],
    "the answer to the last request is lost": [Fault("drop_answer", "PUT", "/blobs/")],
    "nothing answers at first": [Fault("drop", "*", times=2)],
    "503 at a piece": [Fault("status", "PATCH", status=503, times=2, skip=1)],
    "500 at the last request": [Fault("status", "PUT", "/blobs/", status=500, times=2)],
    "502 when asked where it is": [
        Fault("drop_body", "PATCH", after_bytes=1),
        Fault("status", "GET", "/uploads/", status=502),
    ],
    "429 with Retry-After": [Fault("status", "PATCH", status=429, retry_after="1")],
    "the answer says that less has arrived": [Fault("range", "PATCH", value="0-4999")],
    "the answer says that more has arrived": [Fault("range", "PATCH", value="0-999999999")],
    "the answer's range is none": [Fault("range", "PATCH", value="bytes 12/13")],
    "a bit flips on the way": [Fault("flip", "PATCH", skip=1)],
    "the upload is forgotten": [Fault("status", "PATCH", status=404, skip=2)],
    "a proxy takes small requests only": [Fault("status", "PATCH", status=413, times=1)],
}


@pytest.mark.slow
@pytest.mark.parametrize("case", HEALED)
def test_a_blob_arrives_whole_in_spite_of(upstream, case):
    told, blob, slept, faults = Told(), blob_of(DATA), [], HEALED[case]
    chunk = 4 << 20 if "small requests" in case else 100_000
    with Proxy(upstream, faults) as proxy, client(proxy.host, chunk_bytes=chunk, slept=slept) as registry:
        assert registry.push_blob(REPOSITORY, blob, told) == "sent"
        assert len(proxy.happened) == sum(fault.times for fault in faults)
        assert told.done == blob.size
        assert pulled(registry, blob, Told()) == DATA
        assert registry.push_blob(REPOSITORY, blob, Told()) == "there"
    assert bool(slept) == ("Retry-After" in case)


def test_what_arrived_is_not_sent_again():
    with (
        Registry() as upstream,
        Proxy(upstream.port, [Fault("drop_body", "PATCH", after_bytes=70_000, skip=2)]) as proxy,
        client(proxy.host) as registry,
    ):
        registry.push_blob(REPOSITORY, blob_of(DATA), Told())
        begins = [headers["Content-Range"] for method, _, headers in proxy.seen if method == "PATCH"]
    assert begins == ["0-99999", "100000-199999", "200000-299999", "270000-369999", "370000-449999"]


@pytest.mark.slow
def test_an_answer_that_is_lost_at_the_end_costs_nothing(upstream):
    told = Told()
    with Proxy(upstream, [Fault("drop_answer", "PUT", "/blobs/")]) as proxy, client(proxy.host) as registry:
        registry.push_blob(REPOSITORY, blob_of(DATA), told)
        assert sum(method == "PATCH" for method, _, _ in proxy.seen) == 5
    assert told.done == len(DATA)


@pytest.mark.parametrize("size", [0, 1, 2, 99_999, 100_000, 100_001])
def test_every_size_arrives(size):
    blob = blob_of(bytes_of(size))
    with Registry() as upstream, client(upstream.host) as registry:
        assert registry.push_blob(REPOSITORY, blob, Told()) == "sent"
        assert upstream.blobs[f"sha256:{blob.sha256}"] == bytes_of(size)


def test_a_blob_of_another_repository_is_mounted():
    with Registry() as upstream, client(upstream.host) as registry:
        blob = blob_of(DATA)
        registry.push_blob(REPOSITORY, blob, Told())
        before = upstream.count("PATCH")
        assert registry.push_blob("team/other", blob, Told()) == "mounted"
        assert upstream.count("PATCH") == before
        assert ("team/other", f"sha256:{blob.sha256}") in upstream.linked


def test_bytes_that_are_not_those_of_the_digest_are_not_left_there():
    blob = blob_of(DATA)
    wrong = Blob(name="shard", sha256="0" * 64, size=blob.size, read=blob.read)
    with Registry() as upstream, client(upstream.host) as registry:
        with pytest.raises(IntegrityError) as caught:
            registry.push_blob(REPOSITORY, wrong, Told())
        assert "shard" in caught.value.message.what
        assert not upstream.blobs
        assert not upstream.uploads


QUOTA = b'{"errors":[{"code":"DENIED","message":"adding 4 GiB of storage resource will exceed the quota"}]}'
REFUSED = {
    "a lying digest of a blob": ([Fault("digest", "PUT", "/blobs/")], IntegrityError),
    "every piece is damaged on the way": ([Fault("flip", "PATCH", times=99)], IntegrityError),
    "quota": ([Fault("status", "PATCH", status=403, body=QUOTA)], NoSpaceError),
    "507": ([Fault("status", "POST", status=507)], NoSpaceError),
    "403": ([Fault("status", "POST", status=403)], MissingError),
    "503 for ever": ([Fault("status", "PATCH", status=503, times=99)], IncompleteError),
    "no answer for ever": ([Fault("drop", "*", times=99)], IncompleteError),
    "413 however small": ([Fault("status", "PATCH", status=413, times=99)], IncompleteError),
    "405": ([Fault("status", "POST", status=405)], IncompleteError),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_as_what_it_is(case):
    faults, error = REFUSED[case]
    with Registry() as upstream, Proxy(upstream.port, faults) as proxy, client(proxy.host) as registry:
        with pytest.raises(error):
            registry.push_blob(REPOSITORY, blob_of(DATA), Told())
        assert proxy.happened


def test_nothing_listens_there():
    with Registry() as gone:
        host = gone.host
    with client(host) as registry, pytest.raises(IncompleteError) as caught:
        registry.has_blob(REPOSITORY, "0" * 64, 1, Told())
    assert caught.value.message.id == "registry.gave_up"
