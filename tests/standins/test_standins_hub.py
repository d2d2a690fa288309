"""The hub's stand-in is true to its protocol: the real client works with it, and fails as it does with the real one."""

from __future__ import annotations

import hashlib
import threading
import urllib.error
import urllib.request
from types import SimpleNamespace

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import errors

from tests.standins.faults import Fault
from tests.standins.hub import Hub, resolve_url
from tests.standins.sample import CONFIG, DEEP, FILES, SHARD, SMALL, WEIGHTS, content, write

MODEL = "org/name"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture(autouse=True)
def _closed_client():
    """The client keeps its connections for the process; here they end with the test."""
    yield
    huggingface_hub.close_session()


@pytest.fixture
def hub(root):
    with Hub(root) as hub:
        yield hub


def api(hub, token=None) -> huggingface_hub.HfApi:
    return huggingface_hub.HfApi(endpoint=hub.url, token=token or False)


def download(hub, tmp_path, file=SHARD, **given):
    given = {"token": False, "cache_dir": tmp_path / "cache"} | given
    return huggingface_hub.hf_hub_download(MODEL, file, endpoint=hub.url, **given)


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def test_model_info_lists_sizes_and_digests(hub):
    info = api(hub).model_info(MODEL, files_metadata=True)
    files = {sibling.rfilename: sibling for sibling in info.siblings}
    assert {path: file.size for path, file in files.items()} == {path: len(data) for path, data in FILES.items()}
    assert (info.id, len(info.sha)) == (MODEL, 40)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize {len(WEIGHTS)}\n".encode()
    assert (files[SHARD].lfs.sha256, files[SHARD].lfs.size) == (SHA256, len(WEIGHTS))
    assert (files[SHARD].lfs.pointer_size, files[SHARD].blob_id) == (len(pointer), git_blob(pointer))
    assert (files[SMALL].lfs, files[SMALL].blob_id) == (None, git_blob(CONFIG))


def test_model_info_without_metadata_has_names_only(hub):
    siblings = api(hub).model_info(MODEL).siblings
    assert {(sibling.rfilename, sibling.size) for sibling in siblings} == {(path, None) for path in FILES}


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_trees_come_in_pages(root, page_size):
    with Hub(root, page_size=page_size) as hub:
        entries = {entry.path: entry for entry in api(hub).list_repo_tree(MODEL, recursive=True)}
        assert set(entries) == {*FILES, "sub", "sub/deep"}
        assert (entries[SHARD].lfs.sha256, entries[SMALL].blob_id) == (SHA256, git_blob(CONFIG))
        assert len(hub.requests) == {1: 6, 2: 3, 1000: 1}[page_size]
        assert [entry.path for entry in api(hub).list_repo_tree(MODEL, "sub/deep")] == [DEEP]
        assert {entry.path for entry in api(hub).list_repo_tree(MODEL)} == {*FILES, "sub"} - {DEEP}


@pytest.mark.parametrize("signed", [False, True])
def test_a_snapshot_comes_whole(root, tmp_path, signed):
    with Hub(root, signed=signed) as hub:
        huggingface_hub.snapshot_download(MODEL, endpoint=hub.url, token=False, local_dir=tmp_path / "got")
        assert content(tmp_path / "got") == FILES
        assert [request.file for request in hub.requests if request.listener == "cdn"] == [SHARD] * signed


def test_a_commit_and_a_named_revision_are_what_they_were(root, tmp_path):
    write(tmp_path / "v2", {SMALL: b"second"})
    with Hub(root, revisions={f"{MODEL}@refs/pr/1": tmp_path / "v2"}) as hub:
        first, second = (api(hub).model_info(MODEL, revision=name).sha for name in ("main", "refs/pr/1"))
        assert first != second
        for revision, data in ((first, CONFIG), (second, b"second"), ("refs/pr/1", b"second"), ("main", CONFIG)):
            with open(download(hub, tmp_path, SMALL, revision=revision), "rb") as stream:  # noqa: PTH123 - a str
                assert stream.read() == data


def test_the_commit_follows_from_the_content(hub, root):
    before = api(hub).model_info(MODEL).sha
    assert api(hub).model_info(MODEL).sha == before
    (root / MODEL / SMALL).write_bytes(b'{"model_type": "else"}')
    assert api(hub).model_info(MODEL).sha != before
    with pytest.raises(errors.RevisionNotFoundError):
        api(hub).model_info(MODEL, revision=before)


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda hub, _: api(hub).model_info("org/absent"), errors.RepositoryNotFoundError),
        (lambda hub, _: api(hub, "some").model_info("org/absent"), errors.RepositoryNotFoundError),
        (lambda hub, _: api(hub).model_info(MODEL, revision="absent"), errors.RevisionNotFoundError),
        (lambda hub, _: list(api(hub).list_repo_tree(MODEL, "absent")), errors.EntryNotFoundError),
        (lambda hub, path: download(hub, path, "absent.json"), errors.EntryNotFoundError),
        (lambda hub, path: download(hub, path, revision="absent"), errors.RevisionNotFoundError),
    ],
    ids=["model", "model with token", "revision", "folder", "file", "revision of file"],
)
def test_what_is_not_there_is_said_as_the_hub_says_it(hub, tmp_path, ask, error):
    with pytest.raises(error):
        ask(hub, tmp_path)


def test_a_private_model_needs_the_token(root, tmp_path):
    with Hub(root, token="secret") as hub:
        with pytest.raises(errors.RepositoryNotFoundError):
            api(hub).model_info(MODEL)
        with pytest.raises(errors.HfHubHTTPError, match="401") as wrong:
            api(hub, "wrong").model_info(MODEL)
        assert not isinstance(wrong.value, errors.RepositoryNotFoundError)
        assert api(hub, "secret").model_info(MODEL).private
        assert download(hub, tmp_path, token="secret")


