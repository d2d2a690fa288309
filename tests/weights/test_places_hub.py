"""The hub by its own client, against a small server of its API."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from selfhost import __version__, offline
from selfhost.errors import IncompleteError, IntegrityError, MissingError, SelfhostError, TrustError, UsageError
from selfhost.weights.places.hub import Hub
from selfhost.weights.remote import RemoteFile
from tests.weights.places_server import Reply, as_json, closed_port, serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"
INFO = {
    "id": "org/m",
    "sha": COMMIT,
    "siblings": [
        {"rfilename": "config.json", "size": 2, "blobId": "9e26dfeeb6e641a33dae4961196235bdb965b21b"},
        {
            "rfilename": "model.safetensors",
            "size": 7,
            "blobId": "f" * 40,
            "lfs": {"sha256": "AB" * 32, "size": 7, "pointerSize": 130},
        },
    ],
}
TOKEN = "hf_secretsecretsecret"


@pytest.fixture
def server():
    with serving() as found:
        found.replies["/api/models/org/m/revision/v1"] = found.replies["/api/models/org/m"] = as_json(INFO)
        yield found


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    """No token and no setting of the developer's."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    for name in ("TRANSFORMERS_OFFLINE", "HUGGING_FACE_HUB_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "tokens"))
    # What a place changes for the process ends with the test.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", constants.HF_HUB_DISABLE_TELEMETRY)
    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", _http._GLOBAL_CLIENT_FACTORY)


def place(server, **rest):
    return Hub("org/m", rest.pop("revision", None), endpoint=server.url, **rest)


def never(_seconds):
    pytest.fail("waited for what does not change")


def test_files_are_listed_with_the_digests_that_the_hub_has_of_their_content(server):
    listing = place(server).listing()
    assert (listing.origin.kind, listing.origin.id, listing.origin.revision) == ("huggingface", "org/m", COMMIT)
    assert listing.files == (
        RemoteFile(path="config.json", size=2, git_sha1="9e26dfeeb6e641a33dae4961196235bdb965b21b"),
        RemoteFile(path="model.safetensors", size=7, sha256="ab" * 32),
    )
    (asked,) = server.asked
    assert asked.query == {"blobs": "true"}
    assert asked.headers["user-agent"].startswith(f"selfhost/{__version__}; hf_hub/")
    assert "authorization" not in asked.headers


def test_another_commit_than_the_one_asked_for_is_refused(server):
    other = "f" * 40
    server.replies[f"/api/models/org/m/revision/{other}"] = as_json(INFO)
    server.replies[f"/api/models/org/m/revision/{COMMIT}"] = as_json(INFO)
    assert place(server, revision=COMMIT).listing().origin.revision == COMMIT
    with pytest.raises(IntegrityError) as refused:
        place(server, revision=other).listing()
    assert refused.value.message.why == f"wanted {other}, found {COMMIT}"


def test_addresses_are_of_the_commit_of_the_listing(server):
    found = place(server, revision="v1")
    found.listing()
    address = found.address("a b/c#d.json")
    assert address.url == f"{server.url}/org/m/resolve/{COMMIT}/a%20b/c%23d.json"
    assert address.headers == {"User-Agent": f"selfhost/{__version__}"}
    assert place(server, revision="refs/pr/1").address("x").url == f"{server.url}/org/m/resolve/refs%2Fpr%2F1/x"


