"""Offline: what may be connected to, and what children are told."""

from __future__ import annotations

import pytest

from selfhost import offline
from selfhost.errors import IncompleteError, UsageError


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", True), ("true", True), ("YES", True), ("0", False), ("false", False), ("No", False), ("", False)],
)
def test_the_switch_is_yes_or_no(value, expected):
    assert offline.is_offline({offline.VARIABLE: value}) is expected


def test_unset_is_no():
    assert offline.is_offline({}) is False


@pytest.mark.parametrize("value", ["2", "y", "on", "offline", "ture"])
def test_a_value_that_is_neither_is_an_error_not_a_no(value):
    with pytest.raises(UsageError) as caught:
        offline.is_offline({offline.VARIABLE: value})
    assert value in str(caught.value)


LOCAL = ["http://localhost:1/a", "http://127.0.0.1", "https://127.9.8.7:443/", "http://[::1]:80/", "http://LOCALHOST/"]
REMOTE = [
    *("https://huggingface.co", "http://10.0.0.5:8080", "http://localhost.example.com", "http://0.0.0.0/"),
    *("http://127.0.0.1@example.com/", "http://127.0.0.1.example.com", "http://2130706433/", "http://[fe80::1]/"),
    *("file:///etc/passwd", "no address", "http://[::1", ""),
    *(
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1\\@example.com/",
        "http://127.0.0.1 /",
        "http://\t127.0.0.1/",
    ),
]


@pytest.mark.parametrize("url", LOCAL)
def test_this_machine_may_be_asked_offline(url, monkeypatch):
    monkeypatch.setenv(offline.VARIABLE, "1")
    offline.check_allowed(url)


@pytest.mark.parametrize("url", REMOTE)
def test_everything_else_is_refused_offline_and_only_then(url, monkeypatch):
    offline.check_allowed(url)
    monkeypatch.setenv(offline.VARIABLE, "1")
    with pytest.raises(IncompleteError):
        offline.check_allowed(url)


def test_children_are_told_and_ask_no_proxy_for_this_machine():
    environ = {"NO_PROXY": "corp.example,localhost", "HF_HUB_OFFLINE": "0"}
    offline.set_offline(environ)
    assert environ == {
        **offline.FOR_CHILDREN,
        "NO_PROXY": "corp.example,localhost,127.0.0.1,::1",
        "no_proxy": "localhost,127.0.0.1,::1",
    }
    assert offline.is_offline(environ)


@pytest.mark.parametrize(("value", "flag", "expected"), [("", False, False), ("", True, True), ("yes", False, True)])
def test_a_command_is_offline_by_its_flag_or_by_the_environment(value, flag, expected, monkeypatch):
    environ = {offline.VARIABLE: value}
    monkeypatch.setattr(offline.os, "environ", environ)
    assert offline.settle(flag=flag) is expected
    assert environ.get("PIP_NO_INDEX") == ("1" if expected else None)
