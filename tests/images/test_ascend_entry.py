"""The `vllm` of the Ascend image: the vendor's, with CANN's variables, whatever the command is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.ascend_support import install

WRAPPER = Path(__file__).resolve().parents[2] / "containers" / "ascend" / "vllm"
VENDORS = '#!/bin/sh\necho "$*"\nenv\n'


@pytest.fixture
def wrapped(tmp_path):
    """Runs the wrapper with Ascend's files and the vendor's command in a folder."""

    def run(*words: str) -> tuple[str, dict[str, str]]:
        ours, vendors = tmp_path / "ours/vllm", tmp_path / "vendors/vllm"
        for path, text in (
            (ours, WRAPPER.read_text().replace("/usr/local/Ascend", str(tmp_path / "usr/local/Ascend"))),
            (vendors, VENDORS),
        ):
            path.parent.mkdir(exist_ok=True)
            # In a pattern of bash its slashes are escaped; left as it is, the loop over it would not end.
            escaped = str(tmp_path / "ours").replace("/", "\\/")
            moved = text.replace("/opt/selfhost/bin", str(tmp_path / "ours"))
            path.write_text(moved.replace("\\/opt\\/selfhost\\/bin", escaped))
            path.chmod(0o755)
        path = f"{ours.parent}:{vendors.parent}:/usr/bin:/bin"
        done = subprocess.run(
            [ours, *words], env={"PATH": path}, capture_output=True, text=True, check=True, timeout=20
        )
        said, *variables = [line for line in done.stdout.splitlines() if not line.startswith("ATB says")]
        return said, dict(line.split("=", 1) for line in variables)

    return run


@pytest.mark.parametrize("folder", ["cann", "ascend-toolkit"])
def test_the_command_runs_with_the_variables_of_both_scripts(wrapped, tmp_path, folder):
    ascend = install(tmp_path).at("/usr/local/Ascend")
    (ascend / "cann").rename(ascend / folder)
    said, env = wrapped("serve", "/models/m", "--port", "8000")
    assert said == "serve /models/m --port 8000"
    assert env["ASCEND_HOME_PATH"] == f"{ascend}/cann-9.1.0"
    assert env["ATB_HOME_PATH"].endswith("cxx_abi_1")
    assert env["LD_LIBRARY_PATH"].split(":")[-1] == "/usr/local/lib"
    assert env.get("SEEN_BY_TOOLKIT") != "serve"


def test_without_the_files_it_is_the_vendors_command_alone(wrapped):
    said, env = wrapped("--help")
    assert (said, env.get("ASCEND_HOME_PATH")) == ("--help", None)
