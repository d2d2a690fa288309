"""What transport, disks and people do to a bundle: the exit code, a store that stays usable, a medium as it was."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
import shutil
import signal
from pathlib import Path

import pytest

from selfhost.bundle import canonical, layout, medium, modelpack, take
from selfhost.errors import ExitCode, IntegrityError, NoSpaceError
from selfhost.home import find_home
from selfhost.weights.blobs import Blobs
from tests.bundle.unpack_support import (
    NAME,
    VARIANT,
    copied,
    files_of,
    import_bundle,
    make_bundle,
    reseal,
    run,
    snapshot,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle on three volumes; tests spoil a copy."""
    return make_bundle(tmp_path_factory.mktemp("made"), volumes=3)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("single"))[0]


@pytest.fixture
def volume(single, tmp_path):
    return copied([single], tmp_path / "media")[0]


def info_of(volume: Path) -> dict:
    return json.loads((volume / layout.INFO_NAME).read_bytes())


def artifact(volume: Path, kind: str = modelpack.MODEL) -> dict:
    index = json.loads((volume / layout.INDEX_NAME).read_bytes())
    return next(one for one in index["manifests"] if one["artifactType"] == kind)


def blob(volume: Path, sha256: str) -> Path:
    return volume / layout.blob_path(sha256.removeprefix("sha256:"))


def manifest_of(volume: Path, kind: str = modelpack.MODEL) -> Path:
    return blob(volume, artifact(volume, kind)["digest"])


def shard_of(volume: Path) -> Path:
    return max((volume / layout.BLOBS).iterdir(), key=lambda path: path.stat().st_size)


def config_of(volume: Path) -> Path:
    return blob(volume, json.loads(manifest_of(volume).read_bytes())["config"]["digest"])


def lock_of(volume: Path) -> Path:
    return blob(volume, json.loads(manifest_of(volume, modelpack.LOCK).read_bytes())["layers"][0]["digest"])


def flip(path: Path, at: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 4
    path.write_bytes(data)


PLACES = {
    "a shard": shard_of,
    "a manifest": manifest_of,
    "a configuration": config_of,
    "a lock": lock_of,
    "bundle.json": lambda v: v / layout.INFO_NAME,
    "index.json": lambda v: v / layout.INDEX_NAME,
    "oci-layout": lambda v: v / layout.OCI_NAME,
    "SHA256SUMS": lambda v: v / layout.SUMS_NAME,
    "START-HERE.txt": lambda v: v / layout.START_NAME,
}


def check_refused(volumes, code: int, *, command: str = "import", said: str = "") -> str:
    """The exit code, an unchanged medium, no model, and a store in which everything is what its name says."""
    before = snapshot(*volumes)
    found, _, err = run("bundle", command, *volumes)
    assert found == code, err
    assert said in err
    assert snapshot(*volumes) == before
    check_store()
    return err


def check_store() -> None:
    home = find_home()
    assert not (home.models / NAME / VARIANT).exists()
    blobs = Blobs(home.blobs)
    for sha256 in blobs.digests():
        assert hashlib.sha256(blobs.path(sha256).read_bytes()).hexdigest() == sha256
    assert not list(home.blobs.glob("partial/*.part"))


# Bits


@pytest.mark.parametrize("place", PLACES)
def test_a_flipped_bit_is_found_and_named(volume, place):
    path = PLACES[place](volume)
    flip(path)
    err = check_refused([volume], ExitCode.INTEGRITY, command="verify")
    assert place == "SHA256SUMS" or path.name in err


@pytest.mark.parametrize("place", [place for place in PLACES if place != "START-HERE.txt"])
def test_a_flipped_bit_is_never_imported(volume, place):
    flip(PLACES[place](volume))
    check_refused([volume], ExitCode.INTEGRITY)


def test_any_single_flipped_bit_anywhere_is_found(volume):
    """Any: as many as there is time for, in files of all sizes alike."""
    chance = random.Random(6)
    paths = [path for path in sorted(volume.rglob("*")) if path.is_file()]
    for _ in range(60):
        path = chance.choice(paths)
        whole = path.read_bytes()
        data = bytearray(whole)
        at = chance.randrange(len(data))
        data[at] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        code, _, err = run("bundle", "verify", volume)
        assert code in (ExitCode.INTEGRITY, ExitCode.INCOMPLETE), (path, at, err)
        path.write_bytes(whole)
    assert run("bundle", "verify", volume)[0] == 0


def test_damage_is_named_with_the_bytes_it_is_in(tmp_path, monkeypatch):
    piece = 4096
    for module in ("selfhost.weights.digest", "selfhost.bundle.check"):
        monkeypatch.setattr(f"{module}.PIECE_BYTES", piece)
    [volume] = make_bundle(tmp_path)
    shard = shard_of(volume)
    marks = take.Digest()
    marks.update(shard.read_bytes())
    monkeypatch.setattr("selfhost.bundle.unpack.marks_of", lambda *_: {shard.name: marks.marks})
    flip(shard, 3 * piece + 5)
    code, out, _ = run("bundle", "verify", volume, "--json")
    [wrong] = [one for one in json.loads(out)["files"] if one["status"] != "ok"]
    assert code == ExitCode.INTEGRITY
    assert (wrong["begin"], wrong["end"]) == (3 * piece, 4 * piece)


@pytest.mark.parametrize("change", [-1, 1], ids=["truncated", "grown"])
def test_another_size_is_found_without_hashing(volume, change, monkeypatch):
    shard = shard_of(volume)
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] if change < 0 else data + b"\0")
    read = []
    whole = take._read
    monkeypatch.setattr(take, "_read", lambda piece, tick: read.append(piece.path) or whole(piece, tick))
    err = check_refused([volume], ExitCode.INTEGRITY, command="verify")
    assert shard.name in err
    assert read
    assert not [path for path in read if shard.name in path]
    check_refused([volume], ExitCode.INTEGRITY)


