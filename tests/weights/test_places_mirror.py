"""Mirrors, and the questions that all places ask: redirects, credentials, certificates, reasons."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from selfhost.errors import IncompleteError, IntegrityError, MissingError, UsageError
from selfhost.weights import certificates
from selfhost.weights.lock import LockedFile, ModelLock, Origin
from selfhost.weights.move.client import Client
from selfhost.weights.move.types import MoveOptions
from selfhost.weights.places import ask
from selfhost.weights.places.mirror import Mirror
from selfhost.weights.remote import RemoteFile
from tests.weights.places_server import Reply, closed_port, serving

A, B = "ab" * 32, "cd" * 32
SUMS = f"{A}  config.json\n{B}  sub/a b.safetensors\n".encode()
LOCK = ModelLock(
    recipe="r",
    variant="v",
    source=Origin(kind="huggingface", id="org/m", revision="c" * 40),
    files=(LockedFile(path="config.json", size=2, sha256=A),),
)


@pytest.fixture
def server():
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("folder", ["/models/org/m", "/models"], ids=["by its hub id", "the address itself"])
def test_sums_list_the_files_and_the_server_tells_their_sizes(server, folder):
    server.replies[f"{folder}/SHA256SUMS"] = Reply(200, SUMS)
    server.replies[f"{folder}/config.json"] = Reply(200, b"{}")
    place = Mirror(f"{server.url}/models/", "org/m")
    listing = place.listing()
    assert listing.files == (
        RemoteFile(path="config.json", size=2, sha256=A),
        RemoteFile(path="sub/a b.safetensors", size=None, sha256=B),
    )
    assert listing.origin == Origin(kind="mirror", id=f"{server.url}{folder}", revision=None)
    assert place.address("sub/a b.safetensors").url == f"{server.url}{folder}/sub/a%20b.safetensors"


def test_a_lock_tells_all_and_no_file_is_asked_for(server):
    server.replies["/org/m/selfhost-model.json"] = Reply(200, json.dumps(LOCK.as_dict()).encode())
    listing = Mirror(server.url, "org/m").listing()
    assert listing.files == (RemoteFile(path="config.json", size=2, sha256=A),)
    assert listing.origin.revision == "c" * 40
    assert [one.method for one in server.asked] == ["GET"]


def test_without_a_list_it_is_told_how_to_make_one(server):
    with pytest.raises(MissingError) as caught:
        Mirror(server.url, "org/m").listing()
    message = caught.value.message
    assert message.id == "places.no_list"
    assert f"{server.url}/org/m/SHA256SUMS\n{server.url}/SHA256SUMS" in message.why
    assert "> SHA256SUMS`" in message.hint


@pytest.mark.parametrize(
    ("name", "body"),
    [("SHA256SUMS", b"<html>"), ("SHA256SUMS", b"\xff"), ("SHA256SUMS", b"\n"), ("selfhost-model.json", b"{}")],
)
def test_a_list_that_is_none_is_an_error(server, name, body):
    server.replies[f"/{name}"] = Reply(200, body)
    with pytest.raises(IntegrityError) as caught:
        Mirror(server.url).listing()
    assert caught.value.message.id == "places.bad_list"


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [(401, MissingError, "places.mirror_refuses"), (418, IncompleteError, "places.bad_answer")],
)
def test_a_mirror_that_refuses_is_told_without_its_password(server, status, kind, message):
    server.replies["/org/m/selfhost-model.json"] = Reply(status)
    with pytest.raises(kind) as caught:
        Mirror(server.url.replace("http://", "http://user:geheim@"), "org/m").listing()
    found = caught.value.message
    assert found.id == message
    assert "geheim" not in found.what + found.why + repr(found.params)
    assert server.asked[0].headers["authorization"] == "Basic dXNlcjpnZWhlaW0="


def test_nobody_there_is_told():
    url = closed_port()
    with pytest.raises(IncompleteError) as caught:
        Mirror(url).listing()
    assert caught.value.message.why == f"{url}: connection refused"
    assert caught.value.message.what == f"mirror {url} cannot be reached"


def test_a_size_of_what_is_sent_packed_is_none(server):
    server.replies["/SHA256SUMS"] = Reply(200, SUMS)
    server.replies["/config.json"] = Reply(200, b"xx", {"Content-Encoding": "gzip"})
    assert Mirror(server.url).listing().files[0].size is None


# Asking


def test_credentials_follow_a_redirect_on_the_same_server_only(server):
    with serving() as other:
        other.replies["/b"] = Reply(200, b"there")
        server.replies["/b"] = Reply(200, b"here")
        secrets = {"Authorization": "Bearer x", "Cookie": "y", "X-Other": "z"}
        for target, where in ((server, "/b"), (other, f"{other.url}/b")):
            server.replies["/a"] = Reply(307, b"", {"Location": where})
            assert ask.ask(f"{server.url}/a", headers=secrets).status == 200
            sent = target.asked[-1].headers
            assert sent["x-other"] == "z"
            assert ("authorization" in sent, "cookie" in sent) == (target is server, target is server)


def test_a_redirect_keeps_head_and_leads_to_http_only(server):
    server.replies["/a"] = Reply(302, b"", {"Location": "/b"})
    server.replies["/b"] = Reply(200, b"x")
    ask.ask(f"{server.url}/a", method="HEAD")
    assert [one.method for one in server.asked] == ["HEAD", "HEAD"]
    server.replies["/a"] = Reply(302, b"", {"Location": "file:///etc/passwd"})
    assert ask.ask(f"{server.url}/a").status == 302
    server.replies["/a"] = Reply(302, b"", {"Location": "ftp://127.0.0.1/x"})
    with pytest.raises(ask.UnreachableError, match="redirected to ftp:"):
        ask.ask(f"{server.url}/a")


def test_offline_a_redirect_to_another_machine_is_refused(server, monkeypatch):
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    server.replies["/a"] = Reply(302, b"", {"Location": "http://10.0.0.1/"})
    with pytest.raises(IncompleteError) as caught:
        ask.ask(f"{server.url}/a")
    assert caught.value.message.id == "places.offline"


def test_a_proxy_is_never_asked_for_this_machine(server, monkeypatch):
    monkeypatch.setenv("http_proxy", closed_port())
    assert ask.ask(f"{server.url}/a").status == 404


def test_a_proxy_is_asked_for_other_machines(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    server.replies["http://mirror.invalid/a"] = server.replies["/a"] = Reply(200, b"by proxy")
    assert ask.ask("http://mirror.invalid/a").body == b"by proxy"


def test_a_list_that_was_cut_off_is_no_list(server):
    """Its last line may be whole: only the length tells."""
    server.replies["/SHA256SUMS"] = Reply(200, SUMS, {"Content-Length": str(len(SUMS) + 80), "Connection": "close"})
    with pytest.raises(IncompleteError) as caught:
        Mirror(server.url).listing(lambda _: None)
    assert caught.value.message.why == f"{server.url}: the connection was cut"


def test_an_answer_without_end_is_not_read(server, monkeypatch):
    monkeypatch.setattr(ask, "MAX_BODY_BYTES", 10)
    server.replies["/a"] = Reply(200, b"x" * 11)
    with pytest.raises(ask.UnreachableError, match="more than"):
        ask.ask(f"{server.url}/a")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (ConnectionResetError(104, "reset"), "the connection was cut"),
        (TimeoutError("timed out"), "no answer in time"),
        (ask.socket.gaierror(-2, "Name or service not known"), "its name is not known here (DNS)"),
        (ask.http.client.RemoteDisconnected("closed"), "the connection was cut"),
        (ask.urllib.error.URLError(ConnectionRefusedError()), "connection refused"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)
def test_reasons_are_a_few_words(error, reason):
    assert str(ask.unreachable(error)) == reason


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@host:1/a/b?token=x#y", "https://host:1/a/b"),
        ("http://u:p@w@host/", "http://host/"),
        ("no address", "no address"),
    ],
)
def test_addresses_are_shown_without_secrets(url, shown):
    assert ask.shown_url(url) == shown


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_that_cannot_be_read_are_told(variable, monkeypatch):
    monkeypatch.setenv(variable, "/nowhere/ca.pem")
    with pytest.raises(MissingError) as caught:
        certificates.context()
    assert variable in caught.value.message.why


def test_where_this_python_looks_for_none_those_of_the_system_are_taken(tmp_path, monkeypatch):
    """As pythons do that were compiled elsewhere; listings and bytes trust the same."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_args, **_more: None)
    bundle = next(path for path in certificates._SYSTEM_CERTIFICATES if Path(path).is_file())
    monkeypatch.setattr(certificates, "_SYSTEM_CERTIFICATES", (str(tmp_path / "absent"), bundle))
    assert certificates.context().cert_store_stats()["x509_ca"] > 0
    manager = Client(MoveOptions())._manager("https://hub.example/f")
    assert manager.connection_pool_kw["ssl_context"].cert_store_stats()["x509_ca"] > 0


