"""Servers that speak TLS: what is refused before the start, and how selfhost knows its own server."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from selfhost.app.engine_env import tls_options
from selfhost.errors import MissingError, UsageError
from selfhost.serve import certificate, health
from selfhost.serve.certificate import Pair
from selfhost.serve.health import Certificate, Endpoint, Health
from tests.serve.tls_support import make_pair


def test_a_good_pair_is_known_by_its_digest(tmp_path):
    pair = make_pair(tmp_path)
    assert certificate.check(pair) == certificate.leaf_sha256(pair.certfile)
    assert len(certificate.check(pair)) == 64


def test_of_several_certificates_the_first_is_the_servers(tmp_path):
    pair, root = make_pair(tmp_path), make_pair(tmp_path, "root")
    digest = certificate.check(pair)
    pair.certfile.write_bytes(pair.certfile.read_bytes() + root.certfile.read_bytes())
    assert certificate.check(pair) == digest
    pair.certfile.write_bytes(root.certfile.read_bytes() + pair.certfile.read_bytes())
    with pytest.raises(UsageError) as caught:
        certificate.check(pair)
    assert caught.value.message.id == "tls.mismatch"


def swapped(folder):
    return Pair(certfile=make_pair(folder).certfile, keyfile=make_pair(folder, "other").keyfile)


def damaged(folder):
    pair = make_pair(folder)
    pair.keyfile.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    return pair


def without_pem(folder):
    pair = make_pair(folder)
    pair.certfile.write_bytes(b"\x30\x82")
    return pair


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (swapped, "tls.mismatch"),
        (damaged, "tls.bad_pair"),
        (without_pem, "tls.no_certificate"),
        (lambda folder: make_pair(folder, password=b"secret"), "tls.encrypted"),
        (lambda folder: make_pair(folder, days=(-3, -1)), "tls.not_now"),
        (lambda folder: make_pair(folder, days=(1, 3)), "tls.not_now"),
    ],
)
def test_a_bad_pair_is_refused_with_the_reason(tmp_path, make, message):
    with pytest.raises(UsageError) as caught:
        certificate.check(make(tmp_path))
    assert caught.value.message.id == message


@pytest.mark.parametrize("name", ["certfile", "keyfile"])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    pair = make_pair(tmp_path)
    getattr(pair, name).unlink()
    with pytest.raises(MissingError, match=str(getattr(pair, name))):
        certificate.check(pair)


def test_the_engine_is_told_of_the_files_by_their_whole_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_pair(tmp_path)
    argv = tls_options(Pair(certfile=Path("server.crt"), keyfile=Path("server.key")))
    files = ("--ssl-certfile", f"{tmp_path}/server.crt", "--ssl-keyfile", f"{tmp_path}/server.key")
    assert argv == (*files, "--enable-ssl-refresh")
    assert tls_options(None) == ()


@pytest.fixture
def serving():
    """`serving(pair)`: a server that shows that certificate; returns its endpoint and the paths it was asked for."""
    servers = []

    def serve(pair, expected=None):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certfile, pair.keyfile)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        expected = expected or pair
        shown = Certificate(expected.certfile, certificate.leaf_sha256(expected.certfile))
        return Endpoint(host="127.0.0.1", port=server.server_port, model="m", key="secret", certificate=shown), asked

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_server_is_known_by_its_certificate_whatever_names_are_in_it(serving, tmp_path):
    endpoint, asked = serving(make_pair(tmp_path))
    assert (health.ask_health(endpoint, 5), asked) == (Health.OK, ["/health"])


def test_somebody_else_on_the_port_gets_no_key(serving, tmp_path):
    endpoint, asked = serving(make_pair(tmp_path, "thief"), expected=make_pair(tmp_path))
    assert (health.ask_health(endpoint, 5), asked) == (Health.SILENT, [])
    with pytest.raises(health.RefusedError, match="somebody else answers there"):
        next(health.stream(endpoint, [{"role": "user", "content": "hi"}], {}, 5))
    assert asked == []


@pytest.mark.parametrize("reloaded", [False, True])
def test_a_renewed_certificate_is_taken_whether_the_engine_shows_it_already_or_not(serving, tmp_path, reloaded):
    (tmp_path / "new").mkdir()
    old, new = make_pair(tmp_path), make_pair(tmp_path / "new")
    at_start = certificate.leaf_sha256(old.certfile)
    endpoint, _ = serving(new if reloaded else old)
    old.certfile.write_bytes(new.certfile.read_bytes())
    renewed = health.replace(endpoint, certificate=Certificate(old.certfile, at_start))
    assert health.ask_health(renewed, 5) is Health.OK


def test_the_address_says_https():
    assert health.base_url("0.0.0.0", 8443, tls=True) == "https://127.0.0.1:8443"
