"""`selfhost key --gateway`: the file of a gateway's keys, made, listed, ended; and a real nginx that reads it."""

from __future__ import annotations

import hashlib
import json
import os
import stat

import pytest

from selfhost.errors import ExitCode
from selfhost.render.gateway import GatewayOptions, gateway_files
from selfhost.serve.ports import free_port
from tests.render.gateway.gateway_support import StandInEngine, bearer, running, until
from tests.render.kubernetes import plans

OURS = '# ours\n"~^sk-hand$" "by-hand"; # of last year\n\t"~*^sk-any"  odd;\n'


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "gateway").mkdir()
    return tmp_path / "gateway" / "keys" / "keys.conf"


def made(selfhost, keys, name):
    code, out, _ = selfhost("key", "new", name, "--gateway", keys)
    assert code == 0
    return out.strip()


def named(selfhost, keys):
    return [row["name"] for row in json.loads(selfhost("key", "ls", "--gateway", keys, "--json")[1])["keys"]]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_printed_once_and_is_a_line_of_a_file_that_is_its_owners_alone(selfhost, keys, home):
    code, out, err = selfhost("key", "new", "alice", "--gateway", keys)
    key = out.strip()
    assert (code, mode(keys)) == (0, 0o600)
    assert key not in err
    assert "SIGHUP" in err
    assert keys.read_text() == f'"~^{key.replace("-", chr(92) + "-")}$" "alice";\n'
    assert not (home / "keys").exists()
    code, out, _ = selfhost("key", "ls", "--gateway", keys)
    assert (code, out) == (0, f"alice  {hashlib.sha256(key.encode()).hexdigest()[:8]}\n")


def test_what_people_wrote_stays_and_their_keys_are_listed_and_ended(selfhost, keys):
    keys.parent.mkdir()
    keys.write_bytes(OURS.encode() + b"# \xff, and no end of line")
    made(selfhost, keys, "bob")
    assert keys.read_bytes().startswith(OURS.encode() + b"# \xff, and no end of line\n")
    assert named(selfhost, keys) == ["by-hand", "odd", "bob"]
    assert selfhost("key", "revoke", "by-hand", "--gateway", keys)[0] == 0
    assert named(selfhost, keys) == ["odd", "bob"]
    assert keys.read_bytes().startswith(b'# ours\n\t"~*^sk-any"  odd;\n# \xff')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"~^a$" "x"; "~^b$" "ended"; "~^c$" "y";\n', '"~^a$" "x"; "~^c$" "y";\n'),
        ('"~^b$" ended;\n"~^c$" y;\n', '"~^c$" y;\n'),
        ("'~^b$'\n  'ended';\n~^c$ y;", "~^c$ y;"),
        ('"~^b$" "ended"; # of\n"~^c" "y";\nsk-b ended;', '"~^c" "y";\n'),
        ('"~^b\\"\\;$" "ended";\r\n"~^c$" "y";\r\n', '"~^c$" "y";\r\n'),
        ('# "~^b$" "ended";\n# \f"~^b$" "ended";\n"~^b$" "ended";\n', '# "~^b$" "ended";\n# \f"~^b$" "ended";\n'),
        ('default "";\n"~^b$" ""; "~^b$" "ended";\n', 'default "";\n"~^b$" ""; \n'),
    ],
)
def test_every_form_that_nginx_reads_is_ended_and_nothing_else(selfhost, keys, before, after):
    keys.parent.mkdir()
    keys.write_bytes(before.encode())
    code, _, err = selfhost("key", "new", "ended", "--gateway", keys)
    assert (code, "is in the file already" in err) == (ExitCode.USAGE, True)
    assert selfhost("key", "revoke", "ended", "--gateway", keys)[0] == 0
    assert keys.read_bytes() == after.encode()
    code, _, err = selfhost("key", "revoke", "ended", "--gateway", keys)
    assert code == ExitCode.USAGE


