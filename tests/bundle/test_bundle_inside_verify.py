"""verify.py: runs on Python 3.6 with nothing beside it, agrees with `sha256sum` and `ssh-keygen`, keeps its codes."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfhost.bundle import inside_verify
from tests.bundle.trust_support import make_key, ssh_sign

SOURCE = Path(inside_verify.__file__)
ID = "0" * 32
CONTENTS = [b"weights" * 1000, b"tokenizer", b"", b"x" * 70_000]
PYTHONS = [sys.executable, *filter(None, os.environ.get("SELFHOST_TEST_OLD_PYTHONS", "").split(":"))]
"""Others to run it with, 3.6 for one: paths with colons in between."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Volume:
    """One volume as `bundle create` makes it, its sums by `sha256sum`."""

    def __init__(self, root: Path, number: int, contents: dict[int, list[bytes]], chunked: bytes = b"") -> None:
        self.root, self.number = root, number
        self.bundle = {
            "schema_version": 1,
            "id": ID,
            "volume": number,
            "volumes": [
                {"number": n, "label": f"tiny-vol{n}of{len(contents)}", "blobs": [self._blob(d, chunked) for d in data]}
                for n, data in contents.items()
            ],
        }
        (root / "blobs" / "sha256").mkdir(parents=True)
        for data in contents[number]:
            if data == chunked and data:
                folder = root / "chunks" / sha256(data)
                folder.mkdir(parents=True)
                for n, piece in enumerate(self._pieces(data)):
                    (folder / f"{n:05}").write_bytes(piece)
            else:
                self.blob(data).write_bytes(data)
        (root / "index.json").write_text("{}")
        shutil.copy(SOURCE, root / "verify.py")
        self.describe()

    @staticmethod
    def _pieces(data: bytes) -> list[bytes]:
        return [data[start : start + 3000] for start in range(0, len(data), 3000)]

    def _blob(self, data: bytes, chunked: bytes) -> dict:
        pieces = self._pieces(data) if data and data == chunked else []
        chunks = [{"sha256": sha256(piece), "size": len(piece)} for piece in pieces]
        return {"sha256": sha256(data), "size": len(data), "chunks": chunks or None}

    def blob(self, data: bytes) -> Path:
        return self.root / "blobs" / "sha256" / sha256(data)

    def describe(self) -> None:
        (self.root / "bundle.json").write_text(json.dumps(self.bundle))
        self.sum()

    def sum(self) -> None:
        for name in ("SHA256SUMS", "SHA256SUMS.sig"):
            (self.root / name).unlink(missing_ok=True)
        names = sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file())
        done = subprocess.run(["sha256sum", *names], cwd=self.root, check=True, capture_output=True)
        (self.root / "SHA256SUMS").write_bytes(done.stdout)

    def sign(self, key: Path, namespace: str = "selfhost-bundle") -> None:
        signature = ssh_sign(key, (self.root / "SHA256SUMS").read_bytes(), namespace)
        (self.root / "SHA256SUMS.sig").write_bytes(signature)

    def snapshot(self) -> dict:
        return {
            str(p.relative_to(self.root)): (p.lstat().st_mtime_ns, p.read_bytes() if p.is_file() else b"")
            for p in sorted(self.root.rglob("*"))
        }


@pytest.fixture
def volume(tmp_path):
    return Volume(tmp_path / "tiny-vol1of1", 1, {1: CONTENTS})


@pytest.fixture
def key(tmp_path):
    return make_key(tmp_path / "key")


def run(*arguments, python=sys.executable, env=None):
    done = subprocess.run([python, *map(str, arguments)], check=False, capture_output=True, text=True, env=env)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def verify(*arguments, capsys):
    code = inside_verify.main([str(argument) for argument in arguments])
    return code, capsys.readouterr().out