def test_the_repair_list_has_what_is_wrong_and_nothing_else(volume):
    shard, start = shard_of(volume), volume / layout.START_NAME
    flip(shard)
    flip(start)
    code, out, _ = run("bundle", "repair-list", volume)
    body = json.loads(out)
    assert code == 0
    assert body["lacking"] == [{"sha256": shard.name, "size": shard.stat().st_size}]
    assert shard.name not in {one["sha256"] for one in body["blobs"]}
    assert {one["path"] for one in body["files"]} == {f"{layout.BLOBS}/{shard.name}", layout.START_NAME}


def test_what_is_damaged_here_may_be_whole_on_another_copy(volume, single):
    flip(shard_of(volume))
    check_refused([volume], ExitCode.INTEGRITY)
    imported = import_bundle([single], find_home())
    assert imported.brought.copied == 1, "all but the damaged one had been brought"


# Files that are not there, or should not be


@pytest.mark.parametrize("place", PLACES)
def test_a_missing_file(volume, place):
    path = PLACES[place](volume)
    path.unlink()
    code = ExitCode.INCOMPLETE
    check_refused([volume], code, command="verify")
    if place != "START-HERE.txt":
        check_refused([volume], code)


@pytest.mark.parametrize(
    "name", ["evil.py", "blobs/sha256/extra", "chunks/x", ".hidden", "blobs/sha256/" + "a" * 64, "creating.part"]
)
def test_a_file_that_is_not_listed(volume, name):
    path = volume / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("not listed")
    for command in ("verify", "import"):
        check_refused([volume], ExitCode.INTEGRITY, command=command, said=name)


