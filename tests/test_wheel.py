"""The wheel that would be shipped: built, installed away from the checkout, and asked for what must be inside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """The wheel unpacked by pip into a folder of its own, without an index and without its dependencies."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([*command, str(wheel)], check=True)
    return target


def run(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-W", "error", "-m", "selfhost", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False)


def test_the_distribution_is_selfhost_llm_and_declares_the_command(wheel):
    assert wheel.name.startswith("selfhost_llm-")
    with zipfile.ZipFile(wheel) as archive:
        entry_points = next(n for n in archive.namelist() if n.endswith("entry_points.txt"))
        assert "selfhost = selfhost.__main__:main" in archive.read(entry_points).decode()
        assert any(n.endswith("licenses/LICENSE") for n in archive.namelist())


def test_the_installed_package_is_not_the_checkout(installed, tmp_path):
    code = "import selfhost; print(selfhost.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
    assert done.stdout.strip() == str(installed / "selfhost" / "__init__.py")


def test_recipes_are_found_after_an_install(installed, tmp_path):
    done = run(installed, "recipe", "ls", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shipped = {recipe["name"] for recipe in json.loads(done.stdout)["recipes"]}
    assert shipped == {path.stem for path in (REPOSITORY / "recipes").glob("*/*.toml")}


def test_engine_locks_are_found_after_an_install(installed, tmp_path):
    done = run(installed, "engine", "ls", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (installed / "selfhost" / "engines" / "locks").glob("*.lock")} >= {
        "cpu.lock",
        "cuda.lock",
    }


def test_code_for_the_engine_environment_is_shipped_as_files(installed):
    inside = {path.name for path in (installed / "selfhost" / "inside").glob("*.py")}
    assert inside >= {"selfhost_gate.py", "selfhost_launch.py", "selfhost_gguf.py"}
    texts = {path.name for path in (installed / "selfhost" / "inside").glob("*.txt")}
    assert texts == {"selfhost_calibrate_text.txt", "selfhost_loss_text.txt"}


def test_nothing_installs_the_other_project_named_selfhost():
    """`selfhost` on the package index is somebody else's: only `selfhost-llm` may follow an install command."""
    texts = [REPOSITORY / "README.md", REPOSITORY / "Makefile", REPOSITORY / "pyproject.toml"]
    texts += [path for folder in ("selfhost", "containers", ".ci") for path in (REPOSITORY / folder).rglob("*")]
    for path in texts:
        if path.is_file() and path.suffix not in {".pyc", ".json", ".lock"}:
            found = re.findall(r"pip3?[^\n]*install[^\n]*[\s'\"]selfhost(?![-\w./])", path.read_text(errors="replace"))
            assert not found, f"{path}: {found}"
