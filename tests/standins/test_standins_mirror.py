"""The plain mirror, and the stand-ins as processes."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.standins.mirror import Mirror
from tests.standins.sample import CONFIG, DEEP, FILES, SHARD, SMALL, WEIGHTS

REPOSITORY = Path(__file__).resolve().parents[2]


def get(url: str, headers=None) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_files_are_where_they_lie(root):
    with Mirror(root) as mirror:
        assert {path: get(f"{mirror.url}/org/name/{path}") for path in FILES} == {
            path: (200, data) for path, data in FILES.items()
        }


@pytest.mark.parametrize(
    "path", ["", "org", "org/name", "org/name/absent", "org/name/SHA256SUMS", "org/name/%2e%2e/other/config.json"]
)
def test_the_rest_is_404(root, path):
    with Mirror(root) as mirror:
        assert get(f"{mirror.url}/{path}")[0] == 404


def test_sums_are_those_that_sha256sum_checks(root):
    with Mirror(root, sums=True) as mirror:
        status, body = get(f"{mirror.url}/org/name/SHA256SUMS")
        assert status == 200
        check = subprocess.run(["sha256sum", "--check", "--strict"], cwd=root / "org" / "name", input=body, check=False)
        assert (check.returncode, len(body.splitlines())) == (0, len(FILES))


def test_folders_can_be_listed(root):
    with Mirror(root, index=True) as mirror:
        page = get(f"{mirror.url}/org/name/")[1].decode()
        assert [f'<a href="{name}">' in page for name in (SHARD, SMALL, "sub/", DEEP)] == [True, True, True, False]
        assert 'href="notes.txt"' in get(f"{mirror.url}/org/name/sub/deep/")[1].decode()


def test_a_token_is_for_everything(root):
    with Mirror(root, token="secret", sums=True) as mirror:
        for path in (SMALL, "SHA256SUMS", "absent"):
            assert get(f"{mirror.url}/org/name/{path}")[0] == 401
        assert get(f"{mirror.url}/org/name/{SMALL}", {"Authorization": "Bearer secret"}) == (200, CONFIG)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "path", "more"),
    [
        ("hub", f"org/name/resolve/main/{SHARD}", ["--signed", "--set", '{"page_size": 2}']),
        ("modelscope", f"api/v1/models/org/name/repo?FilePath={SHARD}", ["--set", '{"digests": "none"}']),
        ("mirror", f"org/name/{SHARD}", ["--set", '{"sums": true}']),
    ],
)
def test_a_stand_in_runs_as_a_process(root, tmp_path, kind, path, more):
    fault = json.dumps({"kind": "status", "times": 1})
    argv = [sys.executable, "-m", f"tests.standins.{kind}", "--root", str(root), "--limit-mb-s", "100"]
    argv += ["--token", "secret", "--fault", fault, "--log", str(tmp_path / "log"), *more]
    process = subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip()
        answers = [get(f"{url}/{path}", {"Cookie": "m_session_id=secret"})[0]]
        if kind != "modelscope":
            assert answers == [401]
            answers = [_following(f"{url}/{path}")[0]]
        assert answers == [503]
        status, body = _following(f"{url}/{path}")
        assert (status, hashlib.sha256(body).digest()) == (200, hashlib.sha256(WEIGHTS).digest())
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        process.stdout.close()
    requests = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert sum(request["sent_bytes"] for request in requests) == len(WEIGHTS)


def _following(url: str) -> tuple[int, bytes]:
    """With the token for the first host only: urllib sends headers on to where it is redirected."""
    first = urllib.request.Request(url)
    first.add_unredirected_header("Authorization", "Bearer secret")
    try:
        with urllib.request.urlopen(first) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