@pytest.mark.parametrize("kind", ["link", "link outside", "pipe", "folder", "socket"])
@pytest.mark.parametrize("place", ["a shard", "a manifest", "bundle.json", "SHA256SUMS"])
def test_what_is_no_plain_file_is_not_opened(volume, tmp_path, place, kind):
    import socket

    path = PLACES[place](volume)
    kept = tmp_path / "kept"
    path.rename(kept)
    if kind.startswith("link"):
        path.symlink_to(kept if kind == "link" else "/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkey = socket.socket(socket.AF_UNIX)
        here = Path.cwd()
        os.chdir(path.parent)
        monkey.bind(path.name)
        os.chdir(here)
        monkey.close()
    else:
        path.mkdir()
        (path / "inside").write_text("x")
    for command in ("verify", "import"):
        before = snapshot(volume)
        code, _, err = run("bundle", command, volume)
        assert code in (ExitCode.INTEGRITY, ExitCode.INCOMPLETE, ExitCode.MISSING), err
        assert "unexpected" not in err
        assert snapshot(volume) == before
    check_store()


def test_a_folder_that_is_a_link(volume, tmp_path):
    (volume / layout.BLOBS).rename(tmp_path / "elsewhere")
    (volume / layout.BLOBS).symlink_to(tmp_path / "elsewhere")
    for command in ("verify", "import"):
        check_refused([volume], ExitCode.INTEGRITY, command=command)


# Volumes


def test_an_absent_volume_is_named_with_its_size(made):
    err = check_refused(made[:2], ExitCode.INCOMPLETE)
    assert made[2].name in err
    assert made[0].name not in err.partition("volumes of")[2]


def test_volumes_of_two_bundles(made, tmp_path):
    other = make_bundle(tmp_path / "other", volumes=3)
    for command in ("verify", "import"):
        check_refused([made[0], other[1], made[2]], ExitCode.INTEGRITY, command=command)


def test_two_different_volumes_of_one_number(made, tmp_path):
    one = copied([made[0]], tmp_path / "copy")[0]
    reseal(one)
    (one / layout.START_NAME).write_text("changed")
    reseal(one)
    check_refused([made[0], one, *made[1:]], ExitCode.INTEGRITY)


def test_the_same_volume_twice_is_one(made, tmp_path):
    import_bundle([*made, made[0], *copied(made[:1], tmp_path / "copy")], find_home())


def test_a_volume_whose_bundle_json_was_changed(made, tmp_path):
    volumes = copied(made, tmp_path / "media")
    body = info_of(volumes[1])
    body["serial"] += 1
    (volumes[1] / layout.INFO_NAME).write_bytes(canonical.encode(body))
    reseal(volumes[1])
    check_refused(volumes, ExitCode.INTEGRITY)


def test_files_of_an_earlier_bundle_beside_those_of_this_one(volume, tmp_path):
    [older] = make_bundle(tmp_path / "older", shard_bytes=20_000)
    for path in (older / layout.BLOBS).iterdir():
        if not (volume / layout.BLOBS / path.name).exists():
            shutil.copy(path, volume / layout.BLOBS)
    check_refused([volume], ExitCode.INTEGRITY)


@pytest.mark.parametrize(("number", "code"), [(errno.EACCES, 4), (errno.EIO, 5)])
@pytest.mark.parametrize("call", ["is_dir", "lstat"])
def test_a_drive_that_does_not_answer_is_no_defect_of_ours(volume, monkeypatch, call, number, code):
    real = getattr(Path, call)

    def refuse(path, *arguments, **options):
        if path == volume or path.name == layout.START_NAME:
            raise OSError(number, os.strerror(number))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, call, refuse)
    found, _, err = run("bundle", "verify", volume)
    assert (found, os.strerror(number) in err) == (code, True)


@pytest.mark.parametrize("name", ["nothing", "file", "empty"])
def test_no_volume_at_all(tmp_path, name):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    assert run("bundle", "import", tmp_path / name)[0] == ExitCode.INCOMPLETE


# Metadata that somebody made up


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


def rewrite(volume: Path, change, kind: str = modelpack.MODEL) -> None:
    """A volume whose manifest somebody changed who can change everything that hangs on it."""
    old = manifest_of(volume, kind)
    body = json.loads(old.read_bytes())
    change(body)
    data = json.dumps(body).encode()
    replace_blob(volume, old, data)


def replace_blob(volume: Path, old: Path, data: bytes) -> None:
    sha256, size = modelpack.sha256_of(data), len(data)
    was, was_size = old.name, old.stat().st_size
    old.unlink()
    (old.parent / sha256).write_bytes(data)
    index = json.loads((volume / layout.INDEX_NAME).read_bytes())
    for one in index["manifests"]:
        if one["digest"] == f"sha256:{was}":
            one |= {"digest": f"sha256:{sha256}", "size": size}
    (volume / layout.INDEX_NAME).write_text(json.dumps(index))
    info = info_of(volume)
    for one in info["volumes"][0]["blobs"]:
        if one["sha256"] == was:
            one |= {"sha256": sha256, "size": size}
    for one in info["models"]:
        if one["manifest"] == was:
            one["manifest"] = sha256
    assert was_size
    (volume / layout.INFO_NAME).write_text(json.dumps(info))
    reseal(volume)


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
    [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"a":1,"a":2}', b'{"schema_version":2}'],
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


