"""Keys: made once, kept as digests, listed, revoked; and who may listen where."""

from __future__ import annotations

import hashlib
import json
import stat
import sys
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import selfhost_keys

from selfhost.app import key as app_key
from selfhost.cli import main as cli
from selfhost.errors import ExitCode, IntegrityError, TrustError, UsageError
from selfhost.home import find_home
from selfhost.inside import selfhost_gate as gate
from selfhost.serve import keys

FROM_TEXT = datetime.fromisoformat


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def run(capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(list(arguments))
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return call


def test_a_key_is_printed_alone_on_stdout_and_kept_as_a_digest_only(home, run):
    code, out, err = run("key", "new", "alice")
    key = out.strip()
    assert (code, out.count("\n")) == (0, 1)
    assert key.startswith("sk-selfhost-")
    assert len(key) == len("sk-selfhost-") + 43
    assert key not in err
    kept = json.loads((home / "keys" / "keys.json").read_text())
    assert kept["schema_version"] == 1
    assert [entry["name"] for entry in kept["keys"]] == ["alice"]
    assert kept["keys"][0]["sha256"] == hashlib.sha256(key.encode()).hexdigest()
    assert not [path for path in home.rglob("*") if path.is_file() and key in path.read_text()]


def test_the_file_and_its_folder_are_the_owners_alone(home):
    keys.new(find_home(), "alice")
    assert mode(home / "keys") == 0o700
    assert mode(home / "keys" / "keys.json") == 0o600


def test_a_key_goes_to_a_file_and_not_to_the_terminal(run, tmp_path):
    code, out, err = run("key", "new", "ci", "--output", str(tmp_path / "ci.key"))
    key = (tmp_path / "ci.key").read_text().strip()
    assert (code, out) == (0, "")
    assert key not in err
    assert mode(tmp_path / "ci.key") == 0o600
    assert keys.load(find_home())[0].sha256 == hashlib.sha256(key.encode()).hexdigest()


def test_an_existing_file_is_not_overwritten_and_no_key_is_made(run, tmp_path):
    (tmp_path / "ci.key").write_text("precious")
    code, _, err = run("key", "new", "ci", "--output", str(tmp_path / "ci.key"))
    assert code == ExitCode.USAGE
    assert "will not overwrite" in err
    assert (tmp_path / "ci.key").read_text() == "precious"
    assert not keys.has_keys(find_home())


def test_a_directory_that_is_missing_is_named_and_no_key_is_made(run, tmp_path):
    code, _, err = run("key", "new", "ci", "--output", str(tmp_path / "nowhere" / "ci.key"))
    assert code == ExitCode.USAGE
    assert f"mkdir -p {tmp_path}/nowhere" in err
    assert not keys.has_keys(find_home())


def test_a_key_that_could_not_be_written_is_not_in_force(run, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("selfhost.app.key.files.atomic_write", full)
    # `keys` writes through the same function: let it through for its own file.
    monkeypatch.setattr(keys.files, "write_json", lambda path, value, mode: path.write_text(json.dumps(value)))
    code, _, err = run("key", "new", "ci", "--output", str(tmp_path / "ci.key"))
    assert (code, err.splitlines()[0]) == (2, f"error: the key cannot be written to `{tmp_path}/ci.key`")
    assert not keys.has_keys(find_home())


def test_a_name_is_given_once(run):
    run("key", "new", "alice")
    code, out, err = run("key", "new", "alice")
    assert (code, out) == (ExitCode.USAGE, "")
    assert "a key of this name exists: `alice`" in err
    assert len(keys.load(find_home())) == 1


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "ä", "x" * 65, "a\n"])
def test_names_that_are_none(name):
    with pytest.raises(UsageError) as caught:
        keys.new(find_home(), name)
    assert caught.value.message.id == "key.bad_name"


def test_the_list_shows_names_dates_and_eight_digits(run):
    key = keys.new(find_home(), "alice")
    digits = hashlib.sha256(key.encode()).hexdigest()[:8]
    code, out, _ = run("key", "ls", "--json")
    listed = json.loads(out)
    assert (code, listed["schema_version"]) == (0, 1)
    (entry,) = listed["keys"]
    assert (entry["name"], entry["sha256_prefix"]) == ("alice", digits)
    assert entry["created"].endswith("+00:00")
    assert (entry["expires"], entry["state"]) == (None, "holds")
    assert run("key", "ls")[1].split() == ["alice", entry["created"], digits]


def test_without_keys_the_list_is_empty_and_says_how_to_make_one(run, home):
    assert run("key", "ls") == (0, "", "no keys; make one with `selfhost key new NAME`\n")
    assert json.loads(run("key", "ls", "--json")[1])["keys"] == []
    assert not home.exists()


def test_a_revoked_key_is_gone_and_the_others_stay(run):
    for name in ("alice", "bob"):
        keys.new(find_home(), name)
    assert run("key", "revoke", "alice")[0] == 0
    assert [key.name for key in keys.load(find_home())] == ["bob"]