def test_a_form_that_may_be_many_keys_shows_no_digest_of_one(selfhost, keys):
    keys.parent.mkdir()
    keys.write_text('"~^sk-(a|b)$" "team";\n')
    assert selfhost("key", "ls", "--gateway", keys)[1] == "team\n"
    keys.write_text("")
    code, _, err = selfhost("key", "ls", "--gateway", keys)
    assert (code, err) == (0, "no keys in the file: the gateway lets nobody in\n")


@pytest.mark.parametrize("broken", ['"~^a$" "x"', '"~^a$" "x;\n', "{ }\n", '"~^a$" "x" "y";\n'])
def test_a_file_that_nginx_does_not_take_is_left_as_it_is(selfhost, keys, broken):
    keys.parent.mkdir()
    keys.write_text(f"# ours\n{broken}")
    for words in (("new", "alice"), ("revoke", "x"), ("ls",)):
        code, out, err = selfhost("key", *words, "--gateway", keys)
        assert (code, out) == (ExitCode.USAGE, "")
        assert "line 2 is no entry of a map" in err
    assert keys.read_text() == f"# ours\n{broken}"


def test_one_file_is_not_both_the_keys_of_a_gateway_and_one_key(selfhost, keys, tmp_path):
    keys.parent.mkdir()
    (tmp_path / "link").symlink_to(keys)
    code, out, err = selfhost("key", "new", "ci", "--gateway", tmp_path / "link", "--output", keys)
    assert (code, out) == (ExitCode.USAGE, "")
    assert "`--output` and `--gateway` are one file" in err
    assert not keys.exists()


def test_the_file_keeps_the_mode_and_the_group_that_let_its_gateway_read_it(selfhost, keys):
    made(selfhost, keys, "alice")
    keys.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(keys, 2000, 2001)
    before = keys.stat()
    made(selfhost, keys, "bob")
    selfhost("key", "revoke", "alice", "--gateway", keys)
    after = keys.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert named(selfhost, keys) == ["bob"]


def test_a_link_is_followed(selfhost, keys, tmp_path):
    made(selfhost, keys, "alice")
    (tmp_path / "link.conf").symlink_to(keys)
    made(selfhost, tmp_path / "link.conf", "bob")
    assert (tmp_path / "link.conf").is_symlink()
    assert named(selfhost, keys) == ["alice", "bob"]


def test_a_key_goes_to_a_file_of_its_own_and_not_to_the_terminal(selfhost, keys, tmp_path):
    code, out, _ = selfhost("key", "new", "ci", "--gateway", keys, "--output", tmp_path / "ci.key")
    assert (code, out, mode(tmp_path / "ci.key")) == (0, "", 0o600)
    digest = hashlib.sha256((tmp_path / "ci.key").read_bytes().strip()).hexdigest()[:8]
    assert digest in selfhost("key", "ls", "--gateway", keys)[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new", "alice"), "selfhost key revoke alice --gateway"),
        (("new", 'a";x'), "not a name for a key"),
        (("revoke", "alcie"), "nearest: `alice`"),
    ],
)
def test_names_that_are_taken_unknown_or_none_change_nothing(selfhost, keys, words, said):
    made(selfhost, keys, "alice")
    before = keys.read_bytes()
    code, out, err = selfhost("key", *words, "--gateway", keys)
    assert (code, out) == (ExitCode.USAGE, "")
    assert said in err
    assert keys.read_bytes() == before


def test_a_place_where_no_file_of_keys_can_be_is_refused(selfhost, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "no" / "such" / "keys.conf", tmp_path / "pipe"):
        code, out, err = selfhost("key", "new", "alice", "--gateway", place)
        assert (code, out) == (ExitCode.USAGE, "")
        assert f"no file of keys can be here: `{place}`" in err
    for verb in (("ls",), ("revoke", "alice")):
        code, _, err = selfhost("key", *verb, "--gateway", tmp_path / "keys.conf")
        assert code == ExitCode.USAGE
        assert f"selfhost key new NAME --gateway {tmp_path}/keys.conf" in err


@pytest.mark.parametrize("verb", [("new", "alice"), ("revoke", "alice"), ("ls",)])
def test_a_path_that_cannot_be_looked_at_is_said(selfhost, tmp_path, verb):
    code, out, err = selfhost("key", *verb, "--gateway", tmp_path / ("x" * 300))
    assert (code, out) == (ExitCode.MISSING, "")
    assert "the file of keys cannot be read" in err


