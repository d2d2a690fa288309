"""Boot records on disk: kept per subject, private, whole; files that cannot be used are told and do no harm."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, replace

import pytest

from selfhost.errors import MissingError
from selfhost.planner.boots import Measured, Subject
from selfhost.planner.plan import EngineRef, Layout, Settings
from selfhost.serve import boots

SUBJECT = Subject(
    engine=EngineRef(name="vllm", version="0.32.0"),
    fingerprint="0123456789ab",
    device="A100-80G",
    visible_memory_bytes=1 << 36,
    layout=Layout(),
    settings=Settings(gpu_memory_utilization=0.92, max_model_len=4096, max_num_seqs=256, max_num_batched_tokens=2048),
)


def boot(number: int, **changes) -> dict:
    return {
        "model": "m",
        "started_at": f"2026-10-{number:02}T08:00:00+00:00",
        "outcome": "started",
        "measured": Measured(kv_cache_bytes=number).as_dict(),
        "phases_s": {"serving": 10.0},
        **changes,
    }


def add(here, number: int, subject: Subject = SUBJECT):
    return boots.add(here, asdict(subject), boot(number))


def read(here, *fingerprints: str):
    return boots.read(here, fingerprints or [SUBJECT.fingerprint])


def test_starts_of_one_subject_are_kept_together_the_newest_first(here):
    paths = {add(here, number) for number in range(1, 9)}
    assert paths == {boots.path_of(here, SUBJECT)}
    ((record,), notes) = read(here)
    assert notes == ()
    assert record.path == str(boots.path_of(here, SUBJECT))
    assert record.subject == SUBJECT
    assert [found.measured.kv_cache_bytes for found in record.boots] == [8, 7, 6, 5, 4]


def test_files_are_for_this_user_only(here):
    path = add(here, 1)
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"
    assert [found.name for found in path.parent.iterdir() if found.suffix == ".json"] == [path.name]


def test_other_subjects_have_other_files(here):
    add(here, 1)
    other = replace(SUBJECT, extras=("--enable-lora",))
    add(here, 2, other)
    add(here, 3, replace(SUBJECT, fingerprint="ba9876543210"))
    assert {record.subject.extras for record in read(here).records} == {(), ("--enable-lora",)}
    assert len(read(here, SUBJECT.fingerprint, "ba9876543210").records) == 3
    assert read(here, "000000000000") == ((), ())


def test_nothing_is_there_before_the_first_start(here):
    assert read(here) == ((), ())
    assert not here.boots.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged (JSONDecodeError: Expecting value"),
        (b'{"schema_version": 1, "sub', "is damaged (JSONDecodeError:"),
        (b"\xff\xff{}", "is damaged (UnicodeDecodeError:"),
        (b"[]", "is damaged (TypeError:"),
        (b"[" * 100_000, "is damaged (RecursionError:"),
        (b"{}", "is damaged (KeyError: 'schema_version')"),
        (b'{"schema_version": 1, "subject": {}, "boots": []}', "is damaged (ValueError: no boots)"),
        (
            b'{"schema_version": 2, "boots": "of another kind"}',
            "was written by a newer selfhost (schema 2, this one knows 1)",
        ),
    ],
    ids=["empty", "cut off", "no text", "a list", "nested without end", "an object", "no boots", "newer"],
)
def test_a_file_that_cannot_be_used_is_told_once_and_makes_room(here, content, said):
    path = add(here, 1)
    path.write_bytes(content)
    add(here, 2, replace(SUBJECT, extras=("--enable-lora",)))
    records, (note,) = read(here)
    assert [record.subject.extras for record in records] == [("--enable-lora",)]
    assert str(path) in note
    assert said in note
    add(here, 3)
    records, notes = read(here)
    assert (len(records), notes) == (2, ())


def test_a_directory_in_the_place_of_a_file_is_told(here):
    path = boots.path_of(here, SUBJECT)
    path.mkdir(parents=True)
    assert "cannot be read (Is a directory)" in read(here).notes[0]


def test_a_folder_that_cannot_be_made_is_an_error(here):
    here.root.mkdir(parents=True, exist_ok=True)
    here.boots.write_text("in the way")
    with pytest.raises(MissingError):
        add(here, 1)
    assert read(here) == ((), ())


def test_the_oldest_subjects_of_an_architecture_go(here):
    for number in range(boots.KEPT_SUBJECTS + 3):
        path = add(here, 1, replace(SUBJECT, extras=(f"--max-loras {number}",)))
        os.utime(path, (number, number))
    other = add(here, 1, replace(SUBJECT, fingerprint="ba9876543210"))
    kept = {record.subject.extras[0] for record in read(here).records}
    assert len(kept) == boots.KEPT_SUBJECTS
    assert f"--max-loras {boots.KEPT_SUBJECTS + 2}" in kept
    assert "--max-loras 0" not in kept
    assert other.exists()


def test_two_at_once_lose_nothing(here):
    threads = [threading.Thread(target=add, args=(here, number)) for number in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((record,), _) = read(here)
    assert sorted(found.measured.kv_cache_bytes for found in record.boots) == [1, 2, 3, 4, 5]


def test_what_is_no_subject_is_not_written(here):
    with pytest.raises(KeyError):
        boots.add(here, {"engine": {"name": "vllm", "version": "1"}}, boot(1))
    assert not here.boots.exists()


def test_files_can_be_read_by_people(here):
    value = json.loads(add(here, 1).read_text())
    assert value["schema_version"] == 1
    assert value["subject"]["device"] == "A100-80G"
    assert value["boots"][0]["model"] == "m"
