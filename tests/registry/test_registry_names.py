"""Names, challenges and logins: taken apart as others do, and nothing secret in sight."""

from __future__ import annotations

import base64
import json
import stat

import pytest

from selfhost.errors import MissingError, UsageError
from selfhost.registry.challenge import Challenge, parse_challenges
from selfhost.registry.credentials import Credential, find
from selfhost.registry.reference import as_tag, is_tag, parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [
        ("localhost/a", "localhost", "a", "", ""),
        ("r.example/a/b-c/d__e.f:v1", "r.example", "a/b-c/d__e.f", "v1", ""),
        ("r.example:5000/a:1.0_x", "r.example:5000", "a", "1.0_x", ""),
        ("[::1]:5000/a", "[::1]:5000", "a", "", ""),
        ("10.0.0.5/a@" + DIGEST, "10.0.0.5", "a", "", DIGEST),
        ("r.example/a:v1@" + DIGEST, "r.example", "a", "v1", DIGEST),
    ],
)
def test_a_name_is_taken_apart(text, host, repository, tag, digest):
    found = parse_reference(text)
    assert (found.host, found.repository, found.tag, found.digest) == (host, repository, tag, digest)
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "a",
            "qwen/x",
            "r.example",
            "r.example/",
            "r.example/A",
            "r.example/a//b",
            "r.example/a:",
            "r.example/a:b:c",
        ),
        *("r.example/-a", "r.example/a..b", "r.example/a___b", "r.example/a/", "r.example:0/a", "r.example:99999/a"),
        *("http://r.example/a", "user@r.example/a", "r.example/a@sha256:1", "r.example/a@" + DIGEST.upper(), "r..e/a"),
        *("r.example/a:.x", "r.example/a:" + "x" * 129, "r.example/" + "a" * 250, "r.example/../a", "r.example/a b"),
        *("r.example/a\n", "r.example\\x/a", "-r.example/a", "r.example/a%2fb", "r.example/a:v\u0661"),
    ],
)
def test_what_is_no_name_is_refused(text):
    with pytest.raises(UsageError):
        parse_reference(text)


@pytest.mark.parametrize("name", ["qwen2.5-7b/bf16", "模型/x", "..", "a" * 300, "A B"])
def test_every_name_makes_a_tag(name):
    assert is_tag(as_tag(name))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Basic realm="x"', [Challenge(scheme="basic", realm="x")]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
            [Challenge(scheme="bearer", realm="https://a/t", service="s", scope="repository:a/b:pull,push")],
        ),
        ('Negotiate, bearer REALM=x , Basic realm="y"', [
            Challenge(scheme="bearer", realm="x"), Challenge(scheme="basic", realm="y")
        ]),
        (r'Bearer realm="a\"b"', [Challenge(scheme="bearer", realm='a"b')]),
        ('Bearer realm="unended', [Challenge(scheme="bearer")]),
        ("", []),
        ("=,=,", []),
    ],
)  # fmt: skip
def test_challenges(header, found):
    assert list(parse_challenges(header)) == found


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(path, **body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body))
    return path


def helper(folder, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\nread host\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_narrowest_entry_wins(tmp_path):
    entries = {
        "r.example": auth("wide", "1"),
        "r.example/team/a": auth("narrow", "2:3"),
        "r.example/te": auth("no", ""),
    }
    environ = {"REGISTRY_AUTH_FILE": str(write(tmp_path / "a", auths=entries)), "HOME": str(tmp_path)}
    assert find("r.example", "team/a/b", environ).user == "narrow"
    assert find("r.example", "team/a/b", environ).password == "2:3"
    assert find("r.example", "team/ab", environ).user == "wide"
    assert find("other.example", "team/a", environ) is None


def test_files_in_their_order(tmp_path):
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    places = {
        "docker": tmp_path / ".docker/config.json",
        "user": tmp_path / ".config/containers/auth.json",
        "runtime": tmp_path / "run/containers/auth.json",
    }
    for name, path in places.items():
        write(path, auths={"r.example": auth(name, "x")})
        assert find("r.example", "a", environ).user == name


def test_helpers(tmp_path):
    tools = tmp_path / "bin"
    helper(tools, "good", """[ "$host" = r.example ] && echo '{"Username":"u","Secret":"s"}'""")
    helper(tools, "token", """echo '{"Username":"<token>","Secret":"t"}'""")
    helper(tools, "none", "echo credentials not found in native keychain; exit 1")
    helper(tools, "bad", "echo top-secret; exit 3")
    environ = {"HOME": str(tmp_path), "PATH": f"{tools}:/usr/bin:/bin"}
    path = tmp_path / ".docker/config.json"
    write(path, credHelpers={"r.example": "good", "t.example": "token"}, credsStore="none")
    assert find("r.example", "a", environ) == Credential(user="u", password="s")
    assert find("t.example", "a", environ) == Credential(identity_token="t")
    assert find("other.example", "a", environ) is None
    for name in ("bad", "absent", "../../evil"):
        write(path, credsStore=name)
        with pytest.raises(MissingError) as caught:
            find("r.example", "a", environ)
        assert "top-secret" not in caught.value.message.why


@pytest.mark.parametrize("body", ["{", "[]", '{"auths":{"r.example":{"auth":"%%%secret"}}}'])
def test_a_file_that_cannot_be_understood_is_told_without_what_is_in_it(tmp_path, body):
    path = tmp_path / "auth.json"
    path.write_text(body)
    with pytest.raises(UsageError) as caught:
        find("r.example", "a", {"REGISTRY_AUTH_FILE": str(path), "HOME": str(tmp_path)})
    assert "secret" not in caught.value.message.what + caught.value.message.why


def test_a_credential_shows_nothing():
    credential = Credential(user="u", password="p4ss", identity_token="t0k")
    assert "p4ss" not in repr(credential)
    assert "t0k" not in repr(credential)