def test_the_token_goes_to_the_hub_and_into_addresses(server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    found = place(server)
    found.listing()
    assert server.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert found.address("x").headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_token_file_counts_and_no_token_can_be_wished_for(server, monkeypatch, tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert place(server).address("x").headers["Authorization"] == f"Bearer {TOKEN}"
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    found = place(server)
    found.listing()
    assert "Authorization" not in found.address("x").headers
    assert "authorization" not in server.asked[0].headers


def test_a_password_in_the_endpoint_is_sent_and_never_shown(server):
    found = Hub("org/m", None, endpoint=server.url.replace("http://", "http://user:pass@"))
    found.listing()
    assert server.asked[0].headers["authorization"] == "Basic dXNlcjpwYXNz"
    address = found.address("x")
    assert address.headers["Authorization"] == "Basic dXNlcjpwYXNz"
    assert "pass" not in address.url + found.label


@pytest.mark.parametrize(("code", "given"), [("GatedRepo", False), ("", True)])
def test_a_gated_model_can_be_listed_and_one_of_its_files_tells_whether_it_is_given(server, code, given):
    server.replies["/api/models/org/m"] = as_json({**INFO, "gated": "auto"})
    server.replies[f"/org/m/resolve/{COMMIT}/config.json"] = Reply(200 if given else 403, b"", {"X-Error-Code": code})
    if given:
        assert place(server).listing().files
        return
    with pytest.raises(TrustError) as caught:
        place(server).listing()
    assert f"{server.url}/org/m" in caught.value.message.hint


CODES = {
    "no model": (Reply(404, b"", {"X-Error-Code": "RepoNotFound"}), UsageError, "places.unknown_model"),
    "no model, to strangers": (
        Reply(401, b"", {"X-Error-Code": "RepoNotFound"}),
        UsageError,
        "places.unknown_model",
    ),
    "a mirror's 404": (Reply(404), UsageError, "places.unknown_model"),
    "no revision": (Reply(404, b"", {"X-Error-Code": "RevisionNotFound"}), UsageError, "places.unknown_revision"),
    "gated": (Reply(403, b"", {"X-Error-Code": "GatedRepo"}), TrustError, "places.gated"),
    "a token is wanted": (Reply(401), MissingError, "places.token_wanted"),
    "teapot": (Reply(418), IncompleteError, "places.bad_answer"),
    "a login page": (Reply(200, b"<html>"), IncompleteError, "places.not_json"),
    "an empty repository": (as_json({**INFO, "siblings": []}), IntegrityError, "places.empty_listing"),
}


@pytest.mark.parametrize(("reply", "kind", "message"), CODES.values(), ids=CODES)
def test_what_the_hub_refuses_is_told_at_once_with_what_to_do(server, reply, kind, message):
    server.replies["/api/models/org/m"] = reply
    with pytest.raises(kind) as caught:
        place(server).listing(never)
    assert caught.value.message.id == message
    assert caught.value.message.hint
    assert "org/m" in str(caught.value)


@pytest.mark.parametrize("reply", [Reply(401), Reply(403), Reply(500), Reply(404), Reply(200, b"<html>")])
def test_a_token_is_in_no_message(server, monkeypatch, reply):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.replies["/api/models/org/m"] = reply
    with pytest.raises(SelfhostError) as caught:
        place(server).listing(lambda _: None)
    message = caught.value.message
    assert TOKEN not in message.what + message.why + message.hint + repr(message.params)
    if reply.status == 401:
        assert message.id == "places.token_refused"


def test_what_may_pass_is_asked_again_after_as_long_as_the_hub_says(server):
    waited = []
    server.replies["/api/models/org/m"] = [Reply(503), Reply(429, b"", {"Retry-After": "7"}), as_json(INFO)]
    assert place(server).listing(waited.append).origin.revision == COMMIT
    assert waited == [1, 7]


def test_a_hub_that_stays_down_is_given_up(server):
    server.replies["/api/models/org/m"] = Reply(503)
    with pytest.raises(IncompleteError) as caught:
        place(server).listing(lambda _: None)
    assert caught.value.message.id == "places.bad_answer"
    assert len(server.asked) == 3


def test_nobody_there_is_told_with_the_address_and_ways_around():
    url = closed_port()
    with pytest.raises(IncompleteError) as caught:
        Hub("org/m", None, endpoint=url).listing(never)
    message = caught.value.message
    assert message.why == f"{url}: connection refused"
    for way in ("HF_ENDPOINT=", "--source modelscope", "--source DIRECTORY"):
        assert way in message.hint


def test_offline_no_other_machine_is_asked(monkeypatch):
    monkeypatch.setenv(offline.VARIABLE, "1")
    found = Hub("org/m", None)
    for ask in (found.listing, lambda: found.address("x")):
        with pytest.raises(IncompleteError) as caught:
            ask()
        assert caught.value.message.id == "places.offline"


def test_offline_a_hub_on_this_machine_is_asked_whatever_its_client_thinks(server, monkeypatch):
    from huggingface_hub import constants

    offline.set_offline(environ := {})
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert place(server).listing().origin.revision == COMMIT


def test_offline_a_redirect_to_another_machine_is_refused(server, monkeypatch):
    monkeypatch.setenv(offline.VARIABLE, "1")
    server.replies["/api/models/org/m"] = Reply(302, b"", {"Location": "https://huggingface.co/api/models/org/m"})
    with pytest.raises(IncompleteError) as caught:
        place(server).listing(never)
    assert caught.value.message.id == "places.offline"


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_the_hubs_own_switch_is_kept_to_and_named(variable, monkeypatch):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(IncompleteError) as caught:
        Hub("org/m", None).listing(never)
    assert caught.value.message.id == "places.hub_offline"
    assert variable in str(caught.value)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (None, "Hugging Face"),
        ("", "Hugging Face"),
        ("https://huggingface.co/", "Hugging Face"),
        ("https://hf-mirror.com/", "Hugging Face at https://hf-mirror.com"),
    ],
)
def test_the_endpoint_is_that_of_the_environment(value, label, monkeypatch):
    if value is not None:
        monkeypatch.setenv("HF_ENDPOINT", value)
    assert Hub("org/m", None).label == label