# Disks


def test_too_little_space_is_told_before_bytes_move(volume, monkeypatch):
    monkeypatch.setattr("selfhost.files.free_bytes", lambda _path: 1000)
    check_refused([volume], ExitCode.NO_SPACE, said="needed")
    assert not list(Blobs(find_home().blobs).digests())


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@pytest.mark.parametrize(
    ("call", "number", "code"),
    [
        *((call, number, ExitCode.NO_SPACE) for call in ("fsync", "posix_fallocate", "replace") for number in FULL),
        *((call, number, ExitCode.MISSING) for call in ("fsync", "replace") for number in (errno.EROFS, errno.EACCES)),
    ],
)
def test_a_disk_that_refuses_while_it_is_written_to(volume, monkeypatch, number, code, call):
    whole, calls = getattr(os, call), []

    def refuse(first, *args, **options):
        where = Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else first
        calls.append(where)
        if len(calls) >= 3 and "blobs" in str(where):
            raise OSError(number, os.strerror(number))
        return whole(first, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse)
        before = snapshot(volume)
        found, _, err = run("bundle", "import", volume)
    assert found == code, err
    assert snapshot(volume) == before
    check_store()
    import_bundle([volume], find_home())


def test_a_limit_on_the_size_of_files(volume):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    home = find_home()
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(NoSpaceError):
            import_bundle([volume], home)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check_store()
    import_bundle([volume], home)


class Failing:
    """A file of a disk that stops giving bytes back."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()

    def readinto(self, _buffer):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_medium_that_does_not_give_bytes_back(volume, monkeypatch):
    shard, whole = shard_of(volume).name, medium.Medium.open

    def open_failing(self, path):
        stream = whole(self, path)
        return Failing(stream) if shard in path else stream

    monkeypatch.setattr(medium.Medium, "open", open_failing)
    for command in ("verify", "import"):
        check_refused([volume], ExitCode.INTEGRITY, command=command, said=shard)


def test_a_medium_that_is_pulled_out_while_it_is_read(volume, monkeypatch):
    whole, calls = take.take, []

    def pull_out(*args, **options):
        calls.append(args)
        if len(calls) == 2:
            volume.rename(volume.with_name("gone"))
        whole(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr("selfhost.bundle.unpack.take", pull_out)
        patched.setattr("selfhost.bundle.devices.readers", lambda _device: 1)
        code, _, err = run("bundle", "import", volume)
    assert code == ExitCode.INCOMPLETE, err
    check_store()
    volume.with_name("gone").rename(volume)
    import_bundle([volume], find_home())


def test_a_medium_that_goes_on_growing_is_not_read_for_ever(volume, monkeypatch):
    shard = shard_of(volume)
    piece = take.Piece(medium=medium.Medium(volume), path=f"{layout.BLOBS}/{shard.name}", size=10, sha256="0" * 64)
    monkeypatch.setattr(take, "_check_size", lambda *_: None)
    assert sum(len(data) for data in take._read(piece, lambda _count: None)) == 10


def test_a_read_only_medium_is_enough(volume):
    for path in [volume, *volume.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = snapshot(volume)
    import_bundle([volume], find_home())
    assert snapshot(volume) == before


def test_a_content_that_is_changed_between_verify_and_import(volume):
    assert run("bundle", "verify", volume)[0] == 0
    shard = shard_of(volume)
    info = shard.stat()
    flip(shard)
    os.utime(shard, ns=(info.st_atime_ns, info.st_mtime_ns))
    check_refused([volume], ExitCode.INTEGRITY)


# Killed at any point


CALLS = ("fsync", "replace", "rename", "link", "mkdir", "unlink", "chmod", "utime", "posix_fallocate", "rmdir")


def import_killed_at(number: int, volume: Path) -> int:
    """Import in a process that dies at the call of that number; how many calls it got to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        done = 0

        def dying(whole):
            def call(*args, **options):
                nonlocal done
                done += 1
                if done == number:
                    os._exit(9)
                return whole(*args, **options)

            return call

        for name in CALLS:
            setattr(os, name, dying(getattr(os, name)))
        code = 1
        try:
            import_bundle([volume], find_home())
            os.write(writing, str(done).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9)
    return int(said) if code == 0 else 0


