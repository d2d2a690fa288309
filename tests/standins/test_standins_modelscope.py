"""ModelScope's stand-in is true to its protocol; the real client is in an environment of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import urllib.error
import urllib.request

import pytest

from tests.conftest import missing
from tests.standins.faults import Fault
from tests.standins.modelscope import ModelScope, file_url
from tests.standins.sample import CONFIG, DEEP, FILES, SHARD, SMALL, WEIGHTS, content, write

MODEL = "org/name"
SNAPSHOT = """
import sys
from modelscope import snapshot_download
endpoint, target, revision, token = sys.argv[1:]
snapshot_download("org/name", revision=revision or None, local_dir=target, endpoint=endpoint, token=token or None)
"""


def get(url: str, headers=None) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def listed(scope, query="Revision=master&Recursive=True") -> dict[str, dict]:
    status, body = get(f"{scope.url}/api/v1/models/{MODEL}/repo/files?{query}")
    assert status == 200, body
    return {entry["Path"]: entry for entry in json.loads(body)["Data"]["Files"]}


def test_files_are_listed_with_sizes_and_digests(root):
    with ModelScope(root) as scope:
        files = listed(scope)
        blobs = {path: entry for path, entry in files.items() if entry["Type"] == "blob"}
        assert set(files) - set(blobs) == {"sub", "sub/deep"}
        assert {path: (entry["Size"], entry["Sha256"]) for path, entry in blobs.items()} == {
            path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in FILES.items()
        }
        assert set(listed(scope, "Revision=master&Root=sub")) == {"sub/deep"}
        assert set(listed(scope, "Recursive=True&Root=sub")) == {"sub/deep", DEEP}


@pytest.mark.parametrize(("digests", "sha256"), [("none", ""), ("of_nothing", hashlib.sha256().hexdigest())])
def test_digests_can_be_useless(root, digests, sha256):
    with ModelScope(root, digests=digests) as scope:
        assert {entry["Sha256"] for entry in listed(scope).values() if entry["Type"] == "blob"} == {sha256}


def test_files_come_by_branch_name_and_commit(root, tmp_path):
    write(tmp_path / "v2", {SMALL: b"second"})
    with ModelScope(root, revisions={f"{MODEL}@v2": tmp_path / "v2"}) as scope:
        body = json.loads(get(f"{scope.url}/api/v1/models/{MODEL}/revisions")[1])["Data"]["RevisionMap"]
        assert [[entry["Revision"] for entry in body[kind]] for kind in ("Branches", "Tags")] == [["master"], ["v2"]]
        commit = listed(scope)[SMALL]["Revision"]
        for revision, data in (("master", CONFIG), (commit, CONFIG), ("v2", b"second")):
            assert get(file_url(scope.url, MODEL, revision, SMALL)) == (200, data)


@pytest.mark.parametrize("signed", [False, True])
def test_only_large_files_have_ranges(root, signed):
    with ModelScope(root, signed=signed) as scope:
        asked = {"Range": "bytes=2-5"}
        assert get(file_url(scope.url, MODEL, "master", SHARD), asked) == (206, WEIGHTS[2:6])
        assert get(file_url(scope.url, MODEL, "master", SMALL), asked) == (200, CONFIG)


@pytest.mark.parametrize(
    "path",
    [
        "org/absent/revisions",
        "org/absent/repo/files",
        f"{MODEL}/repo/files?Revision=absent",
        f"{MODEL}/repo?FilePath=x",
    ],
)
def test_what_is_not_there_is_404(root, path):
    with ModelScope(root) as scope:
        status, body = get(f"{scope.url}/api/v1/models/{path}")
        assert (status, json.loads(body)["Success"]) == (404, False)


def test_a_token_is_taken_as_a_header_and_as_a_cookie(root):
    with ModelScope(root, token="secret") as scope:
        url = f"{scope.url}/api/v1/models/{MODEL}/revisions"
        tries = [{}, {"Authorization": "Bearer secret"}, {"Cookie": "a=b; m_session_id=secret"}, {"Cookie": "secret"}]
        assert [get(url, headers)[0] for headers in tries] == [401, 200, 200, 401]


@pytest.fixture
def snapshot(tmp_path):
    """Runs the client's own `snapshot_download`: `snapshot(scope)` gives its result and where the files are."""
    python = os.environ.get("SELFHOST_TEST_MODELSCOPE_PYTHON")
    if not python:
        missing(
            "the ModelScope client",
            "`pip install modelscope==1.40.2 setuptools` into an environment of its own, name its Python in "
            "SELFHOST_TEST_MODELSCOPE_PYTHON",
        )

    def run(scope, revision="", token=""):
        argv = [python, "-c", SNAPSHOT, scope.url, str(tmp_path / "got"), revision, token]
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MODELSCOPE_CACHE": str(tmp_path / "cache")}
        result = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
        return result, content(tmp_path / "got")

    return run


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
def test_the_client_gets_a_snapshot(root, snapshot, signed):
    with ModelScope(root, token="secret", signed=signed) as scope:
        result, got = snapshot(scope, token="secret")
        assert (result.returncode, got) == (0, FILES), result.stderr
        on_cdn = [request for request in scope.requests if request.listener == "cdn"]
        assert ([request.file for request in on_cdn], signed) == ([SHARD] * signed, signed)


@pytest.mark.slow
def test_the_client_gets_a_commit(root, snapshot):
    with ModelScope(root) as scope:
        result, got = snapshot(scope, revision=listed(scope)[SMALL]["Revision"])
        assert (result.returncode, got) == (0, FILES), result.stderr


@pytest.mark.slow
def test_the_client_goes_on_after_a_cut(root, snapshot):
    with ModelScope(root, faults=[Fault("cut", path=SHARD, after_bytes=400_000, times=1)]) as scope:
        result, got = snapshot(scope)
        assert (result.returncode, got) == (0, FILES), result.stderr
        ranges = [request.range for request in scope.requests if request.file == SHARD]
        assert ranges == [None, (400_000, len(WEIGHTS))]


@pytest.mark.slow
def test_the_client_refuses_a_flipped_byte(root, snapshot):
    with ModelScope(root, faults=[Fault("flip", path=SHARD, offset=1000)]) as scope:
        result, got = snapshot(scope)
        assert (result.returncode, SHARD in got, "Hash mismatch" in result.stderr) == (1, False, True), result.stderr


@pytest.mark.slow
def test_the_client_fails_for_what_is_not_there(root, snapshot):
    with ModelScope(root) as scope:
        result, got = snapshot(scope, revision="absent")
        assert (result.returncode, got, "not found" in result.stderr) == (1, {}, True), result.stderr
