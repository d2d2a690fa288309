"""Where selfhost keeps things, and what it says when that cannot be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfhost.app import model
from selfhost.engines import environment
from selfhost.errors import ExitCode, UsageError
from selfhost.home import find_home


def test_the_variable_wins_over_xdg_and_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("XDG_DATA_HOME", "/x")
    monkeypatch.setenv("SELFHOST_HOME", "~/s")
    assert find_home().root == Path("/h/s")
    monkeypatch.delenv("SELFHOST_HOME")
    assert find_home().root == Path("/x/selfhost")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert find_home().root == Path("/h/.local/share/selfhost")


def test_engines_may_lie_elsewhere_and_only_they(monkeypatch, tmp_path):
    monkeypatch.setenv("SELFHOST_HOME", "/state")
    monkeypatch.setenv("SELFHOST_ENGINES", "/opt/engines")
    home = find_home()
    assert (home.engines, home.models) == (Path("/opt/engines"), Path("/state/models"))
    monkeypatch.setenv("SELFHOST_ENGINES", "")
    assert find_home().engines == Path("/state/engines")


def test_a_uid_without_an_account_and_without_home_is_told_what_to_set(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("SELFHOST_HOME")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321987)
    with pytest.raises(UsageError) as caught:
        find_home()
    assert caught.value.message.id == "cli.no_home"
    assert caught.value.message.what == "there is no home directory for `~/.local/share`"
    assert "SELFHOST_HOME=" in caught.value.message.hint


@pytest.mark.parametrize(
    "use", [model.resolve, lambda path: environment.from_python(Path(path))], ids=["model", "python"]
)
def test_a_path_in_the_home_of_nobody_known(use):
    with pytest.raises(UsageError) as caught:
        use("~no-such-user-here/model")
    assert (caught.value.message.id, caught.value.code) == ("cli.no_home", ExitCode.USAGE)