@pytest.mark.slow
def test_killed_at_any_point_the_next_run_completes(tmp_path):
    [volume] = make_bundle(tmp_path, shard_bytes=2_000)
    home = find_home()
    wanted = None
    calls = import_killed_at(0, volume)
    wanted = files_of(home.models / NAME / VARIANT)
    assert calls > 60
    for number in range(1, calls + 1):
        shutil.rmtree(home.root)
        import_killed_at(number, volume)
        blobs = Blobs(home.blobs)
        for sha256 in blobs.digests():
            assert hashlib.sha256(blobs.path(sha256).read_bytes()).hexdigest() == sha256, number
        if (home.models / NAME / VARIANT).exists():
            assert files_of(home.models / NAME / VARIANT) == wanted, number
        import_bundle([volume], home)
        assert files_of(home.models / NAME / VARIANT) == wanted, number


@pytest.mark.slow
def test_two_imports_at_once(volume):
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                import_bundle([volume], find_home())
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert len(files_of(find_home().models / NAME / VARIANT)) == 9


def test_contents_are_on_the_disk_before_their_names(volume, monkeypatch):
    """Synced, then renamed, then the folder synced: for each content, in that order."""
    seen: list[tuple[str, str]] = []
    sync, replace = os.fsync, Path.replace

    def fsync(descriptor):
        seen.append(("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        sync(descriptor)

    def renamed(self, target):
        seen.append(("rename", f"{self} {target}"))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    import_bundle([volume], find_home())
    shard = shard_of(volume).name
    at = next(n for n, (what, where) in enumerate(seen) if what == "rename" and where.endswith(f"/{shard}"))
    part = seen[at][1].split()[0]
    assert ("sync", part) in seen[:at]
    assert any(what == "sync" and where.endswith(f"/sha256/{shard[:2]}") for what, where in seen[at:])


def test_what_take_says_of_other_bytes(volume, tmp_path):
    shard = shard_of(volume)
    piece = take.Piece(
        medium=medium.Medium(volume), path=f"{layout.BLOBS}/{shard.name}", size=shard.stat().st_size, sha256="0" * 64
    )
    blobs = Blobs(tmp_path / "blobs")
    with pytest.raises(IntegrityError) as caught:
        take.take(take.Source(sha256="0" * 64, size=piece.size, pieces=(piece,)), blobs, lambda _count: None)
    assert shard.name in caught.value.message.why + caught.value.message.what
    assert not list(blobs.digests())


# Independent eyes


@pytest.mark.slow
def test_killed_by_a_signal_at_any_time_the_next_run_completes(tmp_path):
    """Not at a call, but in the middle of whatever it does: 30 times, each a little later."""
    [volume] = make_bundle(tmp_path, shard_bytes=2_000_000)
    home = find_home()
    source = {p.name: p.read_bytes() for p in (tmp_path / "source").iterdir() if p.suffix == ".safetensors"}
    for attempt in range(30):
        child = os.fork()
        if child == 0:
            # Its own clock ends it: `ITIMER_PROF` counts what this process computes, so load elsewhere does not matter.
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, 0.002 * (attempt + 1))
            code = 1
            try:
                import_bundle([volume], home)
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, -signal.SIGPROF)
        blobs = Blobs(home.blobs)
        for sha256 in blobs.digests():
            assert hashlib.sha256(blobs.path(sha256).read_bytes()).hexdigest() == sha256, attempt
        if attempt % 3 == 2:
            import_bundle([volume], home)
            there = files_of(home.models / NAME / VARIANT)
            assert {name: there[name] for name in source} == source
            shutil.rmtree(home.root)