@pytest.mark.parametrize("value", ["hf-mirror.com", "ftp://x", "http://", "https://a b", "http://x:99999"])
def test_an_endpoint_that_is_no_address_is_told(value, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", value)
    with pytest.raises(UsageError) as caught:
        Hub("org/m", None)
    assert caught.value.message.id == "places.bad_endpoint"
    assert "HF_ENDPOINT" in caught.value.message.why


@pytest.mark.parametrize("model", ["", "a/b/c", "a b", "../x y", "org/m?x", "org/"])
def test_an_id_that_is_none_is_told(model):
    with pytest.raises(UsageError) as caught:
        Hub(model, None)
    assert caught.value.message.id == "places.bad_id"


def test_the_hubs_own_rules_for_ids_are_told_too(server):
    with pytest.raises(UsageError) as caught:
        Hub("org/a..b", None, endpoint=server.url).listing(never)
    assert caught.value.message.id == "places.bad_id"
    assert server.asked == []


@pytest.mark.slow
def test_a_proxy_is_asked_for_other_machines_and_never_for_this_one(server):
    """In a process of its own: clients read the environment when they are made."""
    server.replies["/api/models/org/m"] = as_json(INFO)
    code = (
        "import sys; from selfhost.weights.places.hub import Hub\n"
        "print(Hub('org/m', None, endpoint=sys.argv[1]).listing().origin.revision)"
    )

    def run(endpoint, proxy):
        return subprocess.run(
            [sys.executable, "-c", code, endpoint],
            env={"PYTHONPATH": ":".join(sys.path), "HOME": "/nowhere", "http_proxy": proxy, "HF_HUB_OFFLINE": "0"},
            capture_output=True,
            text=True,
            check=False,
        )

    nobody = closed_port()
    assert run(server.url, nobody).stdout.strip() == COMMIT
    # A proxy gets the whole address as its path; the server here answers by path alone.
    server.replies["http://hub.invalid/api/models/org/m"] = as_json(INFO)
    via = run("http://hub.invalid", server.url)
    asked = json.dumps([one.path for one in server.asked])
    assert via.stdout.strip() == COMMIT, via.stderr + asked


def test_making_a_place_imports_no_client():
    code = (
        "import sys; from selfhost.weights.places.pick import of_hub_id\n"
        "of_hub_id('a/b', None)[0].open()\n"
        "print('huggingface_hub' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