def test_no_rule_of_the_linter_takes_the_file_for_a_leak(selfhost, tmp_path):
    words = ("qwen2.5-72b", "--on", "8x910B3", "--gateway-image", f"registry.example/nginx@{plans.DIGEST}")
    assert selfhost("render", "compose", *words, "--output", tmp_path)[0] == 0
    made(selfhost, tmp_path / "gateway" / "keys" / "keys.conf", "alice")
    assert selfhost("render", "--lint", tmp_path)[0] == 0


def test_the_example_says_how_a_key_is_made():
    (_, example) = gateway_files(plans.deployment("qwen2.5-72b-8x910B3"), GatewayOptions())
    assert "selfhost key new alice --gateway keys.conf" in example.text


def test_after_a_rotation_a_gateway_has_both_keys_until_the_old_one_is_revoked(selfhost, keys):
    first = made(selfhost, keys, "alice")
    made(selfhost, keys, "bob")
    code, out, err = selfhost("key", "rotate", "alice", "--gateway", keys)
    assert (code, f"`selfhost key revoke alice --old --gateway {keys}`" in " ".join(err.split())) == (0, True)
    assert named(selfhost, keys) == ["alice", "bob", "alice"]
    rows = json.loads(selfhost("key", "ls", "--gateway", keys, "--json")[1])["keys"]
    assert [row["state"] for row in rows] == ["replaced", "holds", "holds"]
    selfhost("key", "rotate", "alice", "--gateway", keys)
    assert named(selfhost, keys) == ["bob", "alice", "alice"], "one that was replaced earlier ends"
    assert selfhost("key", "revoke", "alice", "--old", "--gateway", keys)[0] == 0
    assert named(selfhost, keys) == ["bob", "alice"]
    assert first not in keys.read_text()
    assert out.strip().replace("-", "\\-") not in keys.read_text()


def test_a_gateways_key_does_not_end_by_itself(selfhost, keys):
    for command in ("new", "rotate"):
        code, _, err = selfhost("key", command, "alice", "--expires", "1d", "--gateway", keys)
        assert (code, "nginx compares keys and knows no times" in err) == (ExitCode.USAGE, True)
    assert not keys.exists()


@pytest.mark.slow
def test_nginx_lets_in_who_has_a_key_of_the_file_and_nobody_whose_key_was_ended(selfhost, debian_tool):
    nginx = debian_tool("nginx", "nginx-light")
    engine = StandInEngine(free_port("127.0.0.1"))
    try:
        with running(nginx, engine.server_address[1]) as door:
            keys = door.folder / "keys" / "keys.conf"
            keys.unlink()
            alice, bob = (made(selfhost, keys, name) for name in ("alice", "bob"))
            if os.geteuid() == 0:
                assert (mode(keys), keys.stat().st_uid) == (0o600, 0)
                os.chown(keys, 2000, 0)  # who nginx is in this test
            door.reload()
            until(lambda: door.ask("GET", "/v1/models", bearer(alice)).status == 200, "the key is not taken")
            assert door.ask("GET", "/v1/models", bearer(bob)).status == 200
            assert door.ask("GET", "/v1/models", bearer(alice.upper())).status == 401
            assert door.ask("GET", "/v1/models", bearer(f"{alice}x")).status == 401
            assert door.ask("GET", "/v1/models").status == 401
            assert selfhost("key", "revoke", "alice", "--gateway", keys)[0] == 0
            door.reload()
            until(lambda: door.ask("GET", "/v1/models", bearer(alice)).status == 401, "the key is still taken")
            assert door.ask("GET", "/v1/models", bearer(bob)).status == 200
            assert "bob" in {request["caller"] for request in door.requests}
    finally:
        engine.close()


def test_the_help_does_not_promise_that_a_gateway_refuses_an_ended_key_at_once(selfhost):
    said = " ".join(selfhost("key", "revoke", "--help")[1].split())
    assert "a gateway when it has read its file again" in said