def test_revoking_an_unknown_name_shows_the_nearest(run):
    for name in ("alice", "bob"):
        keys.new(find_home(), name)
    code, _, err = run("key", "revoke", "alcie")
    assert code == ExitCode.USAGE
    assert "no key of this name: `alcie`\n  nearest: `alice`\n" in err
    assert len(keys.load(find_home())) == 2


def test_revoking_where_there_are_no_keys(run, home):
    code, _, err = run("key", "revoke", "alice")
    assert (code, "nearest: none" in err) == (ExitCode.USAGE, True)
    assert not home.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "key.damaged"),
        ("[]", "key.damaged"),
        ('{"schema_version": 1}', "key.damaged"),
        ('{"schema_version": 1, "keys": [{"name": "a"}]}', "key.damaged"),
        ('{"schema_version": 1, "keys": {"name": "a"}}', "key.damaged"),
        ('{"schema_version": 1, "keys": ["a"]}', "key.damaged"),
        ('{"schema_version": 1, "keys": [{"name": 5, "sha256": "%s", "created": "c"}]}' % ("0" * 64), "key.damaged"),
        ('{"schema_version": 1, "keys": [{"name": "a", "sha256": "ab", "created": "c"}]}', "key.damaged"),
        ('{"schema_version": 2, "keys": []}', "key.newer"),
    ],
)
def test_a_file_that_cannot_be_understood_is_left_alone(home, content, message):
    (home / "keys").mkdir(parents=True)
    (home / "keys" / "keys.json").write_text(content)
    for act in (keys.load, keys.has_keys, lambda where: keys.new(where, "b"), lambda where: keys.revoke(where, "a")):
        with pytest.raises(IntegrityError) as caught:
            act(find_home())
        assert caught.value.message.id == message
    assert (home / "keys" / "keys.json").read_text() == content


def test_a_file_that_cannot_be_read_is_told_as_such(home, run):
    (home / "keys" / "keys.json").mkdir(parents=True)
    for command in (("ls",), ("new", "b"), ("revoke", "b"), ("rotate", "b")):
        code, _, err = run("key", *command)
        assert code == 4, command
        assert err.startswith(f"error: the file of API keys cannot be read: `{home}/keys/keys.json`\n  Is a directory")


def test_keys_made_at_the_same_time_are_all_kept():
    makers = [threading.Thread(target=keys.new, args=(find_home(), f"key-{n}")) for n in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert {key.name for key in keys.load(find_home())} == {f"key-{n}" for n in range(8)}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost"])
def test_on_loopback_keys_are_asked_for_only_when_there_are_some(host):
    assert keys.check_exposure(host, has_keys=False) is False
    assert keys.check_exposure(host, has_keys=True) is True


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "10.0.0.1", "::ffff:127.0.0.1", "my-host", "localhost.evil", "127.1"]
)
def test_elsewhere_a_key_must_exist(host):
    assert keys.check_exposure(host, has_keys=True) is True
    with pytest.raises(TrustError) as caught:
        keys.check_exposure(host, has_keys=False)
    assert caught.value.code == ExitCode.TRUST
    assert "`selfhost key new NAME`" in caught.value.message.hint


def test_the_gate_reads_what_is_written_for_it(tmp_path):
    key = keys.new(find_home(), "alice")
    control = keys.write_gate(tmp_path / "gate.json", require_key=True, keys_file=keys.keys_file(find_home()))
    assert mode(tmp_path / "gate.json") == 0o600
    assert control not in (tmp_path / "gate.json").read_text()
    policy = gate.Policy.load(str(tmp_path / "gate.json"))
    assert policy.key_required()
    assert [policy.holder(each.encode()) for each in (key, control, "sk-selfhost-x")] == ["alice", "(selfhost)", None]


def test_a_server_that_is_started_anew_is_open_again_where_no_key_is_left(tmp_path):
    assert keys.CLOSED == gate.CLOSED_NAME
    (tmp_path / gate.CLOSED_NAME).touch()
    keys.write_gate(tmp_path / "gate.json", require_key=False, keys_file=None)
    assert not gate.Policy.load(str(tmp_path / "gate.json")).key_required()


def test_each_server_gets_its_own_control_key(tmp_path):
    made = {keys.write_gate(tmp_path / "gate.json", require_key=False, keys_file=None) for _ in range(3)}
    assert len(made) == 3


def test_listing_keys_imports_neither_an_engine_nor_a_table_library(run):
    run("key", "ls")
    assert not {"torch", "vllm"} & set(sys.modules)


@pytest.fixture
def wall(monkeypatch):
    """The time of day, which passes only when a test says so."""
    now = SimpleNamespace(at=datetime(2026, 11, 28, 12, tzinfo=UTC))
    for module in (keys, app_key):
        monkeypatch.setattr(module, "datetime", SimpleNamespace(now=lambda zone: now.at, fromisoformat=FROM_TEXT))
    return now


