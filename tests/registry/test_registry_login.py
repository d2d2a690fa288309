"""Who one is to a registry: told to it and to nobody else, and again before it is forgotten."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess

import pytest

from selfhost.errors import IncompleteError, MissingError
from selfhost.registry.client import Registry as RegistryClient
from selfhost.registry.reference import parse_reference
from selfhost.registry.types import Options
from tests.registry.registry_support import QUICK, REPOSITORY, Told, blob_of, bytes_of, client
from tests.standins.registry import PASSWORD, USER, Registry
from tests.standins.registry_proxy import Fault, Proxy

DATA = bytes_of(450_000)


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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory, debian_tool):
    """Of 127.0.0.1, vouched for by nobody."""
    folder = tmp_path_factory.mktemp("tls")
    argv = [
        debian_tool("openssl", "openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]
    argv += ["-nodes", "-days", "2", "-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1"]
    argv += ["-keyout", "key", "-out", "cert"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    (folder / "both").write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return folder


def secure(host: str):
    return RegistryClient(parse_reference(f"{host}/{REPOSITORY}"), Options(moving=QUICK), sleep=lambda _s: None)


def test_tls_with_a_certificate_that_is_known(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    with Registry(certificate=certificate / "both") as upstream, secure(upstream.host) as registry:
        assert registry.push_blob(REPOSITORY, blob_of(DATA), Told()) == "sent"


def test_a_certificate_that_nobody_vouches_for(certificate):
    with Registry(certificate=certificate / "both") as upstream, secure(upstream.host) as registry:
        with pytest.raises(MissingError) as caught:
            registry.push_blob(REPOSITORY, blob_of(DATA), Told())
        assert caught.value.message.id == "move.certificate"
        assert not upstream.seen


@pytest.mark.parametrize("what", ["realm", "leads_to"])
def test_from_tls_nothing_goes_on_without(certificate, monkeypatch, logins, what):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    uses = 9 if what == "realm" else None
    with Registry() as plain, Registry(certificate=certificate / "both", uses=uses) as upstream:
        setattr(upstream, what, f"http://{plain.host}{'/token' if what == 'realm' else ''}")
        log_in(logins, upstream.host)
        with secure(upstream.host) as registry, pytest.raises(IncompleteError) as caught:
            registry.push_blob(REPOSITORY, blob_of(DATA), Told())
        assert caught.value.message.id in ("registry.bad_realm", "registry.bad_location")
        assert not plain.seen


@pytest.mark.slow
def test_the_real_registry_wants_a_password(logins, docker_registry, tmp_path):
    with docker_registry(tmp_path / "registry", password=True) as port:
        with client(f"127.0.0.1:{port}") as registry, pytest.raises(MissingError):
            registry.push_blob(REPOSITORY, blob_of(DATA), Told())
        log_in(logins, f"127.0.0.1:{port}")
        with client(f"127.0.0.1:{port}") as registry:
            assert registry.push_blob(REPOSITORY, blob_of(DATA), Told()) == "sent"
