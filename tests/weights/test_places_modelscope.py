"""ModelScope's API, against a small server of it."""

from __future__ import annotations

import hashlib

import pytest

from selfhost.errors import IncompleteError, IntegrityError, MissingError, SelfhostError, UsageError
from selfhost.weights.places import modelscope
from selfhost.weights.places.modelscope import ModelScope
from selfhost.weights.remote import RemoteFile
from tests.weights.places_server import Reply, as_json, closed_port, serving

FILES = "/api/v1/models/org/m/repo/files"
HEAD, OLD = "83ee97c6" + "0" * 32, "f194f509" + "0" * 32
TOKEN = "ms-secretsecret"


def entry(path, size=1, sha256=None, revision=OLD, kind="blob"):
    return {"Path": path, "Name": path.rpartition("/")[2], "Type": kind, "Size": size, "Revision": revision} | (
        {} if sha256 is None else {"Sha256": sha256}
    )


def listed(*entries, latest=None):
    return as_json({"Code": 200, "Success": True, "Data": {"Files": list(entries), "LatestCommitter": latest}})


@pytest.fixture
def server():
    with serving() as found:
        found.replies[FILES] = listed(entry("config.json"))
        yield found


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    for name in ("MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN", "MODELSCOPE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def place(server, revision=None):
    return ModelScope("org/m", revision, endpoint=server.url)


def never(_seconds):
    pytest.fail("waited for what does not change")


def test_files_are_listed_and_a_digest_that_is_empty_is_none(server):
    server.replies[FILES] = listed(
        entry("sub", kind="tree"),
        entry("sub/b.json", 2, ""),
        entry("a.safetensors", 3, "AB" * 32),
        entry("c.json", 0),
        entry("d.json", None, "e3b0"),
        entry("e.json", 9, hashlib.sha256(b"").hexdigest()),
        entry("f.json", 0, hashlib.sha256(b"").hexdigest()),
    )
    listing = place(server).listing()
    assert listing.files == (
        RemoteFile(path="a.safetensors", size=3, sha256="ab" * 32),
        RemoteFile(path="c.json", size=0),
        RemoteFile(path="d.json"),
        RemoteFile(path="e.json", size=9),
        RemoteFile(path="f.json", size=0, sha256=hashlib.sha256(b"").hexdigest()),
        RemoteFile(path="sub/b.json", size=2),
    )
    assert (listing.origin.kind, listing.origin.id) == ("modelscope", "org/m")
    assert server.asked[0].query == {"Revision": "master", "Recursive": "True"}


@pytest.mark.parametrize(
    ("latest", "revision", "commit"),
    [
        ({"Id": HEAD, "ShortId": HEAD[:8]}, None, HEAD),
        ({"Id": "", "ShortId": HEAD[:8]}, None, HEAD),
        ({"Id": "", "ShortId": "dddddddd"}, None, None),
        (None, None, None),
        ({"Name": "somebody"}, "v1.0", None),
        (None, OLD, OLD),
    ],
    ids=["told", "told in short", "in short, by no file", "untold", "a tag", "asked for by name"],
)
def test_the_revision_is_a_commit_where_the_api_tells_one(server, latest, revision, commit):
    server.replies[FILES] = listed(entry("a", revision=OLD), entry("b", revision=HEAD), latest=latest)
    found = place(server, revision)
    assert found.listing().origin.revision == commit
    wanted = commit or revision or "master"
    assert found.address("x").url == f"{server.url}/api/v1/models/org/m/repo?Revision={wanted}&FilePath=x"


def test_addresses_are_quoted(server):
    assert place(server, "a b").address("c&d/e f.json").url.endswith("repo?Revision=a+b&FilePath=c%26d%2Fe+f.json")


def test_a_listing_as_long_as_one_answer_may_be_is_asked_folder_by_folder(server, monkeypatch):
    monkeypatch.setattr(modelscope, "PAGE_FILES", 3)
    tree = {
        "": [entry("sub", kind="tree"), entry("a")],
        "sub": [entry("sub/deep", kind="tree"), entry("sub/b")],
        "sub/deep": [entry("sub/deep/c"), entry("sub/deep/d")],
    }

    def answer(asked):
        if asked.query["Recursive"] == "True":
            return listed(*tree[""], entry("sub/b"))  # three, and silent about the rest
        return listed(*tree[asked.query.get("Root", "")])

    server.replies[FILES] = answer
    assert [file.path for file in place(server).listing().files] == ["a", "sub/b", "sub/deep/c", "sub/deep/d"]
    tree["sub/deep"].append(entry("sub/deep/e"))
    with pytest.raises(IncompleteError) as caught:
        place(server).listing()
    assert caught.value.message.id == "places.too_many"
    assert "sub/deep" in caught.value.message.why


def test_the_token_goes_along_as_the_client_sends_it_and_into_no_message(server, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKEN)
    found = place(server)
    found.listing()
    headers = server.asked[0].headers
    assert (headers["authorization"], headers["cookie"]) == (f"Bearer {TOKEN}", f"m_session_id={TOKEN}")
    assert found.address("x").headers["Authorization"] == f"Bearer {TOKEN}"
    server.replies[FILES] = as_json({"Code": 401}, 401)
    with pytest.raises(MissingError) as caught:
        found.listing(never)
    message = caught.value.message
    assert message.id == "places.token_refused"
    assert TOKEN not in message.what + message.why + message.hint + repr(message.params)


CODES = {
    "no model": (as_json({"Code": 10010205001}, 404), UsageError, "places.unknown_model"),
    "no revision": (listed(), UsageError, "places.unknown_revision"),
    "no revision, null": (
        as_json({"Code": 200, "Data": {"Files": None}}),
        UsageError,
        "places.unknown_revision",
    ),
    "a token is wanted": (as_json({"Code": 403}, 403), MissingError, "places.token_wanted"),
    "teapot": (Reply(418), IncompleteError, "places.bad_answer"),
    "a login page": (Reply(200, b"<html>"), IncompleteError, "places.not_json"),
    "data of another form": (as_json({"Data": []}), IncompleteError, "places.not_json"),
    "folders only": (listed(entry("sub", kind="tree")), IntegrityError, "places.empty_listing"),
}


@pytest.mark.parametrize(("reply", "kind", "message"), CODES.values(), ids=CODES)
def test_what_is_refused_is_told_at_once_with_what_to_do(server, reply, kind, message):
    server.replies[FILES] = reply
    with pytest.raises(kind) as caught:
        place(server).listing(never)
    assert caught.value.message.id == message
    assert caught.value.message.hint
    assert "org/m" in str(caught.value)


def test_what_may_pass_is_asked_again(server):
    waited = []
    server.replies[FILES] = [Reply(502), Reply(429, b"", {"Retry-After": "5"}), listed(entry("a"))]
    assert len(place(server).listing(waited.append).files) == 1
    assert waited == [1, 5]


def test_nobody_there_is_told_with_the_address():
    url = closed_port()
    with pytest.raises(IncompleteError) as caught:
        ModelScope("org/m", None, endpoint=url).listing(never)
    assert caught.value.message.why == f"{url}: connection refused"


def test_offline_no_other_machine_is_asked(monkeypatch):
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    with pytest.raises(IncompleteError) as caught:
        ModelScope("org/m", None).listing(never)
    assert caught.value.message.id == "places.offline"


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({}, "https://modelscope.cn"),
        ({"MODELSCOPE_ENDPOINT": "http://10.0.0.1:80/"}, "http://10.0.0.1:80"),
        ({"MODELSCOPE_ENDPOINT": "modelscope.ai", "MODELSCOPE_DOMAIN": "x"}, "https://modelscope.ai"),
        ({"MODELSCOPE_DOMAIN": "www.modelscope.ai"}, "https://www.modelscope.ai"),
    ],
)
def test_the_endpoint_is_read_as_the_client_reads_it(environ, endpoint, monkeypatch):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert modelscope.endpoint_in_force() == endpoint
    assert ModelScope("org/m", None).endpoint == endpoint


@pytest.mark.parametrize("model", ["name-only", "a/b/c", "a/b?x", ""])
def test_an_id_that_is_none_is_told(model):
    with pytest.raises(SelfhostError) as caught:
        ModelScope(model, None)
    assert caught.value.message.id == "places.bad_id"
