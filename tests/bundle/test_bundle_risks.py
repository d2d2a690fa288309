"""The risk list of a model: code, pickles, programs, archives, terms and structure, each with its digest."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import stat
import zipfile

import pytest

from selfhost.bundle import canonical
from selfhost.bundle.facts import read_facts, read_licences
from selfhost.bundle.risks import document, risks
from selfhost.weights.lock import LockedFile


def tensor_file():
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    return stream.getvalue()


class Calls:
    """What runs a program when it is unpickled."""

    def __reduce__(self):
        return os.system, ("true",)


CLEAN = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": tensor_file(),
    "tokenizer.json": b"{}",
    "LICENSE": b"Terms\n",
    "sub/nested.txt": b"",
    "vocab.txt": b"cat\ncollection\n",
}


def facts(folder, changed):
    """Facts of CLEAN with some files changed (None: left out)."""
    locked = []
    for path, data in (CLEAN | changed).items():
        if data is None:
            continue
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        locked.append(LockedFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest()))
    return read_facts("tiny", folder, locked)


def test_a_clean_model_has_no_risks(tmp_path):
    assert risks(facts(tmp_path, {})) == ()


AUTO_MAP = json.dumps({"auto_map": {"AutoModel": "modeling_x.X"}}).encode()


@pytest.mark.parametrize(
    ("changed", "kind", "severity", "paths"),
    [
        ({"a.bin": b"any"}, "pickle", "warning", ["a.bin"]),
        ({"x.npz": b"any", "sub/y.PT": b""}, "pickle", "warning", ["sub/y.PT", "x.npz"]),
        *(({"a.txt": pickle.dumps({"a": [1]}, number)}, "pickle", "warning", ["a.txt"]) for number in (2, 3, 4, 5)),
        *(({"a.txt": pickle.dumps(Calls(), number)}, "pickle", "warning", ["a.txt"]) for number in range(6)),
        ({"a.txt": pickle.dumps({"a": [1]}, 0)}, "pickle", "warning", ["a.txt"]),
        ({"x.nemo": b"any", "y.rar": b"Rar!\x1a\x07"}, "archive", "note", ["x.nemo", "y.rar"]),
        ({"pytorch_model.bin": zipped()}, "pickle", "warning", ["pytorch_model.bin"]),
        ({"run": b"#!/bin/sh\n"}, "program", "warning", ["run"]),
        ({"readme.txt": b"\x7fELF\x02\x01\x01"}, "program", "warning", ["readme.txt"]),
        ({"data.dat": zipped()}, "archive", "note", ["data.dat"]),
        ({"config.json": AUTO_MAP, "modeling_x.py": b"1", "b.py": b"2"}, "code", "warning", ["b.py", "modeling_x.py"]),
        ({"convert.py": b"print()"}, "code", "note", ["convert.py"]),
        ({"tokenizer_config.json": AUTO_MAP}, "code_absent", "error", []),
        ({"config.json": b'{"auto_map": {"AutoModel": "org/repo--m.X"}}'}, "code_elsewhere", "error", []),
        ({"LICENSE": None}, "licence_text", "warning", []),
        ({"tokenizer.json": None}, "structure", "error", []),
        ({"model.safetensors": tensor_file()[:-1]}, "structure", "error", []),
        ({"generation_config.json": b"{"}, "structure", "error", []),
        ({"tokenizer.json": b"version https://git-lfs.github.com/spec/v1\n"}, "structure", "error", []),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)  # fmt: skip
def test_each_risk_is_found_alone_with_the_digests_of_its_files(tmp_path, changed, kind, severity, paths):
    model = facts(tmp_path, changed)
    (risk,) = risks(model)
    assert (risk.kind, risk.finding.severity.value) == (kind, severity)
    assert [file.path for file in risk.files] == paths
    for file in risk.as_dict()["files"]:
        assert file["sha256"] == hashlib.sha256(changed[file["path"]]).hexdigest()


def test_the_list_is_canonical_json_with_the_worst_first(tmp_path):
    model = facts(tmp_path, {"a.bin": b"1", "tokenizer.json": None, "z.zip": zipped()})
    body = canonical.decode(canonical.encode(document({"tiny": risks(model)})), "risks.json")
    assert [risk["severity"] for risk in body["models"][0]["risks"]] == ["error", "warning", "note"]
    assert body["schema_version"] == 1


def test_a_file_that_is_gone_is_a_problem_and_texts_of_terms_are_read(tmp_path):
    model = facts(tmp_path, {"NOTICE.md": "Häfen".encode(), "LICENSE.pdf": b"%PDF\xff"})
    assert read_licences(tmp_path, model.files) == {"LICENSE": "Terms\n", "NOTICE.md": "Häfen"}
    (tmp_path / "sub" / "nested.txt").unlink()
    again = read_facts("tiny", tmp_path, model.files)
    assert again.problems == ("absent: sub/nested.txt",)
    assert stat.S_ISREG((tmp_path / "LICENSE").stat().st_mode)


@pytest.mark.parametrize("name", ["\ud800", "a\x1b[31m", "\u202e", "x" * 10_000])
def test_names_in_a_configuration_can_be_anything(tmp_path, name):
    config = json.dumps({"auto_map": {"AutoModel": f"{name}--m.X", "AutoConfig": f"{name}.Y"}}).encode()
    found = risks(facts(tmp_path, {"config.json": config}))
    assert [risk.kind for risk in found] == ["code_absent", "code_elsewhere"]
    data = canonical.encode(document({"tiny": found}))
    assert b"\x1b" not in data
    assert "\u202e".encode() not in data