@pytest.mark.parametrize("value", ["", "host", "http://", "file:///a", "http://[::1", "http://a:b"])
def test_an_address_that_is_none_is_told(value):
    with pytest.raises(UsageError) as caught:
        Mirror(value)
    assert caught.value.message.id == "places.bad_endpoint"


@pytest.fixture
def https(tmp_path, debian_tool):
    """A server with a certificate that nobody knows; yields its address and the certificate."""
    pem, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [
            *(debian_tool("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *(*subject, "-keyout", key, "-out", pem),
        ],
        check=True,
        capture_output=True,
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            info = {"id": "org/m", "sha": "c" * 40, "siblings": [{"rfilename": "a", "size": 1, "blobId": "d" * 40}]}
            body = json.dumps(info).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Quiet(HTTPServer):
        def handle_error(self, *_):
            pass  # handshakes that the client breaks off

    server = Quiet(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://localhost:{server.server_port}", pem
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_server_is_trusted_by_the_certificates_that_the_environment_names(https, variable, monkeypatch):
    from selfhost.weights.places.hub import Hub

    url, pem = https
    with pytest.raises(ask.UnreachableError, match="certificate not trusted"):
        ask.ask(url)
    with pytest.raises(IncompleteError) as caught:
        Hub("org/m", None, endpoint=url).listing(lambda _: pytest.fail("waited"))
    assert caught.value.message.id == "places.untrusted"
    assert "SSL_CERT_FILE=" in caught.value.message.hint
    monkeypatch.setenv(variable, str(pem))
    assert ask.ask(url).status == 200
    assert Hub("org/m", None, endpoint=url).listing().origin.revision == "c" * 40
