"""`move_all` and servers: no ranges, other contents, redirects, tokens, expired addresses, proxies, certificates."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import time

import pytest

from selfhost.errors import IncompleteError, IntegrityError, MissingError
from selfhost.weights.move.pool import fetch_range
from selfhost.weights.move.types import MoveOptions
from selfhost.weights.remote import Address
from tests.weights.move_bench import CONTENT, MIB, OPTIONS, PATH, Bench, headers, once, set_
from tests.weights.move_server import Server


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_a_server_without_ranges_sends_one_stream(bench, chunked, known):
    def rule(_request, answer):
        answer.chunked = chunked

    with Server({PATH: CONTENT}, ranges=False, rule=rule) as server:
        bench.run(server, size=len(CONTENT) if known else None)
        assert len(server.requests) == 1
    assert any("whole files only" in note for note in bench.told.notes)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
def test_a_stream_that_is_cut_starts_over(bench, chunked):
    def rule(_request, answer):
        answer.chunked = chunked
        if len(server.requests) == 1:
            answer.cut_after = 2 * MIB

    with Server({PATH: CONTENT}, ranges=False, rule=rule) as server:
        bench.run(server)
        assert len(server.requests) == 2
    assert bench.told.n_moved - bench.told.n_lost == len(CONTENT)


def test_a_stream_that_is_always_cut_is_given_up(bench):
    with (
        Server({PATH: CONTENT}, ranges=False, rule=set_(cut_after=2 * MIB)) as server,
        pytest.raises(IncompleteError) as raised,
    ):
        bench.run(server)
    assert raised.value.message.id == "move.gave_up"
    # What cannot be gone on with does not take up the disk.
    assert [path.name for path in bench.folder.iterdir() if path.name != "selfhost-home"] == []


def test_a_server_that_takes_ranges_after_all(bench):
    def rule(request, answer):
        if len(server.requests) == 1:
            answer.status, answer.body, answer.cut_after = 200, CONTENT, 2 * MIB
            answer.headers.pop("Content-Range")

    with Server({PATH: CONTENT}, rule=rule) as server:
        bench.run(server)
    assert bench.told.n_moved - bench.told.n_lost == len(CONTENT)


def test_a_whole_file_for_a_later_range_is_asked_again(bench):
    def whole(_request, answer):
        answer.status, answer.body = 200, CONTENT
        answer.headers.pop("Content-Range")

    with Server({PATH: CONTENT}, rule=once(whole, lambda r: r.range[0] == 2 * MIB)) as server:
        bench.run(server)
    assert bench.told.n_lost == 0


def test_a_stream_longer_than_the_file_ends(bench):
    def rule(_request, answer):
        answer.chunked, answer.body = True, CONTENT * 2

    with Server({PATH: CONTENT}, ranges=False, rule=rule) as server, pytest.raises(IntegrityError) as raised:
        bench.run(server)
    assert raised.value.message.id == "move.too_long"


def test_another_etag_starts_over_once_when_a_digest_is_promised(bench):
    def rule(request, answer):
        if request.range[0] >= 2 * MIB:
            answer.headers["ETag"] = '"other"'

    with Server({PATH: CONTENT}, rule=rule) as server:
        bench.run(server, MoveOptions(connections=1, range_bytes=MIB))
    assert bench.told.n_lost == 2 * MIB
    assert sum("changed at the source" in note for note in bench.told.notes) == 1


def test_another_etag_is_final_when_nothing_is_promised(bench):
    with (
        Server({PATH: CONTENT}, rule=once(headers(ETag='"other"'), lambda r: r.range[0] == 2 * MIB)) as server,
        pytest.raises(IncompleteError) as raised,
    ):
        bench.run(server, sha256=None)
    assert raised.value.message.id == "move.changed"
    assert not bench.part.exists()


def test_a_file_that_is_replaced_while_it_comes(bench):
    def rule(request, answer):
        if request.range[0] == MIB and server.files[PATH] != CONTENT:
            server.files[PATH] = CONTENT
            answer.__dict__.update(server._usual(request).__dict__)

    old = bytes(len(CONTENT))
    with Server({PATH: old}, rule=rule) as server:
        bench.run(server)
    assert any("changed" in note for note in bench.told.notes)


def test_a_weak_etag_promises_nothing(bench):
    counter = iter(range(1000))
    with Server({PATH: CONTENT}, rule=lambda _r, a: a.headers.update(ETag=f'W/"{next(counter)}"')) as server:
        bench.run(server, sha256=None)
        assert not any("if-range" in request.headers for request in server.requests)


@pytest.mark.parametrize("right", [True, False])
def test_a_git_digest_decides_where_nothing_else_is_known(bench, right):
    wanted = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest() if right else "0" * 40
    with Server({PATH: CONTENT}) as server:
        if right:
            bench.run(server, sha256=None, git_sha1=wanted)
        else:
            with pytest.raises(IntegrityError):
                bench.run(server, sha256=None, git_sha1=wanted)


def test_a_token_stays_with_its_host(bench):
    with Server({"/cdn": CONTENT}) as cdn:

        def rule(_request, answer):
            answer.status, answer.body = 302, b""
            answer.headers["Location"] = cdn.url + "/cdn?signature=secret"

        with Server({PATH: CONTENT}, rule=rule) as server:
            bench.run(server)
            assert server.requests[0].headers["authorization"] == "Bearer hf_secret"
            # The next ranges know the way.
            assert len(server.requests) == 1
            assert len(cdn.requests) == 4
            assert not any("authorization" in request.headers for request in cdn.requests)


def test_a_token_goes_along_on_the_same_host(bench):
    def rule(request, answer):
        if request.path == PATH:
            answer.status, answer.body = 307, b""
            answer.headers["Location"] = "/moved"

    with Server({PATH: CONTENT, "/moved": CONTENT}, rule=rule) as server:
        bench.run(server)
        assert all(request.headers["authorization"] == "Bearer hf_secret" for request in server.requests)


@pytest.mark.parametrize("status", [401, 403, 410])
def test_a_signed_address_that_expires_is_asked_for_again(bench, status):
    uses = {}

    def rule(request, answer):
        if request.path == PATH:
            answer.status, answer.body = 302, b""
            answer.headers["Location"] = f"/cdn?signature={len(server.requests)}"
        else:
            uses[request.path] = uses.get(request.path, 0) + 1
            if uses[request.path] > 1:
                answer.status, answer.body = status, b""

    with Server({PATH: CONTENT, "/cdn": CONTENT}, rule=rule) as server:
        bench.run(server)
    assert len(bench.addresses) >= 2


def test_an_address_of_an_api_that_expires_is_asked_for_again(bench):
    count = iter(range(100))
    with Server({PATH: CONTENT}) as server:

        def rule(request, answer):
            if request.range[0] >= MIB and request.path.endswith("?0"):
                answer.status, answer.body = 403, b""

        server.rule = rule
        bench.run(server, address=lambda: Address(url=f"{server.url}{PATH}?{next(count)}", headers={}))


def test_the_bandwidth_is_kept_by_all_threads_together(bench):
    began = time.monotonic()
    with Server({PATH: CONTENT}) as server:
        bench.run(server, MoveOptions(connections=4, range_bytes=MIB, limit_bytes_per_s=6 * MIB))
    # 3 MiB at 6 MiB/s, less the burst of a quarter of a second.
    assert time.monotonic() - began >= 0.25


def test_one_range_is_fetched_for_repair():
    with Server({PATH: CONTENT}, rule=once(set_(cut_after=100_000))) as server:
        address = Address(url=server.url + PATH, headers={})
        got = b"".join(fetch_range(lambda: address, 12345, 2 * MIB, OPTIONS))
        assert got == CONTENT[12345 : 2 * MIB]
        assert list(fetch_range(lambda: address, 5, 5, OPTIONS)) == []


def test_one_range_of_a_server_without_ranges():
    with Server({PATH: CONTENT}, ranges=False) as server, pytest.raises(IncompleteError) as raised:
        list(fetch_range(lambda: Address(url=server.url + PATH, headers={}), 5, 10, OPTIONS))
    assert raised.value.message.id == "move.no_ranges"


def test_a_proxy_of_the_environment_is_used(bench, monkeypatch):
    with Server({PATH: CONTENT}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("http://", "http://user:pass@"))
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://user:pass@"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        bench.run(proxy, address=lambda: Address(url="http://models.invalid" + PATH, headers={}))
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"


@pytest.fixture
def tls(tmp_path_factory, debian_tool):
    """(context of a server, its certificate)."""
    folder = tmp_path_factory.mktemp("tls")
    command = [debian_tool("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, folder / "cert.pem"


def test_a_certificate_nobody_vouches_for(bench, tls, monkeypatch):
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    context, certificate = tls
    with Server({PATH: CONTENT}, tls=context) as server:
        with pytest.raises(MissingError) as raised:
            bench.run(server)
        assert raised.value.message.id == "move.certificate"
        assert "self-signed" in raised.value.message.why
        monkeypatch.setenv("CURL_CA_BUNDLE", str(certificate))
        bench.run(server)


def test_a_place_that_cannot_be_asked_for_a_while(bench):
    left = [1]
    with Server({PATH: CONTENT}) as server:

        def address():
            if left[0]:
                left[0] -= 1
                raise IncompleteError("move.absent", path="x", url="http://api", status=404)
            return Address(url=server.url + PATH, headers={})

        bench.run(server, address=address)
        left[0] = 1000
        with pytest.raises(IncompleteError) as raised:
            bench.run(server, present=lambda: False, address=address)
        assert raised.value.message.id == "move.absent"


def test_a_limit_waits_no_longer_than_needed_to_stop(bench):
    began = []

    def interrupt(n_moved):
        if n_moved > 50_000:
            began.append(time.monotonic())
            raise KeyboardInterrupt

    bench.told.on_moved = interrupt
    with Server({PATH: CONTENT}) as server, pytest.raises(KeyboardInterrupt):
        bench.run(server, MoveOptions(connections=4, limit_bytes_per_s=100_000))
    assert time.monotonic() - began[0] < 1.0
