from __future__ import annotations

import json
from dataclasses import replace

import pytest

from selfhost.bundle import canonical
from selfhost.bundle.info import parse_info
from selfhost.bundle.layout import (
    BlobInfo,
    BundleInfo,
    ChunkInfo,
    ModelRef,
    VolumeInfo,
    blob_path,
    is_volume_path,
    pack_volumes,
)
from selfhost.bundle.names import is_label, paths_problem
from selfhost.errors import IntegrityError, NoSpaceError


def digest(number: int) -> str:
    return f"{number:064x}"


def blob(number: int, size: int) -> BlobInfo:
    return BlobInfo(sha256=digest(number), size=size)


INFO = BundleInfo(
    id="0" * 32,
    serial=7,
    created="2026-11-27T10:00:00+00:00",
    label="qwen",
    tool="selfhost 0.1.0",
    volume=2,
    volumes=(
        VolumeInfo(number=1, label="qwen-vol1of2", blobs=(blob(1, 10), blob(2, 20))),
        VolumeInfo(
            number=2,
            label="qwen-vol2of2",
            blobs=(
                blob(1, 10),
                BlobInfo(
                    sha256=digest(3),
                    size=9,
                    chunks=(ChunkInfo(sha256=digest(4), size=5), ChunkInfo(sha256=digest(5), size=4)),
                ),
            ),
        ),
    ),
    models=(ModelRef(name="qwen2.5-7b", variant="bf16", manifest=digest(1)),),
    base=("f" * 32,),
    have=(digest(9),),
)


def test_what_is_written_is_read():
    assert parse_info(INFO.encode()) == INFO
    assert INFO.this.number == 2
    assert INFO.size_bytes == 39, "a content on two volumes counts once"
    assert [path for path, _, _ in INFO.blobs[digest(3)].files] == [
        f"chunks/{digest(3)}/00000",
        f"chunks/{digest(3)}/00001",
    ]


def test_volumes_differ_in_their_number_only():
    one, two = (json.loads(replace(INFO, volume=n).encode()) for n in (1, 2))
    assert {key for key in one if one[key] != two[key]} == {"volume"}


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../x"},
        {"label": "a/b"},
        {"label": "other"},
        {"serial": -1},
        {"serial": True},
        {"volume": 0},
        {"volume": 3},
        {"volumes": []},
        {"models": [{"name": "a", "variant": "b", "manifest": digest(77)}]},
        {"models": [{"name": "a\x1b[2J", "variant": "b", "manifest": digest(1)}]},
        {"models": [{"name": n, "variant": "b", "manifest": digest(1)} for n in ("tiny", "Tiny")]},
        {"models": [{"name": f"m{n}", "variant": "b", "manifest": digest(1)} for n in range(1001)]},
        {"have": ["../../etc/passwd"]},
        {"base": "x"},
        {"tool": ""},
        {"tool": "x" * 256},
    ],
    ids=lambda change: str(change)[:60],
)
def test_what_contradicts_itself_is_refused(change):
    with pytest.raises(IntegrityError) as caught:
        parse_info(canonical.encode({**INFO.as_dict(), **change}))
    assert caught.value.message.id == "bundle.bad_info"
    assert caught.value.message.why


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "x"},
        {"sha256": digest(0xABC).upper()},
        {"size": -1},
        {"size": "10"},
        {"size": 11},
        {"chunks": [{"sha256": digest(5), "size": 1}]},
        {"sha256": digest(2)},
    ],
    ids=str,
)
def test_a_bad_content_is_refused(change):
    body = INFO.as_dict()
    body["volumes"][0]["blobs"][0].update(change)
    with pytest.raises(IntegrityError, match=r"bundle\.json"):
        parse_info(canonical.encode(body))


def test_a_missing_key_is_refused():
    for key in set(INFO.as_dict()) - {"schema_version"}:
        with pytest.raises(IntegrityError):
            parse_info(canonical.encode({k: v for k, v in INFO.as_dict().items() if k != key}))


def test_a_newer_format_is_named():
    with pytest.raises(IntegrityError) as caught:
        parse_info(canonical.encode({**INFO.as_dict(), "schema_version": 3}))
    assert caught.value.message.id == "bundle.newer"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"a":1,"a":2}',
        b'{"a":1.5}',
        b'{"a":NaN}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
        b"[" * 1_000_000,
        b'{"a":"' + b"x" * (4 << 20) + b'"}',
    ],
    ids=lambda data: ascii(data[:20]),
)
def test_json_that_readers_could_trip_over_is_refused(data):
    with pytest.raises(IntegrityError):
        canonical.decode(data, "x.json")


def test_a_name_twice_is_found_in_one_pass():
    data = "".join(f'"{n}":1,' for n in range(300_000))
    with pytest.raises(IntegrityError, match=r"x\.json") as caught:  # in minutes, when each name was counted
        canonical.decode(f'{{{data}"299999":2}}'.encode(), "x.json", canonical.MAX_INFO_BYTES)
    assert "'299999' is there twice" in str(caught.value.message.why)


def test_brackets_in_texts_are_not_depth():
    assert canonical.decode(canonical.encode({"a": '["\\' * 100}), "x.json") == {"a": '["\\' * 100}
    assert canonical.decode(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}", "x.json")


