"""What a bundle must survive, and the tests for each; `-s` prints how many cases each row has.

A test that is named here and is not there, or a row that has fewer cases than it says, fails: so no row loses its tests
when these are moved. Cases are what pytest collects: one that tries many faults counts once, and so does one that is
skipped here (without root, or without SELFHOST_TEST_LARGE).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROWS: dict[str, tuple[int, tuple[str, ...]]] = {
    "killed or without power at any point": (
        16,
        (
            "test_bundle_crashes.py::test_made_again_after_any_crash",
            "test_bundle_crashes.py::test_imported_after_any_crash",
            "test_bundle_pack_faults.py::test_killed_at_any_time",
            "test_unpack_disks.py::test_killed_by_a_signal_at_any_time_the_next_run_completes",
        ),
    ),
    "power that goes after the name and before the data": (
        2,
        (
            "test_bundle_pack_faults.py::test_the_order_on_the_disk",
            "test_unpack_disks.py::test_contents_are_on_the_disk_before_their_names",
        ),
    ),
    "a flipped bit": (
        54,
        (
            "test_unpack_bits.py::test_a_flipped_bit_is_found_and_named",
            "test_unpack_bits.py::test_a_flipped_bit_is_never_imported",
            "test_unpack_bits.py::test_any_single_flipped_bit_anywhere_is_found",
            "test_unpack_bits.py::test_damage_is_named_with_the_bytes_it_is_in",
            "test_bundle_cut.py::test_a_damaged_piece_is_named",
            "test_bundle_inside_verify.py::test_faults",
        ),
    ),
    "truncated or grown": (2, ("test_unpack_bits.py::test_another_size_is_found_without_hashing",)),
    "memory that hides a bad medium": (
        2,
        (
            "test_bundle_pack_faults.py::test_a_medium_that_gives_back_other_bytes",
            "test_unpack_hostile.py::test_what_is_written_after_is_read_from_the_medium",
        ),
    ),
    "volumes that are absent, swapped or of another bundle": (
        16,
        (
            "test_unpack.py::test_volumes_come_in_any_order_one_at_a_time",
            "test_bundle_cut.py::test_it_comes_in_any_order_one_at_a_time",
            "test_unpack_files.py::test_an_absent_volume_is_named_with_its_size",
            "test_unpack_files.py::test_volumes_of_two_bundles",
            "test_unpack_files.py::test_two_different_volumes_of_one_number",
            "test_unpack_files.py::test_a_volume_whose_bundle_json_was_changed",
        ),
    ),
    "files of an earlier run": (
        9,
        (
            "test_unpack_files.py::test_files_of_an_earlier_bundle_beside_those_of_this_one",
            "test_unpack_files.py::test_a_file_that_is_not_listed",
            "test_bundle_pack_faults.py::test_what_an_earlier_run_of_another_bundle_left_goes",
            "test_bundle_cut.py::test_what_an_earlier_run_cut_otherwise_goes",
        ),
    ),
    "paths that lead elsewhere or mean another thing elsewhere": (
        124,
        (
            "test_unpack_metadata.py::test_paths_that_lead_elsewhere_stop_before_anything_is_written",
            "test_unpack_metadata.py::test_two_names_that_are_one_where_case_does_not_count",
            "test_unpack_metadata.py::test_models_with_names_that_lead_elsewhere",
            "test_bundle_layout.py::test_paths_that_do_harm_somewhere_are_refused",
            "test_unpack_hostile.py::test_a_path_that_is_taken_stays_inside",
        ),
    ),
    "links, pipes, devices, and races for them": (
        25,
        (
            "test_unpack_files.py::test_what_is_no_plain_file_is_not_opened",
            "test_unpack_files.py::test_a_folder_that_is_a_link",
            "test_unpack_hostile.py::test_a_folder_that_becomes_a_link_while_it_is_read",
            "test_unpack_hostile.py::test_a_pipe_in_place_of_a_file_is_not_waited_for",
            "test_unpack_hostile.py::test_a_link_in_place_of_a_content_is_read_not_believed",
        ),
    ),
    "metadata that swells or lies": (
        49,
        (
            "test_unpack_metadata.py::test_manifests_that_lie",
            "test_unpack_metadata.py::test_metadata_that_is_none",
            "test_unpack_hostile.py::test_metadata_that_swells_takes_no_memory",
            "test_unpack_hostile.py::test_sums_that_swell_take_no_memory",
            "test_bundle_layout.py::test_json_that_readers_could_trip_over_is_refused",
        ),
    ),
    "signatures that are wrong, revoked, stripped or of another bundle": (
        48,
        (
            "test_unpack_trust.py::test_what_is_not_signed_by_who_is_trusted_is_not_read",
            "test_unpack_trust.py::test_a_revoked_key",
            "test_unpack_trust.py::test_the_key_that_is_named_is_the_only_one",
            "test_bundle_trust.py::test_a_signature_that_does_not_hold_is_refused_whatever_is_allowed",
        ),
    ),
    "an older bundle": (
        2,
        (
            "test_unpack_trust.py::test_an_older_bundle_is_refused_unless_it_is_asked_for",
            "test_unpack_trust.py::test_the_mark_rises_only_when_everything_is_here",
        ),
    ),
    "disks that are full, refuse, or go away": (
        25,
        (
            "test_unpack_disks.py::test_too_little_space_is_told_before_bytes_move",
            "test_unpack_disks.py::test_a_disk_that_refuses_while_it_is_written_to",
            "test_unpack_disks.py::test_a_limit_on_the_size_of_files",
            "test_unpack_disks.py::test_a_medium_that_does_not_give_bytes_back",
            "test_unpack_disks.py::test_a_medium_that_is_pulled_out_while_it_is_read",
            "test_unpack_mounts.py::test_8_mib_are_told_before_bytes_move",
            "test_unpack_mounts.py::test_a_disk_that_is_full_in_the_middle",
            "test_unpack_mounts.py::test_a_disk_without_inodes",
            "test_unpack_mounts.py::test_a_store_that_is_read_only",
            "test_unpack_mounts.py::test_a_medium_that_is_read_only",
            "test_unpack_mounts.py::test_create_on_a_medium_that_is_read_only",
            "test_bundle_pack_faults.py::test_a_full_medium_can_be_gone_on_with",
            "test_bundle_pack_faults.py::test_a_limit_on_the_size_of_files",
        ),
    ),
    "two at once, or while it is served": (
        3,
        (
            "test_unpack_disks.py::test_a_model_that_is_served_is_not_replaced",
            "test_unpack_disks.py::test_two_imports_at_once",
            "test_bundle_pack_faults.py::test_two_at_once",
        ),
    ),
    "a wrong clock": (
        4,
        (
            "test_unpack_hostile.py::test_a_clock_that_is_wrong_does_not_stop_a_signed_bundle",
            "test_bundle_trust.py::test_a_wrong_clock_does_not_stop_an_import",
        ),
    ),
    "again, onto a newer one, in part": (
        4,
        (
            "test_unpack.py::test_again_it_copies_nothing_and_changes_nothing",
            "test_unpack.py::test_what_an_interrupted_import_has_copied_is_not_read_again",
            "test_unpack.py::test_a_delta_brings_what_the_inventory_lacks",
            "test_unpack.py::test_a_delta_for_somebody_else_names_what_it_builds_on",
        ),
    ),
    "file systems that differ": (
        7,
        (
            "test_bundle_cut.py::test_what_a_file_system_takes_is_known_by_its_kind",
            "test_bundle_cut.py::test_a_medium_without_links_gets_copies_and_counts_them",
            "test_bundle_pack.py::test_shared_blocks_where_the_file_system_has_them",
            "test_bundle_pack.py::test_a_file_that_the_medium_does_not_take_is_cut",
        ),
    ),
    "nothing lost": (
        9,
        (
            "test_bundle_nothing_lost.py::test_names_of_all_sorts_and_files_of_no_bytes",
            "test_bundle_nothing_lost.py::test_thousands_of_small_files",
            "test_bundle_nothing_lost.py::test_six_gigabytes_with_a_hole",
            "test_unpack_crossing.py::test_there_and_in",
        ),
    ),
    "an old bundle, a new tool, and the reverse": (
        8,
        (
            "test_bundle_golden.py::test_it_is_what_it_says",
            "test_bundle_golden.py::test_it_comes_in",
            "test_bundle_golden.py::test_one_of_a_later_tool_is_refused_by_name",
        ),
    ),
}  # a registry that fails: with the tests of `bundle push`


@pytest.mark.slow
def test_every_row_has_its_tests():
    files = sorted({name.partition("::")[0] for _, names in ROWS.values() for name in names})
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        *(HERE / one for one in files),
    ]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    cases: Counter[str] = Counter(re.findall(r"^tests/bundle/(\w+\.py::\w+)", listed, re.MULTILINE))
    print()
    for row, (least, names) in ROWS.items():
        assert not [name for name in names if not cases[name]], row
        count = sum(cases[name] for name in names)
        print(f"{count:5} {row}")
        assert count >= least, row
    print(f"{sum(cases[name] for _, names in ROWS.values() for name in names):5} altogether")
