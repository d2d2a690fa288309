"""Whatever a registry and the way to it do, a blob arrives whole, or the error says what is wrong."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest

from selfhost.errors import IncompleteError, IntegrityError, MissingError, NoSpaceError
from selfhost.registry.types import Blob
from tests.registry.registry_support import QUICK, REPOSITORY, Told, blob_of, bytes_of, client, docker_registry
from tests.standins.registry import PASSWORD, USER, Registry
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


@pytest.fixture(params=["stand-in", "docker-registry"])
def upstream(request, tmp_path):
    """The port of a registry: our own, and a real one."""
    if request.param == "stand-in":
        with Registry() as registry:
            yield registry.port
    else:
        with docker_registry(tmp_path / "registry") as port:
            yield port


def pulled(registry, blob: Blob, told: Told) -> bytes:
    return b"".join(bytes(view) for view in registry.read_blob(REPOSITORY, blob.sha256, blob.size, told))


@pytest.mark.slow
@pytest.mark.parametrize("case", HEALED)
def test_a_blob_arrives_whole_in_spite_of(upstream, case):
    faults = [Fault(**{**fault.__dict__, "met": 0}) for fault in HEALED[case]]
    told, blob, slept = Told(), blob_of(DATA), []
    with Proxy(upstream, faults) as proxy, client(proxy.host, slept=slept) as registry:
        chunk = 4 << 20 if "small requests" in case else 100_000
        registry._transport.options = type(registry.options)(plain_http=True, chunk_bytes=chunk, moving=QUICK)
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
    faults = [Fault(**{**fault.__dict__, "met": 0}) for fault in faults]
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


# Who one is


def log_in(path, host: str, password: str = PASSWORD) -> None:
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def test_a_token_that_ends_in_the_middle_is_asked_for_again(logins):
    with Registry(uses=3) as upstream:
        log_in(logins, upstream.host)
        with client(upstream.host) as registry:
            assert registry.push_blob(REPOSITORY, blob_of(DATA), Told()) == "sent"
        assert len([path for _, path, _ in upstream.seen if path.startswith("/token")]) > 1


def test_a_token_is_renewed_before_it_ends(logins):
    now = [0.0]
    with Registry(uses=1000) as upstream:
        log_in(logins, upstream.host)
        with client(upstream.host, clock=lambda: now[0]) as registry:
            registry.push_blob(REPOSITORY, blob_of(DATA), Told())
            refused = upstream.count("HEAD") + upstream.count("POST")
            now[0] = 295.0
            registry.push_blob(REPOSITORY, blob_of(bytes_of(10, 2)), Told())
        tokens = [path for _, path, _ in upstream.seen if path.startswith("/token")]
        # Each of the two requests came once more: none was refused for its token.
        assert (len(tokens), upstream.count("HEAD") + upstream.count("POST")) == (2, refused + 2)


def test_a_password_where_the_registry_wants_one(logins):
    with Registry(basic=True) as upstream:
        log_in(logins, upstream.host)
        with client(upstream.host) as registry:
            registry.push_blob(REPOSITORY, blob_of(DATA), Told())
        assert len(upstream.blobs) == 1


@pytest.mark.parametrize("kind", [{"basic": True}, {"uses": 9}])
@pytest.mark.parametrize("password", ["wrong-password", None])
def test_who_may_not_is_told_so_and_nothing_secret_is_shown(logins, kind, password):
    with Registry(**kind) as upstream:
        if password:
            log_in(logins, upstream.host, password)
        with client(upstream.host) as registry, pytest.raises(MissingError) as caught:
            registry.push_blob(REPOSITORY, blob_of(DATA), Told())
    message = caught.value.message
    assert message.id == "registry.denied"
    assert ("nobody" in message.why) == (password is None)
    shown = f"{message.what}{message.why}{message.hint}{caught.value!r}{message!r}"
    assert "wrong-password" not in shown
    assert base64.b64encode(b"pusher:wrong-password").decode() not in shown


@pytest.mark.parametrize("method", ["PATCH", "GET", "HEAD"])
def test_a_redirect_to_another_host_does_not_carry_the_login(logins, method):
    with contextlib.ExitStack() as stack:
        upstream, elsewhere = stack.enter_context(Registry(basic=True)), stack.enter_context(Registry())
        other = stack.enter_context(Proxy(elsewhere.port))
        proxy = stack.enter_context(Proxy(upstream.port, [Fault("redirect", method, times=99, value=other.host)]))
        log_in(logins, proxy.host)
        registry = stack.enter_context(client(proxy.host))
        with contextlib.suppress(IncompleteError, MissingError):  # the other one knows nothing of it
            registry.push_blob(REPOSITORY, blob_of(DATA), Told())
            registry.manifest(REPOSITORY, "x", Told())
        assert other.seen
        assert all("Authorization" not in headers for _, _, headers in other.seen)
        assert any("Authorization" in headers for _, _, headers in proxy.seen)


@pytest.mark.slow
def test_the_real_registry_wants_a_password(logins, tmp_path):
    with docker_registry(tmp_path / "registry", password=True) as port:
        with client(f"127.0.0.1:{port}") as registry, pytest.raises(MissingError):
            registry.push_blob(REPOSITORY, blob_of(DATA), Told())
        log_in(logins, f"127.0.0.1:{port}")
        with client(f"127.0.0.1:{port}") as registry:
            assert registry.push_blob(REPOSITORY, blob_of(DATA), Told()) == "sent"


# Back again


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("cut_answer", "GET", "/blobs/", after_bytes=200_000)],
        [Fault("cut_answer", "GET", "/blobs/", after_bytes=1, times=3)],
        [Fault("status", "GET", "/blobs/", status=503)],
        [Fault("drop", "GET", "/blobs/", times=2)],
    ],
    ids=lambda faults: f"{faults[0].kind} {faults[0].times}",
)
def test_a_blob_comes_back_whole(faults):
    faults = [Fault(**{**fault.__dict__, "met": 0}) for fault in faults]
    blob = blob_of(DATA)
    with Registry() as upstream, Proxy(upstream.port, faults) as proxy, client(proxy.host) as registry:
        registry.push_blob(REPOSITORY, blob, Told())
        assert pulled(registry, blob, Told()) == DATA
        assert len(proxy.happened) == faults[0].times


def test_a_blob_that_is_not_the_one_of_its_digest_is_refused():
    blob = blob_of(DATA)
    fault = Fault("flip_answer", "GET", "/blobs/")
    with Registry() as upstream, Proxy(upstream.port, [fault]) as proxy, client(proxy.host) as registry:
        registry.push_blob(REPOSITORY, blob, Told())
        with pytest.raises(IntegrityError):
            pulled(registry, blob, Told())


INDEX = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("digest", "PUT", "/manifests/"),
        Fault("digest", "GET", "/manifests/"),
        Fault("flip_answer", "GET", "/manifests/"),
    ],
    ids=lambda fault: f"{fault.kind} of {fault.method}",
)
def test_a_registry_that_has_another_manifest_than_it_was_sent_is_found_out(fault):
    fault = Fault(**{**fault.__dict__, "met": 0})
    with Registry() as upstream, Proxy(upstream.port, [fault]) as proxy, client(proxy.host) as registry:
        with pytest.raises(IntegrityError):
            registry.push_manifest(REPOSITORY, "v1", INDEX, INDEX_TYPE, Told())
        assert proxy.happened


def test_a_manifest_keeps_its_bytes(upstream):
    with client(f"127.0.0.1:{upstream}") as registry:
        registry.push_manifest(REPOSITORY, "v1", INDEX, INDEX_TYPE, Told())
        found = registry.manifest(REPOSITORY, "v1", Told())
        assert (found.data, found.media_type) == (INDEX, INDEX_TYPE)
        assert registry.manifest(REPOSITORY, f"sha256:{found.sha256}", Told()) == found
        assert registry.manifest(REPOSITORY, "v2", Told()) is None
