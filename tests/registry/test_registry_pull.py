"""What comes from a registry is what was asked for, whatever the line does."""

from __future__ import annotations

import json

import pytest

from selfhost.errors import IntegrityError
from tests.registry.registry_support import REPOSITORY, Told, blob_of, bytes_of, client, pulled
from tests.standins.registry import Registry
from tests.standins.registry_proxy import Fault, Proxy

DATA = bytes_of(450_000)


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
    with Registry() as upstream, Proxy(upstream.port, [fault]) as proxy, client(proxy.host) as registry:
        with pytest.raises(IntegrityError):
            registry.push_manifest(REPOSITORY, "v1", INDEX, INDEX_TYPE, Told())
        assert proxy.happened


@pytest.mark.parametrize("there", [b"[" * 100_000, b"{", b'{"manifests":5}', b'{"manifests":[5]}'], ids=len)
def test_a_list_of_referrers_that_is_none_is_made_anew(there):
    entry = {"mediaType": "x", "digest": "sha256:" + "1" * 64, "size": 1}
    with Registry() as upstream, client(upstream.host) as registry:
        upstream.manifests[REPOSITORY, f"sha256-{'a' * 64}"] = (INDEX_TYPE, there)
        upstream.manifests[REPOSITORY, entry["digest"]] = ("x", b"x")
        registry.add_referrers(REPOSITORY, "a" * 64, [entry], Told())
        found = registry.manifest(REPOSITORY, f"sha256-{'a' * 64}", Told())
    assert json.loads(found.data)["manifests"] == [entry]


def test_a_manifest_keeps_its_bytes(upstream):
    with client(f"127.0.0.1:{upstream}") as registry:
        registry.push_manifest(REPOSITORY, "v1", INDEX, INDEX_TYPE, Told())
        found = registry.manifest(REPOSITORY, "v1", Told())
        assert (found.data, found.media_type) == (INDEX, INDEX_TYPE)
        assert registry.manifest(REPOSITORY, f"sha256:{found.sha256}", Told()) == found
        assert registry.manifest(REPOSITORY, "v2", Told()) is None