def test_it_is_python_3_6_and_needs_nothing():
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 6))
    modules = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names} | {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    assert modules <= set(sys.stdlib_module_names)
    assert "__future__" not in modules  # `annotations` is of 3.7


@pytest.mark.parametrize("python", PYTHONS)
def test_as_a_person_runs_it(volume, key, python):
    volume.sign(key)
    before = volume.snapshot()
    bare = {"PATH": os.environ["PATH"]}
    done = run("-E", volume.root / "verify.py", python=python, env=bare)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "whose signature: not checked" in done.stdout
    done = run(volume.root / "verify.py", "--key", f"{key}.pub", python=python, env=bare)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Good "selfhost-bundle" signature' in done.stdout
    volume.blob(CONTENTS[0]).write_bytes(b"other")
    assert run(volume.root / "verify.py", python=python, env=bare).returncode == 5
    volume.blob(CONTENTS[0]).write_bytes(CONTENTS[0])
    assert volume.snapshot().keys() == before.keys()


def test_it_writes_nothing_to_the_medium(volume, key, capsys):
    volume.sign(key)
    before = volume.snapshot()
    assert verify(volume.root, "--key", f"{key}.pub", capsys=capsys)[0] == 0
    other = make_key(key.parent / "other")
    assert verify(volume.root, "--key", f"{other}.pub", capsys=capsys)[0] == 6
    assert volume.snapshot() == before


def damage(volume):
    path = volume.blob(CONTENTS[3])
    data = bytearray(path.read_bytes())
    data[65_536] ^= 1
    path.write_bytes(data)


def swap(volume):
    one, two = volume.blob(CONTENTS[0]), volume.blob(CONTENTS[3])
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def link(volume):
    path = volume.blob(CONTENTS[0])
    path.rename(volume.root.parent / "elsewhere")
    path.symlink_to(volume.root.parent / "elsewhere")


def folder_link(volume):
    shutil.move(volume.root / "blobs", volume.root.parent / "elsewhere")
    (volume.root / "blobs").symlink_to(volume.root.parent / "elsewhere")


def edit_sums(change):
    def fault(volume):
        path = volume.root / "SHA256SUMS"
        path.write_bytes(change(path.read_bytes()))

    return fault


def edit_bundle(**values):
    def fault(volume):
        volume.bundle.update(values)
        volume.describe()

    return fault


def drop_a_blob_from_the_list(volume):
    volume.blob(CONTENTS[0]).unlink()
    volume.sum()


LINE = b"0" * 64 + b"  "
FAULTS = {
    "a bit flips": (damage, 5, "damaged"),
    "a file is cut off": (lambda v: os.truncate(v.blob(CONTENTS[0]), 5), 5, "damaged"),
    "a file grows": (lambda v: v.blob(CONTENTS[2]).write_bytes(b"x"), 5, "damaged"),
    "two files change places": (swap, 5, "damaged"),
    "a file is missing": (lambda v: v.blob(CONTENTS[0]).unlink(), 7, "missing"),
    "a folder is missing": (lambda v: shutil.rmtree(v.root / "blobs"), 7, "missing"),
    "a file too many": (lambda v: (v.root / "blobs" / "x.part").write_bytes(b""), 5, "not listed"),
    "a link": (link, 5, "not a plain file"),
    "a folder is a link": (folder_link, 5, "not a plain file"),
    "a pipe": (lambda v: os.mkfifo(v.root / "pipe"), 5, "not a plain file"),
    "a pipe instead of a file": (
        lambda v: v.blob(CONTENTS[0]).unlink() or os.mkfifo(v.blob(CONTENTS[0])),
        5,
        "not a plain file",
    ),
    "a folder instead of a file": (
        lambda v: v.blob(CONTENTS[0]).unlink() or v.blob(CONTENTS[0]).mkdir(),
        5,
        "not a plain file",
    ),
    "no list": (lambda v: (v.root / "SHA256SUMS").unlink(), 7, "missing: SHA256SUMS"),
    "the list is cut off": (edit_sums(lambda data: data[:-30]), 5, "cut off"),
    "the list is a line short": (edit_sums(lambda data: data[: data.rindex(b"\n", 0, -1) + 1]), 5, "not listed"),
    "the list leads out": (edit_sums(lambda data: data + LINE + b"../../etc/passwd\n"), 5, "leads out"),
    "the list is absolute": (edit_sums(lambda data: data + LINE + b"/etc/passwd\n"), 5, "leads out"),
    "the list has a drive": (edit_sums(lambda data: data + LINE + b"c:x\n"), 5, "leads out"),
    "the list has a backslash": (edit_sums(lambda data: data + LINE + b"a\\b\n"), 5, "is not"),
    "the list has a name twice": (edit_sums(lambda data: data + LINE + b"BUNDLE.JSON\n"), 5, "should not be there"),
    "the list lists itself": (edit_sums(lambda data: data + LINE + b"SHA256SUMS\n"), 5, "should not be there"),
    "the list is no text": (edit_sums(lambda data: data + b"\xff\n"), 5, "not text"),
    "the list is of something else": (edit_sums(lambda data: LINE + b"a\n"), 5, "does not list"),
    "the list is a pipe": (
        lambda v: (v.root / "SHA256SUMS").unlink() or os.mkfifo(v.root / "SHA256SUMS"),
        5,
        "not",
    ),
    "a blob nobody lists": (drop_a_blob_from_the_list, 7, "wanted by bundle.json"),
    "a newer format": (edit_bundle(schema_version=3), 5, "version 3"),
    "a volume that is none": (edit_bundle(volume=7), 5, "its own volume"),
    "no volumes": (edit_bundle(volumes=None), 5, "not what a bundle has"),
    "volumes without contents": (edit_bundle(volumes=[{"number": 1}]), 5, "blobs"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(volume, capsys, fault):
    make, code, words = FAULTS[fault]
    make(volume)
    found, said = verify(volume.root, capsys=capsys)
    assert (found, words in said) == (code, True), said


def test_sha256sum_sees_what_it_sees(volume, capsys):
    def both():
        argv = ["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"]
        theirs = subprocess.run(argv, cwd=volume.root, check=False, capture_output=True).returncode
        return theirs == 0, verify(volume.root, capsys=capsys)[0] == 0

    assert both() == (True, True)
    damage(volume)
    assert both() == (False, False)


def other_key(volume, key):
    volume.sign(make_key(key.parent / "other"))


def changed_after(volume, key):
    volume.sign(key)
    signature = (volume.root / "SHA256SUMS.sig").read_bytes()
    (volume.root / "extra").write_text("")
    volume.sum()
    (volume.root / "SHA256SUMS.sig").write_bytes(signature)


SIGNATURES = {
    "stripped": (lambda volume, key: None, 6),
    "of another key": (other_key, 6),
    "for another purpose": (lambda volume, key: volume.sign(key, "git"), 6),
    "of another list": (changed_after, 6),
    "noise": (lambda volume, key: (volume.root / "SHA256SUMS.sig").write_text("x"), 6),
    "right": (lambda volume, key: volume.sign(key), 0),
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_signatures(volume, key, capsys, case, monkeypatch):
    make, code = SIGNATURES[case]
    make(volume, key)
    if code:  # before anything else is read
        monkeypatch.setattr(inside_verify, "digest_of", lambda path: pytest.fail(f"{path} was read"))
    assert verify(volume.root, "--key", f"{key}.pub", capsys=capsys)[0] == code


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), named=st.booleans())
def test_a_changed_bit_anywhere_is_noticed(volume, key, capsys, data, named):
    if not (volume.root / "SHA256SUMS.sig").exists():
        volume.sign(key)
    path = data.draw(st.sampled_from(sorted(p for p in volume.root.rglob("*") if p.is_file() and p.stat().st_size)))
    right = path.read_bytes()
    position = data.draw(st.integers(0, len(right) * 8 - 1))
    changed = bytearray(right)
    changed[position // 8] ^= 1 << position % 8
    path.write_bytes(changed)
    code, said = verify(volume.root, *(["--key", f"{key}.pub"] if named else []), capsys=capsys)
    path.write_bytes(right)
    assert code in {5, 6}, f"{path.name} bit {position}: {said}"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa256"])
def test_every_changed_bit_of_the_signature_is_noticed(tmp_path, capsys, kind):
    volume, key = Volume(tmp_path / "v", 1, {1: [b"x"]}), make_key(tmp_path / "key", kind)
    volume.sign(key)
    path = volume.root / "SHA256SUMS.sig"
    right = path.read_bytes()
    for position in range(0, len(right) * 8, 5):
        changed = bytearray(right)
        changed[position // 8] ^= 1 << position % 8
        path.write_bytes(changed)
        assert verify(volume.root, capsys=capsys)[0] == 6, position


def test_one_of_several_keys_will_do(volume, key, capsys):
    volume.sign(key)
    other = make_key(key.parent / "other")
    assert verify(volume.root, "--key", f"{other}.pub", "--key", f"{key}.pub", capsys=capsys)[0] == 0


@pytest.mark.parametrize(
    "said", ["unknown option -- Y", "ssh-keygen: illegal option -- Y", "ssh-keygen: invalid option -- 'Y'"]
)
def test_an_ssh_keygen_that_knows_no_signatures_says_nothing_of_them(volume, key, capsys, monkeypatch, said):
    volume.sign(key)
    tool = key.parent / "bin" / "ssh-keygen"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "{said}\nusage: ssh-keygen [-q]" >&2\nexit 1\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    code, out = verify(volume.root, capsys=capsys)
    assert (code, "older than 8.1" in out) == (0, True)
    code, out = verify(volume.root, "--key", f"{key}.pub", capsys=capsys)
    assert (code, "too old" in out) == (4, True)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_what_a_bundle_says_is_not_obeyed_by_a_terminal(tmp_path, encoding):
    volume = Volume(tmp_path / "tiny-vol1of2", 1, {1: CONTENTS, 2: CONTENTS})
    volume.bundle["volumes"][1]["label"] = "模\x1b[2J\x9b31m\u202e\nproblems: 0"
    volume.describe()
    done = run(volume.root / "verify.py", env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": encoding})
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("not looked at"))
    assert line.isprintable()
    assert done.returncode == 0
    assert "\\x1b[2J\\x9b31m\\u202e\\nproblems: 0" in line


def test_called_by_a_link_from_another_folder(volume, tmp_path):
    (tmp_path / "check").symlink_to(volume.root / "verify.py")
    assert run(tmp_path / "check").returncode == 0


def test_keys_that_are_none_and_no_tool(volume, key, capsys, monkeypatch):
    volume.sign(key)
    assert verify(volume.root, "--key", key, capsys=capsys)[0] == 2
    assert verify(volume.root, "--key", "absent", capsys=capsys)[0] == 2
    monkeypatch.setenv("PATH", str(key.parent))
    assert verify(volume.root, "--key", f"{key}.pub", capsys=capsys)[0] == 4


def test_several_volumes(tmp_path, capsys):
    contents = {1: CONTENTS[:2], 2: CONTENTS[2:]}
    first, second = (Volume(tmp_path / f"tiny-vol{n}of2", n, contents, chunked=CONTENTS[3]) for n in (1, 2))
    assert (second.root / "chunks").is_dir()
    code, said = verify(second.root, first.root, capsys=capsys)
    assert (code, "not looked at" in said, "2 of 2 volumes read" in said) == (0, False, True)
    code, said = verify(second.root, capsys=capsys)
    assert (code, "not looked at: volume 1, tiny-vol1of2" in said) == (0, True)
    assert verify(first.root, first.root, capsys=capsys)[0] == 5
    piece = second.root / "chunks" / sha256(CONTENTS[3]) / "00001"
    piece.write_bytes(piece.read_bytes()[:-1])
    assert verify(second.root, capsys=capsys)[0] == 5
    piece.unlink()
    assert verify(second.root, first.root, capsys=capsys)[0] == 7
    foreign = Volume(tmp_path / "foreign", 1, contents)
    assert verify(foreign.root, first.root, capsys=capsys)[0] == 5
    assert verify(tmp_path / "absent", capsys=capsys)[0] == 7
