"""The Containerfiles: what every one of them must say, and that they agree with the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from selfhost.app import image
from selfhost.engines import known
from selfhost.engines.specs import find_spec
from selfhost.images.kinds import KINDS, find_kind
from selfhost.offline import FOR_CHILDREN
from selfhost.render.deployment import CACHE, GROUP_ID, HOME, USER_ID
from tests.conftest import missing


def text(name: str) -> str:
    return (image.folder_of(find_kind(name)) / "Containerfile").read_text()


def last_stage(name: str) -> str:
    return re.split(r"(?m)^FROM ", text(name))[-1]


NAMES = [kind.name for kind in KINDS if kind.name == kind.folder]
SERVING = [kind.name for kind in KINDS if kind.serves]
OF_SERVERS = {"VLLM_NO_USAGE_STATS=1", f"VLLM_CACHE_ROOT={CACHE}/vllm"}
OF_ONE = {
    "cpu": {"SELFHOST_ENGINES=/opt/selfhost/engines"},
    "cuda": {"SELFHOST_ENGINE_PYTHON=${ENGINE_PYTHON}"},
    "ascend": {"PATH=/opt/selfhost/bin:${PATH}"},
    "quantize": {"SELFHOST_ENGINES=/opt/selfhost/engines"},
}
"""Variables that one image sets and the others do not."""


def instructions(stage: str) -> list[str]:
    """One a line, without comments."""
    said = re.sub(r"(?m)^#.*\n", "", stage).replace("\\\n", " ")
    return [" ".join(line.split()) for line in said.splitlines() if line.strip()]


def alike(name: str) -> dict[str, str | set[str] | list[str]]:
    """What the last stage says in every image."""
    said = instructions(last_stage(name))
    (variables,) = [line.removeprefix("ENV ") for line in said if line.startswith("ENV ")]
    (labels,) = [line.replace(f"selfhost-{name}", "") for line in said if line.startswith("LABEL ")]
    (folders,) = re.findall(r"mkdir -p .* /usr/local/bin/selfhost$", "\n".join(said), re.MULTILINE)
    end = next(place for place, line in enumerate(said) if line == f"USER {USER_ID}:{GROUP_ID}")
    return {
        "variables": {*variables.split()} - OF_ONE[name] - OF_SERVERS,
        "labels": re.sub(r'description="[^"]*"', "", labels),
        "folders": folders.replace("ln -sf", "ln -s"),
        "end": [line for line in said[end:] if not line.startswith(("ENTRYPOINT ", "EXPOSE ", "HEALTHCHECK "))],
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_default_base_is_the_one_that_the_code_names(name):
    assert re.search(r"(?m)^ARG BASE=(\S+)$", text(name))[1] == find_kind(name).base


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_without_privileges_offline_where_rendered_files_mount(name):
    stage = last_stage(name)
    users = re.findall(r"(?m)^USER (\S+)$", stage)
    assert users[-1] == f"{USER_ID}:{GROUP_ID}"
    assert f"SELFHOST_HOME={HOME} " in stage
    assert f"HOME={CACHE} " in stage
    wanted = {"SELFHOST_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "DO_NOT_TRACK"}
    assert wanted <= FOR_CHILDREN.keys()
    for variable in wanted:
        assert f"{variable}=1" in stage


@pytest.mark.parametrize("name", SERVING)
def test_an_image_with_a_server_has_the_engines_variables(name):
    assert {*last_stage(name).split()} >= OF_SERVERS
    assert "VLLM_NO_USAGE_STATS" in FOR_CHILDREN


def test_nothing_listens_where_checkpoints_are_made():
    stage = last_stage("quantize")
    assert re.search(r'(?m)^ENTRYPOINT \["/opt/selfhost/venv/bin/selfhost", "quantize"\]$', stage)
    assert not re.search(r"EXPOSE|HEALTHCHECK|VLLM|serve", stage)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.engine], ids=lambda kind: kind.name)
def test_an_image_with_an_engine_of_selfhosts_installs_the_one_that_the_code_puts_wheels_of_beside(kind):
    installed = re.findall(r'engine install ("?[^ ]+)', text(kind.folder))
    default = re.findall(r"(?m)^ARG ENGINE=(\S+)$", text(kind.folder))
    assert installed == (['"${ENGINE}"'] if kind.arguments else [kind.engine])
    assert kind.arguments == ({"ENGINE": kind.engine} if default else {})
    assert find_spec(kind.engine).serves is kind.serves
    if kind.name == kind.folder and default:
        assert default == [kind.engine]


def test_both_builds_that_quantize_are_of_one_folder():
    one, other = find_kind("quantize"), find_kind("quantize-cpu")
    assert image.folder_of(one) == image.folder_of(other)
    assert one.repository != other.repository


@pytest.mark.parametrize("name", SERVING)
def test_it_has_a_health_check_on_the_open_route_and_an_explicit_command(name):
    stage = last_stage(name)
    assert "HEALTHCHECK" in stage
    assert "127.0.0.1:8000/health" in stage
    assert re.search(r'(?m)^ENTRYPOINT \["[^"]+", "serve"\]$', stage)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cpu"])
def test_what_images_have_alike_is_written_alike(name):
    assert alike(name) == alike("cpu")
    assert OF_ONE[name] <= {*last_stage(name).split()}


def test_both_vendors_images_get_selfhosts_environment_in_the_same_way():
    tools = [re.split(r"(?m)^FROM ", text(name))[1] for name in ("cuda", "ascend")]
    cuda, ascend = (re.sub("ENGINE_PYTHON=.*", "", "\n".join(instructions(tool))) for tool in tools)
    assert "selfhost.lock" in cuda
    assert cuda == ascend


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_installed_from_an_index(name):
    for line in text(name).replace("\\\n", " ").splitlines():
        if "pip" in line and " install " in line and "apt-get" not in line:
            assert "--no-index" in line
            assert "--require-hashes" in line


def test_vendor_bases_have_the_version_that_plans_are_made_for():
    assert find_kind("cuda").base.endswith(f":v{known.load('vllm').ref.version}")
    assert find_kind("ascend").base.endswith(f":v{known.load('vllm-ascend').ref.version}")


@pytest.mark.parametrize("name", NAMES)
def test_hadolint_has_nothing_to_say(name):
    tool = os.environ.get("SELFHOST_TEST_HADOLINT") or shutil.which("hadolint")
    if not tool:
        missing("`hadolint`", "`make .venv/hadolint.done`, then SELFHOST_TEST_HADOLINT=.venv/hadolint/bin/hadolint")
    path = Path(image.folder_of(find_kind(name))) / "Containerfile"
    done = subprocess.run([tool, "--no-color", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", ["{own}:{base}", "{base}:{own}:/none:{own}", "/none:{own}:{base}"])
def test_the_vllm_of_the_ascend_image_starts_the_vendors_wherever_it_stands_in_the_path(path, tmp_path):
    own, base = tmp_path / "own", tmp_path / "base"
    own.mkdir()
    base.mkdir()
    script = (image.folder_of(find_kind("ascend")) / "vllm").read_text()
    assert "/opt/selfhost/bin" in text("ascend")
    escaped = str(own).replace("/", "\\/")
    (own / "vllm").write_text(script.replace("/opt/selfhost/bin", str(own)).replace("\\/opt\\/selfhost\\/bin", escaped))
    (base / "vllm").write_text('#!/bin/bash\necho "the vendor\'s: $*"\n')
    for folder in (own, base):
        (folder / "vllm").chmod(0o755)
    env = {"PATH": f"{path.format(own=own, base=base)}:/usr/bin:/bin"}
    done = subprocess.run(
        [own / "vllm", "serve", "m"], env=env, capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.returncode, done.stdout) == (0, "the vendor's: serve m\n"), done.stderr