@pytest.mark.parametrize(
    "paths",
    [
        ["/etc/passwd"],
        ["../x"],
        ["a/../b"],
        ["a\\b"],
        ["a\0b"],
        ["a\nb"],
        ["C:x"],
        ["a."],
        ["a "],
        [" a"],
        ["a /b"],
        ["NUL"],
        ["con.txt"],
        ["x/COM1"],
        ["x" * 256],
        ["/".join("x" * 200 for _ in range(6))],
        ["e\u0301"],
        ["\ud800"],
        ["a", "A"],
        ["a/x", "A/y"],
        ["straße", "STRASSE"],
        ["a", "a/b"],
        ["a", "a"],
        [""],
        ["selfhost-model.json"],
        ["a?"],
        ["\u202egnp.exe"],
    ],
    ids=lambda paths: ascii(paths)[:40],
)
def test_paths_that_do_harm_somewhere_are_refused(paths):
    assert paths_problem(paths)


def test_paths_of_models_are_taken():
    assert not paths_problem(
        ["config.json", "model-00001-of-00002.safetensors", ".gitattributes", "é模型/x", "a/b", "a/c", "console.json"]
    )


def test_names_of_bundles():
    assert is_label("deepseek-v3-2026.11.21")
    assert not any(map(is_label, ("", ".", "a/b", "-a", "a.", "nul", "x" * 101)))


def test_a_volume_has_only_its_own_files():
    assert is_volume_path("bundle.json")
    assert is_volume_path(blob_path(digest(1)))
    assert is_volume_path(f"chunks/{digest(1)}/00001")
    assert not any(
        map(is_volume_path, ("x", "blobs/sha256/x", f"blobs/sha256/{digest(1)}.part", "blobs", "a/verify.py"))
    )
    with pytest.raises(ValueError, match="x"):
        blob_path("../x")


def test_largest_first_on_the_first_that_has_room():
    volumes = pack_volumes([blob(n, n) for n in (3, 4, 5, 6)], [9, 9])
    assert [sorted(b.size for b in volume) for volume in volumes] == [[3, 6], [4, 5]]


def test_as_many_volumes_as_it_takes():
    volumes = pack_volumes([blob(n, 4) for n in range(5)], [8], repeat=True)
    assert [len(volume) for volume in volumes] == [2, 2, 1]
    assert pack_volumes([], [8], repeat=True) == ((),)


def shares(volumes):
    return [[(int(s.sha256, 16), s.size, s.cut) for s in volume] for volume in volumes]


def test_what_is_larger_than_every_volume_is_cut():
    packed = pack_volumes([blob(1, 12), blob(2, 4)], [9, 9])
    assert shares(packed) == [[(1, 9, True)], [(1, 3, True), (2, 4, False)]]
    packed = pack_volumes([blob(1, 25), blob(2, 24)], [9], repeat=True)
    assert shares(packed) == [
        [(1, 9, True)],
        [(1, 9, True)],
        [(1, 7, True), (2, 2, True)],
        [(2, 9, True)],
        [(2, 9, True)],
        [(2, 4, True)],
    ]
    assert shares(pack_volumes([blob(1, 12)], [5, 0, 10])) == [[(1, 5, True)], [], [(1, 7, True)]]


@pytest.mark.parametrize(
    ("sizes", "capacities", "repeat"),
    [
        ((19,), (9, 9), False),
        ((5, 5, 5), (9, 6), False),  # together it would fit, but none is larger than a volume
        ((1,), (0,), True),
        ((10_000,), (9,), True),  # more volumes than there may be
        ((5, 1), (0, 0), False),
    ],
)
def test_what_has_no_place_is_refused(sizes, capacities, repeat):
    with pytest.raises(NoSpaceError, match="too small"):
        pack_volumes([blob(n, size) for n, size in enumerate(sizes)], capacities, repeat=repeat)


def cut_info() -> BundleInfo:
    cut = BlobInfo(
        sha256=digest(3),
        size=9,
        chunks=(ChunkInfo(sha256=digest(4), size=5, volume=1), ChunkInfo(sha256=digest(5), size=4, volume=2)),
    )
    volumes = [replace(v, blobs=(blob(1, 10), cut)) for v in INFO.volumes]
    return replace(INFO, volumes=tuple(volumes))


def test_only_what_is_cut_needs_the_newer_format():
    assert INFO.as_dict()["schema_version"] == 1
    assert "volume" not in INFO.as_dict()["volumes"][1]["blobs"][1]["chunks"][0]
    info = cut_info()
    assert info.as_dict()["schema_version"] == 2
    assert parse_info(info.encode()) == info
    assert [v.size_bytes for v in info.volumes] == [15, 14]
    assert [path for path, _, _ in info.volumes[1].files][1:] == [f"chunks/{digest(3)}/00001"]


@pytest.mark.parametrize("volumes", [(1, 1), (1, 3), (0, 2), (2, None), (None, None)], ids=str)
def test_pieces_are_on_volumes_that_list_them(volumes):
    body = cut_info().as_dict()
    for volume in body["volumes"]:
        for chunk, number in zip(volume["blobs"][1]["chunks"], volumes, strict=True):
            chunk["volume"] = number
            if number is None:
                del chunk["volume"]
    if volumes == (None, None):
        assert parse_info(canonical.encode(body)), "on both, whole"
        return
    with pytest.raises(IntegrityError) as caught:
        parse_info(canonical.encode(body))
    assert caught.value.message.id == "bundle.bad_info"


@pytest.mark.parametrize("version", [1, 0, None, "2", True])
def test_an_older_format_cannot_say_that_something_is_cut(version):
    with pytest.raises(IntegrityError) as caught:
        parse_info(canonical.encode({**cut_info().as_dict(), "schema_version": version}))
    assert caught.value.message.id == "bundle.bad_info"
