"""Every fault between a hub and the store: in the end the right bytes or a refusal, never something half-made."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest

from selfhost.app import pull, wanted
from selfhost.errors import SelfhostError
from selfhost.home import find_home
from selfhost.weights.blobs import Blobs
from selfhost.weights.move.types import MoveOptions
from tests.pull_support import Silent, write_repository
from tests.standins.faults import Fault
from tests.standins.hub import Hub

SHARD = "model-00002-of-00003.safetensors"
OPTIONS = MoveOptions(
    connections=4, range_bytes=256 << 10, stall_s=0.4, connect_s=2.0, attempts=3, backoff_s=0.01, backoff_max_s=0.05
)
HEALED = [
    pytest.param(Fault("cut", path=SHARD, after_bytes=100_000, times=3), id="cut after some bytes"),
    pytest.param(Fault("cut", path=SHARD, after_bytes=0, times=2), id="cut before the first byte"),
    pytest.param(Fault("reset", path=SHARD, after_bytes=70_000, times=2), id="reset"),
    pytest.param(Fault("stall", path=SHARD, after_bytes=50_000, times=1), id="stall"),
    pytest.param(Fault("silence", path=SHARD, times=1), id="silence"),
    pytest.param(Fault("drop", path=SHARD, times=2), id="dropped before an answer"),
    pytest.param(Fault("flip", path=SHARD, offset=300_001, times=1), id="one flipped bit, once"),
    pytest.param(Fault("content_range", path=SHARD, times=1), id="wrong Content-Range"),
    pytest.param(Fault("wrong_range", path=SHARD, times=1), id="other bytes than asked for"),
    pytest.param(Fault("no_range", path=SHARD), id="no range support"),
    pytest.param(Fault("status", path=SHARD, status=503, retry_after="0", times=2), id="503 with Retry-After"),
    pytest.param(Fault("status", path=SHARD, status=429, times=2), id="429"),
    pytest.param(Fault("status", path=SHARD, status=500, times=2), id="500"),
    pytest.param(Fault("etag", path=SHARD, times=1, skip=1), id="changed ETag, same bytes"),
    pytest.param(Fault("empty", path=SHARD, times=2), id="empty body"),
    pytest.param(Fault("content_length", path=SHARD, times=1), id="Content-Length larger than the body"),
    pytest.param(Fault("chunked", path=SHARD), id="chunked"),
    pytest.param(Fault("portal", path=SHARD, times=1), id="a login page instead of the file"),
    pytest.param(Fault("expire", path=SHARD, uses=1), id="signed URLs that expire"),
]
REFUSED = [
    pytest.param(Fault("flip", path=SHARD, offset=300_001), 5, id="one flipped bit, always"),
    pytest.param(Fault("replace", path=SHARD), 5, id="other content"),
    pytest.param(Fault("status", path=SHARD, status=503), 7, id="503 for ever"),
    pytest.param(Fault("status", path=SHARD, status=404), 7, id="404"),
    pytest.param(Fault("drop", path=SHARD), 7, id="dropped for ever"),
    pytest.param(Fault("stall", path=SHARD, after_bytes=0), 7, id="stalled for ever"),
    pytest.param(Fault("empty", path=SHARD), 7, id="empty for ever"),
    pytest.param(Fault("redirect", path=f"/org/tiny/resolve/*/{SHARD}", method="*"), 7, id="redirected in a circle"),
]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    write_repository(tmp_path / "hub" / "org" / "tiny", shard_bytes=3_000_000)
    with Hub(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def bring():
    home = find_home()
    return pull.pull(wanted.find("org/tiny", home), pull.PullRequest(), home, OPTIONS, Silent())


def assert_all_right(root, pulled):
    for file in pulled.lock.files:
        data = (root / "org" / "tiny" / file.path).read_bytes()
        assert (pulled.wanted.directory / file.path).read_bytes() == data
        assert hashlib.sha256(data).hexdigest() == file.sha256


def assert_nothing_half_made(home):
    """Under final names there is only what is whole; and no model."""
    assert not (home / "models" / "org" / "tiny").exists()
    blobs = Blobs(home / "blobs")
    for sha256 in blobs.digests():
        assert hashlib.sha256(blobs.path(sha256).read_bytes()).hexdigest() == sha256


@pytest.mark.parametrize("fault", HEALED)
def test_what_passes_leaves_the_right_bytes(fault, hub, home, tmp_path):
    hub.add(fault)
    pulled = bring()
    assert_all_right(tmp_path / "hub", pulled)
    assert list((home / "blobs" / "partial").glob("*.part")) == []
    assert json.loads((pulled.wanted.directory / "selfhost-model.json").read_text())["schema_version"] == 1


@pytest.mark.parametrize(("fault", "code"), REFUSED)
def test_what_stays_is_refused_and_goes_on_later(fault, code, hub, home, tmp_path):
    hub.add(fault)
    with pytest.raises(SelfhostError) as refused:
        bring()
    assert (refused.value.code, SHARD in str(refused.value.message.what + refused.value.message.why)) == (code, True)
    assert_nothing_half_made(home)
    hub.clear()
    pulled = bring()
    assert_all_right(tmp_path / "hub", pulled)
    # What came in the first run is not fetched again, but for a range under way on each connection; what was wrong was
    # fetched twice there, and again.
    wasted = hub.sent_bytes - pulled.lock.total_bytes
    wrong = 2 * (tmp_path / "hub" / "org" / "tiny" / SHARD).stat().st_size if code == 5 else 0
    assert wasted <= wrong + OPTIONS.connections * OPTIONS.range_bytes


def test_a_token_is_asked_for_and_never_shown(hub, home, tmp_path, monkeypatch):
    with Hub(tmp_path / "hub", token="hf_right") as closed:
        monkeypatch.setenv("HF_ENDPOINT", closed.url)
        monkeypatch.setenv("HF_TOKEN", "hf_wrong_secret")
        talk = Silent()
        with contextlib.suppress(SelfhostError):
            home_ = find_home()
            pull.pull(wanted.find("org/tiny", home_), pull.PullRequest(), home_, OPTIONS, talk)
            pytest.fail("a wrong token was enough")
        assert "hf_wrong_secret" not in "\n".join(talk.said)
        assert_nothing_half_made(home)
        monkeypatch.setenv("HF_TOKEN", "hf_right")
        assert_all_right(tmp_path / "hub", bring())