def test_a_gated_model_is_listed_and_not_given(root, tmp_path):
    with Hub(root, gated=[MODEL]) as hub:
        assert api(hub).model_info(MODEL).gated == "manual"
        for token in (False, "without-access"):
            with pytest.raises(errors.GatedRepoError):
                download(hub, tmp_path, token=token)


def test_the_token_stays_on_the_hub(root, tmp_path):
    with Hub(root, token="secret", signed=True) as hub:
        download(hub, tmp_path, token="secret")
        seen = {request.listener: request.headers.get("authorization") for request in hub.requests}
        assert seen == {"main": "Bearer secret", "cdn": None}


def test_the_client_goes_on_after_a_cut(hub, root, tmp_path):
    # It keeps what came in pieces of 10 MiB and asks for the rest.
    large, kept, cut = WEIGHTS * 14, 10 << 20, 12_345_678
    write(root / MODEL, {SHARD: large})
    hub.add(Fault("cut", after_bytes=cut, times=1))
    with open(download(hub, tmp_path), "rb") as stream:  # noqa: PTH123 - a str
        assert stream.read() == large
    assert [request.range for request in hub.requests if request.method == "GET"] == [None, (kept, len(large))]
    assert hub.sent_bytes == cut + len(large) - kept


def test_the_client_gives_up_when_every_answer_is_cut(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=lambda _: None))
    hub.add(Fault("cut", after_bytes=1000))
    with pytest.raises(httpx2.RemoteProtocolError):
        download(hub, tmp_path)
    assert hub.sent_bytes == 6 * 1000


def test_the_client_takes_a_flipped_byte_for_good(hub, tmp_path):
    # As in reality: it checks sizes only. What selfhost does better has to be measured against this.
    hub.add(Fault("flip", offset=1000))
    with open(download(hub, tmp_path), "rb") as stream:  # noqa: PTH123 - a str
        assert stream.read() == WEIGHTS[:1000] + bytes([WEIGHTS[1000] ^ 1]) + WEIGHTS[1001:]


def test_the_client_refuses_another_size(hub, tmp_path):
    hub.add(Fault("replace", content=b"short"))
    with pytest.raises(OSError, match="Consistency check failed"):
        download(hub, tmp_path)


def test_faults_of_the_api_are_chosen_by_the_path_of_the_url(hub):
    hub.add(Fault("status", path="/api/models/*", status=500, times=1))
    with pytest.raises(errors.HfHubHTTPError, match="500"):
        api(hub).model_info(MODEL)
    assert api(hub).model_info(MODEL)
    assert [request.fault for request in hub.requests] == ["status", None]


def raw(url: str, headers=None) -> tuple[int, bytes, str]:
    """Status, body, and where it came from; redirects are followed."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as response:
            return response.status, response.read(), response.url
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.url


def test_a_signed_url_gives_ranges_and_expires_after_its_uses(root):
    with Hub(root, signed=True, faults=[Fault("expire", uses=2)]) as hub:
        address = resolve_url(hub.url, MODEL, "main", SHARD)
        status, body, signed = raw(address, {"Range": "bytes=5-9"})
        assert (status, body, signed.startswith(f"{hub.cdn_url}/signed/")) == (206, WEIGHTS[5:10], True)
        assert [raw(signed)[0] for _ in range(2)] == [200, 403]
        assert raw(address)[0] == 200
        assert raw(signed.replace("signature=", "signature=f"))[0] == 403


def test_a_signed_url_expires_with_time_and_refuses_a_token(root):
    with Hub(root, signed=True, signed_s=0) as hub:
        status, body, _ = raw(resolve_url(hub.url, MODEL, "main", SHARD))
        assert (status, b"Request has expired" in body) == (403, True)
    with Hub(root, signed=True) as hub:
        signed = raw(resolve_url(hub.url, MODEL, "main", SHARD))[2]
        assert raw(signed, {"Authorization": "Bearer x"})[0] == 400


def test_body_faults_meet_the_signed_url_and_url_faults_the_redirect(root):
    with Hub(root, signed=True) as hub:
        address = resolve_url(hub.url, MODEL, "main", SHARD)
        hub.add(Fault("status", path=SHARD, times=1))
        hub.add(Fault("status", path="/org/name/resolve/*", status=500, times=1))
        assert [raw(address)[0] for _ in range(3)] == [500, 503, 200]
        assert [request.listener for request in hub.requests] == ["main", "main", "cdn", "main", "cdn"]


def test_small_files_are_not_behind_signed_urls(root):
    with Hub(root, signed=True) as hub:
        assert raw(resolve_url(hub.url, MODEL, "main", SMALL)) == (
            200,
            CONFIG,
            f"{hub.url}/{MODEL}/resolve/main/{SMALL}",
        )


def test_eight_clients_at_once_get_what_they_asked_for(hub):
    address, wrong = resolve_url(hub.url, MODEL, "main", SHARD), []

    def ask(begin):
        for place in range(begin, len(WEIGHTS), 8 * 16_000):
            asked = {"Range": f"bytes={place}-{place + 15_999}"}
            if raw(address, asked)[:2] != (206, WEIGHTS[place : place + 16_000]):
                wrong.append(place)

    clients = [threading.Thread(target=ask, args=(number * 16_000,)) for number in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert (wrong, hub.sent_bytes) == ([], len(WEIGHTS))
