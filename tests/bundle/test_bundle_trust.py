"""Who is trusted: the policy as a table, the directories with their settings, serials that never go back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import multiprocessing

import pytest

from selfhost.bundle import trust as trust_module
from selfhost.bundle.keys import parse_public
from selfhost.bundle.policy import Demand, KeySettings, Trust, TrustedKey, decide
from selfhost.bundle.trust import Serials, read_trust, trust_only
from selfhost.errors import IntegrityError, MissingError, TrustError, UsageError
from selfhost.home import Home
from tests.bundle.trust_support import NOW, make_key, ssh_sign

MESSAGE = b"0123  blobs/a\n"
DEMAND = Demand(now=NOW)
ALLOWED = Demand(now=NOW, allow_unsigned="a test")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_key(folder / name) for name in ("ann", "bob", "eve")}


def trusted(path, **settings) -> TrustedKey:
    public = path.with_suffix(".pub")
    read = parse_public(public.read_bytes(), public.name)
    return TrustedKey(public=read, source=public.name, settings=KeySettings(**settings))


def trusting(*entries, threshold=1) -> Trust:
    return Trust(keys=entries, places=("/etc/t", "/home/t"), directory="/home/t", threshold=threshold)


def said(verdict) -> list[str]:
    return [note.id.removeprefix("trust.note_") for note in verdict.notes]


def refused(trust, signature, demand=DEMAND, message=MESSAGE):
    with pytest.raises(TrustError) as caught:
        decide(trust, message, signature, demand)
    assert caught.value.code == 6
    assert caught.value.message.what
    assert caught.value.message.why
    assert caught.value.message.hint
    return caught.value.message.id.removeprefix("trust.")


def test_a_trusted_signature_is_taken_without_a_word(keys):
    verdict = decide(trusting(trusted(keys["ann"])), MESSAGE, ssh_sign(keys["ann"], MESSAGE), DEMAND)
    assert verdict.vouched
    assert verdict.notes == ()
    assert verdict.signers[0].name.startswith("ann@site (SHA256:")
    assert verdict.signers[0].public == trusted(keys["ann"]).public


def test_without_any_key_everything_is_taken_and_told(keys):
    unsigned = decide(trusting(), MESSAGE, None, DEMAND)
    assert (unsigned.vouched, said(unsigned)) == (False, ["unsigned"])
    signed = decide(trusting(), MESSAGE, ssh_sign(keys["ann"], MESSAGE), DEMAND)
    assert (signed.vouched, said(signed)) == (False, ["nobody"])
    assert "cp KEY.pub /home/t/" in signed.notes[0].what


def test_once_there_is_a_key_unsigned_is_refused_unless_a_reason_is_given(keys):
    trust = trusting(trusted(keys["ann"]))
    assert refused(trust, None) == "unsigned"
    taken = decide(trust, MESSAGE, None, ALLOWED)
    assert (taken.vouched, said(taken)) == (False, ["unsigned", "allowed"])
    with pytest.raises(UsageError):
        decide(trust, MESSAGE, None, Demand(now=NOW, allow_unsigned=" "))


def test_a_stranger_is_refused_unless_a_reason_is_given(keys):
    trust = trusting(trusted(keys["ann"]))
    signature = ssh_sign(keys["eve"], MESSAGE)
    assert refused(trust, signature) == "too_few"
    taken = decide(trust, MESSAGE, signature, ALLOWED)
    assert (taken.vouched, said(taken)) == (False, ["allowed"])
    assert refused(dataclasses.replace(trust, directory=""), signature) == "not_named"


@pytest.mark.parametrize("demand", [DEMAND, ALLOWED], ids=["as is", "unsigned allowed"])
@pytest.mark.parametrize("known", [True, False])
def test_a_signature_that_does_not_hold_is_refused_whatever_is_allowed(keys, demand, known):
    trust = trusting(trusted(keys["ann"])) if known else trusting()
    right = ssh_sign(keys["ann"], MESSAGE)
    assert refused(trust, right, demand, MESSAGE + b"\n") == "bad_signature"
    assert refused(trust, ssh_sign(keys["ann"], b"of another bundle"), demand) == "bad_signature"
    assert refused(trust, ssh_sign(keys["ann"], MESSAGE, "git"), demand) == "other_purpose"
    assert refused(trust, right + ssh_sign(keys["bob"], b"else"), demand) == "bad_signature"
    assert refused(trust, b"", demand) == "malformed"


@pytest.mark.parametrize("demand", [DEMAND, ALLOWED], ids=["as is", "unsigned allowed"])
def test_a_revoked_key_is_refused_though_another_place_trusts_it(keys, demand):
    trust = trusting(trusted(keys["ann"]), trusted(keys["ann"], revoked=True), trusted(keys["bob"]))
    assert refused(trust, ssh_sign(keys["ann"], MESSAGE), demand) == "revoked"
    assert trust.usable == {trusted(keys["bob"]).public.blob}
    assert refused(trusting(trusted(keys["ann"], revoked=True)), None) == "unsigned"


@pytest.mark.parametrize(
    ("first", "last", "valid"),
    [
        (None, None, True),
        (NOW - dt.timedelta(days=1), NOW + dt.timedelta(days=1), True),
        (NOW + dt.timedelta(seconds=1), None, False),
        (None, NOW - dt.timedelta(seconds=1), False),
    ],
)
def test_time_is_a_warning_unless_it_is_strict(keys, first, last, valid):
    trust = trusting(trusted(keys["ann"], not_before=first, expires=last))
    signature = ssh_sign(keys["ann"], MESSAGE)
    lenient = decide(trust, MESSAGE, signature, DEMAND)
    assert lenient.vouched
    assert said(lenient) == ([] if valid else ["outside_time"])
    strict = Demand(now=NOW, strict_time=True)
    if valid:
        assert decide(trust, MESSAGE, signature, strict).vouched
    else:
        assert refused(trust, signature, strict) == "outside_time"


@pytest.mark.parametrize("year", [1970, 2099])
def test_a_wrong_clock_does_not_stop_an_import(keys, year):
    trust = trusting(trusted(keys["ann"], not_before=NOW, expires=NOW + dt.timedelta(days=365)))
    wrong = Demand(now=dt.datetime(year, 1, 1, tzinfo=dt.UTC))
    verdict = decide(trust, MESSAGE, ssh_sign(keys["ann"], MESSAGE), wrong)
    assert said(verdict) == ["outside_time"]
    assert str(year) in verdict.notes[0].what


def test_two_of_three_must_sign_and_one_twice_is_one(keys):
    trust = trusting(*(trusted(keys[name]) for name in keys), threshold=2)
    ann, bob = (ssh_sign(keys[name], MESSAGE) for name in ("ann", "bob"))
    assert len(decide(trust, MESSAGE, ann + bob, DEMAND).signers) == 2
    assert refused(trust, ann) == "too_few"
    assert refused(trust, ann + ann) == "too_few"


# Directories


@pytest.fixture
def places(tmp_path):
    """(home, the site's directory)."""
    return Home(tmp_path / "home"), tmp_path / "site"


def put(place, name, key, settings=""):
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(key.with_suffix(".pub").read_bytes())
    if settings:
        (place / "trust.toml").write_text(settings)


def test_no_directory_means_no_key(places):
    trust = read_trust(*places)
    assert trust.keys == ()
    assert trust.places == (str(places[1]), str(places[0].trust))


def test_keys_and_settings_of_both_places(places, keys):
    home, site = places
    put(site, "ann.pub", keys["ann"], 'threshold = 2\n[keys."ann.pub"]\nprincipal = "Ann"\nexpires = 2027-01-31\n')
    put(home.trust, "bob.pub", keys["bob"], '[minimum_serial]\n"qwen3-8b" = 7\n')
    (home.trust / "bob.pub~").write_text("a backup of an editor")
    (home.trust / ".ann.pub.swp").write_text("another's")
    trust = read_trust(home, site)
    assert [key.source for key in trust.keys] == [str(site / "ann.pub"), str(home.trust / "bob.pub")]
    assert trust.threshold == 2
    assert trust.minimum_serial == {"qwen3-8b": 7}
    assert trust.keys[0].settings.expires == dt.datetime(2027, 1, 31, tzinfo=dt.UTC)
    assert trust.keys[0].name.startswith("Ann (")


def test_revoked_by_the_site_trusted_by_the_user(places, keys):
    home, site = places
    put(site, "old.pub", keys["ann"], '[keys."old.pub"]\nrevoked = true\n')
    put(home.trust, "ann.pub", keys["ann"])
    assert refused(read_trust(home, site), ssh_sign(keys["ann"], MESSAGE)) == "revoked"


def unread(home, site):
    """What is said of directories that cannot be gone by."""
    with pytest.raises(TrustError) as caught:
        read_trust(home, site)
    return caught.value.message


@pytest.mark.parametrize(
    ("settings", "detail"),
    [
        ("threshold = ", "Invalid"),
        ("treshold = 1", "treshold"),
        ("threshold = 0", "from 1"),
        ("threshold = true", "from 1"),
        ("schema_version = 2", "understood: 1"),
        ('[keys."anne.pub"]\nrevoked = true', "anne.pub"),
        ('[keys."ann.pub"]\nrevokd = true', "revokd"),
        ('[keys."ann.pub"]\nrevoked = "yes"', "revoked"),
        ('[keys."ann.pub"]\nexpires = "2027"', "expires"),
        ("keys = 1", "table"),
        ('[keys]\n"ann.pub" = 1', "table"),
        ("[minimum_serial]\nqwen = -1", "qwen"),
    ],
)
def test_settings_that_are_wrong_are_refused(places, keys, settings, detail):
    home, site = places
    put(site, "ann.pub", keys["ann"], settings)
    message = unread(home, site)
    assert message.id == "trust.bad_settings"
    assert detail in message.why


def test_a_key_that_cannot_be_read_is_not_skipped(places, keys):
    home, site = places
    put(site, "ann.pub", keys["ann"])
    (site / "bob.pub").write_text("ssh-ed25519 broken")
    with pytest.raises(TrustError, match=r"bob\.pub"):
        read_trust(home, site)
    (site / "bob.pub").unlink()
    (site / "bob.pub").symlink_to(site / "nothing")
    assert unread(home, site).id == "trust.unreadable"


@pytest.mark.parametrize("which", [".", "ann.pub", "trust.toml"])
def test_what_anybody_can_write_to_says_nothing(places, keys, which):
    home, site = places
    put(site, "ann.pub", keys["ann"], "threshold = 1\n")
    read_trust(home, site)
    (site / which).chmod(0o777)
    assert unread(home, site).id == "trust.open_to_all"


@pytest.mark.parametrize("name", ["bob.pem", "bob.PUB", "trust.tml", "Trust.toml", "trust.toml.rpmsave", "keys"])
def test_what_would_be_passed_over_is_refused(places, keys, name):
    home, site = places
    put(site, "ann.pub", keys["ann"])
    (site / name).write_text("threshold = 2\n")
    message = unread(home, site)
    assert message.id == "trust.odd_file"
    assert name in message.what


def test_a_directory_or_settings_that_lead_nowhere_are_not_absent(places, keys):
    home, site = places
    site.symlink_to(site.parent / "not mounted")
    assert unread(home, site).id == "trust.unreadable"
    site.unlink()
    put(site, "ann.pub", keys["ann"])
    (site / "trust.toml").symlink_to(site / "nothing")
    assert unread(home, site).id == "trust.unreadable"


@pytest.mark.parametrize("names", [(), ("ann",), ("ann", "bob")])
def test_a_threshold_that_no_keys_can_reach_is_told_and_not_passed_over(places, keys, names):
    home, site = places
    site.mkdir()
    revoked = '[keys."bob.pub"]\nrevoked = true\n' if "bob" in names else ""
    (site / "trust.toml").write_text(f"threshold = 2\n{revoked}")
    for name in names:
        put(site, f"{name}.pub", keys[name])
    put(home.trust, "again.pub", keys["ann"]) if names else None
    message = unread(home, site)
    assert message.id == "trust.bad_settings"
    assert f"threshold: 2, keys that are not revoked: {min(len(names), 1)}" in message.why


def test_a_folder_whose_parent_anybody_can_write_to_says_nothing(places, keys):
    home, site = places
    put(site, "ann.pub", keys["ann"])
    site.parent.chmod(0o1777)
    read_trust(home, site)
    site.parent.chmod(0o777)
    assert unread(home, site).id == "trust.open_to_all"


def test_naming_a_key_takes_back_nothing_that_is_known_of_it(places, keys):
    home, site = places
    settings = '[keys."a.pub"]\nrevoked = true\n[keys."b.pub"]\nexpires = 1999-01-01\n[minimum_serial]\nqwen = 9\n'
    put(site, "a.pub", keys["ann"])
    put(site, "b.pub", keys["bob"], settings)
    named = [keys[name].with_suffix(".pub") for name in keys]
    trust = trust_only(named, read_trust(home, site))
    assert refused(trust, ssh_sign(keys["ann"], MESSAGE)) == "revoked"
    assert said(decide(trust, MESSAGE, ssh_sign(keys["bob"], MESSAGE), DEMAND)) == ["outside_time"]
    assert said(decide(trust, MESSAGE, ssh_sign(keys["eve"], MESSAGE), DEMAND)) == []
    with pytest.raises(TrustError):
        Serials(home).check(["qwen/bf16"], 8, trust)


def test_named_keys_are_the_only_ones(tmp_path, keys):
    trust = trust_only([keys["ann"].with_suffix(".pub")], trusting(trusted(keys["bob"])))
    assert decide(trust, MESSAGE, ssh_sign(keys["ann"], MESSAGE), DEMAND).vouched
    assert refused(trust, ssh_sign(keys["bob"], MESSAGE)) == "not_named"
    assert refused(trust, None) == "unsigned"
    with pytest.raises(TrustError):
        trust_only([keys["ann"]], trusting())
    with pytest.raises(TrustError):
        trust_only([tmp_path / "absent.pub"], trusting())


def test_the_site_is_where_the_documentation_says():
    assert str(trust_module.SITE) == "/etc/selfhost/trust.d"


# Serials


def test_older_is_refused_equal_and_newer_are_taken(places):
    serials = Serials(places[0])
    trust = trusting()
    serials.check(["qwen", "glm"], 3, trust)
    serials.record(["qwen"], 5)
    serials.check(["qwen"], 5, trust)
    serials.check(["qwen"], 6, trust)
    serials.check(["glm"], 1, trust)
    with pytest.raises(TrustError) as caught:
        serials.check(["glm", "qwen"], 4, trust)
    assert caught.value.message.params == {"subject": "qwen", "serial": 4, "lowest": 5}
    serials.record(["qwen"], 2)
    with pytest.raises(TrustError):
        serials.check(["qwen"], 4, trust)


def test_the_settings_can_ask_for_more_than_was_seen(places):
    trust = dataclasses.replace(trusting(), minimum_serial={"qwen": 9})
    with pytest.raises(TrustError) as caught:
        Serials(places[0]).check(["qwen"], 8, trust)
    assert caught.value.message.params["lowest"] == 9
    Serials(places[0]).check(["qwen"], 9, trust)


def test_a_model_without_a_variant_asks_for_all_of_them(places):
    trust = dataclasses.replace(trusting(), minimum_serial={"qwen": 9, "qwen/fp8": 7})
    Serials(places[0]).check(["qwen/bf16", "qwen/fp8"], 9, trust)
    for subject in ("qwen/bf16", "qwen/fp8"):
        with pytest.raises(TrustError):
            Serials(places[0]).check([subject], 8, trust)
    Serials(places[0]).check(["qwen2/bf16"], 8, trust)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"serials": {"a": "b"}}', '{"serials": {"a": true}}', "{"])
def test_a_damaged_record_is_not_an_empty_one(places, content):
    path = places[0].trust / "serials.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(IntegrityError):
        Serials(places[0]).check(["qwen"], 1, trusting())
    with pytest.raises(IntegrityError):
        Serials(places[0]).record(["qwen"], 1)
    assert path.read_text() == content


def _record_one(home, number):
    Serials(home).record([f"model-{number}"], number)


def test_two_imports_at_once_lose_no_mark(places):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_record_one, args=(places[0], number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    taken = json.loads((places[0].trust / "serials.json").read_text())["serials"]
    assert taken == {f"model-{number}": number for number in range(4)}


def test_a_home_that_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingError):
        Serials(Home(tmp_path / "file")).record(["qwen"], 1)
