"""What is written, and what earlier renders have left in the directory."""

from __future__ import annotations

import errno
import json
import shlex
import subprocess
from pathlib import Path

import pytest

from selfhost.app.render_output import LIST
from selfhost.errors import ExitCode

TWO = ("glm-4.5-air", "--on", "2x8xH100", "--data-parallel-size", "2", "--tensor-parallel-size", "8")
ONE = ("glm-4.5-air", "--on", "8xH100")


@pytest.fixture
def render(selfhost, tmp_path):
    return lambda target, plan, *more: selfhost("render", target, *plan, "--output", tmp_path / "out", *more)


def left(said):
    """The paths of the command that a note ends with."""
    (note,) = [line for line in said.splitlines() if "earlier render" in line]
    program, dashes, *paths = shlex.split(note.split("`")[1])
    assert (program, dashes) == ("rm", "--")
    return paths


def below(folder):
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def test_files_that_a_later_render_does_not_write_are_said_until_somebody_removes_them(render, tmp_path):
    code, out, err = render("quadlet", TWO)
    assert (code, "earlier render" in err) == (0, False)
    first = set(out.splitlines())
    code, out, err = render("quadlet", ONE)
    second = set(out.splitlines())
    assert code == 0
    assert set(left(err)) == first - second
    assert any(path.endswith("node1/glm-4-5-air.container") for path in left(err))
    assert below(tmp_path) - first - second == {str(tmp_path / "out" / LIST)}
    again = render("quadlet", ONE)[2]
    assert left(again) == left(err)
    subprocess.run(["rm", "--", *left(err)], check=True)
    assert "earlier render" not in render("quadlet", ONE)[2]
    assert below(tmp_path) == second | {str(tmp_path / "out" / LIST)}


def test_what_is_left_over_is_a_difference(render, tmp_path):
    assert render("compose", TWO)[0] == 0
    assert render("compose", TWO, "--check")[:2] == (0, "")
    assert render("compose", ONE)[0] == 0
    before = below(tmp_path)
    code, diff, err = render("compose", ONE, "--check")
    assert code == 3
    assert "--- node1/compose.yaml (on disk)\n+++ /dev/null\n" in diff
    assert not any(line.startswith("+") for line in diff.splitlines() if not line.startswith("+++"))
    code, out, _ = render("compose", ONE, "--check", "--json")
    said = json.loads(out)
    assert (code, said["same"]) == (3, False)
    assert said["left_over"] == left(err)
    assert below(tmp_path) == before
    assert set(left(err)) == before - set(said["files"]) - {str(tmp_path / "out" / LIST)}


def test_another_target_leaves_the_first_ones_files_but_the_list_of_images_stands_beside_it(render):
    assert render("compose", ONE)[0] == 0
    assert "earlier render" not in render("images", ONE)[2]
    assert "earlier render" not in render("compose", ONE)[2]
    assert render("compose", ONE, "--check")[:2] == (0, "")
    assert render("images", ONE, "--check")[:2] == (0, "")
    found = left(render("systemd", ONE)[2])
    assert any(path.endswith("/compose.yaml") for path in found)
    assert not any(path.endswith("images.txt") for path in found)


def test_files_of_the_users_are_never_meant(render, tmp_path):
    assert render("compose", TWO)[0] == 0
    own = [tmp_path / "out" / path for path in ("node0/.env", "node0/gateway/keys/keys.conf", "notes.md")]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    assert not {str(path) for path in own} & set(left(render("compose", ONE)[2]))
    assert all(path.read_text() == "mine" for path in own)


@pytest.mark.parametrize("listed", ["../victim", "/etc/hostname", "a/../../victim", "", "#", "\x1b[2J", b"\xff"])
def test_a_list_that_somebody_else_wrote_means_nothing_outside_of_the_directory(render, tmp_path, listed):
    (tmp_path / "victim").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LIST).write_bytes(listed if isinstance(listed, bytes) else f"{listed}\n".encode())
    code, _, err = render("compose", ONE)
    assert (code, "earlier render" in err) == (0, False)
    assert (tmp_path / "victim").exists()


def test_a_list_with_odd_lines_names_each_file_once_and_none_behind_a_link(render, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_text("secret")
    assert render("compose", ONE)[0] == 0
    (out / "link").symlink_to(tmp_path / "elsewhere")
    (out / "old.yaml").touch()
    odd = ["./compose.yaml", "a//b", ".", "link/secret", "old.yaml", "old.yaml", "x" * 300]
    (out / LIST).write_text("\n".join(odd))
    code, diff, err = render("compose", ONE, "--check")
    assert (code, left(err)) == (3, [str(out / "old.yaml")])
    assert "secret" not in diff
    code, _, err = render("compose", ONE)
    assert (code, left(err)) == (0, [str(out / "old.yaml")])


def test_what_a_render_wrote_before_it_failed_is_listed(render, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "monitoring").touch()
    assert render("compose", ONE)[0] == ExitCode.MISSING
    (tmp_path / "out" / "monitoring").unlink()
    assert str(tmp_path / "out" / "compose.yaml") in left(render("systemd", ONE)[2])


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_files_that_may_not_be_read_are_said(render, tmp_path, monkeypatch, check):
    assert render("compose", ONE)[0] == 0
    read = Path.read_bytes

    def refused(path):
        if path.name == "compose.yaml":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    code, out, err = render("compose", ONE, *check)
    assert (code, out) == (ExitCode.MISSING, "")
    assert f"cannot be read: `{tmp_path}/out/compose.yaml`" in err
