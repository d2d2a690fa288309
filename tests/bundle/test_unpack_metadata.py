"""Metadata that somebody made up who can sign it: refused before anything is written."""

from __future__ import annotations

import json

import pytest

from selfhost.bundle import layout, modelpack
from selfhost.errors import ExitCode
from selfhost.home import find_home
from selfhost.weights.blobs import Blobs
from tests.bundle.fault_support import (
    check_refused,
    info_of,
    lock_of,
    replace_blob,
    rewrite,
    shard_of,
)
from tests.bundle.unpack_support import (
    reseal,
    run,
    snapshot,
)

PATHS = [
    *("/etc/passwd", "../outside", "a/../../outside", "a//b", "./a", "a/.", "", "..", "a/", "C:\\x", "a\\b", "a\0b"),
    *(
        "a\nb",
        "a\x1bb",
        "con",
        "NUL.txt",
        "a/aux",
        "c:x",
        "a.",
        "a ",
        " a",
        "e\u0301",
        "x" * 256,
        "selfhost-model.json",
    ),
    *("a\u202eb", "lpt1.bin", "a?b", "a*b", "a|b", "\ud800"),
]


@pytest.mark.parametrize("path", PATHS, ids=ascii)
@pytest.mark.parametrize("where", [modelpack.TITLE, modelpack.FILEPATH, "both"])
def test_paths_that_lead_elsewhere_stop_before_anything_is_written(volume, path, where):
    def change(body):
        names = [modelpack.TITLE, modelpack.FILEPATH] if where == "both" else [where]
        for name in names:
            body["layers"][0]["annotations"][name] = path

    rewrite(volume, change)
    before = snapshot(find_home().root)
    check_refused([volume], ExitCode.INTEGRITY)
    assert not list(Blobs(find_home().blobs).digests())
    after = {name: value for name, value in snapshot(find_home().root).items() if "audit" not in name}
    assert after == before


def test_two_names_that_are_one_where_case_does_not_count(volume):
    def change(body):
        for name in (modelpack.TITLE, modelpack.FILEPATH):
            body["layers"][0]["annotations"][name] = "CONFIG.JSON"

    rewrite(volume, change)
    check_refused([volume], ExitCode.INTEGRITY)


@pytest.mark.parametrize(("name", "variant"), [("..", "x"), ("a/b", "c"), (".hidden", "x"), ("a", ".."), ("a", "con")])
def test_models_with_names_that_lead_elsewhere(volume, name, variant):
    info = info_of(volume)
    info["models"][0] |= {"name": name, "variant": variant}
    (volume / layout.INFO_NAME).write_text(json.dumps(info))
    reseal(volume)
    check_refused([volume], ExitCode.INTEGRITY)
    assert not (find_home().root / "x").exists()


def test_a_lock_that_speaks_of_other_files(volume):
    body = json.loads(lock_of(volume).read_bytes())
    body["files"] = body["files"][1:]
    old = lock_of(volume)
    data = json.dumps(body).encode()

    def change(manifest):
        manifest["layers"][0] |= {"digest": f"sha256:{modelpack.sha256_of(data)}", "size": len(data)}

    replace_blob(volume, old, data)
    rewrite(volume, change, modelpack.LOCK)
    check_refused([volume], ExitCode.INTEGRITY, said="lock")


def huge(body):
    body["annotations"] = {"x": "y" * (5 << 20)}


def many(body):
    body["layers"] = body["layers"] * 4000


def lying(body):
    body["layers"][0]["size"] += 1


def unknown(body):
    body["layers"][0]["digest"] = "sha256:" + "0" * 64


def floating(body):
    body["layers"][0]["size"] = 1.5


def negative(body):
    body["layers"][0]["size"] = -1


def no_digest(body):
    body["layers"][0]["digest"] = "md5:abc"


def deep(body):
    for _ in range(40):
        body["annotations"] = {"x": body.get("annotations", {})}


def other_type(body):
    body["artifactType"] = modelpack.RECIPE


@pytest.mark.parametrize(
    "change", [huge, many, lying, unknown, floating, negative, no_digest, deep, other_type], ids=lambda c: c.__name__
)
def test_manifests_that_lie(volume, change):
    rewrite(volume, change)
    check_refused([volume], ExitCode.INTEGRITY)
    assert not list(Blobs(find_home().blobs).digests())


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"a":1,"a":2}', b'{"schema_version":3}'],
    ids=lambda data: ascii(data[:12]),
)
@pytest.mark.parametrize("name", [layout.INFO_NAME, layout.INDEX_NAME])
def test_metadata_that_is_none(volume, name, data):
    (volume / name).write_bytes(data)
    reseal(volume)
    for command in ("verify", "inspect", "import"):
        check_refused([volume], ExitCode.INTEGRITY, command=command)


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "0" * 64 + "  ../../etc/passwd",
        "0" * 64 + "  /etc/passwd",
        "0" * 64 + "  blobs/sha256/../../../x",
        "0" * 64 + "  README",
        "0" * 64 + "  bundle.json",
    ],
)
def test_sums_that_name_what_no_volume_has(volume, line):
    sums = volume / layout.SUMS_NAME
    sums.write_text(sums.read_text() + line + "\n")
    for command in ("verify", "import"):
        check_refused([volume], ExitCode.INTEGRITY, command=command)


@pytest.mark.parametrize(
    "spelt",
    [
        lambda data: data[:64].upper() + data[64:],
        lambda data: data[:-1] + b"\x0b",
        lambda data: data[:-1],
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: b"# note\n" + data,
        lambda data: data + data.splitlines(keepends=True)[-1],
        lambda data: data.replace(b"  ", b" *"),
        lambda data: data.replace(b"  blobs", b"  ./blobs", 1),
        lambda data: b"".join(reversed(data.splitlines(keepends=True))),
    ],
)
def test_sums_have_one_spelling(volume, spelt):
    sums = volume / layout.SUMS_NAME
    sums.write_bytes(spelt(sums.read_bytes()))
    code, _, err = run("bundle", "verify", volume)
    assert (code, layout.SUMS_NAME in err) == (5, True)


def test_sums_and_bundle_json_list_the_same_contents(volume):
    sums = volume / layout.SUMS_NAME
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if shard_of(volume).name not in line))
    check_refused([volume], ExitCode.INTEGRITY)
