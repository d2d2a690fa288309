"""The pure parts of `weights.move`: extents, what answers mean, pauses, bandwidth, redirects, proxies."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.errors import IncompleteError, UsageError
from selfhost.weights.move.answers import Head, Wanted, examine, head_of, strong
from selfhost.weights.move.client import Target, follow, proxy_for, shown
from selfhost.weights.move.extents import Extents
from selfhost.weights.move.limit import Limit
from selfhost.weights.move.retry import Meaning, TroubleError, meaning, pause_s, retry_after_s
from selfhost.weights.move.types import MoveOptions

PAIRS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1])))


@given(PAIRS, st.integers(0, 90), st.integers(1, 30))
def test_extents_are_the_set_of_their_bytes(pairs, size, piece):
    have = Extents(pairs)
    there = {n for begin, end in pairs for n in range(begin, end)}
    assert {n for begin, end in have.pairs() for n in range(begin, end)} == there
    assert all(first[1] < second[0] for first, second in zip(have.pairs(), have.pairs()[1:], strict=False))
    assert have.total == len(there)
    assert have.end == max(there, default=-1) + 1
    assert have.front == next(n for n in range(200) if n not in there)
    absent = [n for n in range(size) if n not in there]
    assert [n for begin, end in have.missing(size) for n in range(begin, end)] == absent
    pieces = have.pieces(size, piece)
    assert [n for begin, end in pieces for n in range(begin, end)] == absent
    assert all(begin < end and begin // piece == (end - 1) // piece for begin, end in pieces)


@pytest.mark.parametrize("pair", [(-1, 3), (5, 4)])
def test_what_is_no_range_is_refused(pair):
    with pytest.raises(ValueError, match="not a range"):
        Extents([pair])


@pytest.mark.parametrize(
    ("status", "issued", "found"),
    [
        (200, False, Meaning.BYTES),
        (206, True, Meaning.BYTES),
        (401, False, Meaning.DENIED),
        (403, False, Meaning.DENIED),
        (403, True, Meaning.EXPIRED),
        (410, True, Meaning.EXPIRED),
        (410, False, Meaning.ABSENT),
        (404, True, Meaning.ABSENT),
        (416, False, Meaning.OUT_OF_RANGE),
        (429, False, Meaning.LATER),
        (503, False, Meaning.LATER),
        (599, False, Meaning.LATER),
        (400, False, Meaning.REFUSED),
        (304, False, Meaning.REFUSED),
    ],
)
def test_what_a_status_means(status, issued, found):
    assert meaning(status, issued=issued) is found


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("soon", None),
        ("-3", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_how_long_a_server_asks_to_wait(value, seconds):
    assert retry_after_s(value, 10.0) == seconds


def test_pauses_double_up_to_a_bound():
    options = MoveOptions(backoff_s=1.0, backoff_max_s=60.0)
    failed = TroubleError("x")
    assert [pause_s(failed, n, 1.0, options) for n in (1, 2, 3, 6, 7, 8, 5000)] == [1, 2, 4, 32, 60, 60, 60]
    assert pause_s(failed, 3, 0.25, options) == 1.0


def test_a_pause_the_server_asks_for_is_kept_up_to_a_bound():
    options = MoveOptions(retry_after_max_s=300.0)
    assert pause_s(TroubleError("x", wait_s=20), 1, 0.5, options) == 20.5
    assert pause_s(TroubleError("x", wait_s=86400), 1, 0.0, options) == 300.0


def test_an_expired_address_is_no_reason_to_wait_the_first_time():
    expired = TroubleError("x", at_once=True)
    assert pause_s(expired, 1, 1.0, MoveOptions()) == 0.0
    assert pause_s(expired, 2, 1.0, MoveOptions()) == 2.0


def wanted(**changes):
    return Wanted(**({"path": "f", "begin": 10, "end": 20, "size": 100, "etag": '"a"'} | changes))


def head(**changes):
    values = {"url": "http://h/f", "status": 206, "content_range": "bytes 10-19/100", "etag": '"a"'}
    return Head(**(values | changes))


def test_an_answer_that_fits():
    body = examine(head(content_length=10), wanted())
    assert (body.whole, body.length, body.total, body.etag) == (False, 10, 100, '"a"')


def test_an_answer_may_be_shorter_than_what_was_asked_for():
    assert examine(head(content_range="bytes 10-14/100", content_length=5), wanted()).length == 5


def test_an_answer_need_not_tell_the_total():
    assert examine(head(content_range="bytes 10-19/*"), wanted()).total is None


@pytest.mark.parametrize(
    "changes",
    [
        {"content_range": None},
        {"content_range": "bytes 9-19/100"},
        {"content_range": "bytes 11-19/100"},
        {"content_range": "bytes 10-20/100"},
        {"content_range": "bytes 10-9/100"},
        {"content_range": "bytes 10-19/15"},
        {"content_range": "items 10-19/100"},
        {"content_length": 9},
        {"content_length": 11},
        {"status": 416, "content_range": "bytes */100"},
        {"status": 416, "content_range": None},
    ],
    ids=str,
)
def test_an_answer_that_contradicts_itself_or_the_question(changes):
    with pytest.raises(TroubleError):
        examine(head(**changes), wanted(size=changes.get("size", 100 if "/15" not in str(changes) else None)))


def test_headers_are_read_as_they_are_meant():
    found = head_of("u", 200, {"Content-Length": "5x", "Content-Type": "Text/HTML; charset=utf-8", "ETag": 'W/"a"'})
    assert (found.content_length, found.content_type, found.etag) == (None, "text/html", None)


def test_only_strong_tags_count():
    assert [strong(tag) for tag in ('"a"', 'W/"a"', "a", "", None)] == ['"a"', None, None, None, None]


def test_a_page_is_a_page_only_when_none_was_asked_for():
    page = head(status=200, content_type="text/html", content_length=100, content_range=None)
    assert examine(page, wanted(path="docs/a.html", begin=0)).whole
    with pytest.raises(TroubleError) as raised:
        examine(page, wanted(begin=0))
    assert raised.value.final.message.id == "move.page"


def test_the_bandwidth_is_an_average_with_a_small_burst():
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    limit = Limit(1000, lambda: now[0], sleep)
    for _ in range(10):
        limit.take(500)
    assert sum(slept) == pytest.approx(5.0 - 0.25)
    now[0] += 60
    slept.clear()
    limit.take(1000)
    assert slept == [pytest.approx(0.75)]


def test_without_a_rate_nobody_waits():
    Limit(None, lambda: 0.0, deque().append).take(1 << 40)


START = Target(url="https://hub.example/org/f?x=1", headers={"Authorization": "Bearer t"})


@pytest.mark.parametrize(
    ("location", "url", "keeps"),
    [
        ("/cdn/f?s=1", "https://hub.example/cdn/f?s=1", True),
        ("https://hub.example/cdn", "https://hub.example/cdn", True),
        ("https://cdn.example/f", "https://cdn.example/f", False),
        ("https://hub.example:8443/f", "https://hub.example:8443/f", False),
        ("//cdn.example/f", "https://cdn.example/f", False),
    ],
)
def test_headers_stay_with_their_host(location, url, keeps):
    found = follow(START, location, "f")
    assert (found.url, bool(found.headers), found.redirected) == (url, keeps, True)


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "http://hub.example/f",
        "file:///etc/passwd",
        "ftp://h/f",
        "http:///f",
        "https://evil.example\\@hub.example/f",
    ],
)
def test_a_redirect_to_nowhere_is_refused(location):
    with pytest.raises(IncompleteError):
        follow(START, location, "f")


def test_what_is_shown_of_an_address_holds_no_secret():
    assert shown("https://me:pw@hub.example:8443/a/b?signature=secret#x") == "https://hub.example:8443/a/b"


@pytest.fixture
def proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_proxies_as_the_environment_names_them(proxies):
    assert proxy_for("https://hub.example/f") is None
    proxies.setenv("HTTPS_PROXY", "proxy:3128")
    proxies.setenv("no_proxy", "internal.example,10.0.0.5")
    assert proxy_for("https://hub.example/f") == "http://proxy:3128"
    assert proxy_for("https://a.internal.example/f") is None
    assert proxy_for("http://hub.example/f") is None
    proxies.setenv("ALL_PROXY", "http://all:1")
    assert proxy_for("http://hub.example/f") == "http://all:1"
    assert proxy_for("http://10.0.0.5:8080/f") is None


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "127.0.0.2", "[::1]:8080", "localhost"])
def test_this_machine_is_never_asked_through_a_proxy(host, proxies):
    proxies.setenv("HTTP_PROXY", "http://proxy:3128")
    proxies.setenv("NO_PROXY", "localhost,127.0.0.1,::1")
    assert proxy_for(f"http://{host}/f") is None


def test_a_proxy_that_cannot_be_used_is_told(proxies):
    proxies.setenv("ALL_PROXY", "socks5://me:pw@proxy:1080")
    with pytest.raises(UsageError) as raised:
        proxy_for("https://hub.example/f")
    assert "socks5://proxy:1080" in raised.value.message.what