def listed(run) -> list[tuple]:
    return [(row["name"], row["state"], row["expires"]) for row in json.loads(run("key", "ls", "--json")[1])["keys"]]


def holders(wall, *made: str) -> list[str | None]:
    """Whose each key is, as the front door reads the file."""
    file = selfhost_keys.KeysFile(keys.keys_file(find_home()), now=wall.at.timestamp)
    return [file.holder(key.strip().encode()) for key in made]


def test_a_key_with_an_end_holds_until_then(run, wall):
    _, key, err = run("key", "new", "alice", "--expires", "30d")
    assert "ends by itself in 720 h 0 min" in err
    assert listed(run) == [("alice", "holds", "2026-12-28T12:00:00+00:00")]
    assert run("key", "ls")[1].rstrip().endswith("until 2026-12-28T12:00:00+00:00")
    wall.at += timedelta(days=30, seconds=-1)
    assert holders(wall, key) == ["alice"]
    wall.at += timedelta(seconds=1)
    assert holders(wall, key) == [None]
    assert listed(run)[0][1] == "ended"


def test_when_the_time_of_the_only_key_is_over_servers_still_ask_for_one(run, wall):
    run("key", "new", "alice", "--expires", "1m")
    wall.at += timedelta(minutes=2)
    assert keys.has_keys(find_home())


def test_a_key_whose_time_is_over_makes_room_for_another_of_its_name(run, wall):
    run("key", "new", "alice", "--expires", "1m")
    assert run("key", "new", "alice")[0] == ExitCode.USAGE
    wall.at += timedelta(minutes=2)
    code, key, _ = run("key", "new", "alice")
    assert (code, holders(wall, key)) == (0, ["alice"])
    assert len(listed(run)) == 1


def test_after_a_rotation_both_keys_hold_for_a_while(run, wall):
    _, first, _ = run("key", "new", "alice")
    code, second, err = run("key", "rotate", "alice", "--keep", "10m")
    assert (code, "the one before holds 10 min 0 s more" in err) == (0, True)
    assert holders(wall, first, second) == ["alice", "alice"]
    assert listed(run) == [("alice", "replaced", "2026-11-28T12:10:00+00:00"), ("alice", "holds", None)]
    wall.at += timedelta(minutes=10)
    assert holders(wall, first, second) == [None, "alice"]


def test_a_rotation_ends_what_an_earlier_one_has_left_and_lengthens_no_time(run, wall):
    _, first, _ = run("key", "new", "alice", "--expires", "5m")
    _, second, _ = run("key", "rotate", "alice", "--keep", "1h")
    assert listed(run)[0][2] == "2026-11-28T12:05:00+00:00"
    _, third, _ = run("key", "rotate", "alice", "--keep", "0s")
    assert holders(wall, first, second, third) == [None, None, "alice"]
    assert len(listed(run)) == 2


def test_what_a_rotation_has_left_can_be_ended_by_itself(run, wall):
    _, first, _ = run("key", "new", "alice")
    _, second, _ = run("key", "rotate", "alice")
    assert run("key", "revoke", "alice", "--old")[0] == 0
    assert holders(wall, first, second) == [None, "alice"]
    assert run("key", "revoke", "alice")[0] == 0
    assert listed(run) == []


def test_a_rotation_of_nobodys_key_makes_none(run, tmp_path):
    keys.new(find_home(), "alice")
    code, out, err = run("key", "rotate", "alcie", "--output", str(tmp_path / "key"))
    assert (code, out, "nearest: `alice`" in err) == (ExitCode.USAGE, "", True)
    assert not (tmp_path / "key").exists()
    assert len(keys.load(find_home())) == 1


def test_a_rotated_key_goes_to_a_file(run, wall, tmp_path):
    run("key", "new", "alice")
    code, out, _ = run("key", "rotate", "alice", "--output", str(tmp_path / "key"))
    assert (code, out, mode(tmp_path / "key")) == (0, "", 0o600)
    assert holders(wall, (tmp_path / "key").read_text()) == ["alice"]


@pytest.mark.parametrize("text", ["30", "d", "-1d", "1y", "99999999w", "1e9d", ""])
def test_times_that_are_none(run, text):
    code, _, err = run("key", "new", "alice", f"--expires={text}")
    assert (code, f"`--expires` is no time: `{text}`" in err) == (ExitCode.USAGE, True)
    assert not keys.has_keys(find_home())


@pytest.mark.parametrize("expires", ["soon", "2026-11-28T12:00:00", 7, ""])
def test_an_end_that_is_no_time_closes_the_door_and_is_said(home, expires):
    keys.new(find_home(), "alice")
    path = home / "keys" / "keys.json"
    value = json.loads(path.read_text())
    value["keys"][0]["expires"] = expires
    path.write_text(json.dumps(value))
    with pytest.raises(IntegrityError, match="damaged"):
        keys.load(find_home())
    with pytest.raises(selfhost_keys.GateError, match="time with a zone"):
        selfhost_keys.KeysFile(path).entries()
